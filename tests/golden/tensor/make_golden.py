#!/usr/bin/env python3
"""Files of other implementations that src/tensor is tested against: numpy, safetensors, ml_dtypes.

usage: make_golden.py [FOLDER]     (needs numpy, safetensors and ml_dtypes; the files are committed)
"""
import pathlib
import struct
import sys

import ml_dtypes
import numpy as np
import safetensors.numpy

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
HERE = HERE if HERE.is_dir() else HERE.parent


def npy_files():
    for name, dtype in {"f16": "<f2", "f32": "<f4", "f64": "<f8", "i8": "|i1", "i16": "<i2", "i32": "<i4",
                        "i64": "<i8", "u8": "|u1", "u16": "<u2", "u32": "<u4", "u64": "<u8"}.items():
        np.save(HERE / f"{name}.npy", np.arange(6).reshape(2, 3).astype(dtype))
    np.save(HERE / "bool.npy", np.array([True, False, True]))
    np.save(HERE / "c64.npy", np.array([1 + 2j], dtype="<c8"))
    np.save(HERE / "scalar.npy", np.float32(2.5))
    np.save(HERE / "empty.npy", np.zeros((0, 4), dtype="<f4"))
    np.save(HERE / "fortran.npy", np.asfortranarray(np.zeros((2, 3), dtype="<f4")))
    np.save(HERE / "big-endian.npy", np.zeros(2, dtype=">f4"))
    np.save(HERE / "text.npy", np.array(["ab", "c"]))
    np.save(HERE / "record.npy", np.zeros(1, dtype=[("x", "<f4")]))
    with open(HERE / "version2.npy", "wb") as file:
        np.lib.format.write_array(file, np.arange(3, dtype="<i4"), version=(2, 0))


def safetensors_files():
    safetensors.numpy.save_file(
        {"keys": np.array([5, -1, 2**40], dtype=np.int64),
         "rows": np.arange(6, dtype=np.float32).reshape(3, 2),
         "half": np.array([1, 2, 3], dtype=np.float16),
         "scalar": np.array(7, dtype=np.uint8)},
        HERE / "table.safetensors", metadata={"format": "np", "who": "numpy"})


def codes():
    """For each small type: codes (every one of 8 bits, every 97th of 16) as float32, then float32
    values and the codes that they become."""
    values = np.concatenate([
        np.array([0.0, -0.0, np.nan, 1e-45, 2.0**-149, 65504, 65519.996, 65520, 1e30, -1e30], np.float32),
        np.random.default_rng(0).normal(0, 1, 300).astype(np.float32),
        (2.0 ** np.random.default_rng(1).uniform(-30, 20, 700)).astype(np.float32)])
    types = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float8e4m3fn": ml_dtypes.float8_e4m3fn,
             "float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz, "float8e5m2": ml_dtypes.float8_e5m2,
             "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz, "float4e2m1": ml_dtypes.float4_e2m1fn,
             "float8e8m0": ml_dtypes.float8_e8m0fnu}
    with open(HERE / "codes.bin", "wb") as file:
        for name, dtype in types.items():
            code_type = np.uint16 if np.dtype(dtype).itemsize == 2 else np.uint8
            count = 16 if name == "float4e2m1" else 256 if code_type is np.uint8 else 65536
            step = 97 if count == 65536 else 1
            decoded = np.arange(0, count, step).astype(code_type).view(dtype).astype(np.float32)
            finite = decoded[np.isfinite(decoded)]
            kept = values
            if "8" in name.removeprefix("b"):  # Cast to float8 saturates; numpy's does not
                kept = values[(abs(values) <= finite.max()) | np.isnan(values)]
            if name == "float8e8m0":
                kept = np.exp2(np.arange(-126, 127)).astype(np.float32)  # exact: rounding is ONNX's own
            if name == "float4e2m1":
                kept = values[~np.isnan(values)]
            with np.errstate(over="ignore"):
                encoded = kept.astype(dtype).view(code_type).astype(np.uint16)
            file.write(name.encode().ljust(16, b"\0") + struct.pack("<III", len(decoded), step, len(kept)))
            file.write(decoded.tobytes() + kept.tobytes() + encoded.tobytes())


npy_files()
safetensors_files()
codes()
