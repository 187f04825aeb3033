"""Embedding tables in memory and as files, and the ways to other forms, bit for bit.

    table = tables.Table(rows, keys)                      # float32, float16, int8 with scales
    table = tables.Table(bits, keys, dtype="BF16")        # bfloat16: its bits as uint16
    table.save("repository/ranker/1/tables/user.safetensors")

    python -m norn.tables import state.pt --tensor user.weight tables/user.safetensors
    python -m norn.tables import rows.npy --keys keys.npy tables/user.safetensors
    python -m norn.tables export tables/user.safetensors rows.npy --keys keys.npy
"""

import argparse
import pathlib
import sys

import numpy as np

from . import safetensors_file
from .delta_frame import ELEMENTS

_OF_ELEMENT = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16",
               np.dtype(np.int8): "I8", np.dtype(np.uint16): "BF16"}
_TORCH_SUFFIXES = (".pt", ".pth", ".bin")


class Table:
    """Rows [n, dim] under int64 keys; without keys it is dense, and its keys are 0 … n-1.

    Arrays are kept as they are, not copied: a table of a trainer's arrays is live.
    """

    def __init__(self, rows, keys=None, scales=None, dtype=None, default=None):
        self.rows, named = to_array(rows)
        self.keys = None if keys is None else to_array(keys)[0].astype(np.int64, copy=False)
        self.scales = None if scales is None else to_array(scales)[0]
        self.default = None if default is None else to_array(default)[0]
        self.dtype = dtype or named or _OF_ELEMENT.get(self.rows.dtype)
        self._check()

    def _check(self):
        rows = self.rows
        if self.dtype not in ELEMENTS or rows.dtype != ELEMENTS[self.dtype]:
            raise ValueError(f"rows of {rows.dtype}{f' as {self.dtype}' if self.dtype else ''}; a table "
                             "is float32, float16, int8 with scales, or bfloat16 as uint16")
        if rows.ndim != 2:
            raise ValueError(f"rows of shape {list(rows.shape)}; a table is [n, dim]")
        if self.keys is not None and self.keys.shape != rows.shape[:1]:
            raise ValueError(f"keys of shape {list(self.keys.shape)} for {len(rows)} rows")
        if (self.scales is not None) != (self.dtype == "I8"):
            raise ValueError("int8 rows need scales, and only they have them")
        if self.scales is not None and (self.scales.shape != rows.shape[:1]
                                        or self.scales.dtype != np.float32):
            raise ValueError(f"scales are {self.scales.dtype}{list(self.scales.shape)}; float32"
                             f"[{len(rows)}] is wanted")

    @property
    def kind(self):
        return "dense" if self.keys is None else "hashed"

    @property
    def dim(self):
        return self.rows.shape[1]

    def spec(self, name):
        """As MANIFEST.json and an open frame name it."""
        return {"name": name, "kind": self.kind, "dtype": self.dtype, "dim": self.dim}

    def take(self, keys):
        """A hashed Table of those of `keys` that this has, in their order."""
        keys = np.asarray(keys, np.int64)
        if self.keys is None:
            found = (keys >= 0) & (keys < len(self.rows))
            at = keys[found]
        elif len(self.keys) == 0:
            found, at = np.zeros(len(keys), bool), np.zeros(0, np.int64)
        else:
            # Sorted each time, for the arrays are live. A trainer of many keys gives a callable.
            order = np.argsort(self.keys, kind="stable")
            place = np.searchsorted(self.keys, keys, sorter=order)
            at = order[np.minimum(place, len(order) - 1)]
            found = self.keys[at] == keys
            at = at[found]
        return Table(self.rows[at], keys[found], None if self.scales is None else self.scales[at],
                     self.dtype)

    def tensors(self):
        named = {"keys": self.keys, "rows": self.rows, "scales": self.scales,
                 "default": self.default}
        return {name: array for name, array in named.items() if array is not None}

    def save(self, path):
        """Write a table file; hashed rows in the order of their keys, which must not repeat."""
        tensors = self.tensors()
        if self.keys is not None:
            order = np.argsort(self.keys, kind="stable")
            keys = self.keys[order]
            again = np.flatnonzero(keys[1:] == keys[:-1])
            if len(again):
                raise ValueError(f"{path}: key {keys[again[0]]} is there twice")
            tensors |= {name: tensors[name][order] for name in ("keys", "rows", "scales")
                        if name in tensors}
        halves = ("rows", "default") if self.dtype == "BF16" else ()
        return safetensors_file.write(path, tensors, {name: "BF16" for name in halves
                                                      if name in tensors})


