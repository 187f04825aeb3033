"""DIN (Zhou et al., 2018): the candidate attends over the user's history; Dice on top.

An item is an id and a category, concatenated. `mask` is true where the history holds an item.
"""

from dataclasses import dataclass

import numpy as np

from . import ids
from .exporter import BATCH, Exporter


@dataclass(frozen=True)
class Config:
    users: int
    items: int
    categories: int
    dim: int
    history: int
    attention: tuple
    top: tuple


SIZES = {
    "small": Config(500, 6000, 40, 24, 12, (24, 12), (48, 24)),
    "full": Config(100000, 200000, 2000, 64, 50, (80, 40), (200, 80)),
}


def build(config, style, seed):
    g = Exporter("din", style, seed)
    steps, width = config.history, 2 * config.dim
    user = g.input("user", [BATCH], np.int64)
    item = g.input("item", [BATCH], np.int64)
    category = g.input("category", [BATCH], np.int64)
    history = g.input("history_item", [BATCH, steps], np.int64)
    history_category = g.input("history_category", [BATCH, steps], np.int64)
    mask = g.input("mask", [BATCH, steps], np.bool_)

    users = g.table("user", config.users, config.dim)
    items = g.table("item", config.items, config.dim)
    categories = g.table("category", config.categories, config.dim)
    query = g.cat([g.lookup(items, item), g.lookup(categories, category)], -1)
    keys = g.cat([g.lookup(items, history), g.lookup(categories, history_category)], -1)

    interest = _attention(g, config, query, keys, mask, width)
    x = g.cat([g.lookup(users, user), query, interest], -1)
    n_in = config.dim + 2 * width
    for i, n_out in enumerate(config.top):
        x = _dice(g, g.linear(x, f"top{i}", n_in, n_out), f"dice{i}", n_out)
        n_in = n_out
    score = g.op("Sigmoid", g.linear(x, "out", n_in, 1, gain=3.0))
    g.output(g.squeeze(score, 1), "score", [BATCH])
    return g.model()


def _attention(g, config, query, keys, mask, width):
    """softmax over steps of MLP(query, key, query - key, query * key), applied to the keys."""
    repeated = g.expand_steps(query, keys, config.history)
    x = g.cat([repeated, keys, g.op("Sub", repeated, keys), g.op("Mul", repeated, keys)], -1)
    n_in = 4 * width
    for i, n_out in enumerate(config.attention):
        x = g.linear(x, f"attention{i}", n_in, n_out, rank=3, gain=2.0)
        if i == 0:
            x = g.op("Sigmoid", x)
        else:
            slope = g.initializer(f"onnx::PRelu_{i}", np.full((1, 1), 0.25, np.float32))
            x = g.op("PRelu", x, slope, scope=f"prelu{i}")
        n_in = n_out
    x = g.squeeze(g.linear(x, "attention_out", n_in, 1, rank=3, gain=2.0), 2)
    weights = g.op("Softmax", g.masked_fill(x, mask, -1e9), axis=-1)
    pooled = g.op("MatMul", g.unsqueeze(weights, 1), keys)
    return g.squeeze(pooled, 1)


def _dice(g, x, name, n):
    """p * x + (1 - p) * alpha * x with p = sigmoid(BatchNorm(x)), no affine in the norm."""
    mean = g.initializer(f"{name}.running_mean", g.normal((n,), 0.2))
    variance = g.initializer(f"{name}.running_var", np.abs(g.normal((n,), 0.3)) + np.float32(0.7))
    ones = g.constant(np.ones(n), np.float32)
    zeros = g.constant(np.zeros(n), np.float32)
    training = {"training_mode": 0} if g.torchscript else {}
    normed = g.op("BatchNormalization", x, ones, zeros, mean, variance, scope=name,
                  epsilon=1e-5, momentum=0.9, **training)
    p = g.op("Sigmoid", normed)
    kept = g.op("Mul", p, x)
    rest = g.op("Sub", g.constant(1.0, np.float32), p)
    alpha = g.initializer(f"{name}.alpha", np.full(n, 0.2, np.float32) + g.normal((n,), 0.05))
    leaked = g.op("Mul", g.op("Mul", rest, alpha), x)
    return g.op("Add", kept, leaked)


def inputs(config, batch, seed):
    rng = np.random.default_rng(seed)
    steps = config.history
    lengths = rng.integers(1, steps + 1, batch)
    return {"user": ids.zipf(rng, config.users, batch),
            "item": ids.zipf(rng, config.items, batch),
            "category": ids.zipf(rng, config.categories, batch),
            "history_item": ids.zipf(rng, config.items, (batch, steps)),
            "history_category": ids.zipf(rng, config.categories, (batch, steps)),
            "mask": np.arange(steps)[None, :] < lengths[:, None]}
