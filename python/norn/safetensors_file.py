"""Read and write .safetensors with numpy alone.

A file is a little-endian u64 header length, a JSON header {name: {dtype, shape, data_offsets}}
and the tensors' bytes. The header is padded with spaces so that the data starts at a multiple of
64 bytes and a mapped table is aligned.
"""

import json
import struct

import numpy as np

_NAMES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
          "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}
_OF_DTYPE = {np.dtype(code): name for name, code in _NAMES.items()}
_ALIGN = 64


def write(path, tensors):
    """Write {name: array}; returns the bytes written."""
    header, offset = {}, 0
    for name, array in tensors.items():
        if array.dtype not in _OF_DTYPE:
            raise ValueError(f"{path}: tensor '{name}' has dtype {array.dtype}, which "
                             "safetensors cannot hold")
        header[name] = {"dtype": _OF_DTYPE[array.dtype], "shape": list(array.shape),
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
    if len(data) < 8:
        raise ValueError(f"{path}: {len(data)} bytes are too few for a safetensors file")
    size = struct.unpack("<Q", data[:8].tobytes())[0]
    if size > len(data) - 8:
        raise ValueError(f"{path}: the header says {size} bytes, the file has {len(data)}")
    header = json.loads(data[8:8 + size].tobytes())
    body = data[8 + size:]
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        array = body[begin:end].view(_NAMES[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return tensors
