"""Write ONNX the way PyTorch's two exporters write it, without PyTorch.

`torchscript` is `torch.onnx.export(dynamo=False)`: opset 17, Constant nodes, shapes rebuilt from
Shape/Gather/Concat, indexing flattened. `dynamo` is `torch.onnx.export(dynamo=True)`: opset 18,
constants as initializers, shapes folded to `[-1, n]`, indexing through GatherND. Each method is
one PyTorch call and emits the nodes that the exporter of PyTorch 2.15 was seen to emit for it.
"""

import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper

STYLES = ("torchscript", "dynamo")
BATCH = "batch"
_ELEM = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64,
         np.dtype(np.bool_): TensorProto.BOOL}


class Exporter:
    """One graph under construction; values are their ONNX names."""

    def __init__(self, name, style, seed):
        if style not in STYLES:
            raise ValueError(f"style '{style}' is not one of {', '.join(STYLES)}")
        self.name = name
        self.torchscript = style == "torchscript"
        self.rng = np.random.default_rng(seed)
        self.nodes, self.inputs, self.outputs, self.value_info = [], [], [], []
        self.initializers = {}
        self._used = {}
        self._folded = {}

    # ---- graph -----------------------------------------------------------------------------

    def input(self, name, shape, dtype=np.float32):
        self.inputs.append(helper.make_tensor_value_info(name, _ELEM[np.dtype(dtype)], shape))
        return name

    def output(self, value, name, shape, dtype=np.float32):
        """Name `value` as a graph output: the node that makes it is renamed, as exporters do."""
        producer = next(node for node in reversed(self.nodes) if value in node.output)
        producer.output[list(producer.output).index(value)] = name
        for node in self.nodes:
            for i, read in enumerate(node.input):
                if read == value:
                    node.input[i] = name
        self.outputs.append(helper.make_tensor_value_info(name, _ELEM[np.dtype(dtype)], shape))

    def _unique(self, base):
        count = self._used.get(base, 0)
        self._used[base] = count + 1
        return f"{base}_{count}" if count else base

    def op(self, kind, *inputs, scope="", domain="", **attributes):
        """Append one node with one output; `scope` is the module path, as in `bot/bot.0`."""
        if self.torchscript:
            name = self._unique(f"/{scope}/{kind}" if scope else f"/{kind}")
            value = f"{name}_output_0"
        else:
            value = self._unique(kind.lower())
            name = f"node_{value}"
        node = helper.make_node(kind, inputs, [value], name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return value

    def initializer(self, name, array):
        if name in self.initializers:
            raise ValueError(f"initializer '{name}' is made twice")
        self.initializers[name] = np.array(array, order="C", ndmin=0)
        return name

    def constant(self, value, dtype=np.int64):
        array = np.asarray(value, dtype)
        if self.torchscript:
            tensor = numpy_helper.from_array(array)
            return self.op("Constant", value=tensor)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._folded:
            self._folded[key] = self.initializer(self._unique("val"), array)
        return self._folded[key]

    def model(self):
        tensors = [numpy_helper.from_array(array, name)
                   for name, array in self.initializers.items()]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, tensors,
                                  value_info=self.value_info)
        opsets = [helper.make_opsetid("", 17 if self.torchscript else 18)]
        if any(node.domain for node in self.nodes):
            opsets.append(helper.make_opsetid("ai.norn", 1))
        return helper.make_model(graph, opset_imports=opsets, producer_name="pytorch",
                                 ir_version=8 if self.torchscript else 10)

    # ---- parameters ------------------------------------------------------------------------

    def normal(self, shape, std):
        return self.rng.standard_normal(shape, dtype=np.float32) * np.float32(std)

    def table(self, name, rows, dim, std=None):
        """nn.Embedding's weight; rows have length one unless `std` says otherwise."""
        std = std or 1 / math.sqrt(dim)
        return self.initializer(f"{name}.weight", self.normal((rows, dim), std))

    def _dense_weight(self, n_in, n_out, gain):
        return self.normal((n_out, n_in), gain / math.sqrt(n_in))

    # ---- layers ----------------------------------------------------------------------------

    def linear(self, x, name, n_in, n_out, rank=2, bias=True, gain=math.sqrt(2)):
        """nn.Linear: Gemm for a matrix with a bias, MatMul and Add otherwise."""
        weight = self._dense_weight(n_in, n_out, gain)
        offset = self.normal((n_out,), 0.1)
        scope = f"{name.split('.')[0]}/{name}" if "." in name else name
        gemm = rank == 2 and (bias or not self.torchscript)
        if gemm:
            operands = [x, self.initializer(f"{name}.weight", weight)]
            if bias:
                operands.append(self.initializer(f"{name}.bias", offset))
            return self.op("Gemm", *operands, scope=scope, alpha=1.0, beta=1.0, transB=1)
        transposed = self.initializer(self._unique("onnx::MatMul" if self.torchscript else "val"),
                                      weight.T)
        product = self.op("MatMul", x, transposed, scope=scope)
        if not bias:
            return product
        addend = self.initializer(f"{name}.bias", offset)
        operands = [addend, product] if self.torchscript else [product, addend]
        return self.op("Add", *operands, scope=scope)

    def mlp(self, x, name, sizes, last=None, last_gain=1.0):
        """nn.Sequential of Linear and ReLU; `last` is 'relu', 'sigmoid' or None for the last."""
        for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
            final = i == len(sizes) - 2
            activation = last if final else "relu"
            gain = math.sqrt(2) if activation == "relu" else last_gain
            x = self.linear(x, f"{name}.{2 * i}", n_in, n_out, gain=gain)
            if activation:
                x = self.op(activation.capitalize(), x, scope=f"{name}/{name}.{2 * i + 1}")
        return x

    def lookup(self, table, ids):
        """nn.Embedding's forward."""
        scope = table.removesuffix(".weight")
        axis = {} if self.torchscript else {"axis": 0}
        return self.op("Gather", table, ids, scope=scope, **axis)

    def linear_norm_relu(self, x, name, n_in, n_out):
        """Linear, BatchNorm1d, ReLU at inference: the dynamo exporter folds the norm away."""
        scale = np.float32(1) + self.normal((n_out,), 0.1)
        shift = self.normal((n_out,), 0.1)
        mean = self.normal((n_out,), 0.2)
        variance = np.abs(self.normal((n_out,), 0.3)) + np.float32(0.7)
        weight = self._dense_weight(n_in, n_out, math.sqrt(2))
        bias = self.normal((n_out,), 0.1)
        if self.torchscript:
            x = self.op("Gemm", x, self.initializer(f"{name}.linear.weight", weight),
                        self.initializer(f"{name}.linear.bias", bias),
                        scope=f"{name}/linear", alpha=1.0, beta=1.0, transB=1)
            x = self.op("BatchNormalization", x, self.initializer(f"{name}.norm.weight", scale),
                        self.initializer(f"{name}.norm.bias", shift),
                        self.initializer(f"{name}.norm.running_mean", mean),
                        self.initializer(f"{name}.norm.running_var", variance),
                        scope=f"{name}/norm", epsilon=1e-5, momentum=0.9, training_mode=0)
        else:
            factor = scale / np.sqrt(variance + np.float32(1e-5))
            x = self.op("Gemm", x,
                        self.initializer(f"{name}.linear.weight", weight * factor[:, None]),
                        self.initializer(f"{name}.linear.bias", (bias - mean) * factor + shift),
                        alpha=1.0, transB=1)
        return self.op("Relu", x, scope=f"{name}/relu")

    # ---- tensor methods --------------------------------------------------------------------

    def select(self, x, index):
        """x[:, index]"""
        return self.op("Gather", x, self.constant(index), axis=1)

    def cat(self, values, axis):
        return self.op("Concat", *values, axis=axis)

    def unsqueeze(self, x, axis):
        return self.op("Unsqueeze", x, self.constant([axis]))

    def squeeze(self, x, axis):
        return self.op("Squeeze", x, self.constant([axis]))

    def sum(self, x, axis, keepdims=0):
        noop = {} if self.torchscript else {"noop_with_empty_axes": 0}
        return self.op("ReduceSum", x, self.constant([axis]), keepdims=keepdims, **noop)

    def square(self, x):
        return self.op("Pow", x, self.constant(2.0, np.float32))

    def stack(self, values, axis):
        return self.cat([self.unsqueeze(value, axis) for value in values], axis)

    def _size(self, x, axis):
        """x.size(axis) as a vector of one, the TorchScript exporter's way."""
        one = self.op("Gather", self.op("Shape", x), self.constant(axis), axis=0)
        return self.op("Unsqueeze", one, self.constant([0]))

    def flatten(self, x, width):
        """x.flatten(1) of a tensor whose trailing dims multiply to `width`."""
        if self.torchscript:
            return self.op("Flatten", x, axis=1)
        return self.op("Reshape", x, self.constant([-1, width]), allowzero=1)

    def view_features(self, x, like, features, dim):
        """x.view(like.shape[0], -1, like.shape[1])"""
        if self.torchscript:
            shape = self.cat([self._size(like, 0), self.constant([-1]), self._size(like, 1)], 0)
            return self.op("Reshape", x, shape, allowzero=0)
        return self.op("Reshape", x, self.constant([-1, features, dim]), allowzero=1)

    def triangle(self, x, n):
        """x[:, i, j] for every j < i < n: the lower triangle of n x n without its diagonal."""
        rows, columns = np.tril_indices(n, -1)
        if not self.torchscript:
            turned = self.op("Transpose", x, perm=[1, 2, 0])
            pairs = self.constant(np.stack([rows, columns], axis=1))
            picked = self.op("GatherND", turned, pairs, batch_dims=0)
            return self.op("Transpose", picked, perm=[1, 0])
        shape = self.op("Shape", x)
        batch = self.op("Gather", shape, self.constant([0]), axis=0)
        width = self.op("Gather", shape, self.constant([2]), axis=0)
        flat = self.op("Flatten", self.op("Transpose", x, perm=[1, 2, 0]), axis=2)
        base = self.op("Mul", self.constant(rows), width)
        index = self.op("Add", self.constant(columns), base)
        picked = self.op("Gather", flat, index, axis=0)
        picked = self.op("Reshape", picked, self.cat([self.constant([-1]), batch], 0), allowzero=0)
        turned = self.op("Transpose", picked, perm=[1, 0])
        final = self.cat([batch, self.op("Shape", index)], 0)
        return self.op("Reshape", turned, final, allowzero=0)

    def expand_steps(self, x, like, steps):
        """x.unsqueeze(1).expand(-1, like.shape[1], -1)"""
        if not self.torchscript:
            return self.op("Expand", self.unsqueeze(x, 1), self.constant([1, steps, 1]))
        length = self.op("Gather", self.op("Shape", like), self.constant(1), axis=0)
        column = self.unsqueeze(x, 1)
        keep = self.constant([-1])
        wanted = self.cat([keep, self.op("Unsqueeze", length, self.constant([0])),
                           self.constant([-1])], 0)
        wanted = self.op("Reshape", wanted, self.constant([-1]), allowzero=0)
        ones = self.op("ConstantOfShape", self.op("Shape", wanted),
                       value=numpy_helper.from_array(np.ones(1, np.int64)))
        minus = self.op("Mul", ones, self.constant(-1))
        shape = self.op("Where", self.op("Equal", wanted, minus), ones, wanted)
        return self.op("Expand", column, shape)

    def masked_fill(self, x, mask, value):
        """x.masked_fill(mask == 0, value) for a boolean mask."""
        number = self.op("Cast", mask, to=TensorProto.INT64)
        empty = self.op("Equal", number, self.constant(0))
        if self.torchscript:
            empty = self.op("Cast", empty, to=TensorProto.BOOL)
        return self.op("Where", empty, self.constant(value, np.float32), x)

