"""DCN-v2 (Wang et al., 2021), parallel form: full-rank cross layers beside an MLP."""

from dataclasses import dataclass

import numpy as np

from . import ids
from .exporter import BATCH, Exporter


@dataclass(frozen=True)
class Config:
    rows: tuple
    dim: int
    crosses: int
    hidden: tuple
    dense: int = 13


SIZES = {
    "small": Config((4000, 700, 150, 40, 9), 16, 3, (64, 32)),
    "full": Config((100000,) * 26, 16, 3, (1024, 1024)),
}


def build(config, style, seed):
    g = Exporter("dcn_v2", style, seed)
    dense = g.input("dense", [BATCH, config.dense])
    sparse = g.input("sparse", [BATCH, len(config.rows)], np.int64)
    vectors = [g.lookup(g.table(f"emb.{i}", rows, config.dim), g.select(sparse, i))
               for i, rows in enumerate(config.rows)]
    width = config.dense + len(config.rows) * config.dim
    x0 = g.cat([dense, *vectors], 1)
    x = x0
    for i in range(config.crosses):
        crossed = g.op("Mul", x0, g.linear(x, f"cross.{i}", width, width, gain=0.3))
        x = g.op("Add", crossed, x)
    deep = g.mlp(x0, "deep", (width, *config.hidden), last="relu")
    logit = g.linear(g.cat([x, deep], 1), "out", width + config.hidden[-1], 1, gain=1.0)
    g.output(g.op("Sigmoid", logit), "score", [BATCH, 1])
    return g.model()


def inputs(config, batch, seed):
    rng = np.random.default_rng(seed)
    return {"dense": ids.log_counts(rng, (batch, config.dense)),
            "sparse": ids.columns(rng, config.rows, batch)}
