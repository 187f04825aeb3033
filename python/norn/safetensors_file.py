"""Read and write .safetensors with numpy alone.

A file is a little-endian u64 header length, a JSON header {name: {dtype, shape, data_offsets}}
and the tensors' bytes. The header is padded with spaces so that the data starts at a multiple of
64 bytes and a mapped table is aligned. numpy has no bfloat16: its bits are read as uint16, and
written as BF16 where `dtypes` says so.
"""

import json
import struct

import numpy as np

_NAMES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
          "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}
_OF_DTYPE = {np.dtype(code): name for name, code in _NAMES.items()}
_NAMES["BF16"] = "<u2"
_ALIGN = 64


def write(path, tensors, dtypes=None):
    """Write {name: array}; `dtypes`: {name: "BF16"} for bits in uint16. Returns the bytes written."""
    header, offset = {}, 0
    for name, array in tensors.items():
        dtype = (dtypes or {}).get(name) or _OF_DTYPE.get(array.dtype)
        if dtype is None or np.dtype(_NAMES[dtype]) != array.dtype:
            raise ValueError(f"{path}: tensor '{name}' has dtype {array.dtype}, which "
                             f"safetensors cannot hold{f' as {dtype}' if dtype else ''}")
        header[name] = {"dtype": dtype, "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGN)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array).data)
    return 8 + len(text) + offset


def read(path):
    """Map a file; returns {name: read-only array}."""
    data = np.memmap(path, np.uint8, "r")
    header, begins = _header(data, path)
    body = data[begins:]
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        array = body[begin:end].view(_NAMES[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return tensors


def dtypes(path):
    """{name: "F32", "BF16", …} of a file's tensors."""
    header, _ = _header(np.memmap(path, np.uint8, "r"), path)
    return {name: entry["dtype"] for name, entry in header.items()}


def _header(data, path):
    """(its entries, where the tensors' bytes begin)."""
    if len(data) < 8:
        raise ValueError(f"{path}: {len(data)} bytes are too few for a safetensors file")
    size = struct.unpack("<Q", data[:8].tobytes())[0]
    if size > len(data) - 8:
        raise ValueError(f"{path}: the header says {size} bytes, the file has {len(data)}")
    header = json.loads(data[8:8 + size].tobytes())
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if entry["dtype"] not in _NAMES:
            raise ValueError(f"{path}: tensor '{name}' has dtype {entry['dtype']}, which is unknown")
        if not 0 <= entry["data_offsets"][0] <= entry["data_offsets"][1] <= len(data) - 8 - size:
            raise ValueError(f"{path}: tensor '{name}' ends outside the file")
    return header, 8 + size
