"""What the commands say of models that are right, word by word: tests/peers/transcripts/commands.txt.

    NORN_UPDATE=1 python -m unittest discover -s tests/peers -p test_commands.py     writes it anew: read the diff

golden/cli has the command lines that are wrong. Times are masked; of numbers that a model gives, four digits stand.
Of the patterns of near_cases.py all are shown to `compile --explain` and every form of `inspect`: SHOWN to the word, the rest as digests.
"""
import copy
import hashlib
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import unittest

import near_cases
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

HERE = pathlib.Path(__file__).resolve().parent
PAGE = HERE / "transcripts" / "commands.txt"
PACKAGE = HERE.parents[1] / "examples/movielens/repository/movielens/1"
NORN = os.environ.get("NORN") or str(HERE.parents[1] / "build/release/bin/norn")
SHOWN = ("mlp", "lookup_column", "bag_masked", "fm", "dots", "attention", "row_reduce", "experts", "chosen", "counted")
FORMS = ("compile {model} --explain", "inspect {model} --nodes --batch 7", "inspect {model} --graph", "inspect {model} --json",
         "inspect {model} --html {tmp}/page.html")


def four_digits(found):
    return f"{float(found.group()):.4g}"


def mask(text, tmp):
    text = text.replace(str(tmp), "$TMP").replace(str(PACKAGE), "$PACKAGE")
    text = re.sub(r"\d+\.\d\d s\b", "* s", text)
    text = re.sub(r"(MemAvailable|of memory|are free).*", r"\1 *", text)
    return re.sub(r"-?\d+\.\d{5,}(e[-+]?\d+)?", four_digits, text)


def save(path, text, initializers=(), opset=21, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}, "ai.norn" : 1]> {text}')
    for name, value in dict(initializers).items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save(model, path, **more)
    return model


def sparse(path):
    """y = x * s; s is a sparse initializer."""
    values = helper.make_tensor("s", TensorProto.FLOAT, [2], [3, 5])
    indices = helper.make_tensor("i", TensorProto.INT64, [2], [1, 5])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "s"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 3])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              sparse_initializer=[helper.make_sparse_tensor(values, indices, [2, 1, 3])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def varint(value):
    out, value = b"", value % (1 << 64)
    while value >= 128:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


def field(number, body):
    """A length-delimited field of protobuf."""
    return varint(number * 8 + 2) + varint(len(body)) + body


def write(path, graph, more=b"", functions=()):
    """A model whose graph ends in fields that onnx's own writer would not make."""
    model = helper.make_model(helper.make_graph([], "g", [], []), opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("own", 1)], ir_version=10)
    model.ClearField("graph")
    path.write_bytes(model.SerializeToString() + field(7, graph.SerializeToString() + more) + b"".join(field(25, body) for body in functions))


