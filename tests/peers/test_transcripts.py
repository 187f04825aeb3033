"""A long fixed list of requests, HTTP and gRPC, and every answer to the letter: tests/peers/transcripts/*.txt.

    NORN_UPDATE=1 python -m unittest discover -s tests/peers -p test_transcripts.py     writes them anew: read the diff

What differs from run to run is masked: times, dates, durations, addresses.
"""

import gzip
import http.client
import json
import os
import pathlib
import re
import socket
import struct
import tempfile
import unittest
import zlib

import grpc
import numpy as np
import onnx
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from served import Server

HERE = pathlib.Path(__file__).resolve().parent / "transcripts"
UPDATE = os.environ.get("NORN_UPDATE")
TYPES = {"BOOL": TensorProto.BOOL, "INT8": TensorProto.INT8, "UINT8": TensorProto.UINT8, "INT16": TensorProto.INT16,
         "UINT16": TensorProto.UINT16, "INT32": TensorProto.INT32, "UINT32": TensorProto.UINT32, "INT64": TensorProto.INT64,
         "UINT64": TensorProto.UINT64, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE,
         "BF16": TensorProto.BFLOAT16}
MASKS = ((r"^Date: .*$", "Date: *"), (r'"(ns|last_inference|time_ms)":\d+', r'"\1":"*"'), (r"\b(ns|last_inference): \d+", r"\1: *"),
         (r"\d+\.\d+ ms", "* ms"), (r"/tmp/\S*?/repository", "$REPOSITORY"))


def mask(text):
    for pattern, by in MASKS:
        text = re.sub(pattern, by, text, flags=re.M)
    return text


def save(folder, graph):
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")


def port(name, kind, dims):
    return helper.make_tensor_value_info(name, kind, dims)


def make_repository(folder):
    """same: floats; two: two inputs of two ranks; all: a vector of every type; mix: rows that see each other; bad: no model;
    text: strings; ids: rows of a table; fixed: no batch; user: one row for many; more: an input that may be left out."""
    one = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [port("x", TensorProto.FLOAT, ["B", 2])],
                            [port("y", TensorProto.FLOAT, ["B", 2])])
    save(folder / "same" / "1", one)
    save(folder / "same" / "3", one)
    two = helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["a", "b"], ["product"])], "g",
                            [port("a", TensorProto.FLOAT, ["B"]), port("b", TensorProto.FLOAT, ["B"])],
                            [port("sum", TensorProto.FLOAT, ["B"]), port("product", TensorProto.FLOAT, ["B"])])
    save(folder / "two" / "1", two)
    for name, kind in TYPES.items():
        save(folder / f"all_{name}" / "1",
             helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [port("x", kind, ["B"])], [port("y", kind, ["B"])]))
    save(folder / "mix" / "2", helper.make_graph([helper.make_node("Softmax", ["x"], ["y"], axis=0)], "g",
                                                 [port("x", TensorProto.FLOAT, ["B", 2])], [port("y", TensorProto.FLOAT, ["B", 2])]))
    save(folder / "text" / "1", helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [port("x", TensorProto.STRING, ["B"])],
                                                  [port("y", TensorProto.STRING, ["B"])]))
    table = numpy_helper.from_array(np.arange(8, dtype=np.float32).reshape(4, 2), "table")
    save(folder / "ids" / "1", helper.make_graph([helper.make_node("Gather", ["table", "x"], ["y"])], "g", [port("x", TensorProto.INT64, ["B"])],
                                                 [port("y", TensorProto.FLOAT, ["B", 2])], [table]))
    save(folder / "fixed" / "1", helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"])], "g", [port("x", TensorProto.FLOAT, [2, 2])],
                                                   [port("y", TensorProto.FLOAT, [2, 2])]))
    user = helper.make_graph([helper.make_node("Add", ["u", "x"], ["y"])], "g", [port("u", TensorProto.FLOAT, ["B", 2]), port("x", TensorProto.FLOAT, ["B", 2])],
                             [port("y", TensorProto.FLOAT, ["B", 2])])
    save(folder / "user" / "1", user)
    (folder / "user" / "1" / "norn.json").write_text(json.dumps(
        {"inputs": {"u": {"batch": "user"}}, "batching": {"max_batch": 4, "max_request_rows": 9}}))
    save(folder / "more" / "1", helper.make_graph([helper.make_node("Mul", ["x", "k"], ["y"])], "g", [port("x", TensorProto.FLOAT, ["B", 2]), port("k", TensorProto.FLOAT, [2])],
                                                  [port("y", TensorProto.FLOAT, ["B", 2])], [numpy_helper.from_array(np.float32([3, 5]), "k")]))
    (folder / "bad" / "1").mkdir(parents=True)
    (folder / "bad" / "1" / "model.onnx").write_text("no model")


