"""Rewrite the `ai.norn` operators of a package into standard ONNX operators.

The result runs in any ONNX runtime and is the oracle for Norn's own lookups. It favours being
plainly right over being fast: bags are pooled through a [bags, values] mask.
"""

import pathlib
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from . import check
from . import package as _package


def to_standard_ops(package_dir, out_file):
    """Write the package at `package_dir` as ONNX without `ai.norn` operators; returns the paths.

    The file is opened with onnxruntime when that is installed; a warning says when it is not.
    """
    paths = rewrite(package_dir, out_file)
    try:
        check.open_standard(paths[0])
    except check.NotChecked as why:
        warnings.warn(f"{paths[0]} was not checked: {why}", stacklevel=2)
    return paths


def rewrite(package_dir, out_file):
    source = _package.Package(package_dir)
    model = source.model()
    opset = max([entry.version for entry in model.opset_import if entry.domain == ""], default=1)
    rewriter = _Rewriter(source, opset)
    nodes = []
    for node in model.graph.node:
        nodes.extend(rewriter.rewrite(node) if node.domain == _package.DOMAIN else [node])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(rewriter.initializers)
    for i in reversed(range(len(model.opset_import))):
        if model.opset_import[i].domain == _package.DOMAIN:
            del model.opset_import[i]
    return save(model, pathlib.Path(out_file))


def save(model, path, external_above=500 << 20):
    """Write `model`; its weights go beside it as NAME.data when they are larger than that."""
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = path.with_name(path.name + ".data")
    data.unlink(missing_ok=True)
    if size <= external_above:
        onnx.save(model, path)
        return [path]
    onnx.save(model, path, save_as_external_data=True, all_tensors_to_one_file=True,
              location=data.name, size_threshold=1024)
    return [path, data]


class _Rewriter:
    def __init__(self, source, opset):
        self.source = source
        self.opset = opset
        self.initializers = []
        self.loaded = {}
        self.nodes = []
        self.prefix = ""

    def rewrite(self, node):
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        table = attributes["table"].decode()
        self.nodes, self.prefix = [], node.name or node.output[0]
        if node.op_type == "Embedding":
            self._lookup(table, node.input[0], output=node.output[0])
        elif node.op_type == "EmbeddingBag":
            mode = attributes.get("mode", b"sum").decode()
            self._bag(table, mode, list(node.input), node.output[0],
                      attributes.get("padding_idx"))
        else:
            raise ValueError(f"node '{node.name}': {_package.DOMAIN}::{node.op_type} is unknown; "
                             "Embedding and EmbeddingBag are known")
        return self.nodes

    # ---- small helpers ---------------------------------------------------------------------

    def _op(self, kind, *inputs, output=None, **attributes):
        name = f"{self.prefix}/{len(self.nodes)}_{kind}"
        output = output or f"{name}_output"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def _constant(self, value, dtype=np.int64):
        tensor = numpy_helper.from_array(np.asarray(value, dtype))
        return self._op("Constant", value=tensor)

    def _initializer(self, name, array):
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def _tensors(self, table):
        """Names of the initializers for rows and, if hashed, keys; added once a table.

        A hashed table gets a last row of zeros, which a missing key reads (policy `default`).
        """
        if table not in self.loaded:
            tensors = self.source.table(table)
            rows = np.asarray(tensors["rows"], np.float32)
            keys = None
            if "keys" in tensors:
                keys = self._initializer(f"{table}.keys", tensors["keys"])
                rows = np.concatenate([rows, np.zeros_like(rows[:1])])
            self.loaded[table] = (self._initializer(f"{table}.weight", rows), keys, len(rows))
        return self.loaded[table]

    # ---- operators -------------------------------------------------------------------------

    def _lookup(self, table, keys_in, output=None):
        rows, keys, count = self._tensors(table)
        index = keys_in
        if keys:
            column = self._op("Unsqueeze", keys_in, self._constant([-1]))
            hit = self._op("Cast", self._op("Equal", column, keys), to=TensorProto.INT32)
            place = self._op("ArgMax", hit, axis=-1, keepdims=0)
            found = self._max(hit, -1)
            found = self._op("Cast", found, to=TensorProto.BOOL)
            index = self._op("Where", found, place, self._constant(count - 1))
        return self._op("Gather", rows, index, output=output, axis=0)

    def _max(self, x, axis, keepdims=0):
        """ReduceMax, whose axes are an attribute up to opset 17 and an input from 18 on."""
        if self.opset < 18:
            return self._op("ReduceMax", x, axes=[axis], keepdims=keepdims)
        return self._op("ReduceMax", x, self._constant([axis]), keepdims=keepdims)

    def _bag(self, table, mode, inputs, output, padding):
        values, offsets = inputs[0], inputs[1]
        rows = self._lookup(table, values)
        if len(inputs) > 2 and inputs[2]:
            weights = self._op("Unsqueeze", inputs[2], self._constant([1]))
            rows = self._op("Mul", rows, weights)
        member = self._membership(values, offsets)
        if padding is not None:
            kept = self._op("Not", self._op("Equal", values, self._constant(padding)))
            member = self._op("And", member, kept)
        if mode == "max":
            self._pool_max(rows, member, output)
            return
        mask = self._op("Cast", member, to=TensorProto.FLOAT)
        if mode == "sum":
            self._op("MatMul", mask, rows, output=output)
        elif mode == "mean":
            total = self._op("MatMul", mask, rows)
            count = self._op("ReduceSum", mask, self._constant([1]), keepdims=1)
            count = self._op("Max", count, self._constant(1, np.float32))
            self._op("Div", total, count, output=output)
        else:
            raise ValueError(f"node '{self.prefix}': mode '{mode}' is not sum, mean or max")

    def _membership(self, values, offsets):
        """[bags, values] bool: offsets[b] <= v < offsets[b + 1]."""
        count = self._op("Squeeze", self._op("Shape", values), self._constant([0]))
        position = self._op("Range", self._constant(0), count, self._constant(1))
        far = self._constant([np.iinfo(np.int64).max])
        zero, one, last = self._constant([0]), self._constant([1]), self._constant([-1])
        begin = self._op("Unsqueeze", self._op("Slice", offsets, zero, last, zero), one)
        end = self._op("Unsqueeze", self._op("Slice", offsets, one, far, zero), one)
        after = self._op("GreaterOrEqual", position, begin)
        before = self._op("Less", position, end)
        return self._op("And", after, before)

    def _pool_max(self, rows, member, output):
        """Max over each bag's rows; an empty bag is zeros."""
        inside = self._op("Unsqueeze", member, self._constant([2]))
        lowest = self._constant(np.finfo(np.float32).min, np.float32)
        padded = self._op("Where", inside, rows, lowest)
        peak = self._max(padded, 1)
        # A sum, which of no values at all is 0; a maximum is the lowest number.
        filled = self._op("ReduceSum", self._op("Cast", member, to=TensorProto.INT32),
                          self._constant([1]), keepdims=1)
        filled = self._op("Cast", filled, to=TensorProto.BOOL)
        self._op("Where", filled, peak, self._constant(0, np.float32), output=output)
