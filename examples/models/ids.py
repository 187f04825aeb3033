"""Inputs with the shape of real traffic: few ids are hot, most are rare."""

import numpy as np


def zipf(rng, rows, shape):
    """Ids in [0, rows) whose frequency falls as 1/rank, the hot ones scattered over the table."""
    ranks = np.exp(rng.random(shape) * np.log(rows + 1)).astype(np.int64) - 1
    return np.clip(ranks, 0, rows - 1) * 2654435761 % rows


def columns(rng, rows_of, batch):
    """[batch, fields] int64: column i holds ids of a table of rows_of[i] rows."""
    return np.stack([zipf(rng, rows, batch) for rows in rows_of], axis=1)


def bags(rng, rows, batch, longest):
    """[batch, longest] int64 padded with 0; real ids start at 1; every tenth bag is empty."""
    ids = 1 + zipf(rng, rows - 1, (batch, longest))
    lengths = rng.integers(1, longest + 1, batch)
    lengths[rng.random(batch) < 0.1] = 0
    return np.where(np.arange(longest)[None, :] < lengths[:, None], ids, 0)


def csr(padded):
    """The same bags as (values [nnz], offsets [batch + 1])."""
    offsets = np.zeros(len(padded) + 1, np.int64)
    np.cumsum((padded != 0).sum(axis=1), out=offsets[1:])
    return padded[padded != 0], offsets


def log_counts(rng, shape):
    """Dense counters after log(1 + x), as Criteo's are fed."""
    return np.log1p(rng.exponential(4.0, shape)).astype(np.float32)
