"""Wide & Deep (Cheng et al., 2016): a linear model over crosses beside an MLP over embeddings.

The crosses come as a padded bag of hashed ids, whose weights are a [rows, 1] table.
"""

from dataclasses import dataclass

import numpy as np

from . import ids
from .exporter import BATCH, Exporter


@dataclass(frozen=True)
class Config:
    rows: tuple
    dim: int
    cross_rows: int
    crosses: int
    hidden: tuple
    dense: int = 13


SIZES = {
    "small": Config((3000, 800, 200, 50, 10), 24, 5000, 6, (64, 32)),
    "full": Config((50000,) * 26, 32, 1000000, 10, (1024, 512, 256)),
}


def build(config, style, seed):
    g = Exporter("wide_deep", style, seed)
    dense = g.input("dense", [BATCH, config.dense])
    sparse = g.input("sparse", [BATCH, len(config.rows)], np.int64)
    crosses = g.input("crosses", [BATCH, config.crosses], np.int64)

    weights = g.initializer("wide.weight", g.normal((config.cross_rows, 1), 0.2))
    g.initializers[weights][0] = 0
    wide = g.sum(g.lookup(weights, crosses), 1)

    vectors = [g.lookup(g.table(f"emb.{i}", rows, config.dim), g.select(sparse, i))
               for i, rows in enumerate(config.rows)]
    width = config.dense + len(config.rows) * config.dim
    deep = g.mlp(g.cat([dense, *vectors], 1), "deep", (width, *config.hidden, 1))
    g.output(g.op("Sigmoid", g.op("Add", wide, deep)), "score", [BATCH, 1])
    return g.model()


def inputs(config, batch, seed):
    rng = np.random.default_rng(seed)
    return {"dense": ids.log_counts(rng, (batch, config.dense)),
            "sparse": ids.columns(rng, config.rows, batch),
            "crosses": ids.bags(rng, config.cross_rows, batch, config.crosses)}
