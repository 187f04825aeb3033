"""Make Norn packages from ONNX files and PyTorch modules, and turn them back.

    from norn import export
    export.package("model.onnx", "repository/ranker/1")
    export.from_torch(module, (dense, ids), "repository/ranker/1", input_names=["dense", "ids"])
    export.to_standard_ops("repository/ranker/1", "oracle.onnx")

Splitting tables out lets a server keep them in tiers, share them and refresh single rows.
"""

import pathlib
import re
import tempfile
import warnings

import onnx
from onnx import helper, numpy_helper

from . import check
from . import package as _package
from . import torch_bags
from .standard_ops import to_standard_ops

__all__ = ["from_torch", "package", "split_tables", "to_standard_ops"]


def package(model, out_dir, table_threshold=1 << 20, settings=None):
    """Write `model` (a path or a ModelProto) as a package; returns the tables' names.

    Every initializer of at least `table_threshold` bytes that only `Gather` on axis 0 reads
    becomes a table; everything else stays in model.onnx.
    """
    if not isinstance(model, onnx.ModelProto):
        model = onnx.load(model)
    model, tables = split_tables(model, table_threshold)
    _package.write(out_dir, model, tables, settings)
    return list(tables)


def split_tables(model, table_threshold=1 << 20):
    """(a copy of `model` that reads `ai.norn` tables, {table: {"rows": array}})."""
    bagged = {node.input[0] for node in model.graph.node if _is_unbound_bag(node)}
    chosen, tables = {}, {}
    for tensor in model.graph.initializer:
        if tensor.name in bagged or _is_table(model.graph, tensor, table_threshold):
            name = _package.table_name(tensor.name, tables)
            chosen[tensor.name] = name
            tables[name] = {"rows": numpy_helper.to_array(tensor)}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for node in graph.node:
        if _is_unbound_bag(node) and node.input[0] not in chosen:
            raise ValueError(f"node '{node.name}': the weight '{node.input[0]}' of an EmbeddingBag "
                             "is computed; a table must be a parameter")
        if node.op_type in ("Gather", "EmbeddingBag") and node.input[0] in chosen:
            _read_table(node, chosen[node.input[0]], tables)
    still_read = {value for node in graph.node for value in node.input}
    kept = [tensor for tensor in graph.initializer
            if tensor.name not in chosen or tensor.name in still_read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    if chosen and not any(entry.domain == _package.DOMAIN for entry in result.opset_import):
        result.opset_import.append(helper.make_opsetid(_package.DOMAIN, 1))
    return result, tables


def _is_unbound_bag(node):
    """An EmbeddingBag whose first input is still the weight: see torch_bags."""
    return (node.domain == _package.DOMAIN and node.op_type == "EmbeddingBag"
            and _attribute(node, "table", None) is None)


def _is_table(graph, tensor, threshold):
    if len(tensor.dims) != 2 or tensor.data_type != onnx.TensorProto.FLOAT:
        return False
    if 4 * tensor.dims[0] * tensor.dims[1] < threshold:
        return False
    if any(tensor.name == output.name for output in graph.output):
        return False
    readers = list(_readers(graph, tensor.name))
    return bool(readers) and all(
        node.op_type == "Gather" and node.domain == "" and position == 0 and top
        and _attribute(node, "axis", 0) == 0 for node, position, top in readers)


def _readers(graph, name, top=True):
    """Every (node, input position, whether it is in the main graph) that reads `name`."""
    for node in graph.node:
        for position, value in enumerate(node.input):
            if value == name:
                yield node, position, top
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _readers(attribute.g, name, top=False)


def _attribute(node, name, default):
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default


def _read_table(node, table, tables):
    """Gather(weight, keys) and EmbeddingBag(weight, ...) become readers of a table by name."""
    operands = list(node.input)[1:]
    mode = [helper.make_attribute("mode", _attribute(node, "mode", b"sum"))]
    padding = _attribute(node, "padding_idx", None)
    if padding is not None:
        mode.append(helper.make_attribute("padding_idx", padding))
    if node.op_type == "Gather":
        node.op_type, node.domain, mode = "Embedding", _package.DOMAIN, []
    del node.input[:]
    node.input.extend(operands)
    del node.attribute[:]
    dim = tables[table]["rows"].shape[1]
    node.attribute.extend([helper.make_attribute("table", table),
                           helper.make_attribute("dim", dim), *mode])


def from_torch(module, example_inputs, out_dir, input_names=None, output_names=None,
               table_threshold=1 << 20, settings=None, dynamo=True, keep_onnx=None,
               dynamic_shapes=None):
    """Export a PyTorch module and package it; returns the tables' names.

    The first dimension of every input is dynamic, unless `dynamic_shapes` says otherwise (as for
    torch.export); which of them are the batch, and which one more (CSR offsets), PyTorch finds out.
    Rows of the outputs are the batch. nn.EmbeddingBag becomes one `ai.norn::EmbeddingBag` node; with
    `dynamo=False` it becomes the exporter's Loop.

    `dynamo` picks PyTorch's exporter. `keep_onnx` is a path at which to keep the exporter's own
    file. The package is run on the example, with norn or with onnxruntime, and compared with the
    module; RuntimeError says what differs, a warning that there was nothing to run it with.
    """
    import torch

    module = module.eval()
    example_inputs = tuple(example_inputs)
    names = list(input_names or [f"input_{i}" for i in range(len(example_inputs))])
    with torch.no_grad():
        wanted = module(*example_inputs)
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(keep_onnx) if keep_onnx else pathlib.Path(scratch) / "model.onnx"
        options = {"input_names": names, "output_names": output_names, "dynamo": dynamo}
        if dynamo:
            free = torch.export.Dim.AUTO
            shapes = dynamic_shapes or tuple({0: free} if getattr(value, "ndim", 0) else None
                                             for value in example_inputs)
            options |= {"dynamic_shapes": shapes, "verbose": False, "external_data": False,
                        "custom_translation_table": torch_bags.translations()}
        else:
            dynamic = {name: {0: "batch"} for name in [*names, *(output_names or [])]}
            options |= {"dynamic_axes": dynamic, "opset_version": 17}
        _torch_export(module, example_inputs, path, options)
        model = onnx.load(path)
        _strip_traces(model.graph)
        if dynamo and dynamic_shapes is None:
            _name_batch(model, example_inputs)
        if keep_onnx:
            onnx.save(model, path)
    tables = package(model, out_dir, table_threshold, settings)
    _check_example(out_dir, model, names, example_inputs, wanted)
    return tables


def _torch_export(module, example_inputs, path, options):
    import torch

    try:
        with torch.no_grad():
            torch.onnx.export(module, example_inputs, str(path), **options)
    except Exception as error:
        if "must always be related" not in f"{error} {error.__cause__}":
            raise
        raise ValueError("the model ties sizes that dynamic_shapes says are free; leave "
                         "dynamic_shapes out and PyTorch finds them (CSR offsets are `batch + 1`)"
                         ) from error


def _name_batch(model, example_inputs):
    """What outputs have as rows is called `batch`, when the example has as many as in the first.

    PyTorch only calls equal what the model forces to be: two towers have a symbol each.
    """
    sizes = {}
    for info, value in zip(model.graph.input, example_inputs):
        for dim, size in zip(info.type.tensor_type.shape.dim, getattr(value, "shape", ())):
            if re.fullmatch(r"\w+", dim.dim_param):
                sizes[dim.dim_param] = int(size)
            elif dim.dim_value == 1 and dim is info.type.tensor_type.shape.dim[0]:
                raise ValueError(f"input '{info.name}' has 1 row in the example, which fixed it: "
                                 "give an example of at least two rows, or dynamic_shapes")
    rows = [info.type.tensor_type.shape.dim[0].dim_param for info in model.graph.output
            if info.type.tensor_type.shape.dim]
    rows = [name for name in rows if name in sizes]
    same = {name for name in rows if sizes[name] == sizes[rows[0]]}
    for info in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(r"\w+", lambda found: "batch" if found[0] in same
                                       else found[0], dim.dim_param)


def _check_example(out_dir, model, names, example_inputs, wanted):
    import torch

    kept = {info.name for info in model.graph.input}
    inputs = {name: value.detach().cpu().numpy() for name, value in zip(names, example_inputs)
              if name in kept}
    flat = [value for value in torch.utils._pytree.tree_leaves(wanted)
            if isinstance(value, torch.Tensor)]
    outputs = [info.name for info in model.graph.output]
    if len(flat) != len(outputs):
        warnings.warn(f"{out_dir} was not checked: the module gives {len(flat)} tensors, the model "
                      f"{len(outputs)}", stacklevel=3)
        return
    wanted = dict(zip(outputs, (value.detach().cpu().numpy() for value in flat)))
    try:
        check.check_package(out_dir, inputs, wanted)
    except check.NotChecked as why:
        warnings.warn(f"{out_dir} was not checked: {why}", stacklevel=3)


def _strip_traces(graph):
    """Drop what the exporter notes of the Python source: stack traces with absolute paths."""
    for part in [*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""
    for node in graph.node:
        for attribute in node.attribute:
            attribute.doc_string = ""
            if attribute.type == onnx.AttributeProto.GRAPH:
                _strip_traces(attribute.g)
    graph.doc_string = ""
    del graph.metadata_props[:]