def tensor(name="x", datatype="FP32", shape=(1, 2), data=(1.0, 2.0), **more):
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data if isinstance(data, str) else list(data), **more}


def without(key, **more):
    found = tensor(**more)
    del found[key]
    return found


def good(**more):
    return {"inputs": [tensor()], **more}


BAD_TENSORS = {
    "no name": without("name"), "no datatype": without("datatype"), "no shape": without("shape"), "no data": without("data"),
    "name is a number": tensor(name=3), "unknown input": tensor(name="z"), "empty name": tensor(name=""),
    "unknown datatype": tensor(datatype="FP31"), "another datatype": tensor(datatype="INT64", data=[1, 2]),
    "datatype in small letters": tensor(datatype="fp32"), "shape is a number": tensor(shape=()) | {"shape": 2},
    "shape of text": tensor() | {"shape": ["1", 2]}, "negative": tensor(shape=(-1, 2)), "a fraction": tensor() | {"shape": [1.5, 2]},
    "too wide": tensor(shape=(1, 3), data=[1, 2, 3]), "another rank": tensor(shape=(2,)), "rank 0": tensor(shape=(), data=[1]),
    "no rows": tensor(shape=(0, 2), data=[]), "too few": tensor(data=[1]), "too many": tensor(data=[1, 2, 3]),
    "endless": tensor(shape=(1 << 40, 2), data=[]), "endless and empty": tensor(shape=(1 << 40, 0), data=[]),
    "overflow": tensor(shape=((1 << 63) - 1, 2), data=[]), "beyond int64": tensor() | {"shape": [1 << 64, 2]},
    "nine dims": tensor(shape=(1,) * 9, data=[1]), "nested": tensor() | {"data": [[1.0, 2.0]]},
    "nested unevenly": tensor() | {"data": [[1.0], [2.0, 3.0]]}, "an object": tensor() | {"data": {"a": 1}},
    "text among numbers": tensor(data=[1, "2"]), "a word": tensor() | {"data": "12"}, "null": tensor(data=[1, None]),
    "true": tensor(data=[True, 1]), "beyond float": tensor(data=[1e39, 1]), "parameters of an input": tensor(parameters={"a": 1}),
    "binary size without binary": tensor(parameters={"binary_data_size": 8}), "an unknown key": tensor(colour="red"),
}
BAD_REQUESTS = {
    "an id": good(id="abc"), "an id of text": good(id="é\"\\\n"), "id is a number": good(id=7), "an empty id": good(id=""),
    "no inputs": {}, "inputs is an object": {"inputs": {}}, "empty inputs": {"inputs": []}, "an input is a number": {"inputs": [1]},
    "twice": {"inputs": [tensor(), tensor()]}, "one too many": {"inputs": [tensor(), tensor(name="z")]},
    "an unknown key": good(colour="red"), "outputs": good(outputs=[{"name": "y"}]), "no outputs": good(outputs=[]),
    "unknown output": good(outputs=[{"name": "z"}]), "output twice": good(outputs=[{"name": "y"}, {"name": "y"}]),
    "output without name": good(outputs=[{}]), "outputs is text": good(outputs="y"),
    "classification": good(outputs=[{"name": "y", "parameters": {"classification": 1}}]),
    "binary output": good(outputs=[{"name": "y", "parameters": {"binary_data": True}}]),
    "json output": good(outputs=[{"name": "y", "parameters": {"binary_data": False}}]),
    "binary is a word": good(outputs=[{"name": "y", "parameters": {"binary_data": "yes"}}]),
    "all outputs binary": good(parameters={"binary_data_output": True}), "priority": good(parameters={"priority": 1}),
    "timeout": good(parameters={"timeout": 1000000}), "sequence": good(parameters={"sequence_id": 1}),
    "no sequence": good(parameters={"sequence_id": 0}), "sequence start": good(parameters={"sequence_start": True}),
    "an unknown parameter": good(parameters={"colour": "red"}), "parameters is a list": good(parameters=[]),
}
BAD_BODIES = {
    "empty": b"", "blank": b" ", "no json": b"hello", "a list": b"[]", "a number": b"1", "cut": b'{"inputs":[', "two": b"{} {}",
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(good()).encode(), "no utf-8": b'{"id":"\xff","inputs":[]}',
    "a raw line end in text": b'{"id":"a\nb","inputs":[]}', "a comma too many": b'{"inputs":[],}', "deep": b"[" * 300,
    "NaN": json.dumps(good()).replace("1.0", "NaN").encode(), "Infinity": json.dumps(good()).replace("1.0", "-Infinity").encode(),
    "a key twice": b'{"inputs":[],"inputs":' + json.dumps([tensor()]).encode() + b"}", "leading zero": json.dumps(good()).replace("1.0", "01").encode(),
}
MORE_INPUTS = (
    ("strings", "text", [tensor(datatype="BYTES", shape=(3,), data=["a", "", "é\\n"])]),
    ("strings that are numbers", "text", [tensor(datatype="BYTES", shape=(1,), data=[1])]),
    ("a string too many", "text", [tensor(datatype="BYTES", shape=(1,), data=["a", "b"])]),
    ("no strings", "text", [tensor(datatype="BYTES", shape=(0,), data=[])]),
    ("ids", "ids", [tensor(datatype="INT64", shape=(3,), data=[0, 3, 1])]),
    ("an id from the end", "ids", [tensor(datatype="INT64", shape=(1,), data=[-1])]),
    ("an id outside", "ids", [tensor(datatype="INT64", shape=(2,), data=[0, 4])]),
    ("an id far outside", "ids", [tensor(datatype="INT64", shape=(1,), data=[-(2 ** 62)])]),
    ("as a column", "ids", [tensor(datatype="INT64", shape=(2, 1), data=[2, 3])]),
    ("as a row", "ids", [tensor(datatype="INT64", shape=(1, 2), data=[2, 3])]),
    ("fixed", "fixed", [tensor(shape=(2, 2), data=[1, 2, 3, 4])]),
    ("fixed of another size", "fixed", [tensor(shape=(3, 2), data=[1, 2, 3, 4, 5, 6])]),
    ("one user", "user", [tensor("u", data=[10, 20]), tensor(shape=(3, 2), data=[1, 2, 3, 4, 5, 6])]),
    ("as many users", "user", [tensor("u", shape=(2, 2), data=[10, 20, 30, 40]), tensor(shape=(2, 2), data=[1, 2, 3, 4])]),
    ("too many users", "user", [tensor("u", shape=(3, 2), data=[0] * 6), tensor(shape=(2, 2), data=[1, 2, 3, 4])]),
    ("two batches", "user", [tensor("u", data=[10, 20]), tensor(shape=(7, 2), data=list(range(14)))]),
    ("too many rows", "user", [tensor("u", data=[10, 20]), tensor(shape=(10, 2), data=list(range(20)))]),
    ("left out", "more", [tensor()]),
    ("given", "more", [tensor(), tensor("k", shape=(2,), data=[7, 11])]),
    ("given of another size", "more", [tensor(), tensor("k", shape=(3,), data=[7, 11, 13])]),
    ("only the optional one", "more", [tensor("k", shape=(2,), data=[7, 11])]),
)
EDGES = {"BOOL": [True, False, 1, 2, "true"], "INT8": [-128, 127, 128, -129, 1.5], "UINT8": [0, 255, 256, -1, 2.0],
         "INT16": [-32768, 32767, 32768], "UINT16": [65535, 65536], "INT32": [2**31 - 1, 2**31, -2**31 - 1],
         "UINT32": [2**32 - 1, 2**32], "INT64": [2**63 - 1, -2**63, 2**63], "UINT64": [2**64 - 1, 2**63, 2**64, -1],
         "FP16": [1.5, 65504, 65520, 1e5], "FP32": [1e38, 3.5e38, 1e-46], "FP64": [1e308, 1e309, 0.1], "BF16": [1.5, 3.4e38]}


