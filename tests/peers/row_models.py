"""Small random models in which rows of the batch stay apart, or do not, and what onnxruntime makes of them.

    python tests/peers/row_models.py --norn build/dev/bin/norn --count 500 --seed 1

A graph mixes operators along the batch and beside it, with shapes computed from Shape, rows folded with other dims
and taken out again. Rows stay apart when a batch of two requests gives what the two give alone; the proof of Norn
(`norn compile --explain`) may say so only then. A proof that lies prints the seed; `--keep DIR` keeps the model.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

onnxruntime.set_default_logger_severity(4)
B = "B"


def dim(size, rows):
    """A dim is a number or (B, k): k entries a row."""
    return size[1] * rows if isinstance(size, tuple) else size


class RowGraph:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.initializers = [], []
        self.values = {}  # float32: name -> dims
        self.inputs = {"x": [(B, 1), 4], "h": [(B, 1), 3, 4]}
        if self.rng.random() < 0.5:
            self.inputs["i"] = [(B, 1), 2, 4, 4]
        self.values.update(self.inputs)
        self.ids = "ids"
        for _ in range(self.rng.integers(2, 8)):
            self.step()
        self.finish()

    # ---- building

    def const(self, array):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def ints(self, *values):
        return self.const(np.array(values, np.int64))

    def weights(self, *shape):
        return self.const((self.rng.standard_normal(shape) * 0.5).astype(np.float32))

    def node(self, kind, inputs, count=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"{kind}_{len(self.nodes)}", **attributes))
        return names if count > 1 else names[0]

    def put(self, name, dims):
        self.values[name] = list(dims)
        return name

    def pick(self, rank=None, test=lambda dims: True):
        names = [n for n, d in self.values.items() if (rank is None or len(d) == rank) and test(d)]
        if not names:
            return None, None
        name = names[-1 - min(int(self.rng.exponential(2)), len(names) - 1)]
        return name, self.values[name]

    def axis(self, dims, batch=0.12):
        """Mostly an axis beside the batch."""
        beside = [a for a, d in enumerate(dims) if not isinstance(d, tuple)]
        with_batch = [a for a, d in enumerate(dims) if isinstance(d, tuple)]
        if with_batch and (not beside or self.rng.random() < batch):
            return int(self.rng.choice(with_batch))
        return int(self.rng.choice(beside))

    def signed(self, axis, rank):
        return axis - rank if self.rng.random() < 0.5 else axis

    # ---- steps

    def step(self):
        steps = [getattr(self, n) for n in dir(self) if n.startswith("step_")]
        self.rng.choice(steps)()

    def step_unary(self):
        x, d = self.pick()
        self.put(self.node(str(self.rng.choice(["Relu", "Tanh", "Sigmoid", "Abs", "Neg"])), [x]), d)

    def step_binary(self):
        x, d = self.pick()
        kind = str(self.rng.choice(["Add", "Mul", "Sub", "Max"]))
        y, e = self.pick(test=lambda e: e == d)
        self.put(self.node(kind, [x, y]), d)

    def step_binary_constant(self):
        x, d = self.pick()
        shape = [1 if isinstance(s, tuple) or self.rng.random() < 0.3 else s for s in d]
        self.put(self.node("Add", [x, self.weights(*shape[self.rng.integers(0, len(d)):])]), d)

    def step_broadcast(self):
        """Operands of other ranks, whose batch may meet another dim."""
        x, d = self.pick()
        y, e = self.pick()
        try:
            a = np.broadcast_shapes([dim(s, 5) for s in d], [dim(s, 5) for s in e])
            b = np.broadcast_shapes([dim(s, 7) for s in d], [dim(s, 7) for s in e])
        except ValueError:
            return
        self.put(self.node("Mul", [x, y]),
                 [s if s == t else (B, s // 5) for s, t in zip(a, b)])

    def step_dense(self):
        x, d = self.pick(test=lambda d: not isinstance(d[-1], tuple))
        if x:
            self.put(self.node("MatMul", [x, self.weights(d[-1], 4)]), [*d[:-1], 4])

    def step_gemm(self):
        x, d = self.pick(2, lambda d: not isinstance(d[-1], tuple))
        if x:
            self.put(self.node("Gemm", [x, self.weights(4, d[-1]), self.weights(4)], transB=1), [d[0], 4])

    def step_product(self):
        x, d = self.pick(test=lambda d: len(d) in (2, 3) and not isinstance(d[-1], tuple))
        if not x or (len(d) == 2 and self.rng.random() < 0.7):
            return
        order = [*range(len(d) - 2), len(d) - 1, len(d) - 2]
        turned = self.node("Transpose", [x], perm=order)
        self.put(self.node("MatMul", [x, turned]), [*d[:-1], d[-2]])

    def step_softmax(self):
        x, d = self.pick()
        kind = str(self.rng.choice(["Softmax", "LogSoftmax", "LpNormalization"]))
        axis = self.axis(d)
        self.put(self.node(kind, [x], axis=self.signed(axis, len(d)) if kind != "LpNormalization" else axis), d)

    def step_reduce(self):
        x, d = self.pick(test=lambda d: len(d) > 1)
        axis, keep = self.axis(d, 0.1), int(self.rng.random() < 0.6)
        kind = str(self.rng.choice(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2"]))
        out = self.node(kind, [x, self.ints(self.signed(axis, len(d)))], keepdims=keep)
        self.put(out, [*d[:axis], 1, *d[axis + 1:]] if keep else [*d[:axis], *d[axis + 1:]])

    def step_transpose(self):
        x, d = self.pick(test=lambda d: len(d) > 1)
        perm = [int(a) for a in self.rng.permutation(len(d))]
        self.put(self.node("Transpose", [x], perm=perm), [d[a] for a in perm])

    def step_fold(self):
        """Neighbours into one."""
        x, d = self.pick(test=lambda d: len(d) > 1)
        at = int(self.rng.integers(0, len(d) - 1))
        a, b = d[at], d[at + 1]
        if isinstance(a, tuple) and isinstance(b, tuple):
            return
        both = (B, a[1] * b) if isinstance(a, tuple) else (B, b[1] * a) if isinstance(b, tuple) else a * b
        dims = [*d[:at], both, *d[at + 2:]]
        if sum(isinstance(s, tuple) for s in dims) > 1:
            return
        self.put(self.node("Reshape", [x, self.ints(*[-1 if isinstance(s, tuple) else s for s in dims])]), dims)

    def step_unfold(self):
        x, d = self.pick(test=lambda d: sum(isinstance(s, tuple) for s in d) == 1)
        if not x:
            return
        at = int(self.rng.integers(0, len(d)))
        size = d[at][1] if isinstance(d[at], tuple) else d[at]
        parts = [p for p in (2, 3, 4) if size % p == 0]
        if not parts:
            return
        part = int(self.rng.choice(parts))
        rest = (B, d[at][1] // part) if isinstance(d[at], tuple) else d[at] // part
        pair = [rest, part] if self.rng.random() < 0.5 else [part, rest]
        dims = [*d[:at], *pair, *d[at + 1:]]
        self.put(self.node("Reshape", [x, self.ints(*[-1 if isinstance(s, tuple) else s for s in dims])]), dims)

    def step_shuffle(self):
        """All elements in another shape: rows may be folded into one another."""
        x, d = self.pick(test=lambda d: sum(isinstance(s, tuple) for s in d) == 1)
        if not x or self.rng.random() < 0.6:
            return
        whole = int(np.prod([s[1] if isinstance(s, tuple) else s for s in d]))
        parts = [p for p in (1, 2, 4) if whole % p == 0]
        part = int(self.rng.choice(parts))
        dims = [part, (B, whole // part)] if self.rng.random() < 0.5 else [(B, whole // part), part]
        self.put(self.node("Reshape", [x, self.ints(*[-1 if isinstance(s, tuple) else s for s in dims])]), dims)

    def step_gather(self):
        x, d = self.pick(test=lambda d: len(d) > 1)
        axis = self.axis(d, 0.08)
        if self.rng.random() < 0.5:
            self.put(self.node("Gather", [x, self.const(np.array(0, np.int64))], axis=axis), [*d[:axis], *d[axis + 1:]])
        else:
            self.put(self.node("Gather", [x, self.ints(0, -1)], axis=axis), [*d[:axis], 2, *d[axis + 1:]])

    def step_slice(self):
        x, d = self.pick()
        axis = self.axis(d, 0.15)
        if isinstance(d[axis], tuple):
            end, step = (np.iinfo(np.int64).max, 1) if self.rng.random() < 0.5 else (-np.iinfo(np.int64).max, -1)
            start = 0 if step == 1 else -1
            out = d
        else:
            start, end, step, out = 0, max(1, d[axis] - 1), 1, [*d[:axis], max(1, d[axis] - 1), *d[axis + 1:]]
        self.put(self.node("Slice", [x, self.ints(start), self.ints(end), self.ints(axis), self.ints(step)]), out)

    def step_concat(self):
        x, d = self.pick()
        y, _ = self.pick(test=lambda e: e == d)
        axis = self.axis(d, 0.05)
        both = (B, 2 * d[axis][1]) if isinstance(d[axis], tuple) else 2 * d[axis]
        self.put(self.node("Concat", [x, y], axis=self.signed(axis, len(d))), [*d[:axis], both, *d[axis + 1:]])

    def step_split(self):
        x, d = self.pick(test=lambda d: any(not isinstance(s, tuple) and s % 2 == 0 for s in d))
        if not x:
            return
        axis = next(a for a, s in enumerate(d) if not isinstance(s, tuple) and s % 2 == 0)
        for name in self.node("Split", [x], 2, axis=axis, num_outputs=2):
            self.put(name, [*d[:axis], d[axis] // 2, *d[axis + 1:]])

    def step_cumsum(self):
        x, d = self.pick()
        axis = self.axis(d)
        self.put(self.node("CumSum", [x, self.const(np.array(self.signed(axis, len(d)), np.int64))],
                           exclusive=int(self.rng.random() < 0.3), reverse=int(self.rng.random() < 0.3)), d)

    def step_topk(self):
        x, d = self.pick(test=lambda d: all(isinstance(s, tuple) or s > 0 for s in d))
        axis = self.axis(d, 0.08)
        self.put(self.node("TopK", [x, self.ints(1)], 2, axis=axis)[0], [*d[:axis], 1, *d[axis + 1:]])

    def step_arg(self):
        x, d = self.pick(test=lambda d: len(d) > 1)
        axis = self.axis(d, 0.08)
        index = self.node("ArgMax", [x], axis=axis, keepdims=0)
        self.put(self.node("Gather", [self.weights(16, 2), self.node("Mod", [index, self.const(np.array(16, np.int64))])]),
                 [*d[:axis], *d[axis + 1:], 2])

    def step_gather_elements(self):
        x, d = self.pick(test=lambda d: len(d) > 1 and sum(isinstance(s, tuple) for s in d) == 1)
        if not x:
            return
        axis = self.axis(d, 0.0)
        index = self.node("ArgMin", [x], axis=axis, keepdims=1)
        self.put(self.node("GatherElements", [x, index], axis=axis), [*d[:axis], 1, *d[axis + 1:]])

    def step_norm(self):
        x, d = self.pick(test=lambda d: len(d) > 1)
        axis = int(self.rng.integers(0 if self.rng.random() < 0.1 else 1, len(d)))
        if any(isinstance(s, tuple) for s in d[axis:]):
            return
        self.put(self.node("LayerNormalization", [x, self.weights(*d[axis:]), self.weights(*d[axis:])],
                           axis=self.signed(axis, len(d))), d)

    def step_image(self):
        x, d = self.pick(4, lambda d: not any(isinstance(s, tuple) for s in d[1:]) and d[2] > 1 and d[3] > 1)
        if not x:
            return
        kind = str(self.rng.choice(["Conv", "MaxPool", "InstanceNormalization", "GlobalAveragePool", "BatchNormalization"]))
        c = d[1]
        if kind == "Conv":
            self.put(self.node(kind, [x, self.weights(3, c, 2, 2)], pads=[1, 1, 0, 0]), [d[0], 3, *d[2:]])
        elif kind == "MaxPool":
            self.put(self.node(kind, [x], kernel_shape=[2, 2]), [d[0], c, d[2] - 1, d[3] - 1])
        elif kind == "InstanceNormalization":
            self.put(self.node(kind, [x, self.weights(c), self.weights(c)]), d)
        elif kind == "GlobalAveragePool":
            self.put(self.node(kind, [x]), [d[0], c, 1, 1])
        else:
            ones = self.const(np.ones(c, np.float32))
            self.put(self.node(kind, [x, self.weights(c), self.weights(c), self.weights(c), ones]), d)

    def step_recurrent(self):
        """[B, T, D] as the sequence axis first, rightly turned or (rarely) not."""
        x, d = self.pick(3, lambda d: not isinstance(d[2], tuple) and sum(isinstance(s, tuple) for s in d) == 1)
        if not x:
            return
        kind, gates = (("GRU", 3), ("LSTM", 4), ("RNN", 1))[self.rng.integers(3)]
        if isinstance(d[0], tuple) and self.rng.random() < 0.85:
            x, d = self.node("Transpose", [x], perm=[1, 0, 2]), [d[1], d[0], d[2]]
        y = self.node(kind, [x, self.weights(1, gates * 2, d[2]), self.weights(1, gates * 2, 2)], 2, hidden_size=2)
        if self.rng.random() < 0.5:
            self.put(self.node("Squeeze", [y[0], self.ints(1)]), [d[0], d[1], 2])
        else:
            self.put(y[1], [1, d[1], 2])

    def step_size_as_value(self):
        x, d = self.pick(test=lambda d: isinstance(d[0], tuple))
        if not x or self.rng.random() < 0.75:
            return
        size = self.node("Cast", [self.node("Slice", [self.node("Shape", [x]), self.ints(0), self.ints(1)])], to=1)
        self.put(self.node("Div", [x, size]), d)

    def step_filled(self):
        x, d = self.pick()
        shape = self.node("Shape", [x])
        if self.rng.random() < 0.5:
            value = numpy_helper.from_array(np.array([0.5], np.float32))
            y = self.node("ConstantOfShape", [shape], value=value)
        else:
            y = self.node("Expand", [self.weights(1), shape])
        self.put(self.node("Add", [x, y]), d)

    def step_positions(self):
        x, d = self.pick(2, lambda d: d[0] == (B, 1))
        if not x or self.rng.random() < 0.8:
            return
        size = self.node("Squeeze", [self.node("Slice", [self.node("Shape", [x]), self.ints(0), self.ints(1)]), self.ints(0)])
        places = self.node("Range", [self.const(np.array(0, np.int64)), size, self.const(np.array(1, np.int64))])
        column = self.node("Unsqueeze", [self.node("Cast", [places], to=1), self.ints(1)])
        self.put(self.node("Add", [x, column]), d)

    def step_reshape_by_shape(self):
        """Exporters' own: the batch from Shape, the rest from a constant."""
        x, d = self.pick(test=lambda d: isinstance(d[0], tuple) and not any(isinstance(s, tuple) for s in d[1:]))
        if not x:
            return
        size = self.node("Slice", [self.node("Shape", [x]), self.ints(0), self.ints(1)])
        target = self.node("Concat", [size, self.ints(-1)], axis=0)
        self.put(self.node("Reshape", [x, target]), [d[0], int(np.prod([1, *d[1:]]))])

    def step_einsum(self):
        x, d = self.pick(3, lambda d: isinstance(d[0], tuple) and not any(isinstance(s, tuple) for s in d[1:]))
        if not x:
            return
        text, out = [("bij,bij->bi", d[:2]), ("bij,bkj->bik", [d[0], d[1], d[1]]), ("bij,bij->bj", [d[0], d[2]]),
                     ("bij,bij->ij", d[1:]), ("bij,cij->bc", [d[0], d[0]])][min(int(self.rng.exponential(1.2)), 4)]
        self.put(self.node("Einsum", [x, x], equation=text), out)

    def step_quantize(self):
        x, d = self.pick()
        if self.rng.random() < 0.25:
            self.put(self.node("DequantizeLinear", self.node("DynamicQuantizeLinear", [x], 3)), d)
        else:
            scale, zero = self.const(np.float32(0.05)), self.const(np.uint8(128))
            self.put(self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, scale, zero]), scale, zero]), d)

    def step_pad(self):
        x, d = self.pick()
        axis = self.axis(d, 0.06)
        pads = [0] * (2 * len(d))
        if isinstance(d[axis], tuple):
            pads[axis], pads[axis + len(d)] = 1, -1
            out = d
        else:
            pads[axis] = 1
            out = [*d[:axis], d[axis] + 1, *d[axis + 1:]]
        self.put(self.node("Pad", [x, self.ints(*pads)]), out)

    def step_tile(self):
        x, d = self.pick()
        axis = self.axis(d, 0.06)
        repeats = [2 if a == axis else 1 for a in range(len(d))]
        both = (B, 2 * d[axis][1]) if isinstance(d[axis], tuple) else 2 * d[axis]
        self.put(self.node("Tile", [x, self.ints(*repeats)]), [*d[:axis], both, *d[axis + 1:]])

    def step_one_dim(self):
        x, d = self.pick()
        if len(d) >= 5:
            return
        at = int(self.rng.integers(0, len(d) + 1))
        self.put(self.node("Unsqueeze", [x, self.ints(at)]), [*d[:at], 1, *d[at:]])

    def step_squeeze(self):
        x, d = self.pick(test=lambda d: 1 in d and len(d) > 1)
        if x:
            at = d.index(1)
            self.put(self.node("Squeeze", [x, self.ints(at)]), [*d[:at], *d[at + 1:]])

    def step_where(self):
        x, d = self.pick()
        y, _ = self.pick(test=lambda e: e == d)
        self.put(self.node("Where", [self.node("Greater", [x, self.const(np.float32(0))]), y, x]), d)

    def step_lookup(self):
        ids = self.node("Mod", [self.ids, self.const(np.array(9, np.int64))])
        rows = self.node("Gather", [self.weights(9, 3), ids])
        if self.rng.random() < 0.5:
            self.put(self.node("ReduceSum", [rows, self.ints(1)], keepdims=0), [(B, 1), 3])
        else:
            self.put(rows, [(B, 1), 2, 3])

    def step_trilu(self):
        x, d = self.pick(test=lambda d: len(d) > 1)
        self.put(self.node("Trilu", [x]), d)

    def step_mean_of_all(self):
        x, d = self.pick()
        if self.rng.random() < 0.15:
            self.put(self.node("Sub", [x, self.node("ReduceMean", [x], keepdims=0)]), d)

    def step_condition(self):
        """An If that asks for the number of rows, as exporters write Squeeze."""
        x, d = self.pick()
        if self.rng.random() < 0.8:
            return
        then = helper.make_graph([helper.make_node("Relu", [x], ["then_out"])], "then", [],
                                 [helper.make_tensor_value_info("then_out", TensorProto.FLOAT, None)])
        other = helper.make_graph([helper.make_node("Neg", [x], ["else_out"])], "else", [],
                                  [helper.make_tensor_value_info("else_out", TensorProto.FLOAT, None)])
        size = self.node("Slice", [self.node("Shape", ["x"]), self.ints(0), self.ints(1)])
        many = self.node("Squeeze", [self.node("Greater", [size, self.ints(6)]), self.ints(0)])
        self.put(self.node("If", [many], then_branch=then, else_branch=other), d)

    # ---- the end

    def finish(self):
        """One or two outputs; the batch is brought to the front, mostly."""
        self.outputs = []
        made = [n for n in self.values if n not in self.inputs] or list(self.values)
        for name in list(dict.fromkeys([made[-1], str(self.rng.choice(made))])):
            d = self.values[name]
            at = [a for a, s in enumerate(d) if isinstance(s, tuple)]
            if len(at) == 1 and at[0] != 0 and self.rng.random() < 0.8:
                order = [at[0], *[a for a in range(len(d)) if a != at[0]]]
                name, d = self.node("Transpose", [name], perm=order), [d[a] for a in order]
            if len(at) == 1 and d[0] != (B, 1) and isinstance(d[0], tuple) and self.rng.random() < 0.7:
                dims = [(B, 1), d[0][1], *d[1:]]
                name, d = self.node("Reshape", [name, self.ints(*[-1 if isinstance(s, tuple) else s for s in dims])]), dims
            if name in self.inputs:
                name = self.node("Identity", [name])
            self.outputs.append((name, d))

    def model(self):
        infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [B if isinstance(s, tuple) else s for s in d])
                 for n, d in self.inputs.items()]
        infos.append(helper.make_tensor_value_info("ids", TensorProto.INT64, [B, 2]))
        outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n, _ in self.outputs]
        graph = helper.make_graph(self.nodes, "rows", infos, outputs, self.initializers)
        # Inputs that nothing reads would only be noise.
        read = {i for node in self.nodes for i in node.input}
        for node in self.nodes:
            for a in node.attribute:
                read |= {i for n in a.g.node for i in n.input}
        for info in [i for i in graph.input if i.name not in read]:
            graph.input.remove(info)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

    def feeds(self, rows, rng, model):
        feeds = {n: rng.standard_normal([dim(s, rows) for s in d]).astype(np.float32) for n, d in self.inputs.items()}
        feeds["ids"] = rng.integers(0, 99, (rows, 2))
        return {i.name: feeds[i.name] for i in model.graph.input}


