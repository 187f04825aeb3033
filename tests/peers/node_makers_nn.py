"""More of node_makers: products, windows, images, recurrence, quantities, signals."""

import numpy as np

from node_makers import F32, F64, Case, maker


@maker("MatMul", "Gemm", "Einsum", "MatMulInteger", "QLinearMatMul", "Det")
def product(r, op):
    m, k, n = (r.pick(sizes) for sizes in ((1, 2, 5, 16, 17, 33), (1, 3, 8, 17, 40), (1, 2, 15, 16, 17, 33)))
    if r.chance(0.3):  # past one block in one dim: 120 rows, 256 deep, 256 columns
        wide = r.int(0, 2)
        m, k, n = (r.pick(sizes) if d == wide else old for d, (old, sizes) in
                   enumerate(((m, (119, 120, 121)), (k, (255, 256, 257)), (n, (63, 64, 65, 255, 256, 257)))))
    if op == "Gemm":
        ta, tb = r.int(0, 1), r.int(0, 1)
        bias = r.pick((None, [n], [1, n], [m, 1], [m, n], [1], []))
        dtype = r.pick((F32, F32, F64))
        inputs = [r.array([k, m] if ta else [m, k], dtype), r.array([n, k] if tb else [k, n], dtype)]
        return Case(op, inputs + ([r.array(bias, dtype)] if bias is not None else []),
                    {"transA": ta, "transB": tb, "alpha": r.pick((1.0, 0.5)), "beta": r.pick((1.0, 2.0))}, tolerance=4)
    if op == "Einsum":
        b, i, j, d = (r.int(1, 6) for _ in range(4))
        form, shapes = r.pick((("bij,bjd->bid", ([b, i, j], [b, j, d])), ("bij,bdj->bid", ([b, i, j], [b, d, j])),
                               ("ij->ji", ([i, j],)), ("bij->b", ([b, i, j],)), ("ii->i", ([i, i],)),
                               ("bi,bj->bij", ([b, i], [b, j])), ("bij,bij->bi", ([b, i, j], [b, i, j])),
                               ("...ij,...jd->...id", ([b, 2, i, j], [b, 2, j, d])), ("ij,jd,db->ib", ([i, j], [j, d], [d, b])),
                               ("bid,bjd->bij", ([b, i, d], [b, j, d])), ("i,j->ij", ([i], [j]))))
        return Case(op, [r.array(s) for s in shapes], {"equation": form}, tolerance=4)
    if op == "Det":
        return Case(op, [r.array([*([r.int(1, 4)] * r.int(0, 2)), *([r.int(1, 5)] * 2)])], tolerance=10)
    batch = r.pick(([], [3], [2, 1], [2, 3]))
    other = r.pick((batch, [1] * len(batch), batch[1:], []))
    a, b = [*batch, m, k], [*other, k, n]
    if op == "MatMul":
        if r.chance(0.15):
            a, b = r.pick((([k], b), (a, [k])))
        dtype = r.pick((F32, F32, F64, np.int32))
        return Case(op, [r.array(a, dtype), r.array(b, dtype)], tolerance=4)
    u, v = r.pick((np.uint8, np.int8)), r.pick((np.uint8, np.int8))
    if op == "MatMulInteger":
        v = np.int8 if u == np.int8 else v
        return Case(op, [r.array(a, u), r.array(b, v), np.asarray(3, u), np.asarray(2, v)][:r.int(2, 4)])
    s = lambda x: np.asarray(x, F32)  # noqa: E731
    return Case(op, [r.array([m, k], u), s(0.11), np.asarray(3, u), r.array([k, n], u), s(0.23), np.asarray(2, u),
                     s(0.9), np.asarray(5, u)], tolerance="round")


def window(r, sizes, transposed=False):
    """Attributes of a sliding window over `sizes`, and the kernel."""
    kernel = [r.int(1, min(3, d)) for d in sizes]
    dilations = [1 if k == 1 or (d < 2 * (k - 1) + 1 and not transposed) else r.pick((1, 1, 2))
                 for k, d in zip(kernel, sizes)]
    pads = [r.int(0, k - 1) for k in kernel * 2]
    more = {"strides": [r.int(1, 3) for _ in sizes]}
    if r.chance(0.25):
        more["auto_pad"] = r.pick(("SAME_UPPER", "SAME_LOWER", "VALID"))
        dilations = [1] * len(sizes)
        if more["auto_pad"] != "VALID":  # a stride past the kernel would pad by less than nothing
            more["strides"] = [min(s, k) for s, k in zip(more["strides"], kernel)]
    else:
        more["pads"] = pads
    return kernel, more | {"dilations": dilations}