def load(path):
    """The Table of a table file, mapped."""
    tensors, dtypes = safetensors_file.read(path), safetensors_file.dtypes(path)
    unknown = set(tensors) - {"keys", "rows", "scales", "default"}
    if "rows" not in tensors or unknown:
        raise ValueError(f"{path}: it has tensors {sorted(tensors)}; a table file has rows, and keys, "
                         "scales and default where it needs them; `norn.tables import --tensor` "
                         "makes one")
    try:
        return Table(dtype=dtypes["rows"], **tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def of(source):
    """A Table of an array, a tensor, a module with a weight, a (keys, rows[, scales]) or a Table."""
    if isinstance(source, Table):
        return source
    if isinstance(source, tuple):
        keys, rows, *scales = source
        return Table(rows, keys, *scales)
    return Table(getattr(source, "weight", source))


def to_array(value):
    """(numpy array, "BF16" if it is bfloat16's bits); a torch tensor without a copy where it can be."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().contiguous()
        if str(value.dtype) == "torch.bfloat16":
            import torch

            return value.view(torch.int16).numpy().view(np.uint16), "BF16"
        return value.numpy(), None
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":  # ml_dtypes
        return array.view(np.uint16), "BF16"
    return array, None


def dtype_of(array, what):
    """The format's name of an array's elements."""
    if array.dtype not in _OF_ELEMENT:
        raise ValueError(f"{what} is {array.dtype}; float32, float16, int8 and bfloat16 (as uint16) "
                         "can be published")
    return _OF_ELEMENT[array.dtype]


# ---- other forms

def _torch(path):
    try:
        import torch
    except ImportError as error:
        raise SystemExit(f"{path}: a PyTorch file needs PyTorch, which is not installed") from error
    return torch


def read_tensors(path):
    """{name: (array, "BF16" or None)} of a .safetensors, .npy or PyTorch state dict."""
    path = pathlib.Path(path)
    if path.suffix == ".npy":
        return {path.stem: to_array(np.load(path, mmap_mode="r"))}
    if path.suffix == ".safetensors":
        named = safetensors_file.dtypes(path)
        return {name: (array, "BF16" if named[name] == "BF16" else None)
                for name, array in safetensors_file.read(path).items()}
    if path.suffix in _TORCH_SUFFIXES:
        state = _torch(path).load(path, map_location="cpu", weights_only=True)
        return {name: to_array(tensor) for name, tensor in state.items() if hasattr(tensor, "detach")}
    raise SystemExit(f"{path}: .safetensors, .npy, {', '.join(_TORCH_SUFFIXES)} can be read")


def _one(path, name):
    tensors = read_tensors(path)
    if name is None and len(tensors) == 1:
        return next(iter(tensors.values()))
    if name not in tensors:
        raise SystemExit(f"{path}: say --tensor, one of: {', '.join(sorted(tensors))}")
    return tensors[name]


def import_table(source, target, tensor=None, keys=None, scales=None):
    """Write the table file `target`; keys and scales are paths of files of one tensor."""
    rows, dtype = _one(source, tensor)
    parts = {name: _one(path, None)[0] for name, path in (("keys", keys), ("scales", scales)) if path}
    pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        return Table(rows, dtype=dtype, **parts).save(target)
    except ValueError as error:
        raise SystemExit(f"{source}: {error}") from error


def export_table(source, target, tensor="weight", keys=None, scales=None):
    """Write a table file's rows as `target`, its keys and scales as the files named."""
    table, target = load(source), pathlib.Path(target)
    for name, path in (("keys", keys), ("scales", scales)):
        part = getattr(table, name)
        if (part is None) != (path is None):
            raise SystemExit(f"{source}: it has {'no ' if part is None else ''}{name}; "
                             f"{'leave out' if part is None else 'say'} --{name} FILE.npy")
        if path is not None:
            np.save(path, part)
    if target.suffix == ".npy":
        np.save(target, table.rows)
    elif target.suffix == ".safetensors":
        bits = {tensor: "BF16"} if table.dtype == "BF16" else None
        safetensors_file.write(target, {tensor: table.rows}, bits)
    elif target.suffix in _TORCH_SUFFIXES:
        torch = _torch(target)
        rows = torch.from_numpy(np.array(table.rows))
        if table.dtype == "BF16":
            rows = torch.from_numpy(np.array(table.rows).view(np.int16)).view(torch.bfloat16)
        torch.save({tensor: rows}, target)
    else:
        raise SystemExit(f"{target}: .npy, .safetensors, {', '.join(_TORCH_SUFFIXES)} can be written")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m norn.tables",
                                     description="Turn weights into a table file, and back.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, what in (("import", "weights into a table file"), ("export", "a table file into weights")):
        sub = verbs.add_parser(verb, help=what)
        sub.add_argument("source", type=pathlib.Path)
        sub.add_argument("target", type=pathlib.Path)
        sub.add_argument("--tensor", metavar="NAME", help="the weights' name in the other file")
        sub.add_argument("--keys", type=pathlib.Path, metavar="FILE.npy", help="keys of a hashed table")
        sub.add_argument("--scales", type=pathlib.Path, metavar="FILE.npy", help="scales of int8 rows")
    options = parser.parse_args(argv)
    work = import_table if options.verb == "import" else export_table
    more = {"tensor": options.tensor} if options.tensor else {}
    work(options.source, options.target, keys=options.keys, scales=options.scales, **more)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(str(error))
