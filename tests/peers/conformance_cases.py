"""Write the ONNX backend node cases of the installed `onnx` package as files.

    python tests/peers/conformance_cases.py build/conformance-cases
    python tests/peers/conformance_cases.py --dynamic build/conformance-dynamic   every input dim above 1
                                                   is a symbol of its own, and no other shape is declared

    DIR/CASE/model.onnx
    DIR/CASE/test_data_set_0/input_N.pb, output_N.pb   TensorProto; SequenceProto, OptionalProto or
                                                       MapProto where the graph says so
    DIR/cases.tsv    one case a line: name, rtol, atol, operator, opset, the kind of each input and
                     output (`t`ensor, `s`equence, `o`ptional, `m`ap; inputs `>` outputs)
    DIR/version.txt  what wrote the folder; when it matches, nothing is done

The cases are numpy code that draws its inputs when imported, so the generator is seeded first.
"""

import argparse
import pathlib
import shutil
import sys
import time
import warnings

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

FORMAT = 1
SEED = 20250101
_KINDS = {"tensor_type": "t", "sequence_type": "s", "optional_type": "o", "map_type": "m"}


def kind_of(info):
    return _KINDS[info.type.WhichOneof("value")]


def encode(value, info):
    """One input or output as the bytes of its proto."""
    kind = kind_of(info)
    if kind == "m":
        proto = numpy_helper.from_dict(value, info.name)
    elif kind == "s":
        proto = numpy_helper.from_list(value, info.name)
    elif kind == "o":
        proto = numpy_helper.from_optional(value, info.name)
    elif isinstance(value, TensorProto):
        proto = value
    else:
        proto = numpy_helper.from_array(np.asarray(value), info.name)
    return proto.SerializeToString()


def make_dynamic(model):
    """Forget every size that the model could learn from its inputs while running."""
    for number, info in enumerate(model.graph.input):
        tensor = info.type.tensor_type
        if not tensor.HasField("shape"):
            continue
        for axis, dim in enumerate(tensor.shape.dim):
            if dim.dim_value > 1:
                dim.dim_param = f"d{number}_{axis}"
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def write_case(case, folder, dynamic):
    folder.mkdir()
    if dynamic:
        make_dynamic(case.model)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    graph = case.model.graph
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{number}"
        data.mkdir()
        for stem, values, infos in (("input", inputs, graph.input),
                                    ("output", outputs, graph.output)):
            for i, value in enumerate(values):
                (data / f"{stem}_{i}.pb").write_bytes(encode(value, infos[i]))


def describe(case):
    graph = case.model.graph
    opset = ",".join(f"{entry.domain or 'ai.onnx'}:{entry.version}"
                     for entry in case.model.opset_import)
    operators = {node.op_type for node in graph.node}
    operator = operators.pop() if len(operators) == 1 else "(function body)"
    kinds = ">".join("".join(kind_of(info) for info in infos)
                     for infos in (graph.input, graph.output))
    return "\t".join([case.name, repr(case.rtol), repr(case.atol), operator, opset, kinds])


def only_tensors(case):
    return all(kind_of(info) == "t" for info in [*case.model.graph.input, *case.model.graph.output])


def write_all(folder, dynamic):
    """Write every case; returns how many there are and how many could not be written."""
    np.random.seed(SEED)
    warnings.simplefilter("ignore")
    from onnx.backend.test.loader import load_model_tests

    cases = sorted(load_model_tests(kind="node"), key=lambda case: case.name)
    if dynamic:
        cases = [case for case in cases if only_tensors(case)]
    lines, failed = [], []
    for number, case in enumerate(cases):
        try:
            write_case(case, folder / case.name, dynamic)
            lines.append(describe(case))
        except Exception as error:
            shutil.rmtree(folder / case.name, ignore_errors=True)
            failed.append(f"{case.name}: {error}")
        if sys.stderr.isatty() and number % 50 == 0:
            print(f"\rconformance cases: {number}/{len(cases)}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    (folder / "cases.tsv").write_text("\n".join(lines) + "\n")
    return len(lines), failed


def main():
    parser = argparse.ArgumentParser(
        description="Write ONNX's backend node cases as files; does nothing when they are there.")
    parser.add_argument("folder", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--dynamic", action="store_true", help="with symbols for all input dims")
    parser.add_argument("--force", action="store_true", help="write even if they are there")
    options = parser.parse_args()
    stamp = options.folder / "version.txt"
    dynamic = " dynamic" if options.dynamic else ""
    version = f"onnx {onnx.__version__}{dynamic} format {FORMAT} seed {SEED}\n"
    if not options.force and stamp.is_file() and stamp.read_text() == version:
        print(f"{options.folder}: the cases of onnx {onnx.__version__} are there")
        return
    began = time.monotonic()
    if options.folder.is_dir() and any(options.folder.iterdir()) and not stamp.exists() \
            and not (options.folder / "test_abs").exists():
        sys.exit(f"{options.folder}: holds other files; name an empty or a new folder")
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    count, failed = write_all(options.folder, options.dynamic)
    for line in failed:
        print(f"conformance_cases: not written: {line}", file=sys.stderr)
    stamp.write_text(version)
    print(f"{options.folder}: {count} cases of onnx {onnx.__version__}, "
          f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