@maker("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv")
def conv(r, op):
    rank = r.pick((1, 2, 2, 3)) if op in ("Conv", "ConvTranspose") else 2
    sizes = [r.int(3, 11 if rank < 3 else 6) for _ in range(rank)]
    groups = r.pick((1, 1, 2, 3))
    c, o = groups * r.int(1, 4), groups * r.int(1, 5)
    n = r.int(1, 3)
    kernel, more = window(r, sizes, op == "ConvTranspose")
    more |= {"group": groups, "kernel_shape": kernel}
    if op == "ConvTranspose":
        more.pop("auto_pad", None)
        if r.chance(0.3):
            more["output_padding"] = [r.int(0, max(0, max(s, d) - 1)) for s, d in zip(more["strides"], more["dilations"])]
        w = r.array([c, o // groups, *kernel])
        return Case(op, [r.array([n, c, *sizes]), w, *([r.array([o])] if r.chance() else [])], more, tolerance=4)
    if op == "Conv":
        w = r.array([o, c // groups, *kernel])
        return Case(op, [r.array([n, c, *sizes]), w, *([r.array([o])] if r.chance() else [])], more, tolerance=4)
    if op == "ConvInteger":
        return Case(op, [r.array([n, c, *sizes], np.uint8), r.array([o, c // groups, *kernel], np.uint8),
                         np.asarray(3, np.uint8), np.asarray(2, np.uint8)][:r.int(2, 4)], more)
    if op == "DeformConv":
        more.pop("auto_pad", None)
        more["pads"] = [0, 0, 0, 0]
        more["strides"] = [1, 1]
        out = [d - (k - 1) * q for d, k, q in zip(sizes, kernel, more["dilations"])]
        if min(out) < 1:
            return conv(r, "Conv")
        offset = r.array([n, 2 * kernel[0] * kernel[1], *out], scale=0.7)
        return Case(op, [r.array([n, c, *sizes]), r.array([o, c // groups, *kernel]), offset], more, tolerance=4)
    s = lambda x: np.asarray(x, F32)  # noqa: E731
    wide = r.chance()
    ws = (np.abs(r.array([o])) * 0.1 + F32(0.05)).astype(F32) if wide else s(0.2)
    wz = np.zeros([o] if wide else [], np.int8)
    bias = [r.array([o], np.int32)] if r.chance() else []
    return Case(op, [r.array([n, c, *sizes], np.uint8), s(0.1), np.asarray(3, np.uint8),
                     r.array([o, c // groups, *kernel], np.int8), ws, wz, s(0.8), np.asarray(9, np.uint8), *bias],
                more, tolerance="round")


@maker("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def pool(r, op):
    rank = r.pick((1, 2, 2, 3))
    sizes = [r.int(3, 11 if rank < 3 else 6) for _ in range(rank)]
    x = r.array([r.int(1, 3), r.int(1, 4), *sizes])
    if op.startswith("Global"):
        return Case(op, [x], {"p": r.int(1, 3)} if op == "GlobalLpPool" else {}, tolerance=4)
    kernel, more = window(r, sizes)
    if "pads" in more:
        more["pads"] = [min(p, k // 2) for p, k in zip(more["pads"], kernel * 2)]
        more["ceil_mode"] = r.int(0, 1)
    more["kernel_shape"] = kernel
    if op == "AveragePool":
        more["count_include_pad"] = r.int(0, 1)
    if op == "LpPool":
        more["p"] = r.int(1, 3)
    outputs = (True,)
    if op == "MaxPool" and r.chance(0.4):
        outputs, more["storage_order"] = (True, True), r.int(0, 1)
    return Case(op, [x], more, outputs, tolerance=4)


@maker("RoiAlign", "MaxRoiPool", "Resize", "GridSample", "AffineGrid", "NonMaxSuppression", "Col2Im")
def image(r, op):
    n, c, h, w = r.int(1, 3), r.int(1, 4), r.int(2, 9), r.int(2, 9)
    x = r.array([n, c, h, w])
    if op in ("RoiAlign", "MaxRoiPool"):
        count = r.int(1, 5)
        corner = r.rng.random((count, 2)) * [w / 2, h / 2]
        boxes = np.concatenate([corner, corner + 0.5 + r.rng.random((count, 2)) * [w / 2, h / 2]], 1).astype(F32)
        which = r.rng.integers(0, n, count)
        oh, ow = r.int(1, 4), r.int(1, 4)
        if op == "MaxRoiPool":
            rois = np.concatenate([which[:, None].astype(F32), np.round(boxes)], 1).astype(F32)
            return Case(op, [x, rois], {"pooled_shape": [oh, ow], "spatial_scale": r.pick((1.0, 0.5))})
        return Case(op, [x, boxes, which.astype(np.int64)],
                    {"output_height": oh, "output_width": ow, "sampling_ratio": r.int(0, 3), "mode": r.pick(("avg", "max")),
                     "spatial_scale": r.pick((1.0, 0.5)),
                     "coordinate_transformation_mode": r.pick(("half_pixel", "output_half_pixel"))}, tolerance=4)
    if op == "Resize":
        mode = r.pick(("nearest", "linear", "cubic"))
        transform = r.pick(("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"))
        more = {"mode": mode, "coordinate_transformation_mode": transform}
        if mode == "nearest":
            more["nearest_mode"] = r.pick(("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
        if mode == "cubic":
            more |= {"cubic_coeff_a": r.pick((-0.75, -0.5)), "exclude_outside": r.int(0, 1)}
        if mode != "cubic" and r.chance(0.3):
            x = r.array([r.int(1, 5) for _ in range(r.int(1, 4))])
            targets = [r.int(1, 7) for _ in x.shape]
            if mode == "linear" and x.ndim > 2:
                targets[:-2] = x.shape[:-2]
        else:
            targets = [n, c, r.int(1, 14), r.int(1, 14)]
        if r.chance(0.3) and x.ndim >= 2:  # some axes only, in any order, the ratio kept or not
            axes = [x.ndim - 2, x.ndim - 1] if r.chance() else [x.ndim - 1]
            targets = [targets[a] for a in axes]
            more["keep_aspect_ratio_policy"] = r.pick(("stretch", "not_larger", "not_smaller"))
            signed = more["keep_aspect_ratio_policy"] == "stretch"  # else the peers forget negative axes
            more["axes"] = [a - x.ndim if signed and r.chance() else a for a in axes]
            return Case(op, [x, None, None, np.int64(targets)], more, tolerance=10)
        if r.chance(0.15) and mode != "cubic":
            more |= {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 7.0}
            edges = np.sort(r.rng.random((2, x.ndim)) * 1.2, 0)
            if x.ndim > 2:
                edges[:, :-2] = [[0], [1]]
            return Case(op, [x, edges.astype(F32).ravel(), None, np.int64(targets)], more, tolerance=50)
        if r.chance():
            return Case(op, [x, None, None, np.int64(targets)], more, tolerance=10)
        scales = F32([t / s for t, s in zip(targets, x.shape)])
        return Case(op, [x, None, scales], more, tolerance=10)
    if op == "GridSample":
        grid = (r.array([n, r.int(1, 6), r.int(1, 6), 2], scale=0.8)).astype(F32)
        return Case(op, [x, grid], {"mode": r.pick(("linear", "nearest", "cubic")), "align_corners": r.int(0, 1),
                                    "padding_mode": r.pick(("zeros", "border", "reflection"))}, tolerance=50)
    if op == "AffineGrid":
        flat = r.chance()
        theta = r.array([n, 2, 3] if flat else [n, 3, 4])
        return Case(op, [theta, np.int64([n, c, h, w] if flat else [n, c, 2, h, w])], {"align_corners": r.int(0, 1)})
    if op == "Col2Im":
        kh, kw = r.int(1, min(2, h)), r.int(1, min(2, w))
        blocks = (h - kh + 1) * (w - kw + 1)
        return Case(op, [r.array([n, c * kh * kw, blocks]), np.int64([h, w]), np.int64([kh, kw])], tolerance=4)
    batches, boxes, classes = r.int(1, 2), r.int(1, 9), r.int(1, 3)
    corner = r.rng.random((batches, boxes, 2))
    at = np.concatenate([corner, corner + 0.2 + r.rng.random((batches, boxes, 2))], 2).astype(F32)
    scores = r.rng.permutation(batches * classes * boxes).reshape(batches, classes, boxes).astype(F32)
    return Case(op, [at, scores / F32(scores.size), np.int64([r.int(1, 5)]), F32([r.pick((0.2, 0.5))]), F32([0.1])],
                {"center_point_box": r.int(0, 1)})


@maker("RNN", "GRU", "LSTM")
def recurrent(r, op):
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    direction = r.pick(("forward", "reverse", "bidirectional"))
    d = 2 if direction == "bidirectional" else 1
    t, b, i, h = r.int(1, 5), r.int(1, 4), r.pick((1, 3, 8)), r.pick((1, 4, 9, 17))
    inputs = [r.array([t, b, i], scale=0.5), r.array([d, gates * h, i], scale=0.4), r.array([d, gates * h, h], scale=0.4),
              r.array([d, 2 * gates * h]) if r.chance() else None,
              np.asarray(r.rng.integers(1, t + 1, b), np.int32) if r.chance() else None,
              r.array([d, b, h]) if r.chance() else None]
    if op == "LSTM":
        inputs += [r.array([d, b, h]) if r.chance() else None, r.array([d, 3 * h]) if r.chance(0.4) else None]
    more = {"hidden_size": h, "direction": direction}
    if op == "GRU":
        more["linear_before_reset"] = r.int(0, 1)
    if r.chance(0.2):
        more["clip"] = 0.7
    while inputs[-1] is None:
        inputs.pop()
    return Case(op, inputs, more, (True, True, True)[:3 if op == "LSTM" else 2], tolerance=10)


@maker("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
def quantity(r, op):
    x, kind = r.array(r.shape(2, 4), scale=4), r.pick((np.uint8, np.int8))
    if op == "DynamicQuantizeLinear":
        return Case(op, [x], {}, (True, True, True), tolerance="round")
    axis = r.axis(x.ndim)
    size = [] if r.chance(0.4) else [x.shape[axis]]
    scale = (np.abs(r.array(size)) + F32(0.1)).astype(F32)
    zero = [np.abs(r.array(size, kind)).astype(kind)] if r.chance(0.7) else []
    if op == "QuantizeLinear":
        return Case(op, [x, scale, *zero], {"axis": axis}, tolerance="round")
    return Case(op, [r.array(x.shape, kind), scale, *zero], {"axis": axis})


@maker("DFT", "STFT", "HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix")
def signal(r, op):
    if op.endswith("Window"):
        return Case(op, [np.asarray(r.int(2, 33), np.int64)], {"periodic": r.int(0, 1)})
    if op == "MelWeightMatrix":
        return Case(op, [np.asarray(v, np.int64) for v in (r.int(3, 9), r.pick((16, 32, 64)), 8000)] +
                    [F32(0), F32(r.pick((3000, 4000)))], tolerance=10)
    if op == "STFT":
        frame, step = r.pick((4, 8, 5)), r.int(1, 4)
        x = r.array([r.int(1, 3), r.int(frame, 40), 1])
        window_given = [r.array([frame])] if r.chance() else [None]
        return Case(op, [x, np.asarray(step, np.int64), *window_given, np.asarray(frame, np.int64)],
                    {"onesided": 1}, tolerance=50)
    x = r.array([r.int(1, 3), r.int(1, 17), r.int(1, 5), r.pick((1, 2))])
    inverse = r.int(0, 1) if x.shape[-1] == 2 else 0
    length = [np.asarray(r.int(1, 20), np.int64)] if r.chance(0.3) else [None]
    one_sided = r.int(0, 1) if x.shape[-1] == 1 else 0
    return Case(op, [x, *length, np.asarray(r.pick((1, 2)), np.int64)], {"inverse": inverse, "onesided": one_sided},
                tolerance=50)


@maker("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def loss(r, op):
    n, c, rest = r.int(1, 5), r.int(1, 6), [r.int(1, 4) for _ in range(r.int(0, 2))]
    x = r.array([n, c, *rest])
    labels = np.asarray(r.rng.integers(0, c, [n, *rest]), r.pick((np.int64, np.int32)))
    more = {"reduction": r.pick(("none", "mean", "sum"))}
    if r.chance(0.4):
        more["ignore_index"] = r.int(0, c - 1)
        labels.flat[0] = (more["ignore_index"] + 1) % c
    weights = [np.abs(r.array([c])) + F32(0.1)] if r.chance() else []
    return Case(op, [x, labels, *(w.astype(F32) for w in weights)], more, tolerance=10)
