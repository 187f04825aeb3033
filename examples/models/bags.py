"""DLRM over the `ai.norn` operators: CSR bags, a hashed table, and tables in files of their own.

Four fields are bags, one for each way of pooling: sum, mean, max, and a weighted sum. A bag is
a CSR pair `bag_i_values [nnz]`, `bag_i_offsets [batch + 1]`. The last single-valued field has a
hashed table: its ids are any int64, and ids that the table does not hold read zeros.
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper

from . import dlrm, ids
from .exporter import BATCH, Exporter

MODES = ("sum", "mean", "max", "weighted")
HASH = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Config:
    rows: tuple
    hashed_rows: int
    bag_rows: tuple
    bag_longest: int
    dim: int
    bottom: tuple
    top: tuple
    dense: int = 13


SIZES = {
    "small": Config((9000, 500, 30), 800, (9000, 400, 60, 2000), 8, 32, (64, 32), (64, 32)),
    "full": Config((40000,) * 21, 40000, (40000,) * 4, 20, 128, (512, 256, 128),
                   (1024, 1024, 512, 256)),
}


def key_of(rank):
    """The hashed table's key of its row `rank`: spread over all of int64, and never 0."""
    with np.errstate(over="ignore"):
        return ((rank.astype(np.uint64) + 1) * np.uint64(HASH)).astype(np.int64)


def build(config, style, seed):
    """(model, tables) for `norn.package.write`."""
    g = Exporter("dlrm_bags", style, seed)
    tables = {}

    def embedding(kind, table, *operands, rows, **attributes):
        tables[table] = {"rows": g.normal((rows, config.dim), config.dim ** -0.5)}
        vector = g.op(kind, *operands, scope=table, domain="ai.norn", table=table,
                      dim=config.dim, **attributes)
        g.value_info.append(
            helper.make_tensor_value_info(vector, TensorProto.FLOAT, [BATCH, config.dim]))
        return vector

    dense_in = g.input("dense", [BATCH, config.dense])
    sparse_in = g.input("sparse", [BATCH, len(config.rows)], np.int64)
    hashed_in = g.input("hashed", [BATCH], np.int64)
    bag_in = []
    for i, mode in enumerate(MODES):
        count = f"bag_{i}_count"
        operands = [g.input(f"bag_{i}_values", [count], np.int64),
                    g.input(f"bag_{i}_offsets", [f"{BATCH} + 1"], np.int64)]
        if mode == "weighted":
            operands.append(g.input(f"bag_{i}_weights", [count]))
        bag_in.append(operands)

    dense = g.mlp(dense_in, "bot", (config.dense, *config.bottom), last="relu")
    vectors = [embedding("Embedding", f"emb_{i}", g.select(sparse_in, i), rows=rows)
               for i, rows in enumerate(config.rows)]
    vectors.append(embedding("Embedding", "hashed", hashed_in, rows=config.hashed_rows))
    tables["hashed"]["keys"] = key_of(np.arange(config.hashed_rows))
    for i, (mode, operands) in enumerate(zip(MODES, bag_in)):
        vectors.append(embedding("EmbeddingBag", f"bag_{i}", *operands, rows=config.bag_rows[i],
                                 mode="sum" if mode == "weighted" else mode))
    g.output(dlrm.interact(g, config, dense, vectors), "score", [BATCH, 1])
    return g.model(), tables


def settings(config):
    """norn.json: which inputs form a CSR pair."""
    pairs = {f"bag_{i}_values": {"offsets": f"bag_{i}_offsets"} for i in range(len(MODES))}
    weighted = MODES.index("weighted")
    pairs[f"bag_{weighted}_weights"] = {"offsets": f"bag_{weighted}_offsets"}
    return {"inputs": pairs, "tables": {"hashed": {"missing": "default"}}}


def inputs(config, batch, seed):
    rng = np.random.default_rng(seed)
    known = ids.zipf(rng, config.hashed_rows, batch)
    hashed = np.where(rng.random(batch) < 0.1, key_of(known + config.hashed_rows), key_of(known))
    feeds = {"dense": ids.log_counts(rng, (batch, config.dense)),
             "sparse": ids.columns(rng, config.rows, batch), "hashed": hashed}
    for i, mode in enumerate(MODES):
        values, offsets = ids.csr(ids.bags(rng, config.bag_rows[i], batch, config.bag_longest))
        feeds[f"bag_{i}_values"], feeds[f"bag_{i}_offsets"] = values, offsets
        if mode == "weighted":
            feeds[f"bag_{i}_weights"] = rng.uniform(0.2, 1.5, len(values)).astype(np.float32)
    return feeds