def binary(body, blobs, head=None, length=None):
    """(body, headers) of a request with tensors behind the JSON."""
    text = json.dumps(body).encode()
    size = len(text) if head is None else head
    return text + b"".join(blobs), {"Inference-Header-Content-Length": str(size if length is None else length)}


def http_requests():
    """(name, method, path, body, headers)"""
    for path in ("/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models/same", "/v2/models/same/versions/3",
                 "/v2/models/same/versions/1", "/v2/models/same/versions/0", "/v2/models/same/versions/x", "/v2/models/same/ready",
                 "/v2/models/same/versions/3/ready", "/v2/models/same/config", "/v2/models/same/stats", "/v2/models/mix",
                 "/v2/models/mix/config", "/v2/models/two", "/v2/models/bad", "/v2/models/bad/ready", "/v2/models/none",
                 "/v2/models/none/ready", "/v2/models/none/stats", "/v2/models/stats", "/v2/models/", "/v2/models", "/", "/v1", "/metrics",
                 "/v2/models/same/infer", "/v2/models/same/generate", "/v2/models/a%2Fb", "/v2/models/%zz", "/v2/models/same?x=1",
                 "/v2//health/live", "/v2/repository/index", "/v2/systemsharedmemory/status", "/v2/logging", "/v2/trace/setting"):
        yield f"GET {path}", "GET", path, b"", {}
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "BREW"):
        for path in ("/v2/health/ready", "/v2/models/same", "/v2/models/same/infer", "/nowhere"):
            yield f"{method} {path}", method, path, b"", {}
    for name, body in (("", b""), (" empty object", b"{}"), (" ready", b'{"ready":true}'), (" not ready", b'{"ready":false}'),
                       (" ready of text", b'{"ready":"yes"}'), (" no json", b"x"), (" unknown key", b'{"colour":1}')):
        yield f"index{name}", "POST", "/v2/repository/index", body, {}
    for verb in ("load", "unload"):
        for model in ("none", "bad", "two", "..", "a b"):
            path = f"/v2/repository/models/{model.replace(' ', '%20')}/{verb}"
            yield f"{verb} {model}", "POST", path, b"", {}
        yield f"{verb} with parameters", "POST", f"/v2/repository/models/two/{verb}", b'{"parameters":{"config":"{}"}}', {}
        yield f"after {verb}", "GET", "/v2/models/two/ready", b"", {}
        yield f"infer after {verb}", "POST", "/v2/models/two/infer", b"{}", {}
    yield "load again", "POST", "/v2/repository/models/two/load", b"{}", {}
    infer = "/v2/models/same/infer"
    for name, bad in BAD_TENSORS.items():
        yield f"tensor: {name}", "POST", infer, json.dumps({"inputs": [bad]}).encode(), {}
    for name, bad in BAD_REQUESTS.items():
        yield f"request: {name}", "POST", infer, json.dumps(bad).encode(), {}
    for name, body in BAD_BODIES.items():
        yield f"body: {name}", "POST", infer, body, {}
    for path in ("/v2/models/same/versions/1/infer", "/v2/models/same/versions/3/infer", "/v2/models/same/versions/2/infer",
                 "/v2/models/none/infer", "/v2/models/bad/infer", "/v2/models/mix/infer", "/v2/models/mix/versions/2/infer"):
        yield f"infer {path}", "POST", path, json.dumps(good()).encode(), {}
    pair = {"inputs": [tensor("a", shape=(2,)), tensor("b", shape=(2,), data=[3, 4])]}
    yield "two inputs", "POST", "/v2/models/two/infer", json.dumps(pair).encode(), {}
    uneven = {"inputs": [tensor("a", shape=(2,)), tensor("b", shape=(1,), data=[3])]}
    yield "two lengths", "POST", "/v2/models/two/infer", json.dumps(uneven).encode(), {}
    yield "one is missing", "POST", "/v2/models/two/infer", json.dumps({"inputs": pair["inputs"][:1]}).encode(), {}
    yield "outputs in another order", "POST", "/v2/models/two/infer", json.dumps(pair | {"outputs": [{"name": "product"}, {"name": "sum"}]}).encode(), {}
    for kind, values in EDGES.items():
        for value in values:
            body = {"inputs": [tensor(datatype=kind, shape=(1,), data=[value])]}
            yield f"{kind} {value}", "POST", f"/v2/models/all_{kind}/infer", json.dumps(body).encode(), {}
    floats = struct.pack("<2f", 1, -2)
    held = {"inputs": [without("data", parameters={"binary_data_size": 8})]}
    yield "binary", "POST", infer, *binary(held, [floats])
    yield "binary and binary", "POST", infer, *binary(held | {"parameters": {"binary_data_output": True}}, [floats])
    yield "binary too short", "POST", infer, *binary(held, [floats[:7]])
    yield "binary too long", "POST", infer, *binary(held, [floats, b"x"])
    yield "binary of another size", "POST", infer, *binary({"inputs": [without("data", parameters={"binary_data_size": 4})]}, [floats[:4]])
    yield "binary and data", "POST", infer, *binary({"inputs": [tensor(parameters={"binary_data_size": 8})]}, [floats])
    yield "binary size is text", "POST", infer, *binary({"inputs": [without("data", parameters={"binary_data_size": "8"})]}, [floats])
    yield "binary size is negative", "POST", infer, *binary({"inputs": [without("data", parameters={"binary_data_size": -8})]}, [floats])
    for length in ("-1", "x", "", "99999", "0", "1.5", "+5", " 5"):
        yield f"header length {length!r}", "POST", infer, *binary(held, [floats], length=length)
    text = json.dumps(good()).encode()
    yield "gzip", "POST", infer, gzip.compress(text, mtime=0), {"Content-Encoding": "gzip"}
    yield "deflate", "POST", infer, zlib.compress(text), {"Content-Encoding": "deflate"}
    yield "gzip that is none", "POST", infer, text, {"Content-Encoding": "gzip"}
    yield "gzip cut", "POST", infer, gzip.compress(text, mtime=0)[:-9], {"Content-Encoding": "gzip"}
    yield "gzip and more", "POST", infer, gzip.compress(text, mtime=0) + b"x", {"Content-Encoding": "gzip"}
    yield "identity", "POST", infer, text, {"Content-Encoding": "identity"}
    yield "an unknown encoding", "POST", infer, text, {"Content-Encoding": "br"}
    yield "two encodings", "POST", infer, text, {"Content-Encoding": "gzip, deflate"}
    for kind in ("application/json", "application/octet-stream", "text/plain", "application/json; charset=utf-8"):
        yield f"content type {kind}", "POST", infer, text, {"Content-Type": kind}
    for model in ("text", "ids", "fixed", "user", "more"):
        yield f"metadata of {model}", "GET", f"/v2/models/{model}", b"", {}
        yield f"configuration of {model}", "GET", f"/v2/models/{model}/config", b"", {}
    for name, model, inputs in MORE_INPUTS:
        yield name, "POST", f"/v2/models/{model}/infer", json.dumps({"inputs": inputs}).encode(), {}
    words = b"\x02\0\0\0ab\0\0\0\0"
    for name, blob in (("strings", words), ("strings cut", words[:-1]), ("strings too long", words + b"\1"), ("strings endless", b"\xff\xff\xff\xff" + words[4:])):
        held = {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(blob)}}]}
        yield f"binary {name}", "POST", "/v2/models/text/infer", *binary(held, [blob])
        yield f"binary {name} and back", "POST", "/v2/models/text/infer", *binary(held | {"parameters": {"binary_data_output": True}}, [blob])
    for accept in ("gzip", "deflate", "br", "identity", "gzip;q=0", "*", "deflate, gzip"):
        many = {"inputs": [tensor(shape=(400, 2), data=[0.0] * 800)]}
        yield f"answer in {accept}", "POST", infer, json.dumps(many).encode(), {"Accept-Encoding": accept}
    yield "a request id in a header", "GET", "/v2/health/live", b"", {"X-Request-Id": "7"}
    yield "close", "GET", "/v2/health/live", b"", {"Connection": "close"}
    yield "statistics at the end", "GET", "/v2/models/same/stats", b"", {}
    yield "statistics of all", "GET", "/v2/models/stats", b"", {}


