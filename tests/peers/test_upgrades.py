"""Every operator that changed its form: the last opset that has the old one and the first that has the new one, as
onnxruntime (or ONNX's reference evaluator, where that has no kernel) computes them, at values where the forms differ."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "peers"))

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnx.reference  # noqa: E402
import onnxruntime  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

NORN = pathlib.Path(os.environ.get("NORN", REPOSITORY / "build" / "release" / "bin" / "norn"))
F32, I64 = np.float32, np.int64
CUBE = (np.arange(24) * 7 % 24 - 11).reshape(2, 3, 4).astype(F32)  # no row, column or plane like another
IMAGE = (np.arange(60) * 13 % 60 - 30).reshape(1, 3, 4, 5).astype(F32) / 7
REDUCE = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")


def ints(*values):
    return np.asarray(values, I64)


def cases():
    """(operator, opset, inputs after x or with it, attributes, outputs): arrays after the first are constants."""
    for kind in REDUCE:
        op, below = f"Reduce{kind}", 13 if kind == "Sum" else 18
        x = np.abs(CUBE) + 1 if "Log" in kind else CUBE / 4
        for axes, keep in (([1], 1), ([0, -1], 0), ([2], 0)):
            for opset in (7, 11, below - 1) if min(axes) >= 0 else (11, below - 1):
                yield op, opset, [x], {"axes": axes, "keepdims": keep}, 1
            yield op, below, [x, ints(*axes)], {"keepdims": keep}, 1
        yield op, below - 1, [x], {}, 1
        yield op, below, [x], {}, 1
    for opset in (7, 12):
        yield "Squeeze", opset, [CUBE.reshape(1, 6, 1, 4)], {"axes": [0]}, 1
        yield "Squeeze", opset, [CUBE.reshape(1, 6, 1, 4)], {"axes": [0, 2]}, 1
        yield "Squeeze", opset, [CUBE.reshape(1, 6, 1, 4)], {}, 1
        yield "Unsqueeze", opset, [CUBE], {"axes": [0, 3]}, 1
        for axis in (0, 1, 2):
            yield "Split", opset, [CUBE], {"axis": axis, "split": [1, CUBE.shape[axis] - 1]}, 2
            yield "Split", opset, [CUBE], {"axis": axis}, CUBE.shape[axis]
        yield "Split", opset, [CUBE], {}, 2
    yield "Squeeze", 12, [CUBE.reshape(1, 6, 1, 4)], {"axes": [-2]}, 1
    yield "Squeeze", 13, [CUBE.reshape(1, 6, 1, 4), ints(-2)], {}, 1
    yield "Unsqueeze", 12, [CUBE], {"axes": [-1]}, 1
    yield "Unsqueeze", 13, [CUBE, ints(-1, 1)], {}, 1
    for opset in (13, 17):
        yield "Split", opset, [CUBE, ints(3, 1)], {"axis": 2}, 2
        yield "Split", opset, [CUBE], {"axis": -1}, 2
    yield "Split", 18, [CUBE], {"axis": 1, "num_outputs": 2}, 2  # 2 and 1: not before 18
    yield "Split", 18, [CUBE, ints(1, 2)], {"axis": 1}, 2
    for opset in (7, 9):
        yield "Slice", opset, [CUBE], {"starts": [1, -3], "ends": [9, -1], "axes": [1, 2]}, 1
        yield "Slice", opset, [CUBE], {"starts": [0, 1], "ends": [1, 2]}, 1
    yield "Slice", 10, [CUBE, ints(-1), ints(-99), ints(2), ints(-2)], {}, 1
    for opset in (7, 10):
        yield "Pad", opset, [CUBE], {"pads": [0, 1, 2, 1, 0, 3], "value": 2.5}, 1
        yield "Pad", opset, [CUBE], {"pads": [0, 1, 0, 1, 0, 0]}, 1
        yield "Pad", opset, [CUBE], {"pads": [0, 1, 0, 0, 2, 1], "mode": "reflect"}, 1
        yield "Clip", opset, [CUBE], {"min": -2.0, "max": 5.0}, 1
        yield "Clip", opset, [CUBE], {"min": -2.0}, 1
        yield "Clip", opset, [CUBE], {"max": 5.0}, 1
        yield "Clip", opset, [CUBE], {}, 1
    yield "Pad", 11, [CUBE, ints(0, 1, 2, 1, 0, 3), np.asarray(2.5, F32)], {}, 1
    yield "Clip", 11, [CUBE, np.asarray(-2, F32), np.asarray(5, F32)], {}, 1
    for opset in (7, 9):
        yield "TopK", opset, [CUBE], {"k": 2, "axis": 1}, 2
        yield "TopK", opset, [CUBE], {"k": 3}, 2
    yield "TopK", 10, [CUBE, ints(3)], {"axis": 2}, 2
    yield "TopK", 11, [CUBE, ints(3)], {"axis": 2, "largest": 0}, 2
    for opset in (7, 11):
        yield "Dropout", opset, [CUBE], {"ratio": 0.75}, 1
    yield "Dropout", 12, [CUBE, np.asarray(0.75, F32)], {}, 1
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        for opset in (7, 11, 12, 13):
            for axis in (None, 0, 1, 2) + ((-1, -2, -3) if opset >= 11 else ()):
                yield op, opset, [CUBE], {} if axis is None else {"axis": axis}, 1
    numbers = [np.asarray(v, F32) for v in ([1, 2, 3], [0.5, -1, 0], [1, -2, 0.25], [1, 4, 0.5])]
    for opset in (7, 9, 13, 14, 15):
        more = {"spatial": 1} if opset < 9 else {}
        yield "BatchNormalization", opset, [CUBE, *numbers], {"epsilon": 0.25, "momentum": 0.5, **more}, 1
        yield "BatchNormalization", opset, [CUBE, *numbers], {}, 1
    wide = np.concatenate([IMAGE, IMAGE[:, ::-1] * 2, IMAGE * 3], 1)[:, :6]
    yield "GroupNormalization", 18, [wide, F32([1, 2]), F32([3, -1])], {"num_groups": 2, "epsilon": 0.1}, 1
    yield "GroupNormalization", 21, [wide, F32([1, 2, 3, 4, 5, 6]), F32([6, 5, 4, 3, 2, 1])], {"num_groups": 2}, 1
    for mode in ("nearest", "linear"):
        yield "Upsample", 7, [IMAGE], {"mode": mode, "scales": [1.0, 1.0, 2.0, 1.5]}, 1
        yield "Upsample", 9, [IMAGE, F32([1, 1, 1.5, 2])], {"mode": mode}, 1
        yield "Resize", 10, [IMAGE, F32([1, 1, 1.5, 0.6])], {"mode": mode}, 1
        yield "Resize", 10, [IMAGE, F32([1, 1, 0.5, 2.5])], {"mode": mode}, 1
        yield "Resize", 10, [IMAGE, F32([1, 2, 1, 1])], {"mode": mode}, 1
        yield "Resize", 11, [IMAGE, F32([]), F32([1, 1, 1.5, 0.6])], {"mode": mode}, 1
    yield "Upsample", 7, [IMAGE], {"scales": [1.0, 1.0, 2.0, 1.5]}, 1
    grid = (np.arange(24) % 7 / 3 - 1).reshape(1, 3, 4, 2).astype(F32)
    for old, new in (("bilinear", "linear"), ("nearest", "nearest"), ("bicubic", "cubic")):
        yield "GridSample", 16, [IMAGE, grid], {"mode": old, "align_corners": 1}, 1
        yield "GridSample", 20, [IMAGE, grid], {"mode": new, "padding_mode": "border"}, 1
    yield "GridSample", 16, [IMAGE, grid], {}, 1
    boxes, which = F32([[0.5, 0.5, 3.5, 2.5], [1, 0, 4, 3]]), ints(0, 0)
    for opset in (10, 15, 16):
        yield "RoiAlign", opset, [IMAGE, boxes, which], {"output_height": 2, "output_width": 3, "sampling_ratio": 2}, 1
    for op, opsets in (("Scatter", (9, 10)), ("ScatterElements", (11,))):
        for opset in opsets:
            yield op, opset, [CUBE, ints(2, 0, 1, 1).reshape(2, 1, 2), F32([1, 2, 3, 4]).reshape(2, 1, 2)], {"axis": 1}, 1
    wave = np.sin(np.arange(12)).reshape(1, 6, 2).astype(F32)
    yield "DFT", 17, [wave], {"axis": 1}, 1
    yield "DFT", 17, [wave], {"inverse": 1}, 1
    yield "DFT", 20, [wave, None, ints(1).reshape(())], {}, 1
    for op in ("Sum", "Max", "Min", "Mean"):
        for opset in (7, 8, 13):
            yield op, opset, [CUBE, CUBE[::-1] * 2, CUBE[:, ::-1] - 1], {}, 1
            yield op, opset, [CUBE], {}, 1


def model_of(op, opset, arrays, attributes, count, batch):
    names = ["" if array is None else f"i{k}" for k, array in enumerate(arrays)]
    node = helper.make_node(op, names, [f"o{k}" for k in range(count)], name="node", **attributes)
    dims = [batch or arrays[0].shape[0], *arrays[0].shape[1:]]
    x = helper.make_tensor_value_info("i0", TensorProto.FLOAT, dims)
    outputs = [helper.make_tensor_value_info(f"o{k}", TensorProto.INT64 if op == "TopK" and k else TensorProto.FLOAT, None)
               for k in range(count)]
    constants = [numpy_helper.from_array(np.array(array, order="C"), name)
                 for name, array in list(zip(names, arrays))[1:] if name]
    graph = helper.make_graph([node], "upgrade", [x], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def expected(model, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, {"i0": x})
    except Exception:
        with np.errstate(all="ignore"):
            return [np.asarray(v) for v in onnx.reference.ReferenceEvaluator(model).run(None, {"i0": x})]


class Upgrades(unittest.TestCase):
    def run_model(self, folder, model, x, count):
        onnx.save(model, folder / "m.onnx")
        np.save(folder / "x.npy", x)
        done = subprocess.run([str(NORN), "run", str(folder / "m.onnx"), "--input", f"i0={folder / 'x.npy'}",
                               "--output-dir", str(folder / "out")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [np.load(folder / "out" / f"o{k}.npy") for k in range(count)]

    def test_an_old_form_means_what_it_meant(self):
        seen = set()
        with tempfile.TemporaryDirectory() as scratch:
            for number, (op, opset, arrays, attributes, count) in enumerate(cases()):
                batch = "n" if number % 2 and op != "Upsample" else None  # of unknown size, or known
                with self.subTest(op=op, opset=opset, attributes=attributes, batch=batch):
                    model = model_of(op, opset, arrays, attributes, count, batch)
                    want = expected(model, arrays[0])
                    got = self.run_model(pathlib.Path(scratch), model, arrays[0], count)
                    for ours, theirs in zip(got, want):
                        self.assertEqual(ours.shape, theirs.shape)
                        self.assertEqual(ours.dtype, theirs.dtype)
                        np.testing.assert_allclose(ours, theirs, rtol=3e-5, atol=3e-5)
                    seen.add(op)
        self.assertGreaterEqual(len(seen), 34)

    def test_a_new_form_in_an_old_opset_is_refused(self):
        wrong = (("Slice", 9, [CUBE, ints(0), ints(1)], {}), ("Resize", 10, [CUBE], {}),
                 ("Pad", 10, [CUBE, ints(0, 0, 0, 0, 0, 0)], {}), ("TopK", 9, [CUBE, ints(1)], {}))
        with tempfile.TemporaryDirectory() as scratch:
            for op, opset, arrays, attributes in wrong:
                with self.subTest(op=op, opset=opset):
                    path = pathlib.Path(scratch) / "m.onnx"
                    onnx.save(model_of(op, opset, arrays, attributes, 1, None), path)
                    done = subprocess.run([str(NORN), "inspect", str(path)], capture_output=True, text=True)
                    self.assertNotEqual(done.returncode, 0)
                    self.assertIn("node 'node'", done.stderr)


if __name__ == "__main__":
    unittest.main()
