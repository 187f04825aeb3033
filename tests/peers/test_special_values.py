"""Every pointwise operator and reduction on zeros, infinities, NaN, denormals and the ends of each type: what is folded
while compiling, what is run in one tile and what is run in many must have the same bits, and be what onnxruntime and
numpy give, but for the differences listed here with a reason."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
NORN = pathlib.Path(os.environ.get("NORN", REPOSITORY / "build" / "release" / "bin" / "norn"))

F16, F32, F64 = np.float16, np.float32, np.float64
FLOATS = (F16, F32, F64)
INTEGERS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)

UNARY = [(op, {}) for op in (
    "Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Sqrt", "Exp", "Log", "Reciprocal", "Sin", "Cos", "Tan", "Asin",
    "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh", "Erf", "Sigmoid", "Relu", "Elu", "Selu", "Celu",
    "HardSigmoid", "HardSwish", "Softplus", "Softsign", "LeakyRelu", "ThresholdedRelu", "Gelu", "Mish", "Shrink",
    "IsNaN", "IsInf")] + [("Gelu", {"approximate": "tanh"}), ("IsInf", {"detect_negative": 0})]
BINARY = ("Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "PRelu", "Equal", "Less", "LessOrEqual", "Greater",
          "GreaterOrEqual")
EXPONENTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 2.5)
REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
              "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")

# What differs from onnxruntime on purpose. {operator: why}, or {(operator, type): why}.
# Formulas that end in a sum near zero: absolute, in units of 1.
SMALL = ("Sin", "Cos", "Tan", "Gelu", "Mish", "Softplus", "ReduceSum", "ReduceMean")
DELIBERATE = {
    ("Sign", "float16"): "onnxruntime gives 0 for NaN, and NaN for float32",
    "Sigmoid": "onnxruntime's approximation is 2e-4 off and 0 below -37",
    ("Shrink", "float64"): "onnxruntime computes it in float32",
    ("Gelu", "float64"): "onnxruntime's erf is that of float32",
    ("ReduceMean", "float32"): "onnxruntime's sum is infinite where the mean is not",
}


def specials(dtype):
    """Values of `dtype` where formulas break; their count is odd, so that every one meets every lane of a vector."""
    if dtype in FLOATS:
        info = np.finfo(dtype)
        some = [0.0, -0.0, np.inf, -np.inf, np.nan, info.max, -info.max, info.tiny, -info.tiny,
                info.smallest_subnormal, -info.smallest_subnormal, info.eps, 1, -1, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 2,
                -2, 3, 1 + info.eps, 1 - info.eps / 2, 0.1, -0.1, 10, -10, 87.5, -87.5, 88.8, -88.8, 127.5, -128.5, 255.7,
                -0.99, 700.5, -745.5, 30000, -30000, 1e10, -1e10, 2.0 ** 31, -2.0 ** 31, 2.0 ** 63, -2.0 ** 63, 2.0 ** 64,
                3e38, -3e38]
        with np.errstate(over="ignore"):
            values = np.array(some, F64).astype(dtype)
    else:
        info = np.iinfo(dtype)
        values = np.array([v for v in (0, 1, 2, 3, 5, 7, 100, info.max, info.max - 1, info.min, info.min + 1, -1, -2, -7)
                           if info.min <= v <= info.max], dtype)
    return values if len(values) % 2 else values[:-1]


def onnx_type(dtype):
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


class Norn:
    """Nodes over some inputs, run in three ways."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.count = 0

    def run(self, nodes, inputs, outputs, constants, fold):
        """Outputs by name. `outputs`: {name: dtype}."""
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        initializers = dict(constants, **(inputs if fold else {}))
        ports = [] if fold else [helper.make_tensor_value_info(k, onnx_type(v.dtype), ["n", *v.shape[1:]])
                                 for k, v in inputs.items()]
        graph = helper.make_graph(nodes, "special", ports,
                                  [helper.make_tensor_value_info(k, onnx_type(t), None) for k, t in outputs.items()],
                                  [numpy_helper.from_array(v, k) for k, v in initializers.items()])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "m.onnx")
        arguments = []
        if not fold:
            for name, value in inputs.items():
                np.save(folder / f"{name}.npy", value)
                arguments.append(f"--input={name}={folder / f'{name}.npy'}")
        done = subprocess.run([str(NORN), "run", str(folder / "m.onnx"), *arguments, "--threads", "1", "--output-dir",
                               str(folder / "out")], capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{[n.op_type for n in nodes][:4]}: {done.stderr}")
        return {name: np.load(folder / "out" / f"{name}.npy") for name in outputs}


def bits(array):
    """The bits, with all NaN alike: their payload and sign are nobody's business."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return array.view(f"u{array.dtype.itemsize}")


def reference(node, inputs, output):
    """What onnxruntime gives for one node, or None where it has no such kernel."""
    import onnxruntime
    onnxruntime.set_default_logger_severity(4)
    names = [n for n in node.input if n]
    graph = helper.make_graph([node], "one", [helper.make_tensor_value_info(n, onnx_type(inputs[n].dtype),
                                                                            list(inputs[n].shape)) for n in names],
                              [helper.make_tensor_value_info(node.output[0], onnx_type(output), None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, {n: inputs[n] for n in names})[0]
    except Exception:
        return None


class SpecialValues(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not NORN.exists():
            raise FileNotFoundError(f"{NORN} is not built")
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.norn = Norn(scratch.name)

    def differs(self, node, dtype):
        return DELIBERATE.get(node.op_type) or DELIBERATE.get((node.op_type, np.dtype(dtype).name))

    def close(self, node, got, wanted, dtype):
        """Within some units in the last place of `dtype`'s formula."""
        if got.dtype.kind != "f":
            np.testing.assert_array_equal(got, wanted)
            return
        eps = float(np.finfo(got.dtype).eps)
        np.testing.assert_allclose(got.astype(F64), wanted.astype(F64), rtol=16 * eps,
                                   atol=4 * float(np.finfo(got.dtype).tiny) + (16 * eps if node.op_type in SMALL else 0))

    def check(self, nodes, inputs, outputs, dtype, constants=None):
        """Three ways the same bits; the short one like onnxruntime."""
        constants = constants or {}
        n = len(next(iter(inputs.values())))
        wide = {k: np.resize(v, (n * 37 + 1, *v.shape[1:])) for k, v in inputs.items()}
        short = self.norn.run(nodes, inputs, outputs, constants, False)
        folded = self.norn.run(nodes, inputs, outputs, constants, True)
        long = self.norn.run(nodes, wide, outputs, constants, False)
        for node in nodes:
            name = node.output[0]
            with self.subTest(operator=node.op_type, type=np.dtype(dtype).name, name=name):
                np.testing.assert_array_equal(bits(folded[name]), bits(short[name]), "folded and run differ")
                np.testing.assert_array_equal(bits(np.resize(short[name], long[name].shape)), bits(long[name]),
                                              "an element depends on where it stands")
                wanted = reference(node, dict(inputs, **constants), outputs[name])
                if wanted is not None and not self.differs(node, dtype):
                    self.close(node, short[name], wanted, dtype)

    def test_unary_operators(self):
        for dtype in FLOATS:
            x = specials(dtype)
            nodes, outputs = [], {}
            for i, (op, attributes) in enumerate(UNARY):
                if op == "IsInf" and dtype == F16 or op == "Shrink" and dtype == F16:
                    continue
                nodes.append(helper.make_node(op, ["x"], [f"y{i}"], f"{op}_{i}", **attributes))
                outputs[f"y{i}"] = np.bool_ if op in ("IsNaN", "IsInf") else dtype
            self.check(nodes, {"x": x}, outputs, dtype)

    def test_binary_operators(self):
        for dtype in FLOATS:
            values = specials(dtype)
            a, b = (v.ravel() for v in np.meshgrid(values, values, indexing="ij"))
            nodes = [helper.make_node(op, ["a", "b"], [f"y{i}"], op) for i, op in enumerate(BINARY)]
            outputs = {f"y{i}": np.bool_ if i >= BINARY.index("Equal") else dtype for i in range(len(BINARY))}
            self.check(nodes, {"a": a, "b": b}, outputs, dtype)

    def test_powers_whose_exponent_is_a_constant(self):
        for dtype in (F32, F64):
            exponents = {f"e{i}": np.array(e, dtype) for i, e in enumerate(EXPONENTS)}
            nodes = [helper.make_node("Pow", ["x", name], [f"y{i}"], f"Pow_{i}") for i, name in enumerate(exponents)]
            self.check(nodes, {"x": specials(dtype)}, {f"y{i}": dtype for i in range(len(nodes))}, dtype, exponents)

    def test_casts_between_all_types(self):
        for dtype in (*FLOATS, *INTEGERS):
            x = specials(dtype)
            targets = (*FLOATS, *INTEGERS, np.bool_)
            nodes = [helper.make_node("Cast", ["x"], [f"y{i}"], f"to_{np.dtype(t).name}", to=onnx_type(t))
                     for i, t in enumerate(targets)]
            outputs = {f"y{i}": t for i, t in enumerate(targets)}
            got = [self.norn.run(nodes, {"x": v}, outputs, {}, fold)
                   for v, fold in ((x, False), (x, True), (np.resize(x, len(x) * 37 + 1), False))]
            for i, target in enumerate(targets):
                with self.subTest(source=np.dtype(dtype).name, target=np.dtype(target).name):
                    wanted = self.saturated(x, target)
                    for one in got:
                        y = one[f"y{i}"]
                        np.testing.assert_array_equal(bits(y), bits(np.resize(wanted, y.shape)))

    def saturated(self, x, target):
        """Floating to integer towards zero, at most to the ends of the type, NaN 0. The rest as numpy."""
        with np.errstate(all="ignore"):
            if x.dtype.kind != "f" or np.dtype(target).kind not in "iu":
                return x.astype(target)
            info = np.iinfo(target)
            return np.array([0 if np.isnan(v) else info.max if v >= info.max else info.min if v <= info.min else int(v)
                             for v in x.astype(F64)], target)

    def test_reductions(self):
        rng = np.random.default_rng(1)
        for dtype in FLOATS:
            values = specials(dtype)
            rows = [np.full(9, v) for v in values] + [rng.choice(values[np.isfinite(values)], 9) for _ in range(6)]
            x = np.stack([*rows, *(rng.standard_normal((9, 9)))]).astype(dtype)
            x = x[: len(x) // 2 * 2 - 1]
            nodes, outputs, axes = [], {}, {"axis": np.array([1], np.int64)}
            for i, op in enumerate(REDUCTIONS):
                nodes.append(helper.make_node(op, ["x", "axis"], [f"y{i}"], op, keepdims=0))
                outputs[f"y{i}"] = dtype
            self.check(nodes, {"x": x}, outputs, dtype, axes)

    def test_reductions_of_nothing(self):
        nothing = {"ReduceSum": 0, "ReduceMean": 0, "ReduceProd": 1, "ReduceMax": -np.inf, "ReduceMin": np.inf,
                   "ReduceL1": 0, "ReduceL2": 0, "ReduceSumSquare": 0, "ReduceLogSum": -np.inf,
                   "ReduceLogSumExp": -np.inf}
        for dtype in (*FLOATS, np.int32, np.int64, np.uint8):
            for axis, shape in ((1, (5, 0)), (1, (5, 0, 7)), (1, (3, 0))):
                whole = dtype not in FLOATS
                names = [op for op in REDUCTIONS if not whole or np.isfinite(nothing[op]) or op in ("ReduceMax", "ReduceMin")]
                nodes = [helper.make_node(op, ["x", "axis"], [op], op, keepdims=0) for op in names]
                outputs, axes = {op: dtype for op in names}, {"axis": np.array([axis], np.int64)}
                for fold in (False, True):
                    got = self.norn.run(nodes, {"x": np.zeros(shape, dtype)}, outputs, axes, fold)
                    for op in names:
                        wanted = nothing[op]
                        if whole and not np.isfinite(wanted):
                            wanted = np.iinfo(dtype).min if op == "ReduceMax" else np.iinfo(dtype).max
                        with self.subTest(operator=op, type=np.dtype(dtype).name, shape=shape, folded=fold):
                            self.assertEqual(got[op].shape, shape[:1] + shape[2:])
                            np.testing.assert_array_equal(got[op], np.full(got[op].shape, wanted, dtype))


if __name__ == "__main__":
    unittest.main()