def raw(**kinds):
    return pb.InferTensorContents(**kinds)


def grpc_tensor(name="x", datatype="FP32", shape=(1, 2), contents=None):
    return pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape, contents=contents or raw())


def grpc_good(model="same", **more):
    return pb.ModelInferRequest(model_name=model, inputs=[grpc_tensor(contents=raw(fp32_contents=[1, 2]))], **more)


def grpc_requests():
    """(name, method, request)"""
    yield "live", "ServerLive", pb.ServerLiveRequest()
    yield "ready", "ServerReady", pb.ServerReadyRequest()
    yield "server", "ServerMetadata", pb.ServerMetadataRequest()
    for name, version in (("same", ""), ("same", "3"), ("same", "1"), ("same", "x"), ("mix", ""), ("two", ""), ("none", ""), ("bad", ""), ("", "")):
        for method, kind in (("ModelReady", pb.ModelReadyRequest), ("ModelMetadata", pb.ModelMetadataRequest),
                             ("ModelConfig", pb.ModelConfigRequest), ("ModelStatistics", pb.ModelStatisticsRequest)):
            if method == "ModelStatistics" and not name:
                continue
            yield f"{method} {name or 'nothing'} {version}".rstrip(), method, kind(name=name, version=version)
    for name in TYPES:
        yield f"configuration of {name}", "ModelConfig", pb.ModelConfigRequest(name=f"all_{name}")
    yield "index", "RepositoryIndex", pb.RepositoryIndexRequest()
    yield "index ready", "RepositoryIndex", pb.RepositoryIndexRequest(ready=True)
    yield "index of another", "RepositoryIndex", pb.RepositoryIndexRequest(repository_name="other")
    for model in ("none", "bad", "two"):
        yield f"load {model}", "RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name=model)
        yield f"unload {model}", "RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name=model)
    yield "load two again", "RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="two")
    given = pb.RepositoryModelLoadRequest(model_name="two")
    given.parameters["config"].string_param = "{}"
    yield "load with a configuration", "RepositoryModelLoad", given
    for method, kind in (("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest), ("CudaSharedMemoryStatus", pb.CudaSharedMemoryStatusRequest),
                         ("TraceSetting", pb.TraceSettingRequest), ("LogSettings", pb.LogSettingsRequest)):
        yield method, method, kind()
    yield "infer", "ModelInfer", grpc_good()
    yield "infer with an id", "ModelInfer", grpc_good(id="abc")
    yield "infer version 1", "ModelInfer", grpc_good(model_version="1")
    yield "infer version 3", "ModelInfer", grpc_good(model_version="3")
    for model in ("none", "bad", "mix", ""):
        yield f"infer {model or 'nothing'}", "ModelInfer", grpc_good(model)
    yield "infer outputs", "ModelInfer", grpc_good(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="y")])
    yield "infer unknown output", "ModelInfer", grpc_good(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="z")])
    yield "infer output twice", "ModelInfer", grpc_good(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="y")] * 2)
    for name, field, value in (("priority", "int64_param", 1), ("sequence_id", "int64_param", 1), ("sequence_start", "bool_param", True),
                               ("timeout", "int64_param", 1000000), ("colour", "string_param", "red"), ("timeout", "string_param", "soon")):
        given = grpc_good()
        setattr(given.parameters[name], field, value)
        yield f"infer parameter {name} {field}", "ModelInfer", given
    contents = raw(fp32_contents=[1, 2])
    for name, inputs in (("no inputs", []), ("twice", [grpc_tensor(contents=contents)] * 2), ("unknown input", [grpc_tensor("z", contents=contents)]),
                         ("another datatype", [grpc_tensor(datatype="INT32", contents=contents)]), ("no datatype", [grpc_tensor(datatype="", contents=contents)]),
                         ("negative", [grpc_tensor(shape=(-1, 2), contents=contents)]), ("too wide", [grpc_tensor(shape=(1, 3), contents=contents)]),
                         ("another rank", [grpc_tensor(shape=(2,), contents=contents)]), ("no rows", [grpc_tensor(shape=(0, 2))]),
                         ("too few", [grpc_tensor(contents=raw(fp32_contents=[1]))]), ("contents of another type", [grpc_tensor(contents=raw(int_contents=[1, 2]))]),
                         ("no contents", [grpc_tensor()]), ("endless", [grpc_tensor(shape=(1 << 40, 2), contents=contents)])):
        yield f"infer {name}", "ModelInfer", pb.ModelInferRequest(model_name="same", inputs=inputs)
    floats = struct.pack("<2f", 1, -2)
    for name, blobs, inputs in (("raw", [floats], [grpc_tensor()]), ("raw too short", [floats[:7]], [grpc_tensor()]),
                                ("raw too long", [floats + b"x"], [grpc_tensor()]), ("raw too many", [floats, floats], [grpc_tensor()]),
                                ("raw and typed", [floats], [grpc_tensor(contents=contents)])):
        yield f"infer {name}", "ModelInfer", pb.ModelInferRequest(model_name="same", inputs=inputs, raw_input_contents=blobs)
    fields = {"BOOL": ("bool_contents", [True, False]), "INT8": ("int_contents", [-128, 127, 128]), "UINT8": ("uint_contents", [255, 256]),
              "INT16": ("int_contents", [-32768, 32768]), "UINT16": ("uint_contents", [65535, 65536]), "INT32": ("int_contents", [-5]),
              "UINT32": ("uint_contents", [7]), "INT64": ("int64_contents", [-2**63]), "UINT64": ("uint64_contents", [2**64 - 1]),
              "FP32": ("fp32_contents", [1.5]), "FP64": ("fp64_contents", [0.1])}
    for kind, (field, values) in fields.items():
        for value in values:
            given = grpc_tensor(datatype=kind, shape=(1,), contents=raw(**{field: [value]}))
            yield f"infer {kind} {value}", "ModelInfer", pb.ModelInferRequest(model_name=f"all_{kind}", inputs=[given])
    for kind, value in (("FP16", np.float16(1.5).tobytes()), ("BF16", b"\xc0\x3f")):
        yield f"infer raw {kind}", "ModelInfer", pb.ModelInferRequest(
            model_name=f"all_{kind}", inputs=[grpc_tensor(datatype=kind, shape=(1,))], raw_input_contents=[value])
    for name, model, inputs in MORE_INPUTS:
        given = [grpc_tensor(i["name"], i["datatype"], i["shape"], contents_of(i)) for i in inputs]
        if all(given):
            yield f"infer {name}", "ModelInfer", pb.ModelInferRequest(model_name=model, inputs=given)
    words = b"\x02\0\0\0ab\0\0\0\0"
    for name, blob in (("strings", words), ("strings cut", words[:-1]), ("strings too long", words + b"\1")):
        yield f"infer raw {name}", "ModelInfer", pb.ModelInferRequest(
            model_name="text", inputs=[grpc_tensor(datatype="BYTES", shape=(2,))], raw_input_contents=[blob])
    yield "statistics at the end", "ModelStatistics", pb.ModelStatisticsRequest(name="same")
    yield "statistics of all", "ModelStatistics", pb.ModelStatisticsRequest()


