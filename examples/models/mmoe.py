"""MMoE (Ma et al., 2018): experts shared by tasks, one softmax gate and one tower a task."""

from dataclasses import dataclass

import numpy as np

from . import ids
from .exporter import BATCH, Exporter


@dataclass(frozen=True)
class Config:
    rows: tuple
    dim: int
    experts: int
    expert: tuple
    tower: tuple
    tasks: tuple
    dense: int = 10


SIZES = {
    "small": Config((3000, 600, 120, 30), 16, 4, (32, 16), (16,), ("click", "like")),
    "full": Config((50000,) * 20, 16, 8, (512, 256), (128, 64), ("click", "like", "buy")),
}


def build(config, style, seed):
    g = Exporter("mmoe", style, seed)
    dense = g.input("dense", [BATCH, config.dense])
    sparse = g.input("sparse", [BATCH, len(config.rows)], np.int64)
    vectors = [g.lookup(g.table(f"emb.{i}", rows, config.dim), g.select(sparse, i))
               for i, rows in enumerate(config.rows)]
    width = config.dense + len(config.rows) * config.dim
    x = g.cat([dense, *vectors], 1)
    experts = g.stack([g.mlp(x, f"expert{i}", (width, *config.expert), last="relu")
                       for i in range(config.experts)], 1)
    for task in config.tasks:
        gate = g.linear(x, f"gate_{task}", width, config.experts, bias=False, gain=2.0)
        gate = g.op("Softmax", gate, axis=1)
        # sum(1) of gate.unsqueeze(-1) * experts is how most open implementations write it.
        mixed = g.sum(g.op("Mul", g.op("Unsqueeze", gate, g.constant([-1])), experts), 1)
        tower = g.mlp(mixed, f"tower_{task}", (config.expert[-1], *config.tower, 1),
                      last="sigmoid", last_gain=3.0)
        g.output(tower, task, [BATCH, 1])
    return g.model()


def inputs(config, batch, seed):
    rng = np.random.default_rng(seed)
    return {"dense": ids.log_counts(rng, (batch, config.dense)),
            "sparse": ids.columns(rng, config.rows, batch)}