def make(seed):
    """(graph, model, onnxruntime's session) of a seed; None where onnxruntime refuses it."""
    graph = RowGraph(seed)
    model = graph.model()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        session.run(None, graph.feeds(3, np.random.default_rng(0), model))
    except Exception:  # whatever it thinks is wrong with a random graph
        return None
    return graph, model, session


def rows_apart(graph, model, session, seed, counts=(3, 5, 1)):
    """Does a batch of several requests give what each gives alone? None when a run fails."""
    rng = np.random.default_rng(seed + 1)
    parts = [graph.feeds(n, rng, model) for n in counts]
    try:
        alone = [session.run(None, p) for p in parts]
        whole = session.run(None, {n: np.concatenate([p[n] for p in parts]) for n in parts[0]})
    except Exception:
        return None
    total = sum(counts)
    for o, joined in enumerate(whole):
        begin = 0
        if joined.ndim == 0 or joined.shape[0] % total:
            if any(a[o].shape != joined.shape or not np.allclose(a[o], joined, 1e-4, 1e-5) for a in alone):
                return False
            continue
        uniform = all(a[o].shape == joined.shape and np.allclose(a[o], joined, 1e-4, 1e-5) for a in alone)
        k = joined.shape[0] // total
        for n, a in zip(counts, alone):
            part = joined[begin:begin + n * k]
            begin += n * k
            if not uniform and (part.shape != a[o].shape or not np.allclose(part, a[o], 1e-4, 1e-5)):
                return False
    return True


