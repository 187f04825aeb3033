"""Write inputs for a model and what onnxruntime makes of them, as .npy files.

    python tests/peers/make_expectations.py build/models/dlrm.onnx --out build/expect/dlrm

    DIR/b7/inputs/NAME.npy      one batch of 7, for `norn run --input NAME=FILE`
    DIR/b7/expected/NAME.npy    onnxruntime's outputs, for `norn run --expect DIR`

MODEL is an ONNX file, or a package's folder, whose `ai.norn` operators are rewritten into standard
ones first. `/` in a tensor's name becomes `_` in its file's name. Inputs of the example models are
distributed like traffic; for other models integers stay within the tables that they index.
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import helper

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "python")]

from examples import models  # noqa: E402
from examples.models.write import stamp_of  # noqa: E402
from norn import export  # noqa: E402

# Operators that hand on ids unchanged, or nearly so (Add of a field's offset).
_PASSES_IDS = {"Gather", "Slice", "Split", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Cast",
               "Identity", "Concat", "Add", "Transpose", "Expand"}


def rows_reached(graph, name):
    """The fewest rows of any initializer that ids from `name` index, else None."""
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    found, seen, waiting = [], set(), [name]
    while waiting:
        value = waiting.pop()
        for node in graph.node:
            if value not in node.input:
                continue
            table = shapes.get(node.input[0]) if node.op_type == "Gather" else None
            if table and node.input[1] == value:
                found.append(table[0])
            elif node.op_type in _PASSES_IDS and node.output[0] not in seen:
                seen.add(node.output[0])
                waiting.append(node.output[0])
    return min(found) if found else None


def random_inputs(model, batch, seed):
    """Inputs for a model that is not ours: every symbolic dim becomes `batch`."""
    rng = np.random.default_rng(seed)
    weights = {tensor.name for tensor in model.graph.initializer}
    feeds = {}
    for info in model.graph.input:
        if info.name in weights:
            continue
        dims = info.type.tensor_type.shape.dim
        shape = [d.dim_value if d.HasField("dim_value") else batch for d in dims]
        dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
        if dtype == np.bool_:
            feeds[info.name] = rng.random(shape) < 0.7
        elif np.issubdtype(dtype, np.integer):
            rows = rows_reached(model.graph, info.name) or 2
            feeds[info.name] = rng.integers(0, rows, shape).astype(dtype)
        else:
            feeds[info.name] = rng.standard_normal(shape).astype(dtype)
    return feeds


def inputs_of(model, batch, seed):
    stamp = stamp_of(model)
    return models.inputs(*stamp, batch, seed) if stamp else random_inputs(model, batch, seed)


def write_arrays(folder, arrays):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name.replace('/', '_')}.npy", array)


def make(path, out, batches, seed, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    model = onnx.load(path, load_external_data=False)
    names = [output.name for output in session.get_outputs()]
    for batch in batches:
        feeds = inputs_of(model, batch, seed)
        write_arrays(out / f"b{batch}" / "inputs", feeds)
        write_arrays(out / f"b{batch}" / "expected", dict(zip(names, session.run(None, feeds))))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL",
                        help="an ONNX file or a package's folder")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--batches", default="1,7,64,1000", metavar="N,N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    batches = [int(batch) for batch in options.batches.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        path = options.model
        if path.is_dir():
            path = export.to_standard_ops(path, pathlib.Path(scratch) / "model.onnx")[0]
        make(path, options.out, batches, options.seed, options.threads)
    print(f"{options.out}: inputs and expectations of {options.model.name} "
          f"for batches {options.batches}")


if __name__ == "__main__":
    main()
