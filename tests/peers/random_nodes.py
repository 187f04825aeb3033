"""One node with random attributes, types and shapes, many times over: Norn beside onnxruntime, and
beside onnx's reference evaluator where onnxruntime has no kernel or is wrong by that.

    python tests/peers/random_nodes.py --norn build/dev/bin/norn --count 400 --seed 1 [--op Resize]

Sizes lie around vector widths; every axis, several images and channels. An input is a constant or
comes with the run, of declared or of unknown size. A difference prints the seed that makes it again.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnx.reference
import onnxruntime
from onnx import helper, numpy_helper

import node_makers
import node_makers_nn  # noqa: F401  (its makers join the table)

onnxruntime.set_default_logger_severity(4)
OPSET, PARTS = 21, 12  # nodes of one model: a process is dear, above all under a sanitizer


def model_of(nodes, feeds, outputs, rng):
    """`feeds`: name: (array, is it a constant)."""
    inputs, initializers = [], []
    for name, (array, constant) in feeds.items():
        if constant:
            initializers.append(numpy_helper.from_array(array, name))
            continue
        known = rng.random() < 0.4
        dims = [d if known else f"{name}_{i}" for i, d in enumerate(array.shape)]
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        inputs.append(helper.make_tensor_value_info(name, kind, dims))
    infos = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None)
             for name, dtype in outputs]
    graph = helper.make_graph(nodes, "random", inputs, infos, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def single(node, arrays, rng):
    """A model of one node whose outputs' types are inferred."""
    model = model_of([node], {name: (array, False) for name, array in arrays.items()},
                     [(name, np.float32) for name in node.output if name], rng)
    for info in model.graph.output:
        info.ClearField("type")
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def by_onnxruntime(node, arrays, rng):
    """Outputs by name; None for what it does not implement, or refuses for reasons of its own."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    names = [name for name in node.output if name]
    try:
        session = onnxruntime.InferenceSession(single(node, arrays, rng).SerializeToString(), options,
                                               providers=["CPUExecutionProvider"])
        return dict(zip(names, session.run(names, arrays)))
    except Exception:
        return None


def by_reference(node, arrays, rng):
    names = [name for name in node.output if name]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            got = onnx.reference.ReferenceEvaluator(single(node, arrays, rng)).run(names, arrays)
        return {name: np.asarray(value) for name, value in zip(names, got)}
    except Exception:
        return None


def differs(got, want, tolerance):
    """Why two arrays are not the same, or None."""
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"is {got.dtype}{got.shape}, not {want.dtype}{want.shape}"
    if want.dtype.kind not in "fc":
        off = np.abs(got.astype(np.int64) - want.astype(np.int64)).max(initial=0) if want.dtype.kind in "iu" \
            else int((got != want).sum())
        return None if off <= (1 if tolerance == "round" else 0) else f"is off by {off}"
    rtol = {np.dtype(np.float16): 4e-3, np.dtype(np.float64): 1e-9}.get(want.dtype, 2e-5)
    rtol *= tolerance if tolerance != "round" else 1
    finite = np.abs(want[np.isfinite(want)])
    scale = max(1.0, float(finite.max(initial=0)))
    if np.allclose(got, want, rtol=rtol, atol=rtol * scale, equal_nan=True):
        return None
    with np.errstate(all="ignore"):
        return f"is off by {np.nanmax(np.abs(got.astype(np.complex128) - want)):.3g} of {scale:.3g}"


# What may read an output: passes fuse it with what made it.
AFTER = {"Neg": np.negative, "Abs": np.abs, "Relu": lambda x: np.maximum(x, x.dtype.type(0)),
         "Identity": lambda x: x}


def in_if(node, expected, condition):
    """The node in both branches of an If, which reads its inputs from outside."""
    branches = {}
    for branch in ("then_branch", "else_branch"):
        inner = onnx.NodeProto()
        inner.CopyFrom(node)
        inner.output[:] = [name and f"{name}_{branch}" for name in node.output]
        infos = [helper.make_tensor_value_info(f"{name}_{branch}", helper.np_dtype_to_tensor_dtype(value.dtype), None)
                 for name, value in expected.items()]
        branches[branch] = helper.make_graph([inner], branch, [], infos)
    return helper.make_node("If", [condition], list(expected), name=f"{node.name}_if", **branches)


def dressed(node, expected, feeds, rng):
    """The nodes that stand for one: itself, in an If, or read by others; `expected` gains their outputs."""
    nodes = [node]
    if rng.random() < 0.15:
        condition = f"{node.name}_c"
        feeds[condition] = (np.asarray(rng.random() < 0.5), rng.random() < 0.3)
        nodes = [in_if(node, expected, condition)]
    for name, value in list(expected.items()):
        if value.dtype.kind == "f" and rng.random() < 0.4:
            op = str(rng.choice(sorted(AFTER)))
            nodes.append(helper.make_node(op, [name], [f"{name}_{op}"], name=f"{name}_{op}"))
            expected[f"{name}_{op}"] = np.asarray(AFTER[op](value))
            if rng.random() < 0.5:  # then nobody else reads it, and it can vanish
                del expected[name]
    return nodes


def check(norn, seed, folder, only=None):
    """What is wrong with the model of a seed, or None; and the operators that it had."""
    rng = np.random.default_rng(seed)
    nodes, whole, feeds, wanted, outputs, tolerances = [], [], {}, {}, [], {}
    while len(nodes) < (1 if only else PARTS):
        case = node_makers.make(rng, only)
        if case is None:
            return None, []
        n = len(nodes)
        names = [f"{n}i{k}" if array is not None else "" for k, array in enumerate(case.inputs)]
        made = [f"{n}o{k}" if keep else "" for k, keep in enumerate(case.outputs)]
        node = helper.make_node(case.op, names, made, name=f"{n}_{case.op}", **case.attributes)
        arrays = {name: array for name, array in zip(names, case.inputs) if name}
        expected = by_onnxruntime(node, arrays, rng) or by_reference(node, arrays, rng)
        if expected is None:
            if only:
                return None, []
            continue
        nodes.append(node)
        for k, (name, array) in enumerate((p for p in zip(names, case.inputs) if p[0])):
            feeds[name] = (array, rng.random() < (0.3 if k == 0 else 0.5))
        whole += dressed(node, expected, feeds, rng)
        wanted.update(expected)
        outputs += [(name, value.dtype) for name, value in expected.items()]
        tolerances.update({name: case.tolerance for name in expected})
    model = model_of(whole, feeds, outputs, rng)
    path, out = folder / f"nodes_{seed}.onnx", folder / f"nodes_{seed}"
    onnx.save(model, path)
    command = [norn, "run", path, "--output-dir", out]
    for name, (array, constant) in feeds.items():
        if not constant:
            np.save(folder / f"{seed}_{name}.npy", array)
            command += ["--input", f"{name}={folder / f'{seed}_{name}.npy'}"]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace")
    if result.returncode:
        return f"exit {result.returncode}: {result.stderr.strip()[-3000:]}", nodes
    for name, want in wanted.items():
        got = np.load(out / f"{name}.npy")
        why = differs(got, want, tolerances[name])
        if why:
            node = nodes[int(name.split("o")[0])]
            other = by_reference(node, {i: feeds[i][0] for i in node.input if i}, rng)
            made, _, op = name.partition("_")
            if other and not differs(got, AFTER[op or "Identity"](other[made]), tolerances[name]):
                continue  # ONNX says so
            shapes = [f"{feeds[i][0].dtype}{feeds[i][0].shape}" if i else "-" for i in node.input]
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            return f"{node.op_type} {shapes} {attributes}: output {name} {why}", nodes
    return None, nodes


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norn", required=True, type=pathlib.Path, metavar="FILE")
    parser.add_argument("--count", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first model")
    parser.add_argument("--op", metavar="NAME", help="models of this operator alone")
    options = parser.parse_args(argv)
    bad, seen = 0, {}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(options.seed, options.seed + options.count):
            problem, nodes = check(options.norn, seed, pathlib.Path(scratch), options.op)
            for node in nodes:
                seen[node.op_type] = seen.get(node.op_type, 0) + 1
            if problem:
                bad += 1
                print(f"seed {seed}: {problem}", flush=True)
    print(f"{options.count} models of {len(seen)} operators, {bad} differ; "
          f"never: {sorted(set(node_makers.MAKERS) - set(seen))}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