def verdict(norn, path):
    """(joined, split, padded, why) as the compiler says it."""
    done = subprocess.run([norn, "compile", str(path), "--explain"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    lines = [re.search(rf"^{what}: (\w+)[,:] (.*)$", done.stdout, re.M)
             for what in ("requests joined", "large requests split", "batch rounded up on a device")]
    return tuple(line[1] == "yes" for line in lines) + (lines[1][2],)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--norn", default="build/release/bin/norn")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--missed", action="store_true", help="say why rows that stay apart are not proved to")
    arguments = parser.parse_args()
    counts = dict(proved=0, mixing=0, missed=0, refused=0, skipped=0)
    lies = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seed, arguments.seed + arguments.count):
            made = make(seed)
            apart = made and rows_apart(*made, seed)
            if apart is None or made is None:
                counts["skipped"] += 1
                continue
            path = pathlib.Path(folder) / "m.onnx"
            onnx.save(made[1], path)
            try:
                joined, split, padded, why = verdict(arguments.norn, path)
            except RuntimeError as error:
                counts["refused"] += 1
                print(f"seed {seed}: {error}")
                continue
            if (joined or split) and not apart:
                lies += 1
                print(f"seed {seed}: rows mix, but Norn says that they do not")
                if arguments.keep:
                    onnx.save(made[1], arguments.keep / f"{seed}.onnx")
            elif apart and not joined and arguments.missed:
                print(f"seed {seed}: {why}")
            counts["proved" if joined and apart else "missed" if apart else "mixing"] += 1
    print(counts)
    return lies != 0


if __name__ == "__main__":
    sys.exit(main())