def raw_models(tmp):
    """Lists that are packed, types that are none of ours, tensors that lie: to the byte."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 3])
    add = helper.make_node("Add", ["x", "c"], ["y"])
    graph = helper.make_graph([], "g", [x], [y])
    packed = onnx.AttributeProto(name="value_floats", type=onnx.AttributeProto.FLOATS).SerializeToString()
    constant = helper.make_node("Constant", [], ["c"]).SerializeToString()
    tail = field(1, add.SerializeToString())
    write(tmp / "packed_floats.onnx", graph, field(1, constant + field(5, packed + field(7, np.float32([1, 2, 4]).tobytes()))) + tail)
    write(tmp / "cut_floats.onnx", graph, field(1, constant + field(5, packed + field(7, b"\0\0\0\0\0"))) + tail)
    ints = onnx.AttributeProto(name="perm", type=onnx.AttributeProto.INTS).SerializeToString() + field(8, bytes([0, 1]))
    write(tmp / "packed_ints.onnx", graph, field(1, helper.make_node("Transpose", ["x"], ["y"]).SerializeToString() + field(5, ints)))
    write(tmp / "cut_ints.onnx", graph, field(1, helper.make_node("Transpose", ["x"], ["y"]).SerializeToString() + field(5, ints[:-2] + bytes([0, 128]))))
    bare = TensorProto(name="c", data_type=TensorProto.FLOAT, raw_data=np.float32([1, 2, 4]).tobytes()).SerializeToString()
    write(tmp / "packed_dims.onnx", graph, tail + field(5, bare + field(1, bytes([1, 3]))))
    write(tmp / "cut_dims.onnx", graph, tail + field(5, bare + field(1, bytes([1, 131]))))
    write(tmp / "negative_dims.onnx", graph, tail + field(5, bare + field(1, b"\xff" * 9 + b"\x01")))
    write(tmp / "zero_in_name.onnx", graph, tail + field(5, bare + field(1, bytes([1, 3])) + field(8, b"a\0b")))
    for name, kind in (("map", helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))),
                       ("sparse_type", helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [2, 3])),
                       ("optional", helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))),
                       ("sequence", helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2])))):
        odd = helper.make_value_info("x", kind)
        write(tmp / f"type_{name}.onnx", helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [odd], [y]))
    values = helper.make_tensor("c", TensorProto.FLOAT, [2], [3, 5])
    for name, dims, index_dims, indices in (("linear", [2, 3], [2], [1, 5]), ("pairs", [2, 3], [2, 2], [0, 1, 1, 2]), ("outside", [2, 3], [2], [1, 6]),
                                            ("negative", [2, 3], [2], [-1, 5]), ("pair_outside", [2, 3], [2, 2], [0, 1, 1, 3]), ("deep", [2] * 9, [2], [1, 5]),
                                            ("eight", [1] * 6 + [2, 3], [2], [1, 5]), ("count", [2, 3], [3], [1, 2, 3]), ("triples", [2, 3], [2, 3], [0] * 6),
                                            ("negative_dim", [2, -3], [2], [1, 5]), ("largest", [4096, 4096], [2], [1, 5]), ("too_large", [4096, 4097], [2], [1, 5]), ("huge", [1 << 40, 1 << 40], [2], [1, 5])):
        at = helper.make_tensor("i", TensorProto.INT64, index_dims, indices)
        body = field(1, values.SerializeToString()) + field(2, at.SerializeToString()) + field(3, b"".join(varint(dim) for dim in dims))
        write(tmp / f"sparse_{name}.onnx", helper.make_graph([helper.make_node("Identity", ["c"], ["y"])], "g", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]),
              field(15, body))
    function = helper.make_function("own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 21)], [])
    with_default = helper.make_function("own", "Leak", ["a"], ["b"], [helper.make_node("LeakyRelu", ["a"], ["b"])], [helper.make_opsetid("", 21)], [],
                                        attribute_protos=[helper.make_attribute("alpha", 0.25)])
    with_default.node[0].attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="alpha", type=onnx.AttributeProto.FLOAT))
    other = onnx.FunctionProto.FromString(function.SerializeToString())
    other.overload = "other"
    other.node[0].op_type = "Mul"
    other.value_info.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, ["B", 3]))
    for name, node in (("function", helper.make_node("Twice", ["x"], ["y"], domain="own")), ("overload", helper.make_node("Twice", ["x"], ["y"], domain="own", overload="other")),
                       ("no_overload", helper.make_node("Twice", ["x"], ["y"], domain="own", overload="third")),
                       ("default", helper.make_node("Leak", ["x"], ["y"], domain="own")), ("given", helper.make_node("Leak", ["x"], ["y"], domain="own", alpha=0.5))):
        write(tmp / f"calls_{name}.onnx", helper.make_graph([node], "g", [x], [y]), functions=[f.SerializeToString() for f in (function, with_default, other)])


def body_models(tmp):
    """Loops, scans and choices whose bodies take or give another number of values than they must."""
    def body(inputs, outputs):
        ports = [helper.make_tensor_value_info(f"i{k}", kind, dims) for k, (kind, dims) in enumerate(inputs)]
        made = [helper.make_tensor_value_info(f"o{k}", kind, dims) for k, (kind, dims) in enumerate(outputs)]
        nodes = [helper.make_node("Constant", [], [f"o{k}"], value=numpy_helper.from_array(np.zeros(dims or (), helper.tensor_dtype_to_np_dtype(kind)))) for k, (kind, dims) in enumerate(outputs)]
        return helper.make_graph(nodes, "body", ports, made)

    step, go, row = (TensorProto.INT64, []), (TensorProto.BOOL, []), (TensorProto.FLOAT, [2])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(np.int64(3), "m"), numpy_helper.from_array(np.array(True), "c"), numpy_helper.from_array(np.float32([1, 2]), "s")]
    cases = {"right": ("Loop", ["m", "c", "s"], [step, go, row], [go, row]), "one": ("Loop", ["m", "c"], [step], [go]), "none": ("Loop", ["m", "c"], [], [go]),
             "only_count": ("Loop", ["m"], [step, go], [go, row]), "more": ("Loop", ["m", "c", "s"], [step, go, row, row], [go, row]), "less": ("Loop", ["m", "c", "s"], [step, go], [go, row]),
             "no_output": ("Loop", ["m", "c", "s"], [step, go, row], []), "no_state": ("Loop", ["m", "c", "s"], [step, go, row], [go]), "scanned": ("Loop", ["m", "c"], [step, go], [go, row]),
             "scan": ("Scan", ["s", "x"], [row, row], [row, row]), "scan_less": ("Scan", ["s", "x"], [row], [row, row]), "scan_more": ("Scan", ["s", "x"], [row, row, row], [row, row])}
    for name, (kind, operands, inputs, outputs) in cases.items():
        more = {"num_scan_inputs": 1} if kind == "Scan" else {}
        results = ["r", "y"] if len(outputs) == 3 or kind == "Scan" else ["y"]
        node = helper.make_node(kind, operands, results, body=body(inputs, outputs), **more)
        graph = helper.make_graph([node], "g", [x], [y], constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), tmp / f"body_{name}.onnx")
    return list(cases)


def outside_models(tmp):
    """Where the numbers are said to lie in another file, and how that is said."""
    np.float32([1, 2, 4, 8]).tofile(tmp / "numbers.bin")
    for name, entries in (("good", {"offset": "4", "length": "12"}), ("no_length", {"offset": "4"}), ("whole", {}), ("word", {"length": "many"}), ("offset_word", {"offset": "x"}),
                          ("short", {"length": "8"}), ("beyond", {"offset": "8", "length": "12"}), ("far", {"offset": "18446744073709551615", "length": "12"}),
                          ("up", {"location": "../numbers.bin"}), ("absolute", {"location": "/etc/passwd"}), ("checksum", {"offset": "0", "length": "12", "checksum": "0"})):
        tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
        for key, value in ({"location": "numbers.bin"} | entries).items():
            tensor.external_data.add(key=key, value=value)
        graph = helper.make_graph([helper.make_node("Neg", ["c"], ["y"])], "g", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])])
        write(tmp / f"outside_{name}.onnx", graph, field(5, tensor.SerializeToString()))


def make_models(tmp):
    floats = np.arange(12, dtype=np.float32).reshape(4, 3)
    save(tmp / "strings.onnx", "g (string[B] x) => (string[B] y, int64[1] n) { y = Identity(x) n = Shape(y) }")
    save(tmp / "scalar.onnx", "g (float[B,2] x) => (float y) { y = ReduceSum <keepdims: int = 0> (x) }")
    save(tmp / "fixed.onnx", "g (int32[2,2] x, bool[2] m) => (int32[2,2] y, bool[2] n) { y = Add(x, x) n = Not(m) }")
    save(tmp / "mixing.onnx", "g (float[B,2] x) => (float[B,2] y) { y = Softmax <axis: int = 0> (x) }")
    save(tmp / "optional.onnx", "g (float[B,3] x, float[4,3] w) => (float[B,4] y) { v = Transpose(w) y = MatMul(x, v) }", {"w": floats})
    save(tmp / "unknown.onnx", "g (float[B,3] x) => (float[?,?] y) { n = NonZero(x) y = Cast <to: int = 1> (n) }")
    save(tmp / "constant.onnx", "g () => (float[2] y) { y = Constant <value_floats: floats = [1.0, 2.5]> () }")
    save(tmp / "slash.onnx", 'g (float[B] x) => (float[B] y) { y = Neg(x) }')
    save(tmp / "many.onnx", "g (float[B,3] x, float16[B] h, bfloat16[B] b, double[B] d, uint8[B] u, int8[B] i, uint16[B] v, int16[B] j, "
         "uint32[B] w, int32[B] k, uint64[B] z, int64[B] l, bool[B] m) => (float[B,3] x1, float16[B] h1, bfloat16[B] b1, double[B] d1, uint8[B] u1, "
         "int8[B] i1, uint16[B] v1, int16[B] j1, uint32[B] w1, int32[B] k1, uint64[B] z1, int64[B] l1, bool[B] m1) { x1 = Identity(x) h1 = Identity(h) "
         "b1 = Identity(b) d1 = Identity(d) u1 = Identity(u) i1 = Identity(i) v1 = Identity(v) j1 = Identity(j) w1 = Identity(w) k1 = Identity(k) "
         "z1 = Identity(z) l1 = Identity(l) m1 = Identity(m) }")
    save(tmp / "refused.onnx", "g (float[B,3] x) => (float[B,3] y) { y = com.acme.Frobnicate(x) }")
    save(tmp / "table.onnx", "g (int64[B] k) => (float[B,3] y) { y = Gather(w, k) }", {"w": np.tile(floats, (100, 1))})
    save(tmp / "words.onnx", 'g () => (string a, string[2] b, int64 i, int64[2] j, float f) { a = Constant <value_string: string = "abc"> () '
         'b = Constant <value_strings: strings = ["x", "yz"]> () i = Constant <value_int: int = 3> () j = Constant <value_ints: ints = [4, 5]> () '
         'f = Constant <value_float: float = 2.5> () }')
    for version in (3, 4):  # from 4 on an initializer that is an input is a default
        model = save(tmp / f"ir{version}.onnx", "g (float[B,3] x, float[4,3] w) => (float[B,4] y) { v = Transpose(w) y = MatMul(x, v) }", {"w": floats}, opset=8)
        model.ir_version = version
        onnx.save(model, tmp / f"ir{version}.onnx")
    save(tmp / "overflow.onnx", "g (float[B,4] x) => (float[?,?] y) { y = Tile(x, r) }", {"r": np.int64([1, 1 << 62])})
    save(tmp / "no_value.onnx", "g () => (float y) { y = Constant () }")
    save(tmp / "two_values.onnx", "g () => (float y) { y = Constant <value_float: float = 2.5, value_int: int = 3> () }")
    save(tmp / "body_value.onnx", "g (bool c) => (float y) { y = If <then_branch = t () => (float a) { a = Constant <value_float: float = 1.0> () }, "
         "else_branch = e () => (float b) { b = Constant <value_floats: floats = [1.0]> () }> (c) }")
    sparse(tmp / "sparse.onnx")
    quoted = "<b>&\"'\\\n"
    onnx.save(helper.make_model(helper.make_graph([helper.make_node("Neg", [quoted], ["y"], name=quoted)], quoted, [helper.make_tensor_value_info(quoted, TensorProto.FLOAT, ["B"])],
                                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B"])]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
              tmp / "quoted.onnx")
    raw_models(tmp)
    outside_models(tmp)
    body_models(tmp)
    model = save(tmp / "outside.onnx", "g (float[B,3] x) => (float[B,4] y) { v = Transpose(w) y = MatMul(x, v) }", {"w": floats})
    onnx.save(copy.deepcopy(model), tmp / "outside.onnx", save_as_external_data=True, location="outside.bin", size_threshold=0)
    (tmp / "lost").mkdir()
    shutil.copy(tmp / "outside.onnx", tmp / "lost" / "model.onnx")
    names = [("a/b", "y"), ("a_b", "z")]
    nodes = [helper.make_node("Neg", ["x"], [names[0][0]]), helper.make_node("Abs", ["x"], [names[1][0]])]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B"]) for name in ("x", "a/b", "a_b")]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", ports[:1], ports[1:]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
              tmp / "alike.onnx")
    make_packages(tmp, floats)
    for folder, values in (("in", {"x": floats[:2]}), ("want", {"y": floats[:2] @ floats.T}), ("off", {"y": floats[:2] @ floats.T + 1})):
        (tmp / folder).mkdir()
        for name, value in values.items():
            np.save(tmp / folder / f"{name}.npy", value)
    np.save(tmp / "k.npy", np.int64([3, -1, 0]))
    np.save(tmp / "good.npy", np.int64([3, 1, 0]))
    np.save(tmp / "o.npy", np.int64([0, 2, 2, 3]))
    np.save(tmp / "far.npy", np.int64([3, 400]))
    np.save(tmp / "text.npy", np.array(["a", "bc"]))


def make_packages(tmp, floats):
    """keys: every key of norn.json; tabled: a table of its own; two that should be refused."""
    every = {"inputs": {"x": {"batch": "item"}, "u": {"batch": "user"}},
             "profile": {"max_batch": 64, "min": {"x": [1, 3]}, "opt": {"x": [16, 3]}, "max": {"x": [32, 3]}}, "device": "cpu", "precision": "fp32",
             "instances": 2, "threads": 3, "max_memory_mb": 100, "freeze_initializers": True, "warmup": False,
             "batching": {"max_batch": 32, "max_delay_us": 250, "join": "never", "split": "always", "max_request_rows": 77, "max_wait_ms": 500, "max_queue": 9}}
    text = "g (float[B,3] x, float[B,3] u) => (float[B,3] y) { y = Add(x, u) }"
    for name, config in (("keys", every), ("refused", every | {"inputs": {"nobody": {"batch": "user"}}}),
                         ("zeros", {"instances": 0, "threads": 0, "batching": {"max_wait_ms": 0, "max_delay_us": 0, "join": "always", "split": "never"}}),
                         ("range", every | {"threads": 1025}), ("word", every | {"precision": "fp8"}), ("kind", every | {"warmup": 1}),
                         ("list", every | {"profile": {"min": {"x": [1]}}}), ("near", every | {"batching": {"max_dealy_us": 3}})):
        save(tmp / name / "model.onnx", text)
        (tmp / name / "norn.json").write_text(json.dumps(config))
    bag = "g (int64[N] k, int64[P] o) => (float[B,3] y) { y = ai.norn.EmbeddingBag <table: string = \"items\", dim: int = 3, mode: string = \"MODE\"> (k, o) }"
    ragged = {"inputs": {"k": {"offsets": "o"}}}
    for name, model, config in (("tabled", bag.replace("MODE", "mean"), ragged | {"tables": {"items": {"missing": "error"}}}),
                                ("ragged", bag.replace("MODE", "max"), ragged), ("ghost", bag.replace("MODE", "sum"), {"tables": {"users": {"missing": "error"}}}),
                                ("narrow", bag.replace("MODE", "sum").replace("3", "2"), ragged),
                                ("other", bag.replace("MODE", "sum"), ragged)):
        save(tmp / name / "model.onnx", model)
        (tmp / name / "norn.json").write_text(json.dumps(config))
        (tmp / name / "tables").mkdir()
        tensor = "values" if name == "other" else "rows"
        head = json.dumps({tensor: {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]}}).encode()
        (tmp / name / "tables" / "items.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + floats.tobytes())
    for name, tables in (("planned", {"items": {"missing": "error"}}), ("planned_ghost", {"items": {"missing": "default"}, "users": {"missing": "error"}})):
        (tmp / name).mkdir()
        (tmp / name / "norn.json").write_text(json.dumps(ragged | {"tables": tables}))
        (tmp / name / "tables").mkdir()
        (tmp / name / "model.norn").write_bytes(b"")
    save(tmp / "triton" / "1" / "model.onnx", text)
    (tmp / "triton" / "config.pbtxt").write_text("max_batch_size: 8")
    (tmp / "triton" / "1" / "notes.txt").write_text("nobody reads this")
    keys = np.int64([3, 77, 0, -5])
    for name, missing in (("hashed", "default"), ("strict", "error")):
        shutil.copytree(tmp / "tabled", tmp / name)
        (tmp / name / "norn.json").write_text(json.dumps(ragged | {"tables": {"items": {"missing": missing}}}))
        head = json.dumps({"keys": {"dtype": "I64", "shape": [4], "data_offsets": [0, 32]}, "rows": {"dtype": "F32", "shape": [4, 3], "data_offsets": [32, 80]}})
        (tmp / name / "tables" / "items.safetensors").write_bytes(struct.pack("<Q", len(head)) + head.encode() + keys.tobytes() + floats.tobytes())
    shutil.copy(tmp / "strict" / "tables" / "items.safetensors", tmp / "planned" / "tables")


RUNS = ["run {m}/strings.onnx --batch 2", "run {m}/scalar.onnx --batch 3", "run {m}/fixed.onnx", "run {m}/mixing.onnx --batch 4 --seed 2",
        "run {m}/optional.onnx --batch 2", "run {m}/optional.onnx --batch 2 --freeze-initializers", "run {m}/unknown.onnx --batch 2",
        "run {m}/constant.onnx", "run {m}/sparse.onnx --batch 2", "run {m}/outside.onnx --batch 2", "run {m}/lost", "run {m}/refused.onnx",
        "run {m}/many.onnx --batch 2", "run {m}/many.onnx --batch 2 --output-dir {m}/out", "run {m}/alike.onnx --output-dir {m}/out",
        "run {m}/slash.onnx --output-dir {m}/deep/er --batch 5", "run {m}/table.onnx --table-threshold 1024 --input k={m}/k.npy",
        "run {m}/table.onnx --input k={m}/k.npy", "run {m}/table.onnx --input k={m}/far.npy", "run {m}/table.onnx --table-threshold 1024 --input k={m}/far.npy",
        "run {m}/optional.onnx --input-dir {m}/in", "run {m}/optional.onnx --input-dir {m}/in --expect {m}/want",
        "run {m}/optional.onnx --input-dir {m}/in --expect {m}/off", "run {m}/optional.onnx --input-dir {m}/in --expect {m}/off --atol 1",
        "run {m}/optional.onnx --input-dir {m}/in --expect {m}/off --rtol 1 --atol 0", "run {m}/optional.onnx --shapes x:5x3 --threads 1",
        "run {m}/optional.onnx --shapes x:5x4", "run {m}/optional.onnx --batch 9 --max-batch 8", "run {m}/optional.onnx --max-shapes x:8x3 --batch 9",
        "run {m}/optional.onnx --min-shapes x:4x3 --batch 2", "run {m}/strings.onnx --input x={m}/text.npy", "run {m}/mixing.onnx --seed 0",
        "run {m}/tabled --input k={m}/k.npy --input o={m}/o.npy", "run {m}/tabled --input k={m}/good.npy --input o={m}/o.npy", "run {m}/ragged --batch 3", "run {m}/ghost", "run {m}/triton/1", "run {m}/ragged --batch 3 --shapes k:9,o:4", "run {m}/narrow", "run {m}/other", "run {m}/hashed --input k={m}/k.npy --input o={m}/o.npy", "run {m}/strict --input k={m}/k.npy --input o={m}/o.npy", "run {p} --batch 2",
        "run {p} --batch 2 --seed 9 --threads 1 --output-dir {m}/out"]
MADE = ["compile {m}/mixing.onnx -o {m}/mixing.norn", "run {m}/mixing.norn --batch 4 --seed 2", "inspect {m}/mixing.norn",
        "compile {m}/table.onnx -o {m}/table.norn --table-threshold 1024", "run {m}/table.norn --input k={m}/k.npy", "inspect {m}/table.norn --json",
        "compile {m}/table.onnx -o {m}/whole.norn", "run {m}/whole.norn --input k={m}/k.npy", "compile {p} -o {m}/movielens.norn --max-batch 32",
        "inspect {m}/movielens.norn", "inspect {m}/movielens.norn --json", "inspect {m}/movielens.norn --graph", "compile {m}/refused.onnx -o {m}/refused.norn",
        "compile {m}/unknown.onnx -o {m}/unknown.norn", "run {m}/unknown.norn --batch 2", "compile {m}/optional.onnx -o {m}/frozen.norn --freeze-initializers",
        "inspect {m}/frozen.norn", "run {m}/frozen.norn --batch 2", "compile {m}/optional.onnx -o {m}/profiled.norn --min-shapes x:2x3 --opt-shapes x:4x3 "
        "--max-shapes x:6x3 --batch-dim x:0", "run {m}/profiled.norn --batch 1", "run {m}/profiled.norn --batch 7", "run {m}/profiled.norn --batch 6",
        "compile {m}/strict -o {m}/strict/strict.norn", "run {m}/strict/strict.norn --input k={m}/k.npy --input o={m}/o.npy",
        "compile {m}/hashed -o {m}/hashed/hashed.norn", "run {m}/hashed/hashed.norn --input k={m}/k.npy --input o={m}/o.npy", "inspect {m}/hashed/hashed.norn",
        "compile {m}/strict -o {m}/planned/model.norn", "run {m}/planned --input k={m}/k.npy --input o={m}/o.npy", "check {m}/planned", "run {m}/planned/model.norn --input k={m}/k.npy --input o={m}/o.npy",
        "compile {m}/strict -o {m}/planned_ghost/model.norn", "check {m}/planned_ghost", "inspect {m}/planned",
        "compile {m}/strings.onnx -o {m}/strings.norn", "run {m}/strings.norn --batch 3", "inspect {m}/strings.norn"]
RAW = ["words", "overflow", "ir3", "ir4", "no_value", "two_values", "body_value", "packed_floats", "cut_floats", "packed_ints", "cut_ints", "packed_dims", "cut_dims", "negative_dims", "zero_in_name", "type_map", "type_sparse_type", "type_optional", "type_sequence",
       *(f"sparse_{name}" for name in ("linear", "pairs", "outside", "negative", "pair_outside", "deep", "eight", "count", "triples", "negative_dim", "largest", "too_large", "huge")),
       *(f"body_{name}" for name in ("right", "one", "none", "only_count", "more", "less", "no_output", "no_state", "scanned", "scan", "scan_less", "scan_more")),
       *(f"calls_{name}" for name in ("function", "overload", "no_overload", "default", "given")),
       *(f"outside_{name}" for name in ("good", "no_length", "whole", "word", "offset_word", "short", "beyond", "far", "up", "absolute", "checksum"))]
CHECKS = ["check {p}", *(f"check {{m}}/{name}" for name in ("keys", "refused", "zeros", "range", "word", "kind", "list", "near", "tabled", "ragged", "ghost", "narrow", "other", "hashed", "strict", "lost"))]
LOOKS = [f"inspect {{m}}/{name}.onnx{form}" for name in ("strings", "scalar", "fixed", "optional", "unknown", "constant", "many", "refused", "table", "sparse",
                                                        "outside") for form in ("", " --json", " --graph")]
LOOKS += ["inspect {m}/ir3.onnx", "inspect {m}/ir4.onnx", "inspect {m}/quoted.onnx", "inspect {m}/quoted.onnx --json", "inspect {m}/quoted.onnx --html {m}/page.html", "inspect {m}/quoted.onnx --graph", "inspect {p} --nodes", "inspect {p} --json", "inspect {p} --batch 64", "inspect {m}/keys", "inspect {m}/tabled --json",
          "inspect {m}/optional.onnx --html {m}/page.html", "inspect {m}/tabled --html {m}/page.html", "inspect {m}/optional.onnx --html {m}/no/page.html",
          "compile {p} --print-after all --stop-after cse", "compile {m}/optional.onnx -o {m}/x.norn --print-after all", "compile {m}/optional.onnx --stop-after gemm",
          "compile {m}/table.onnx --explain --table-threshold 1024", "compile {m}/mixing.onnx --explain", "compile {m}/unknown.onnx --explain"]


RANGES = {}


class Commands(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.tmp = pathlib.Path(cls.scratch.name).resolve()
        make_models(cls.tmp)

    def say(self, line, **names):
        words = [word.format(m=self.tmp, p=PACKAGE, tmp=self.tmp, **names) for word in line.split()]
        done = subprocess.run([NORN, *words], capture_output=True, text=True, timeout=120, cwd=self.tmp)
        text = f"exit {done.returncode}\n{done.stdout}--- stderr\n{done.stderr}"
        page = self.tmp / "page.html"
        if page.exists():
            text += f"--- page.html\n{page.read_text()}"
            page.unlink()
        out = self.tmp / "out"
        if out.exists():
            for file in sorted(out.iterdir()):
                text += f"--- {file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:8] if 'score' not in file.name else ''}\n"
            shutil.rmtree(out)
        return mask(text, self.tmp)

    def patterns(self):
        for name in near_cases.PATTERNS:
            model, _ = near_cases._make(name)
            onnx.save(model, self.tmp / "pattern.onnx")
            for form in FORMS:
                text = self.say(form, model=self.tmp / "pattern.onnx")
                if name not in SHOWN:
                    text = hashlib.sha256(text.encode()).hexdigest()[:16] + "\n"
                yield f"{form.format(model=name, tmp='$TMP')}\n{text}"

    def test_commands(self):
        lines = RUNS + [f"run {{m}}/{name}.onnx" for name in RAW] + MADE + CHECKS + LOOKS
        entries = [f"{line.format(m='$TMP', p='$PACKAGE')}\n{self.say(line)}" for line in lines] + list(self.patterns())
        if os.environ.get("NORN_UPDATE"):
            PAGE.write_text("".join(f"=== {entry}" for entry in entries))
        wanted = PAGE.read_text().split("=== ")[1:]
        for seen, want in zip(entries, wanted):
            self.assertEqual(seen, want)
        self.assertEqual(len(entries), len(wanted))

    def run_words(self, *words, **environment):
        return subprocess.run([NORN, *words], capture_output=True, text=True, timeout=120, cwd=self.tmp, env={**os.environ, **environment})

    def test_ranges(self):
        """Every option that takes a whole number takes those that it says, to the last, and no other."""
        seen = 0
        for command, operands in (("serve", ["--repository", "/nowhere"]), ("run", ["nowhere"]), ("bench", ["nowhere"]), ("compile", ["nowhere"]), ("inspect", ["nowhere"])):
            options = re.findall(r"^  (?:-., |    )(--[a-z-]+) ", self.run_words("help", command).stdout, re.M)
            for option in options:
                says = re.search(r"takes a whole number(?: from (-?\d+) to (\d+)|, (-?\d+) or more), not 'x'", self.run_words(command, *operands, option, "x").stderr)
                if not says:
                    continue
                least, most = int(says.group(1) or says.group(3) or 0), int(says.group(2) or 2 ** 63 - 1)
                seen += 1
                for value in (least - 1, least, most, most + 1):
                    done = self.run_words(command, *operands, option, str(value))
                    with self.subTest(command=command, option=option, value=value):
                        self.assertEqual("takes a whole number" in done.stderr, not least <= value <= most, done.stderr)
                RANGES.setdefault(f"{command} {option}", f"{least} to {most}")
        self.assertGreater(seen, 30)
        text = "".join(f"{name}: {values}\n" for name, values in sorted(RANGES.items()))
        page = HERE / "transcripts" / "ranges.txt"
        if os.environ.get("NORN_UPDATE"):
            page.write_text(text)
        self.assertEqual(text, page.read_text())

    def test_a_precision_for_gpus_is_said_to_be_unused_on_the_cpu(self):
        for precision in ("tf32", "fp16", "bf16"):
            done = self.run_words("compile", str(PACKAGE), "-o", str(self.tmp / "half.norn"), "--precision", precision)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"precision {precision} is not used: the CPU computes in fp32", done.stderr)

    def test_log_levels(self):
        """A model that has something to say at each level; a word that is no level is said."""
        found = {}
        for level in ("error", "warn", "info", "debug", "", "loud"):
            done = self.run_words("run", self.tmp / "mixing.onnx", NORN_LOG=level, NORN_ISA="avx9")
            self.assertEqual(done.returncode, 0, done.stderr)
            found[level] = sorted(re.findall(r"Z (error|warn|info|debug) ", done.stderr))
        self.assertEqual(found["error"], [])
        self.assertEqual(found["warn"], ["warn"])  # of NORN_ISA
        self.assertEqual(found[""], found["info"])
        self.assertEqual(found["loud"], sorted([*found["info"], "warn"]))
        self.assertIn("warn", found["debug"])

    def test_bench_without_batch(self):
        words = ["bench", self.tmp / "fixed.onnx", "--duration", "0.02", "--warmup", "0", "--json"]
        found = json.loads(subprocess.run([NORN, *words], capture_output=True, text=True, timeout=120, check=True).stdout)
        self.assertAlmostEqual(found["rows_per_s"] / found["throughput_per_s"], 1, delta=0.01)

    def test_output_folder(self):
        """What is made may be read by those whom the mask of the process lets."""
        for mask_bits in (0o000, 0o027):
            folder = self.tmp / f"made-{mask_bits}"
            subprocess.run([NORN, "run", self.tmp / "fixed.onnx", "--output-dir", folder], capture_output=True, timeout=120, check=True, umask=mask_bits)
            self.assertEqual(folder.stat().st_mode & 0o777, 0o777 & ~mask_bits)

    def test_bench(self):
        """Rows are counted as often as they are in a run, and phases add up to it."""
        for batch in (1, 6):
            words = ["bench", self.tmp / "mixing.onnx", "--batch", str(batch), "--duration", "0.05", "--warmup", "0", "--concurrency", "2", "--threads", "1", "--json"]
            done = subprocess.run([NORN, *words], capture_output=True, text=True, timeout=120, check=True)
            found = json.loads(done.stdout)
            self.assertEqual((found["batch"], found["concurrency"], found["threads"]), (batch, 2, 1))
            self.assertAlmostEqual(found["rows_per_s"] / found["throughput_per_s"], batch, delta=0.01 * batch)
            self.assertGreaterEqual(found["runs"], 3)
            for phase in ("acquire", "input", "compute", "output", "run"):
                times = found[phase]
                self.assertLessEqual(times["min_us"], times["p50_us"])
                self.assertLessEqual(times["p50_us"], times["p99_us"])
                self.assertLessEqual(times["p99_us"], times["max_us"] * 1.01)
            parts = sum(found[phase]["mean_us"] for phase in ("input", "compute", "output"))
            self.assertAlmostEqual(parts, found["run"]["mean_us"], delta=0.02 * parts + 0.1)


if __name__ == "__main__":
    unittest.main()