def contents_of(given):
    """Typed contents of a tensor of MORE_INPUTS; what JSON alone can get wrong stays away."""
    if given["datatype"] == "BYTES":
        return raw(bytes_contents=[str(word).encode() for word in given["data"]])
    return raw(**{"int64_contents" if given["datatype"] == "INT64" else "fp32_contents": given["data"]})


HEAD = "GET /v2/health/live HTTP/1.1\r\nHost: h\r\n"
POST = "POST /v2/models/none/infer HTTP/1.1\r\nHost: h\r\n"
# What no client library sends, by name. Several answers may come; the connection closes or does not.
RAW = {
    "as it should be": HEAD + "\r\n", "two at once": (HEAD + "\r\n") * 2, "three, the second is wrong": HEAD + "\r\n" + HEAD + "a b\r\n\r\n" + HEAD + "\r\n",
    "a line end before": "\r\n" + HEAD + "\r\n", "bare line ends": HEAD.replace("\r", "") + "\n", "no host": "GET /v2 HTTP/1.1\r\n\r\n",
    "two hosts": HEAD + "Host: i\r\n\r\n", "an empty host": "GET /v2/health/live HTTP/1.1\r\nHost:\r\n\r\n", "1.0": "GET /v2/health/live HTTP/1.0\r\n\r\n",
    "1.0 kept": "GET /v2/health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "1.2": HEAD.replace("1.1", "1.2") + "\r\n", "2.0": HEAD.replace("1.1", "2.0") + "\r\n",
    "no version": "GET /v2/health/live\r\n\r\n", "no target": "GET HTTP/1.1\r\nHost: h\r\n\r\n", "two spaces": "GET  /v2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a tab": "GET\t/v2 HTTP/1.1\r\nHost: h\r\n\r\n", "a whole address": "GET http://h/v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n", "a star": "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "small letters": "get /v2 HTTP/1.1\r\nHost: h\r\n\r\n", "another method": "BREW /v2 HTTP/1.1\r\nHost: h\r\n\r\n", "no slash": "GET v2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a NUL": HEAD + "X: a\0b\r\n\r\n", "a space before the colon": HEAD + "X : a\r\n\r\n", "a folded line": HEAD + "X: a\r\n b\r\n\r\n", "no colon": HEAD + "X\r\n\r\n",
    "no name": HEAD + ": a\r\n\r\n", "a name with a slash": HEAD + "a/b: c\r\n\r\n", "a body nobody asked for": HEAD + "Content-Length: 2\r\n\r\n{}",
    "a long target": "GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: h\r\n\r\n", "a long field": HEAD + "X: " + "a" * 70000 + "\r\n\r\n",
    "many fields": HEAD + "X: a\r\n" * 120 + "\r\n", "no length": POST + "\r\n", "two lengths": POST + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + "Content-Length: 2, 2\r\n\r\n{}", "a negative length": POST + "Content-Length: -2\r\n\r\n{}", "a length with a sign": POST + "Content-Length: +2\r\n\r\n{}",
    "a length beyond": POST + "Content-Length: 99999999999999999999\r\n\r\n{}", "a large length": POST + "Content-Length: 999999999999\r\n\r\n{}",
    "chunks": POST + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", "chunks with extensions": POST + "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n",
    "chunks with trailers": POST + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n", "no chunk size": POST + "Transfer-Encoding: chunked\r\n\r\n\r\n{}\r\n0\r\n\r\n",
    "a chunk size of letters": POST + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "a chunk size beyond": POST + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "a chunk without its end": POST + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n", "chunks and a length": POST + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "another coding": POST + "Transfer-Encoding: gzip\r\n\r\n", "chunked twice": POST + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "chunks of 1.0": POST.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "go on": POST + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", "go on to what": POST + "Expect: coffee\r\nContent-Length: 2\r\n\r\n{}",
    "the last one": HEAD + "Connection: close\r\n\r\n" + HEAD + "\r\n", "an upgrade": HEAD + "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "noise": "\x16\x03\x01\x02\0\x01\0", "nothing": "", "half a head": "GET /v2 HTTP/1.1\r\nHost:", "half a body": POST + "Content-Length: 9\r\n\r\n{}",
}


