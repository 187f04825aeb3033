"""Random operands and attributes of one operator: what tests/peers/random_nodes.py builds nodes from."""

import dataclasses

import numpy as np

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)
F32, F64, F16 = np.float32, np.float64, np.float16
INTS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
MAKERS = {}


@dataclasses.dataclass
class Case:
    op: str
    inputs: list  # arrays; None for one that is left out
    attributes: dict = dataclasses.field(default_factory=dict)
    outputs: tuple = (True,)  # which are asked for
    tolerance: object = 1  # times the type's own; "round": integers may be off by one


class Random:
    """Draws of one case."""

    def __init__(self, rng):
        self.rng = rng

    def chance(self, p=0.5):
        return bool(self.rng.random() < p)

    def pick(self, items):
        return items[int(self.rng.integers(len(items)))]

    def int(self, low, high):
        """Both ends included."""
        return int(self.rng.integers(low, high + 1))

    def shape(self, low=1, high=4, most=6000):
        while True:
            dims = [self.pick(SIZES) for _ in range(self.int(low, high))]
            if np.prod(dims) <= most:
                return dims

    def array(self, shape, dtype=F32, scale=1.0):
        if np.dtype(dtype).kind == "f":
            return np.asarray(self.rng.standard_normal(shape) * scale, dtype)
        if dtype == np.bool_:
            return np.asarray(self.rng.random(shape) < 0.5)
        low = 0 if np.dtype(dtype).kind == "u" else -9
        return np.asarray(self.rng.integers(low, 10, shape), dtype)

    def index(self, shape, size):
        return np.asarray(self.rng.integers(-size, size, shape), self.pick((np.int64, np.int32)))

    def axis(self, rank):
        return self.int(-rank, rank - 1)

    def broadcast(self, count):
        """Shapes that go together."""
        whole, shapes = self.shape(1, 4, 3000), []
        for _ in range(count):
            kept = [1 if self.chance(0.25) else d for d in whole]
            shapes.append(kept[self.int(0, len(kept)) if self.chance(0.4) else 0:])
        return shapes


def maker(*ops):
    def note(function):
        for op in ops:
            MAKERS[op] = function
        return function
    return note


def make(rng, only=None):
    op = only or str(rng.choice(sorted(MAKERS)))
    return MAKERS[op](Random(rng), op)


# ---- element by element

@maker("Abs", "Neg", "Sign", "Ceil", "Floor", "Round", "Exp", "Erf", "Sin", "Cos", "Tanh", "Sigmoid", "Relu",
       "Softplus", "Softsign", "HardSwish", "Mish", "Not", "Identity", "Atan", "Sinh", "Cosh", "Asinh", "IsNaN",
       "BitwiseNot")
def unary(r, op):
    dtype = {"Not": np.bool_, "BitwiseNot": r.pick(INTS), "HardSwish": F32, "Erf": F32}.get(op) or r.pick((F32, F32, F64))
    if op in ("Abs", "Neg", "Sign") and r.chance():
        dtype = r.pick((np.int32, np.int64, np.int8))
    return Case(op, [r.array(r.shape(0), dtype, 2)])


@maker("Sqrt", "Log", "Reciprocal")
def positive(r, op):
    return Case(op, [(np.abs(r.array(r.shape(0))) + F32(0.25)).astype(F32)])


@maker("Elu", "LeakyRelu", "Celu", "ThresholdedRelu", "Selu", "HardSigmoid", "Shrink", "Gelu")
def with_alpha(r, op):
    x, a, b = r.array(r.shape(0)), r.pick((0.1, 0.3, 1.5)), r.pick((0.2, 0.7))
    names = {"Selu": {"alpha": a, "gamma": b}, "HardSigmoid": {"alpha": a, "beta": b},
             "Shrink": {"lambd": b, "bias": a}, "Gelu": {"approximate": r.pick(("none", "tanh"))}}
    return Case(op, [x], names.get(op, {"alpha": a}))


