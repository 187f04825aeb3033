"""ONNX's node cases with rows: which inputs have the batch at dimension 0, and what that makes of a model.

CASE.all    every input as long as the first has rows, the others are constants
CASE.N      input N alone has rows, the others stay inputs
CASE.in     input 0 has rows at dimension 1 by the time that the node sees it; outputs that have as many
            rows there have them in front again
CASE.both   as CASE.in, and every other input as long there as well
"""
import copy

import numpy as np
from onnx import helper, numpy_helper

BATCH = "batch"
FIRST_INPUTS = 3


def _rank(value):
    return np.ndim(value)


def _variant(case, rows, moved, constants):
    """A copy of the case's model, and the values of its inputs; rows: input numbers."""
    model = copy.deepcopy(case.model)
    graph = model.graph
    infos, values = list(graph.input), list(case.data_sets[0][0])
    del graph.input[:]
    del graph.value_info[:]
    given = []
    for number, (info, value) in enumerate(zip(infos, values)):
        if number in rows:
            if number in moved:
                order = [1, 0, *range(2, _rank(value))]
                inner = info.name
                info.name = f"{inner}_rows"
                graph.node.insert(0, helper.make_node("Transpose", [info.name], [inner], name=f"to_{inner}", perm=order))
                value = np.ascontiguousarray(np.transpose(value, order))
            del info.type.tensor_type.shape.dim[:]
            for axis, size in enumerate(np.shape(value)):
                dim = info.type.tensor_type.shape.dim.add()
                if axis == 0:
                    dim.dim_param = BATCH
                else:
                    dim.dim_value = size
        elif number in constants:
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), info.name))
            continue
        graph.input.append(info)
        given.append(value)
    for info in graph.output:
        info.type.tensor_type.ClearField("shape")
    if moved:
        _move_back(graph, case.data_sets[0][1], {np.shape(values[number])[1] for number in moved})
    return model, given


def _move_back(graph, outputs, lengths):
    """Outputs that are as long in dimension 1 as the rows: dimension 1 first."""
    for info, value in zip(graph.output, outputs):
        if _length(value, 1) not in lengths:
            continue
        inner = f"{info.name}_inner"
        for node in graph.node:
            for i, name in enumerate(node.output):
                node.output[i] = inner if name == info.name else name
        order = [1, 0, *range(2, _rank(value))]
        graph.node.append(helper.make_node("Transpose", [inner], [info.name], name=f"back_{info.name}", perm=order))


def _length(value, axis):
    return np.shape(value)[axis] if _rank(value) > axis else -1


def variants(case):
    """(suffix, model, inputs) of every way in which the case's inputs may have rows."""
    if not case.model.graph.input or not case.data_sets:
        return
    values = list(case.data_sets[0][0])
    everyone = set(range(len(values)))
    if _length(values[0], 0) >= 1:
        rows = {i for i in everyone if _length(values[i], 0) == _length(values[0], 0)}
        yield ("all", *_variant(case, rows, set(), everyone - rows))
    for number in range(min(FIRST_INPUTS, len(values))):
        if _length(values[number], 0) >= 1 and len(values) > 1:
            yield (str(number), *_variant(case, {number}, set(), set()))
    if _length(values[0], 1) >= 1:
        yield ("in", *_variant(case, {0}, {0}, everyone - {0}))
        rows = {i for i in everyone if _length(values[i], 1) == _length(values[0], 1)}
        if len(rows) > 1:
            yield ("both", *_variant(case, rows, rows, everyone - rows))
