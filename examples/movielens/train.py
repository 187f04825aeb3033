"""Train the MovieLens model and write the package that the demo serves.

    pip install -r examples/movielens/requirements.txt
    pip install --no-deps recbole==1.2.1
    python -m examples.movielens.train

The number of epochs is the one that does best on a tenth of the training ratings; the model is
then trained on all of them, and the held-out tenth is scored once, at the end.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))

from norn import export  # noqa: E402

from . import data as movielens  # noqa: E402
from .model import MovieLensDlrm  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE / "repository" / "movielens" / "1"
TABLE_THRESHOLD = 1024  # tiny, so that the demo's tables are tables
EPOCHS, BATCH, RATE = 6, 512, 2e-3
TABLE_DECAY = 1.5
STARS = 0.5  # weight of the stars beside the label: five stars say more than four


def tensors(inputs):
    return [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in movielens.INPUTS]


def targets(data, rows):
    stars = (data.rating[rows] - 1) / 4
    return torch.from_numpy((1 - STARS) * data.label[rows] + STARS * stars)


def score(model, inputs):
    model.eval()
    with torch.no_grad():
        return model(*inputs).numpy()


def train(inputs, target, epochs, seed, after_epoch=None):
    """Train for the first `epochs` of a schedule of EPOCHS."""
    torch.manual_seed(seed)
    model = MovieLensDlrm()
    tables = [table.weight for table in model.tables()]
    dense = [*model.bottom.parameters(), *model.top.parameters()]
    optimizer = torch.optim.AdamW([{"params": tables, "weight_decay": TABLE_DECAY},
                                   {"params": dense, "weight_decay": 1e-5}], lr=RATE)
    steps = -(-len(target) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps)
    for epoch in range(epochs):
        model.train()
        for rows in torch.randperm(len(target)).split(BATCH):
            optimizer.zero_grad()
            logit = model.logit(*(tensor[rows] for tensor in inputs))
            nn.functional.binary_cross_entropy_with_logits(logit, target[rows]).backward()
            optimizer.step()
            schedule.step()
        if after_epoch:
            after_epoch(epoch, model)
    return model.eval()


def best_epochs(features, known, seed):
    """The number of epochs whose AUC is best on a tenth of the known ratings."""
    data = features.data
    rng = np.random.default_rng(seed)
    aside = rng.random(len(known)) < 0.1
    fit, test = tensors(features.inputs(known[~aside])), tensors(features.inputs(known[aside]))
    aucs = []

    def judge(epoch, model):
        aucs.append(movielens.auc(data.label[known[aside]], score(model, test)))
        print(f"  epoch {epoch + 1}: validation AUC {aucs[-1]:.4f}", flush=True)

    train(fit, targets(data, known[~aside]), EPOCHS, seed, judge)
    return 1 + int(np.argmax(aucs))


def settings():
    """norn.json: a request names its user once."""
    sides = dict.fromkeys(movielens.USER_INPUTS, "user")
    sides |= dict.fromkeys(movielens.ITEM_INPUTS, "item")
    return {"inputs": {name: {"batch": side} for name, side in sides.items()},
            "profile": {"max_batch": 2048}}  # all 1682 films in one batch


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, help="folder of ml-100k.inter and the others")
    parser.add_argument("--out", type=pathlib.Path, default=PACKAGE, 
                        help="the package; default: the one beside this script")
    parser.add_argument("--report", type=pathlib.Path, default=HERE / "training.json")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began = time.monotonic()

    data = movielens.load(options.data)
    features = movielens.Features(data)
    known, held_out = np.flatnonzero(data.train), np.flatnonzero(~data.train)
    print(f"{len(known)} ratings to learn from, {len(held_out)} held out at random")
    epochs = best_epochs(features, known, options.seed)
    print(f"training on all of them for {epochs} epochs", flush=True)
    model = train(tensors(features.inputs(known)), targets(data, known), epochs, options.seed)
    held_out_auc = movielens.auc(data.label[held_out],
                                 score(model, tensors(features.inputs(held_out))))
    print(f"held-out AUC {held_out_auc:.4f}  ({time.monotonic() - began:.0f} s)")

    example = tensors(features.inputs(held_out[:5]))
    names = export.from_torch(model, example, options.out, list(movielens.INPUTS), ["score"],
                              TABLE_THRESHOLD, settings(), dynamo=True)
    report = {"auc": round(held_out_auc, 4), "label": f"rating >= {movielens.LIKED}",
              "split": f"random, {movielens.HOLD_OUT:.0%} held out, seed {movielens.SPLIT_SEED}",
              "held_out": len(held_out), "epochs": epochs, "torch": torch.__version__.split("+")[0]}
    options.report.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{options.out}: tables {', '.join(names)}")


if __name__ == "__main__":
    main()
