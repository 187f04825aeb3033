"""DLRM (Naumov et al., 2019): bottom MLP, one embedding a field, pairwise dots, top MLP.

`dlrm` takes all single-valued fields in one [batch, fields] tensor. `dlrm_multihot` adds padded
bags: nn.Embedding with padding_idx followed by sum(1), or by a masked mean. `dlrm_bags` has the
same bags as CSR pairs and reads every table through the `ai.norn` operators; see `bags.py`.
"""

from dataclasses import dataclass

import numpy as np

from . import ids
from .exporter import BATCH, Exporter


@dataclass(frozen=True)
class Config:
    rows: tuple
    dim: int
    bottom: tuple
    top: tuple
    bag_rows: tuple = ()
    bag_longest: int = 1
    dense: int = 13


SMALL_ROWS = (9000, 2000, 500, 100, 30, 10, 3, 5000)
SIZES = {
    "small": Config(SMALL_ROWS, 32, (64, 32), (64, 32)),
    "full": Config((40000,) * 26, 128, (512, 256, 128), (1024, 1024, 512, 256)),
}
MULTIHOT_SIZES = {
    "small": Config(SMALL_ROWS, 32, (64, 32), (64, 32), (9000, 300), 8),
    "full": Config((40000,) * 22, 128, (512, 256, 128), (1024, 1024, 512, 256),
                   (40000,) * 4, 20),
}


def interact(g, config, dense, vectors):
    """Dots of all pairs beside the dense vector, then the top MLP: returns the logit's sigmoid."""
    features = len(vectors) + 1
    x = g.view_features(g.cat([dense, *vectors], 1), dense, features, config.dim)
    dots = g.op("MatMul", x, g.op("Transpose", x, perm=[0, 2, 1]))
    joined = g.cat([dense, g.triangle(dots, features)], 1)
    width = config.dim + features * (features - 1) // 2
    return g.mlp(joined, "top", (width, *config.top, 1), last="sigmoid")


def build(config, style, seed):
    g = Exporter("dlrm", style, seed)
    dense_in = g.input("dense", [BATCH, config.dense])
    sparse_in = g.input("sparse", [BATCH, len(config.rows)], np.int64)
    bag_in = [g.input(f"bag_{i}", [BATCH, config.bag_longest], np.int64)
              for i in range(len(config.bag_rows))]
    dense = g.mlp(dense_in, "bot", (config.dense, *config.bottom), last="relu")
    vectors = [g.lookup(g.table(f"emb.{i}", rows, config.dim), g.select(sparse_in, i))
               for i, rows in enumerate(config.rows)]
    for i, rows in enumerate(config.bag_rows):
        vectors.append(_padded_bag(g, config, i, rows, bag_in[i]))
    g.output(interact(g, config, dense, vectors), "score", [BATCH, 1])
    return g.model()


def _padded_bag(g, config, i, rows, bag):
    """Even bags are summed over a zero padding row, odd ones averaged under a mask."""
    table = g.table(f"bag_emb.{i}", rows, config.dim)
    g.initializers[table][0] = 0
    vectors = g.lookup(table, bag)
    if i % 2 == 0:
        return g.sum(vectors, 1)
    present = g.op("Not", g.op("Equal", bag, g.constant(0)))
    mask = g.op("Unsqueeze", g.op("Cast", present, to=1), g.constant([-1]))
    total = g.sum(g.op("Mul", vectors, mask), 1)
    count = g.sum(mask, 1)
    least = g.constant(1.0, np.float32)
    count = g.op("Clip", count, least, "") if g.torchscript else g.op("Max", count, least)
    return g.op("Div", total, count)


def inputs(config, batch, seed):
    rng = np.random.default_rng(seed)
    feeds = {"dense": ids.log_counts(rng, (batch, config.dense)),
             "sparse": ids.columns(rng, config.rows, batch)}
    for i, rows in enumerate(config.bag_rows):
        feeds[f"bag_{i}"] = ids.bags(rng, rows, batch, config.bag_longest)
    return feeds
