"""The embedding store's figures, for docs/benchmarks/store.md.

    python -m bench.store host --rows 10000000 --dim 64        the host tier on one core
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = 1 << 18  # rows


def mix(numbers):
    """norn_hash_u64."""
    numbers = numbers.astype(np.uint64)
    with np.errstate(over="ignore"):
        numbers ^= numbers >> np.uint64(30)
        numbers *= np.uint64(0xbf58476d1ce4e5b9)
        numbers ^= numbers >> np.uint64(27)
        numbers *= np.uint64(0x94d049bb133111eb)
        numbers ^= numbers >> np.uint64(31)
    return numbers


def write_table(path, rows, dim):
    """float32 rows that repeat only every BLOCK rows, under keys norn_hash_u64(i + 1)."""
    sizes = {"rows": rows * dim * 4, "keys": rows * 8}
    header = json.dumps({"rows": {"dtype": "F32", "shape": [rows, dim], "data_offsets": [0, sizes["rows"]]},
                         "keys": {"dtype": "I64", "shape": [rows],
                                  "data_offsets": [sizes["rows"], sizes["rows"] + sizes["keys"]]}}).encode()
    header += b" " * (-(8 + len(header)) % 64)
    block = np.random.default_rng(1).standard_normal((BLOCK, dim), np.float32)
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for at in range(0, rows, BLOCK):
            file.write((block[:min(BLOCK, rows - at)] + np.float32(at / BLOCK)).tobytes())
        for at in range(0, rows, BLOCK):
            file.write(mix(np.arange(at + 1, min(at + BLOCK, rows) + 1)).tobytes())


def write_package(folder, rows, dim):
    (folder / "tables").mkdir(parents=True)
    node = helper.make_node("EmbeddingBag", ["keys", "offsets"], ["y"], domain="ai.norn", table="t", dim=dim, mode="sum")
    graph = helper.make_graph([node], "bag", [helper.make_tensor_value_info("keys", TensorProto.INT64, ["N"]),
                                              helper.make_tensor_value_info("offsets", TensorProto.INT64, ["B1"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", dim])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.norn", 1)],
                                ir_version=10), folder / "model.onnx")
    write_table(folder / "tables" / "t.safetensors", rows, dim)


def host(options):
    folder = pathlib.Path(tempfile.mkdtemp(dir=options.scratch))
    try:
        write_package(folder, options.rows, options.dim)
        program = options.build / "bin" / "norn_bench_store_host"
        return subprocess.run([program, folder, str(options.rows)], check=False).returncode
    finally:
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["host"])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--scratch", help="where to put the table (default: the system's temporary folder)")
    options = parser.parse_args()
    return {"host": host}[options.what](options)


if __name__ == "__main__":
    sys.exit(main())
