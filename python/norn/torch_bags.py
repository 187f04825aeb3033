"""Export torch.nn.EmbeddingBag as one `ai.norn::EmbeddingBag` node.

PyTorch's own exporter turns a bag into a Loop over sequences, which no runtime makes fast. Here it
becomes EmbeddingBag(weight, values, offsets[, weights]); `export.split_tables` then replaces the
weight by the name of its table.
"""

import onnx

from .package import DOMAIN

MODES = ("sum", "mean", "max")


def translations():
    """The `custom_translation_table` for torch.onnx.export(dynamo=True)."""
    import onnxscript
    import torch

    _register_schema()
    op = onnxscript.opset18
    norn = onnxscript.values.Opset(DOMAIN, 1)

    def embedding_bag(weight, indices, offsets, scale_grad_by_freq=False, mode=0, sparse=False,
                      per_sample_weights=None, include_last_offset=False, padding_idx=None):
        values = op.Reshape(indices, op.Constant(value_ints=[-1]))
        if not include_last_offset:
            offsets = op.Concat(offsets, op.Shape(values), axis=0)
        operands = [weight, values, offsets]
        if per_sample_weights is not None:
            operands.append(op.Reshape(per_sample_weights, op.Constant(value_ints=[-1])))
        has_padding = padding_idx is not None and padding_idx >= 0
        padding = {"padding_idx": padding_idx} if has_padding else {}
        pooled = norn.EmbeddingBag(*operands, mode=MODES[mode], **padding)
        # Only training reads the rest. Values of their own: the exporter notes their shapes, which
        # on `offsets` itself would overwrite the shape of an input.
        return pooled, op.Identity(offsets), op.Identity(offsets), op.Identity(offsets)

    aten = torch.ops.aten
    return {aten._embedding_bag.default: embedding_bag,
            aten._embedding_bag_forward_only.default: embedding_bag,
            aten.embedding_bag.padding_idx: embedding_bag}


def _register_schema():
    """Tell `onnx` of EmbeddingBag(weight, values, offsets[, weights]): onnxscript asks it."""
    defs = onnx.defs
    if defs.has("EmbeddingBag", DOMAIN):
        return
    Parameter, Attribute = defs.OpSchema.FormalParameter, defs.OpSchema.Attribute
    optional = defs.OpSchema.FormalParameterOption.Optional
    defs.register_schema(defs.OpSchema(
        "EmbeddingBag", DOMAIN, 1,
        inputs=[Parameter("weight", "T"), Parameter("values", "tensor(int64)"),
                Parameter("offsets", "tensor(int64)"),
                Parameter("weights", "T", param_option=optional)],
        outputs=[Parameter("pooled", "T")],
        type_constraints=[("T", ["tensor(float)"], "")],
        attributes=[Attribute("mode", defs.OpSchema.AttrType.STRING),
                    Attribute("padding_idx", defs.OpSchema.AttrType.INT, required=False)]))