@maker("Add", "Sub", "Mul", "Div", "Max", "Min", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
def binary(r, op):
    dtype = r.pick((F32, F32, F64, np.int32, np.int64, np.int8, np.uint8))
    a, b = (r.array(shape, dtype) for shape in r.broadcast(2))
    if op == "Div" and np.dtype(dtype).kind in "iu":
        b = np.where(b == 0, np.ones_like(b), b)
    more = [r.array(a.shape, dtype)] if op in ("Max", "Min") and r.chance(0.3) else []
    return Case(op, [a, b, *more])


@maker("And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift", "Mod", "Pow", "PRelu")
def other_binary(r, op):
    shapes, more = r.broadcast(2), {}
    dtype = np.bool_ if op in ("And", "Or", "Xor") else r.pick(INTS)
    if op == "BitShift":
        dtype, more = r.pick((np.uint8, np.uint32, np.uint64)), {"direction": r.pick(("LEFT", "RIGHT"))}
    if op == "PRelu":
        x = r.array(r.shape(2, 4))
        return Case(op, [x, r.array([x.shape[1]] + [1] * (x.ndim - 2))])
    if op == "Pow":
        return Case(op, [(np.abs(r.array(shapes[0])) + 0.5).astype(F32), r.array(shapes[1])])
    if op == "Mod" and r.chance(0.4):
        b = r.array(shapes[1])
        return Case(op, [r.array(shapes[0], scale=5), np.where(np.abs(b) < 0.1, F32(1), b)], {"fmod": 1})
    a, b = (r.array(shape, dtype) for shape in shapes)
    if op == "Mod":
        dtype = r.pick((np.int32, np.int64, np.int8))
        a, b = a.astype(dtype), np.where(b.astype(dtype) == 0, np.ones_like(b), b).astype(dtype)
        more = {"fmod": r.int(0, 1)}
    return Case(op, [a, b], more)


@maker("Where", "Clip", "Cast", "IsInf", "Sum", "Mean")
def several(r, op):
    if op == "Where":
        c, a, b = r.broadcast(3)
        dtype = r.pick((F32, np.int64, np.uint8, F64))
        return Case(op, [r.array(c, np.bool_), r.array(a, dtype), r.array(b, dtype)])
    if op == "Clip":
        dtype = r.pick((F32, np.int32, F64))
        low, high = np.asarray(-1, dtype), np.asarray(1, dtype)
        return Case(op, [r.array(r.shape(), dtype, 2), low if r.chance(0.7) else None, high if r.chance(0.7) else None])
    if op == "Cast":
        source = r.pick((F32, F64, F16, np.int64, np.int32, np.uint8, np.bool_, np.int8))
        return Case(op, [np.abs(r.array(r.shape(), source, 3)).astype(source)],
                    {"to": r.pick((1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13))})
    if op == "IsInf":
        x = r.array(r.shape())
        x.flat[::3], x.flat[1::3] = np.inf, -np.inf
        return Case(op, [x], {"detect_negative": r.int(0, 1), "detect_positive": r.int(0, 1)})
    return Case(op, [r.array(shape) for shape in r.broadcast(r.int(1, 4))])


# ---- along axes

@maker("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
       "ReduceLogSum", "ReduceLogSumExp")
def reduce(r, op):
    x = r.array(r.shape(), r.pick((F32, F32, F64)) if op != "ReduceSum" else r.pick((F32, np.int32, np.int64)))
    if op == "ReduceLogSum":
        x = np.abs(x) + x.dtype.type(0.1)
    axes = [a - x.ndim if r.chance() else a for a in range(x.ndim) if r.chance()]
    r.rng.shuffle(axes)
    given = np.int64(axes) if axes or r.chance() else None
    return Case(op, [x, given], {"keepdims": r.int(0, 1), "noop_with_empty_axes": r.int(0, 1)}, tolerance=4)


@maker("ArgMax", "ArgMin", "CumSum", "Softmax", "LogSoftmax", "Hardmax", "TopK", "LpNormalization")
def along(r, op):
    x = r.array(r.shape(), r.pick((F32, np.int32)) if op in ("ArgMax", "ArgMin", "CumSum") else F32)
    axis = r.axis(x.ndim)
    if op in ("ArgMax", "ArgMin"):
        return Case(op, [x], {"axis": axis, "keepdims": r.int(0, 1), "select_last_index": r.int(0, 1)})
    if op == "CumSum":
        return Case(op, [x, np.asarray(axis, np.int64)], {"exclusive": r.int(0, 1), "reverse": r.int(0, 1)})
    if op == "TopK":
        x = r.rng.permutation(x.size).reshape(x.shape).astype(r.pick((F32, np.int64)))
        return Case(op, [x, np.int64([r.int(1, x.shape[axis])])], {"axis": axis, "largest": r.int(0, 1)}, (True, True))
    return Case(op, [x], {"axis": axis} | ({"p": r.int(1, 2)} if op == "LpNormalization" else {}))


@maker("LayerNormalization", "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN",
       "MeanVarianceNormalization", "RMSNormalization")
def normalize(r, op):
    x = r.array(r.shape(3, 4))
    c = x.shape[1]
    if op in ("LayerNormalization", "RMSNormalization"):
        axis = r.axis(x.ndim)
        rest = x.shape[axis:]
        return Case(op, [x, r.array(rest), *([r.array(rest)] if op[0] == "L" and r.chance() else [])],
                    {"axis": axis, "epsilon": r.pick((1e-5, 0.1))}, tolerance=4)
    if op == "BatchNormalization":
        return Case(op, [x, r.array([c]), r.array([c]), r.array([c]), np.abs(r.array([c])) + F32(0.5)],
                    {"epsilon": r.pick((1e-5, 0.1))}, tolerance=4)
    if op == "InstanceNormalization":
        return Case(op, [x, r.array([c]), r.array([c])], {"epsilon": r.pick((1e-5, 0.1))}, tolerance=10)
    if op == "GroupNormalization":
        groups = r.pick([g for g in range(1, c + 1) if c % g == 0])
        return Case(op, [x, r.array([c]), r.array([c])], {"num_groups": groups, "epsilon": 0.1}, tolerance=10)
    if op == "LRN":
        x = r.array([r.int(1, 3), r.int(1, 9), r.int(1, 5), r.int(1, 5)])
        return Case(op, [x], {"size": r.pick((1, 3, 5)), "alpha": 0.3, "beta": 0.6, "bias": 1.5}, tolerance=4)
    x = r.array([r.int(2, 4), r.int(1, 5), r.int(2, 6), r.int(2, 6)])
    return Case(op, [x], {"axes": r.pick(([0, 2, 3], [0, 1], [1, 3]))}, tolerance=10)


# ---- moving

@maker("Transpose", "Concat", "Split", "Slice", "Expand", "Tile", "Pad", "Trilu", "Flatten", "Squeeze", "Unsqueeze",
       "Reshape", "ReverseSequence", "DepthToSpace", "SpaceToDepth", "CenterCropPad")
def move(r, op):
    dtype = r.pick((F32, F32, np.int64, np.uint8, F16, F64, np.bool_, np.int16))
    shape = r.shape()
    x, rank, axis = r.array(shape, dtype), len(shape), r.axis(len(shape))
    if op == "Transpose":
        return Case(op, [r.array([min(d, 9) for d in r.shape(1, 5)], dtype)] if r.chance(0.1) else [x],
                    {"perm": [int(p) for p in r.rng.permutation(rank)]} if r.chance(0.9) else {})
    if op == "Concat":
        parts = []
        for _ in range(r.int(1, 4)):
            dims = list(shape)
            dims[axis] = r.pick((0, 1, 2, 5, 17))
            parts.append(r.array(dims, dtype))
        return Case(op, parts, {"axis": axis})
    if op == "Split":
        cuts = sorted(r.int(0, shape[axis]) for _ in range(r.int(0, 3)))
        sizes = np.diff([0, *cuts, shape[axis]])
        if r.chance(0.3):
            parts = r.int(1, min(shape[axis], 5))
            if -(-shape[axis] // parts) * (parts - 1) < shape[axis]:
                return Case(op, [x], {"axis": axis, "num_outputs": parts}, (True,) * parts)
        return Case(op, [x, np.int64(sizes)], {"axis": axis}, (True,) * len(sizes))
    if op == "Slice":
        axes = [a for a in range(rank) if r.chance()] or [0]
        steps = [r.pick((1, 1, 2, 3, -1, -2)) for _ in axes]
        begins = [r.int(-shape[a] - 1, shape[a]) for a in axes]
        ends = [r.pick((r.int(-shape[a] - 1, shape[a] + 1), 2 ** 40, -2 ** 40)) for a in axes]
        signed = [a - rank if r.chance() else a for a in axes]
        kind = r.pick((np.int64, np.int32)) if max(map(abs, ends)) < 2 ** 31 else np.int64
        return Case(op, [x, *(np.asarray(v, kind) for v in (begins, ends, signed, steps))])
    if op == "Expand":
        a, b = r.broadcast(2)
        return Case(op, [r.array(a, dtype), np.int64(b)])
    if op == "Tile":
        shape = [min(d, 7) for d in shape]
        return Case(op, [r.array(shape, dtype), np.int64([r.int(0 if r.chance(0.05) else 1, 3) for _ in shape])])
    if op == "Pad":
        mode = r.pick(("constant", "reflect", "edge", "wrap"))
        shape = [min(d, 9) for d in shape]
        most = [d - 1 if mode == "reflect" else min(d, 3) for d in shape]
        pads = [r.int(-1 if mode == "constant" and d > 3 else 0, min(m, 4)) for d, m in zip(shape * 2, most * 2)]
        value = [r.array([], dtype)] if mode == "constant" and r.chance(0.7) else []
        if value and r.chance(0.4):
            axes = sorted(set(r.int(0, rank - 1) for _ in range(2)))
            pads = [pads[a] for a in axes] + [pads[rank + a] for a in axes]
            value.append(np.int64([a - rank if r.chance() else a for a in axes]))
        return Case(op, [r.array(shape, dtype), np.int64(pads), *value], {"mode": mode})
    if op == "Trilu":
        x = r.array(r.shape(2, 4), dtype)
        return Case(op, [x, *([np.asarray(r.int(-5, 5), np.int64)] if r.chance(0.8) else [])], {"upper": r.int(0, 1)})
    if op == "Flatten":
        return Case(op, [x], {"axis": r.int(-rank, rank)})
    if op == "Unsqueeze":
        axes = sorted(set(r.int(0, rank + 1) for _ in range(2)))
        axes = [a for a in axes if a < rank + len(axes)]
        return Case(op, [x, np.int64([a - rank - len(axes) if r.chance() else a for a in axes])])
    if op == "Squeeze":
        ones = r.int(0, 2)
        x = x.reshape([1] * ones + list(shape))
        axes = [a - x.ndim if r.chance() else a for a in range(x.ndim) if x.shape[a] == 1]
        return Case(op, [x, np.int64(axes)] if axes or r.chance() else [x])
    if op == "Reshape":
        dims = [int(d) for d in r.rng.permutation(shape)]
        if r.chance():
            dims[r.int(0, rank - 1)] = -1
        return Case(op, [x, np.int64(dims)])
    if op == "ReverseSequence":
        x = r.array(r.shape(2, 4), dtype)
        time = r.int(0, 1)
        lengths = [r.int(0, x.shape[time]) or 1 for _ in range(x.shape[1 - time])]
        return Case(op, [x, np.int64(lengths)], {"time_axis": time, "batch_axis": 1 - time})
    if op == "CenterCropPad":
        axes = [a for a in range(rank) if r.chance()] or [0]
        return Case(op, [x, np.int64([r.int(1, 12) for _ in axes])], {"axes": axes})
    b, c, h, w = r.int(1, 3), r.int(1, 5), r.int(1, 5), r.int(1, 5)
    size = r.int(1, 3)
    if op == "DepthToSpace":
        return Case(op, [r.array([b, c * size * size, h, w])], {"blocksize": size, "mode": r.pick(("DCR", "CRD"))})
    return Case(op, [r.array([b, c, h * size, w * size])], {"blocksize": size})


# ---- by index

@maker("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "OneHot", "NonZero", "Unique",
       "Compress", "Range", "EyeLike", "ConstantOfShape", "Shape", "Size")
def index(r, op):
    dtype = r.pick((F32, F32, np.int64, np.int32, F64))
    shape = r.shape()
    x, rank, axis = r.array(shape, dtype), len(shape), r.axis(len(shape))
    if op == "Gather":
        return Case(op, [x, r.index(r.shape(0, 2, 40), shape[axis])], {"axis": axis})
    if op == "GatherElements":
        dims = [r.int(1, d) for d in shape]
        return Case(op, [x, r.index(dims, shape[axis])], {"axis": axis})
    if op in ("GatherND", "ScatterND"):
        batch = r.int(0, rank - 1) if op == "GatherND" else 0
        depth = r.int(1, rank - batch)
        rows = shape[:batch] + [r.int(1, 5) for _ in range(r.int(0, 2))]
        if op == "ScatterND":
            rows = [r.int(1, max(1, min(9, int(np.prod(shape[:depth])))))]
        at = np.stack([r.rng.integers(-d, d, rows) for d in shape[batch:batch + depth]], -1).astype(np.int64)
        if op == "GatherND":
            return Case(op, [x, at], {"batch_dims": batch})
        how = r.pick(("none", "add", "mul", "max", "min"))
        if how == "none":  # each place once: the order is nobody's business
            flat = r.rng.permutation(int(np.prod(shape[:depth])))[:rows[0]]
            at = np.stack(np.unravel_index(flat, shape[:depth]), -1).astype(np.int64)
        return Case(op, [x, at, r.array([rows[0], *shape[depth:]], dtype)], {"reduction": how}, tolerance=2)
    if op == "ScatterElements":
        dims = [r.int(1, d) for d in shape]
        how = r.pick(("none", "add", "mul", "max", "min"))
        at = r.index(dims, shape[axis])
        if how == "none":
            at = np.argsort(r.rng.random([*dims[:axis % rank], shape[axis], *dims[axis % rank + 1:]]), axis)
            at = np.take(at, range(dims[axis]), axis).astype(np.int64)
        return Case(op, [x, at, r.array(dims, dtype)], {"axis": axis, "reduction": how}, tolerance=2)
    if op == "OneHot":
        at, depth = np.asarray(r.rng.integers(-9, 9, r.shape(1, 3, 200)), np.int64), r.int(1, 12)
        return Case(op, [at, np.asarray(depth, np.int64), r.array([2])], {"axis": r.int(-at.ndim - 1, at.ndim)})
    if op == "NonZero":
        return Case(op, [r.array(shape, np.bool_)])
    if op == "Unique":
        x = np.asarray(r.rng.integers(0, 4, r.shape(1, 3, 400)), r.pick((F32, np.int64)))
        more = {"axis": r.axis(x.ndim)} if r.chance() else {}
        if x.dtype == F32 and not more and r.chance(0.3):
            x.flat[0] = np.inf
        keep = (True, r.chance(), r.chance(), r.chance(0.7))
        return Case(op, [x], {"sorted": r.int(0, 1), **more}, keep)
    if op == "Compress":
        if r.chance():
            return Case(op, [x, r.array([r.int(1, shape[axis])], np.bool_)], {"axis": axis})
        return Case(op, [x, r.array([r.int(1, x.size)], np.bool_)])
    if op == "Range":
        step = r.pick((1, 2, -1, 3))
        kind = r.pick((np.int64, np.int32, F32, F64))
        return Case(op, [np.asarray(v, kind) for v in (r.int(-5, 5), r.int(-20, 40), step)])
    if op == "EyeLike":
        return Case(op, [r.array(r.shape(2, 2))], {"k": r.int(-4, 4), "dtype": r.pick((1, 7, 11))})
    if op == "ConstantOfShape":
        return Case(op, [np.int64(shape)])
    if op == "Shape":
        return Case(op, [x], {"start": r.int(-rank, rank), "end": r.int(-rank, rank)})
    return Case(op, [x])
