"""DeepFM (Guo et al., 2017): linear term, second-order FM and an MLP over shared embeddings.

All fields live in one table; each field's ids are shifted by the rows of the fields before it.
"""

from dataclasses import dataclass

import numpy as np

from . import ids
from .exporter import BATCH, Exporter


@dataclass(frozen=True)
class Config:
    rows: tuple
    dim: int
    hidden: tuple


SIZES = {
    "small": Config((4000, 2500, 900, 300, 120, 60, 24, 12, 7, 2), 16, (64, 32)),
    # Criteo: 13 bucketised counters and 26 categories, of which some are large.
    "full": Config((50,) * 13 + (120000,) * 8 + (10000,) * 8 + (500,) * 10, 16, (400, 400, 400)),
}


def build(config, style, seed):
    g = Exporter("deepfm", style, seed)
    fields, total = len(config.rows), sum(config.rows)
    field_ids = g.input("ids", [BATCH, fields], np.int64)
    starts = np.concatenate([[0], np.cumsum(config.rows)[:-1]]).astype(np.int64)
    rows = g.op("Add", field_ids, g.initializer("offsets", starts))

    vectors = g.lookup(g.table("embedding", total, config.dim, std=0.1), rows)
    of_sum = g.square(g.sum(vectors, 1))
    sum_of = g.sum(g.square(vectors), 1)
    pairs = g.sum(g.op("Sub", of_sum, sum_of), 1, keepdims=1)
    pairs = g.op("Mul", pairs, g.constant(0.5, np.float32))

    weights = g.initializer("linear.weight", g.normal((total, 1), 0.1))
    first = g.sum(g.lookup(weights, rows), 1)
    first = g.op("Add", first, g.initializer("bias", np.float32([-0.3])))

    width = fields * config.dim
    x = g.flatten(vectors, width)
    for i, n_out in enumerate(config.hidden):
        x = g.linear_norm_relu(x, f"mlp{i}", width, n_out)
        width = n_out
    deep = g.linear(x, "out", width, 1, gain=1.0)
    logit = g.op("Add", g.op("Add", first, pairs), deep)
    g.output(g.squeeze(g.op("Sigmoid", logit), 1), "score", [BATCH])
    return g.model()


def inputs(config, batch, seed):
    rng = np.random.default_rng(seed)
    return {"ids": ids.columns(rng, config.rows, batch)}
