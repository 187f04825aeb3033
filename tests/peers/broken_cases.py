"""Node cases of ONNX with one thing wrong, for what the compiler and the kernels say of them.

Each operator's first and last case as they are, with symbols for all sizes, and with one change: an input of another
rank, length or type, one less, one more, an attribute beyond its range. All in one file, since they are many and small:

    name, model, number of inputs, inputs, number of outputs, outputs (TensorProto)
                                                        texts and bytes after their length, 32 bits each; 0 outputs: not known
"""
import copy
import struct

import numpy as np
from onnx import AttributeProto, TensorProto, numpy_helper

CASES_PER_OPERATOR = 2
FAR = 99


def _pick(cases):
    """The first and the last case of each operator, by name; function bodies are another operator's."""
    found = {}
    for case in cases:
        operators = {node.op_type for node in case.model.graph.node}
        if len(operators) == 1 and case.model.graph.input:
            found.setdefault(operators.pop(), []).append(case)
    for operator in sorted(found):
        some = found[operator]
        yield from some if len(some) <= CASES_PER_OPERATOR else (some[0], some[-1])


def _shaped(model, inputs):
    """The sizes of the model's inputs become those of the values, known only when running."""
    for number, (info, value) in enumerate(zip(model.graph.input, inputs)):
        tensor = info.type.tensor_type
        tensor.ClearField("shape")
        tensor.shape.SetInParent()
        for axis, size in enumerate(np.shape(value)):
            dim = tensor.shape.dim.add()
            if size > 1:
                dim.dim_param = f"d{number}_{axis}"
            else:
                dim.dim_value = size
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def _fixed(model, inputs):
    for info, value in zip(model.graph.input, inputs):
        tensor = info.type.tensor_type
        tensor.ClearField("shape")
        tensor.shape.SetInParent()
        for size in np.shape(value):
            tensor.shape.dim.add().dim_value = size
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")


def _longer(value):
    """One more of dimension 0: the last again."""
    value = np.asarray(value)
    return np.concatenate([value, value[-1:]]) if value.ndim and value.shape[0] else value[None] if value.ndim == 0 else value


def _changed_inputs(values):
    """(suffix, values) with one input of another shape."""
    for number, value in enumerate(values[:4]):
        value = np.asarray(value)
        changes = [("longer", _longer(value)), ("deeper", value[None])]
        if value.ndim:
            changes.append(("flatter", value.reshape(-1) if value.ndim > 1 else value[:1].reshape(())
                            if value.size else value))
        if value.ndim and value.shape[-1] > 1:
            changes.append(("narrower", value[..., :-1]))
        if value.ndim and value.size:
            changes.append(("empty", value[:0]))
        for name, change in changes:
            yield f"{number}.{name}", [*values[:number], np.ascontiguousarray(change).reshape(np.shape(change)), *values[number + 1:]]


def _changed_nodes(model):
    """(suffix, change): edits of the one node's operands and attributes."""
    node = model.graph.node[0]
    yield "less", lambda n: n.input.pop()
    yield "more", lambda n: n.input.append(n.input[0])
    for number, attribute in enumerate(node.attribute):
        def give(field, value, number=number):
            def change(n):
                if isinstance(value, list):
                    getattr(n.attribute[number], field)[:] = value
                else:
                    setattr(n.attribute[number], field, value)
            return change
        if attribute.type == AttributeProto.INT:
            for value in (FAR, -FAR, attribute.i + 1):
                yield f"{attribute.name}={value}", give("i", value)
        elif attribute.type == AttributeProto.INTS:
            yield f"{attribute.name}.short", give("ints", list(attribute.ints)[:-1])
            yield f"{attribute.name}.far", give("ints", [FAR, *list(attribute.ints)[1:]])
            yield f"{attribute.name}.minus", give("ints", [-1, *list(attribute.ints)[1:]])
        elif attribute.type == AttributeProto.STRING:
            yield f"{attribute.name}=nonsense", give("s", b"nonsense")
        elif attribute.type == AttributeProto.FLOAT:
            yield f"{attribute.name}=-1", give("f", -1.0)
        yield f"no-{attribute.name}", lambda n, number=number: n.attribute.pop(number)


def _retyped(model, number):
    tensor = model.graph.input[number].type.tensor_type
    tensor.elem_type = TensorProto.INT32 if tensor.elem_type != TensorProto.INT32 else TensorProto.DOUBLE


def _variants(case):
    values = list(case.data_sets[0][0])

    def made(shape, change=None, inputs=values):
        model = copy.deepcopy(case.model)
        shape(model, inputs)
        if change:
            change(model)
        return model, inputs

    yield "fixed", *made(_fixed)
    yield "sizes", *made(_shaped)
    for suffix, inputs in _changed_inputs(values):
        yield f"fixed.{suffix}", *made(_fixed, inputs=inputs)
        yield f"sizes.{suffix}", *made(_shaped, inputs=inputs)
    for suffix, change in _changed_nodes(case.model):
        yield f"sizes.{suffix}", *made(_shaped, lambda model, change=change: change(model.graph.node[0]))
    for number in range(len(values)):
        model, _ = made(_shaped, lambda model, number=number: _retyped(model, number))
        yield f"sizes.{number}.retyped", model, []


def broken(cases):
    for case in _pick(cases):
        for suffix, model, inputs in _variants(case):
            yield f"{case.name}.{suffix}", model, inputs, []


def write(cases, path, encode):
    """Of (name, model, inputs, outputs). Returns how many and what could not be written."""
    count, failed = 0, []
    with open(path, "wb") as file:
        def put(part):
            file.write(struct.pack("<I", len(part)))
            file.write(part)
        for name, model, inputs, outputs in cases:
            try:
                parts = [encode(value, info) for value, info in zip(inputs, model.graph.input)]
            except Exception as error:
                failed.append(f"{name}: {error}")
                continue
            put(name.encode())
            put(model.SerializeToString())
            file.write(struct.pack("<I", len(parts)))
            for part in parts:
                put(part)
            file.write(struct.pack("<I", len(outputs)))
            for value in outputs:
                put(numpy_helper.from_array(value).SerializeToString())
            count += 1
    return count, failed
