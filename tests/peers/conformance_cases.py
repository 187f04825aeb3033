"""Write the ONNX backend node cases of the installed `onnx` package as files.

    python tests/peers/conformance_cases.py build/conformance-cases
    python tests/peers/conformance_cases.py --dynamic build/conformance-dynamic   every input dim above 1
                                                   is a symbol of its own, and no other shape is declared

    python tests/peers/conformance_cases.py --unknown build/conformance-unknown   every input comes out of an If whose
                                                   branches differ in rank, so that not even its rank is known

    python tests/peers/conformance_cases.py --rows build/conformance-rows   inputs have a batch at dimension 0, in all
                                                   ways (row_cases.py); no outputs
    python tests/peers/conformance_cases.py --broken build/conformance-broken   one thing is wrong (broken_cases.py):
                                                   DIR/cases.bin
    python tests/peers/conformance_cases.py --near build/conformance-near   what passes look for, and models near that
                                                   (near_cases.py): DIR/cases.bin
    python tests/peers/conformance_cases.py --models build/conformance-models   the example models: DIR/cases.bin
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
import subprocess
import sys
import tempfile
import time
import warnings
import zlib

import broken_cases
import near_cases
import numpy as np
import onnx
import row_cases
from onnx import TensorProto, helper, numpy_helper

FORMAT = 2
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


SURE = "norn_sure"


def rename_inputs(nodes, names):
    """In bodies too: node cases do not shadow."""
    for node in nodes:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)
        for attribute in node.attribute:
            rename_inputs(attribute.g.node, names)
            for info in attribute.g.output:
                info.name = names.get(info.name, info.name)


def make_unknown(case):
    """Each input x is read as If(sure, x, Unsqueeze(x, 0)): a value of no known rank. `sure` is one more input."""
    graph = case.model.graph
    names, ifs = {}, []
    for info in graph.input:
        tensor = info.type.tensor_type
        if not info.name or not tensor.HasField("shape") or len(tensor.shape.dim) >= 8:
            continue
        hidden = names[info.name] = f"norn_unknown_{len(names)}"
        branches = {}
        for branch, nodes in (
                ("then_branch", [helper.make_node("Identity", [info.name], [hidden + "_then"])]),
                ("else_branch", [helper.make_node("Constant", [], [hidden + "_axis"], value_ints=[0]),
                                 helper.make_node("Unsqueeze", [info.name, hidden + "_axis"],
                                                  [hidden + "_else"])])):
            made = helper.make_tensor_value_info(nodes[-1].output[0], tensor.elem_type, None)
            branches[branch] = helper.make_graph(nodes, branch, [], [made])
        ifs.append(helper.make_node("If", [SURE], [hidden], name=hidden, **branches))
    rename_inputs(graph.node, names)
    nodes = [*ifs, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(SURE, TensorProto.BOOL, []))


def write_case(case, folder, kind):
    folder.mkdir()
    if kind != "cases":
        make_dynamic(case.model)
    if kind == "unknown":
        make_unknown(case)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    graph = case.model.graph
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{number}"
        data.mkdir()
        given = [*inputs, np.array(True)] if kind == "unknown" else inputs
        for stem, values, infos in (("input", given, graph.input),
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


def opset_of(case):
    return max((entry.version for entry in case.model.opset_import if entry.domain in ("", "ai.onnx")),
               default=0)


def only_tensors(case):
    return all(kind_of(info) == "t" for info in [*case.model.graph.input, *case.model.graph.output])


def write_rows(case, folder):
    """The case in every way to have rows; returns the lines of cases.tsv."""
    lines = []
    for suffix, model, inputs in row_cases.variants(case):
        name = f"{case.name}.{suffix}"
        data = folder / name / "test_data_set_0"
        data.mkdir(parents=True)
        (folder / name / "model.onnx").write_bytes(model.SerializeToString())
        for i, value in enumerate(inputs):
            (data / f"input_{i}.pb").write_bytes(encode(value, model.graph.input[i]))
        lines.append(describe(case).replace(case.name, name, 1))
    return lines


def example_models():
    """The example models in small, with what onnxruntime makes of a batch of 5."""
    import make_expectations
    import onnxruntime

    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([sys.executable, "-m", "examples.models", "--out", scratch, "--size", "small"], check=True,
                       cwd=make_expectations.REPOSITORY, stdout=subprocess.DEVNULL)
        for path in sorted(pathlib.Path(scratch).glob("*.onnx")):
            if path.stem == "dlrm_bags":  # its operators are Norn's own
                continue
            model = onnx.load(path)
            feeds = make_expectations.inputs_of(model, 5, SEED)
            outputs = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feeds)
            yield path.stem, model, [feeds[info.name] for info in model.graph.input], outputs


def write_all(folder, kind):
    """Write every case; returns how many there are and how many could not be written."""
    np.random.seed(SEED)
    warnings.simplefilter("ignore")
    if kind == "models":
        return broken_cases.write(example_models(), folder / "cases.bin", encode)
    if kind == "near":
        return broken_cases.write(near_cases.cases(), folder / "cases.bin", encode)
    from onnx.backend.test.loader import load_model_tests

    cases = sorted(load_model_tests(kind="node"), key=lambda case: case.name)
    if kind != "cases":
        cases = [case for case in cases if only_tensors(case)]
    if kind == "rows":  # other versions of an operator are upgraded to the newest
        cases = [case for case in cases if opset_of(case) >= 13 and "_expanded" not in case.name]
    if kind == "unknown":  # Unsqueeze takes its axes as an input from opset 13 on, Constant value_ints from 12
        cases = [case for case in cases if opset_of(case) >= 13 and case.model.graph.input]
    if kind == "broken":
        return broken_cases.write(broken_cases.broken([case for case in cases if opset_of(case) >= 13]),
                                  folder / "cases.bin", encode)
    lines, failed = [], []
    for number, case in enumerate(cases):
        try:
            if kind == "rows":
                lines += write_rows(case, folder)
                continue
            write_case(case, folder / case.name, kind)
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
    parser.add_argument("--unknown", action="store_true", help="with inputs of no known rank")
    parser.add_argument("--rows", action="store_true", help="with a batch at dimension 0")
    parser.add_argument("--broken", action="store_true", help="with one thing wrong")
    parser.add_argument("--near", action="store_true", help="what passes look for, and models near that")
    parser.add_argument("--models", action="store_true", help="the example models")
    parser.add_argument("--force", action="store_true", help="write even if they are there")
    options = parser.parse_args()
    stamp = options.folder / "version.txt"
    kind = next((kind for kind in ("unknown", "dynamic", "rows", "broken", "near", "models") if getattr(options, kind)), "cases")
    mark = "" if kind == "cases" else f" {kind}"
    if kind == "near":  # they are written down here
        mark += f" {zlib.crc32(pathlib.Path(near_cases.__file__).read_bytes()):08x}"
    version = f"onnx {onnx.__version__}{mark} format {FORMAT} seed {SEED}\n"
    if not options.force and stamp.is_file() and stamp.read_text() == version:
        print(f"{options.folder}: the cases of onnx {onnx.__version__} are there")
        return
    began = time.monotonic()
    if options.folder.is_dir() and any(options.folder.iterdir()) and not stamp.exists() \
            and not list(options.folder.glob("cases.*")):
        sys.exit(f"{options.folder}: holds other files; name an empty or a new folder")
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    count, failed = write_all(options.folder, kind)
    for line in failed:
        print(f"conformance_cases: not written: {line}", file=sys.stderr)
    stamp.write_text(version)
    print(f"{options.folder}: {count} cases of onnx {onnx.__version__}, "
          f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