def printable(data):
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return repr(data)
    return text if text.isprintable() else repr(data)


class TranscriptTest(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        repository = pathlib.Path(scratch.name) / "repository"
        make_repository(repository)
        self.server = Server(repository, "--threads", "1")
        self.addCleanup(self.server.close)

    def compare(self, name, entries):
        """Entry by entry with the file, so that what differs is said alone."""
        path, text = HERE / f"{name}.txt", "\n".join(mask(entry) for entry in entries)
        if UPDATE:
            path.write_text(text)
        wanted = path.read_text().split("=== ")
        for seen, want in zip(text.split("=== "), wanted):
            self.assertEqual(seen, want)
        self.assertEqual(len(text.split("=== ")), len(wanted))

    def test_http(self):
        connection = http.client.HTTPConnection(self.server.http, timeout=60)
        self.addCleanup(connection.close)
        entries = []
        for name, method, path, body, headers in http_requests():
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            text = printable(answer.read())
            lines = [f"=== {name}", f"{method} {path}", f"{answer.status} {answer.reason}"]
            lines += [f"{key}: {value}" for key, value in sorted(answer.getheaders())
                      if key != "Content-Length" or mask(text) == text]  # of what is masked it may be another
            entries.append("\n".join([*lines, text, ""]))
        self.compare("http", entries)

    def test_raw(self):
        entries = []
        for name, text in RAW.items():
            with socket.create_connection(self.server.http.split(":"), timeout=60) as client:
                client.sendall(text.encode("latin-1"))
                client.shutdown(socket.SHUT_WR)
                seen = b""
                try:
                    while piece := client.recv(65536):
                        seen += piece
                except ConnectionResetError:
                    seen += b" (reset)"
            entries.append(f"=== {name}\n{seen.decode('latin-1')}\n".replace("\r", ""))
        self.compare("raw", entries)

    def test_metrics(self):
        """The page after some traffic, times and sizes masked."""
        for name, model, inputs in MORE_INPUTS:
            self.server.post(f"/v2/models/{model}/infer", json.dumps({"inputs": inputs}).encode())
        for name in ("none", "same", "bad"):
            self.server.post(f"/v2/models/{name}/infer", json.dumps(good()).encode())
        for model in ("two", "bad", "nobody"):
            self.server.post(f"/v2/repository/models/{model}/load")
        self.server.post("/v2/repository/models/more/unload")
        status, page = self.server.get("/metrics", "metrics")
        self.assertEqual(status, 200)
        lines = [re.sub(r" [\d.e+-]+$", " *", line) if re.search("_us{|_secs|seconds|_bytes|connections|in_flight|retiring|freed", line) else line
                 for line in page.decode().splitlines()]
        buckets = [line for line in lines if "_bucket{" not in line or 'le="+Inf"' in line]
        self.compare("metrics", ["=== metrics\n" + "\n".join(buckets) + "\n"])

    def test_grpc(self):
        channel = grpc.insecure_channel(self.server.grpc)
        self.addCleanup(channel.close)
        stub, entries = service_pb2_grpc.GRPCInferenceServiceStub(channel), []
        for name, method, request in grpc_requests():
            try:
                answer = text_format.MessageToString(getattr(stub, method)(request, timeout=60))
            except grpc.RpcError as error:
                answer = f"{error.code().name}: {error.details()}\n"
            entries.append(f"=== {name}\n{method}\n{answer}")
        self.compare("grpc", entries)


if __name__ == "__main__":
    unittest.main()
