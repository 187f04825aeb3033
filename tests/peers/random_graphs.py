"""Random small graphs, run by Norn and by onnxruntime: do the passes keep what a model means?

    python tests/peers/random_graphs.py --norn build/dev/bin/norn --count 500 --seed 1

Graphs are of float32, or with `--type` of float16 or float64. A float64 graph must be exact to float64; a
float16 one is compared with its float64 twin (the same numbers), and may be as far from it as
onnxruntime's float16, which rounds after every node, a few times over.

A graph mixes what passes rewrite: broadcasts, products by constants, reductions, Concats, lookups,
reshapes, with values that are read twice or are outputs as well. A difference prints the seed; with
`--keep DIR` the model and its inputs stay.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

TYPES = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
NO_DOUBLE = ("Erf", "Softplus")  # onnxruntime has no kernel
UNARY = ("Relu", "Sigmoid", "Tanh", "Abs", "Neg", "Softplus", "Identity", "Erf")
BINARY = ("Add", "Sub", "Mul", "Max", "Min")
REDUCE = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare")
BATCH = 3


class Graph:
    def __init__(self, seed, real="float32", numbers="float32"):
        """real: the type of all values; numbers: the type that its constants and inputs come from."""
        self.rng = np.random.default_rng(seed)
        self.real, self.numbers = np.dtype(real), np.dtype(numbers)
        self.nodes, self.inputs, self.initializers = [], [], []
        self.values = {}  # name: shape for BATCH rows; all are `real`
        self.feeds = {}
        for name, shape in (("x", (BATCH, 4)), ("y", (BATCH, 4)), ("h", (BATCH, 3, 4)),
                            ("v", (BATCH, 1)), ("w", (BATCH, 3, 1))):
            self._input(name, self.typed(self.rng.standard_normal(shape, np.float32)))
        self._input("ids", self.rng.integers(-6, 6, (BATCH, 3)))
        del self.values["ids"]

    def typed(self, array):
        return np.asarray(array).astype(self.numbers).astype(self.real)

    def _input(self, name, array):
        dims = ["batch", *array.shape[1:]]
        kind = TensorProto.INT64 if array.dtype == np.int64 else TYPES[self.real.name]
        self.inputs.append(helper.make_tensor_value_info(name, kind, dims))
        self.feeds[name], self.values[name] = array, array.shape

    def constant(self, array):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weights(self, *shape):
        return self.constant(self.typed(self.rng.standard_normal(shape, np.float32) * np.float32(0.5)))

    def op(self, kind, inputs, shape, outputs=1, **attributes):
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"n{len(self.nodes)}",
                                           **attributes))
        for name in names:
            self.values[name] = shape
        return names[0]

    def pick(self, test=lambda shape: True):
        """Mostly the newest: graphs grow deep."""
        names = [name for name, shape in self.values.items() if test(shape)]
        if not names:
            return None
        at = min(int(self.rng.exponential(3)), len(names) - 1)
        return names[-1 - at]

    def _broadcasts(self, name):
        def test(shape):
            try:
                return np.broadcast_shapes(shape, self.values[name]) is not None
            except ValueError:
                return False
        return self.pick(test)

    # ---- steps: each appends a few nodes -------------------------------------------------------

    def unary(self):
        x = self.pick()
        kind = self.rng.choice(UNARY)
        if self.numbers != np.float32 and kind in NO_DOUBLE:
            kind = "Tanh"
        self.op(kind, [x], self.values[x])

    def binary(self):
        x = self.pick()
        y = self._broadcasts(x)
        pair = [x, y] if self.rng.random() < 0.5 else [y, x]
        self.op(self.rng.choice(BINARY), pair, np.broadcast_shapes(self.values[x], self.values[y]))

    def with_constant(self):
        x = self.pick()
        shape = self.values[x]
        kept = [d if i and self.rng.random() < 0.5 else 1 for i, d in enumerate(shape)]
        self.op(self.rng.choice(BINARY), [x, self.weights(*kept)], shape)

    def choose(self):
        x = self.pick()
        y = self._broadcasts(x)
        shape = np.broadcast_shapes(self.values[x], self.values[y])
        test = self.op("Greater", [x, self.constant(self.typed(0.1))], self.values[x])
        self.op("Where", [test, x, y], shape)
        del self.values[test]

    def gemm(self):
        x = self.pick(lambda shape: len(shape) == 2)
        k, n = self.values[x][1], int(self.rng.integers(1, 20))
        turned = int(self.rng.integers(2))
        inputs = [x, self.weights(n, k) if turned else self.weights(k, n)]
        bias = self.rng.integers(4)
        if bias:
            inputs.append(self.weights(*((n,), (1,), (1, n))[bias - 1]))
        self.op("Gemm", inputs, (BATCH, n), transB=turned, alpha=float(self.rng.choice([1, 0.5])),
                beta=float(self.rng.choice([1, 2])))

    def matmul(self):
        x = self.pick(lambda shape: len(shape) >= 2)
        n = int(self.rng.integers(1, 8))
        self.op("MatMul", [x, self.weights(self.values[x][-1], n)], (*self.values[x][:-1], n))

    def reduce(self):
        x = self.pick(lambda shape: len(shape) >= 2)
        shape = self.values[x]
        axes = [i for i in range(1, len(shape)) if self.rng.random() < 0.5] or [len(shape) - 1]
        keep = int(self.rng.integers(2))
        left = [1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes]
        signed = [a - len(shape) if self.rng.random() < 0.5 else a for a in axes]
        self.op(self.rng.choice(REDUCE), [x, self.constant(np.int64(signed))], tuple(left),
                keepdims=keep)

    def concat(self):
        x = self.pick(lambda shape: len(shape) >= 2)
        shape = self.values[x]
        axis = int(self.rng.integers(1, len(shape)))

        def fits(other):
            return len(other) == len(shape) and all(
                a == b for i, (a, b) in enumerate(zip(other, shape)) if i != axis)
        parts = [x, *(self.pick(fits) for _ in range(self.rng.integers(1, 3)))]
        self.rng.shuffle(parts)
        width = sum(self.values[part][axis] for part in parts)
        signed = axis - len(shape) if self.rng.random() < 0.5 else axis
        self.op("Concat", parts, (*shape[:axis], width, *shape[axis + 1:]), axis=signed)

    def transpose(self):
        x = self.pick(lambda shape: len(shape) == 3)
        shape = self.values[x]
        self.op("Transpose", [x], (shape[0], shape[2], shape[1]), perm=[0, 2, 1])

    def reshape(self):
        x = self.pick(lambda shape: len(shape) >= 2)
        shape = self.values[x]
        form = self.rng.integers(3)
        if form == 0:
            self.op("Flatten", [x], (BATCH, int(np.prod(shape[1:]))), axis=1)
        elif form == 1:
            self.op("Unsqueeze", [x, self.constant(np.int64([1]))], (BATCH, 1, *shape[1:]))
        else:
            self.op("Reshape", [x, self.constant(np.int64([-1, *shape[1:][::-1]]))],
                    (BATCH, *shape[1:][::-1]))

    def slices(self):
        x = self.pick(lambda shape: len(shape) >= 2 and shape[-1] >= 2)
        shape = self.values[x]
        half = shape[-1] // 2
        if self.rng.random() < 0.5:
            at = [self.constant(np.int64([v])) for v in (half, 2 ** 40, -1)]
            self.op("Slice", [x, *at], (*shape[:-1], shape[-1] - half))
        elif shape[-1] % 2 == 0:
            self.op("Split", [x], (*shape[:-1], half), outputs=2, axis=-1, num_outputs=2)

    def expand(self):
        x = self.pick(lambda shape: len(shape) == 3 and shape[1] == 1)
        if x:
            self.op("Expand", [x, self.constant(np.int64([1, 3, 1]))],
                    (BATCH, 3, self.values[x][2]))

    def softmax(self):
        x = self.pick(lambda shape: len(shape) >= 2)
        self.op("Softmax", [x], self.values[x], axis=-1)

    def lookup(self):
        table = self.weights(6, int(self.rng.integers(1, 6)))
        dim = self.initializers[-1].dims[1]
        form = self.rng.integers(4)
        if form == 0:
            at = self.constant(np.int64(self.rng.integers(-3, 3)))
            keys = self.op("Gather", ["ids", at], (), axis=1)
            self.op("Gather", [table, keys], (BATCH, dim))
        else:
            keys, rows = "ids", (BATCH, 3, dim)
            if form == 3:
                wrap = self.op("Mod", ["ids", self.constant(np.int64([2]))], ())
                keys = self.op("Add", [wrap, self.constant(np.int64([0, 2, 4]))], ())
                del self.values[wrap]
            vectors = self.op("Gather", [table, keys], rows)
            if form == 2:
                if self.rng.random() < 0.5:
                    vectors = self.op("Mul", [vectors, "w"], rows)
                kind = self.rng.choice(("ReduceSum", "ReduceMean", "ReduceMax"))
                self.op(kind, [vectors, self.constant(np.int64([1]))], (BATCH, dim), keepdims=0)
        if keys != "ids":
            del self.values[keys]

    def norm(self):
        x = self.pick(lambda shape: len(shape) >= 2)
        c = self.values[x][1]
        positive = self.constant(self.typed(
            np.abs(self.rng.standard_normal(c, np.float32)) + np.float32(0.5)))
        self.op("BatchNormalization",
                [x, self.weights(c), self.weights(c), self.weights(c), positive], self.values[x])

    def layer_norm(self):
        x = self.pick(lambda shape: len(shape) >= 2)
        shape, last = self.values[x], self.constant(np.int64([-1]))
        mean = self.op("ReduceMean", [x, last], (*shape[:-1], 1), keepdims=1)
        d = self.op("Sub", [x, mean], shape)
        square = self.op("Pow", [d, self.constant(self.typed(2))], shape)
        variance = self.op("ReduceMean", [square, last], (*shape[:-1], 1), keepdims=1)
        root = self.op("Sqrt", [self.op("Add", [variance, self.constant(self.typed(0.1))],
                                        (*shape[:-1], 1))], (*shape[:-1], 1))
        y = self.op("Div", [d, root], shape)
        if self.rng.random() < 0.7:
            y = self.op("Mul", [y, self.weights(shape[-1])], shape)
            self.op("Add", [y, self.weights(shape[-1])], shape)

    def compare(self):
        """[q, k, q - k, q * k] times a matrix, as DIN's attention has it."""
        q = self.pick(lambda shape: len(shape) == 3 and shape[1] == 1)
        k = q and self.pick(lambda shape: len(shape) == 3 and shape[1:] == (3, self.values[q][2]))
        if not k:
            return
        shape = self.values[k]
        wide = self.op("Expand", [q, self.constant(np.int64([1, 3, 1]))], shape)
        parts = [wide, k, self.op("Sub", [wide, k], shape), self.op("Mul", [wide, k], shape)]
        self.rng.shuffle(parts)
        whole = self.op("Concat", parts, (*shape[:2], 4 * shape[2]), axis=2)
        n = int(self.rng.integers(1, 6))
        self.op("MatMul", [whole, self.weights(4 * shape[2], n)], (*shape[:2], n))

    def model(self, steps):
        kinds = [self.unary, self.binary, self.binary, self.with_constant, self.choose, self.gemm,
                 self.matmul, self.reduce, self.concat, self.concat, self.transpose, self.reshape,
                 self.slices, self.expand, self.softmax, self.lookup, self.lookup, self.norm,
                 self.layer_norm, self.compare, self.compare]
        for _ in range(steps):
            self.rng.choice(kinds)()
        if not self.nodes:  # every step may find nothing to do
            self.unary()
        made = [name for name in self.values if name.startswith("t")]
        read = {name for node in self.nodes for name in node.input}
        outputs = [name for name in made if name not in read or self.rng.random() < 0.1]
        infos = [helper.make_tensor_value_info(
            name, TYPES[self.real.name], ["batch", *map(int, self.values[name][1:])])
            for name in outputs or made[-1:]]
        graph = helper.make_graph(self.nodes, "random", self.inputs, infos, self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def onnxruntime_says(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def make(seed, real, numbers):
    graph = Graph(seed, real, numbers)
    return graph, graph.model(int(graph.rng.integers(3, 16)))


def expectations(seed, real, graph, model):
    """For each output: its values, and how far from them is right."""
    if real != "float16":
        near = {"float32": (1e-4, 1e-5), "float64": (1e-11, 1e-12)}[real]
        for array in onnxruntime_says(model, graph.feeds):
            yield array, near[1] * max(1.0, float(np.abs(array).max(initial=0))) + near[0] * np.abs(array)
        return
    twin, wide = make(seed, "float64", real)
    for array, rounded in zip(onnxruntime_says(wide, twin.feeds), onnxruntime_says(model, graph.feeds)):
        off = np.abs(rounded.astype(np.float64) - array)
        # What a half cannot hold, or what a comparison decides by its last bit, says nothing.
        off = float(off[np.isfinite(off)].max(initial=0))
        yield array, 4 * off + 2e-3 * max(1.0, float(np.abs(array).max(initial=0)))


def check(norn, seed, folder, real="float32"):
    """What is wrong, or None."""
    graph, model = make(seed, real, real)
    path = folder / f"random_{seed}.onnx"
    onnx.save(model, path)
    command = [norn, "run", path, "--output-dir", folder / f"out_{seed}"]
    for name, array in graph.feeds.items():
        np.save(folder / f"{seed}_{name}.npy", array)
        command += ["--input", f"{name}={folder / f'{seed}_{name}.npy'}"]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode:
        return f"exit {result.returncode}: {result.stderr.strip()}"
    for info, (array, near) in zip(model.graph.output, expectations(seed, real, graph, model)):
        actual = np.load(folder / f"out_{seed}" / f"{info.name}.npy")
        if actual.shape != array.shape or actual.dtype != graph.real:
            return f"output {info.name} is {actual.dtype} {actual.shape}, not {array.shape}"
        off = np.abs(actual.astype(np.float64) - array)
        same = (off <= near) | (np.isnan(actual) & np.isnan(array)) | (actual == array)
        if real == "float16":
            same |= ~np.isfinite(actual) & (np.abs(array) > 6e4)
        if not same.all():
            return f"output {info.name} differs by {off[~same].max():.3g}"
    return None


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norn", required=True, type=pathlib.Path, metavar="FILE")
    parser.add_argument("--count", type=int, default=300, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first graph")
    parser.add_argument("--type", choices=TYPES, default="float32")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR")
    options = parser.parse_args(argv)
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or pathlib.Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(options.seed, options.seed + options.count):
            problem = check(options.norn, seed, folder, options.type)
            if problem:
                bad += 1
                print(f"seed {seed}: {problem}", flush=True)
    print(f"{options.count} graphs, {bad} differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
