"""Numbers in JSON over HTTP, as Python's json and tritonclient write and read them, to the ends of every type."""

import json
import pathlib
import tempfile
import unittest

import numpy as np
import onnx
import tritonclient.http
from onnx import helper

from served import Server

TYPES = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16,
         "UINT16": np.uint16, "INT32": np.int32, "UINT32": np.uint32, "INT64": np.int64, "UINT64": np.uint64, "BOOL": np.bool_}


class JsonTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        repository = pathlib.Path(scratch.name) / "repository"
        for name, dtype in TYPES.items():
            ports = [helper.make_tensor_value_info(port, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["B"]) for port in "xy"]
            graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ports[:1], ports[1:])
            (repository / name / "1").mkdir(parents=True)
            onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
                      repository / name / "1" / "model.onnx")
        cls.server = Server(repository)
        cls.addClassCleanup(cls.server.close)
        cls.client = tritonclient.http.InferenceServerClient(cls.server.http)
        cls.addClassCleanup(cls.client.close)

    def ask(self, name, data):
        body = json.dumps({"inputs": [{"name": "x", "datatype": name, "shape": [len(data)], "data": data}]})
        code, answer = self.server.post(f"/v2/models/{name}/infer", body.encode())
        return code, json.loads(answer)

    def through_json(self, name, array):
        """What comes back of an array that goes as JSON and comes as JSON: by Python's json and by tritonclient."""
        code, answer = self.ask(name, array.tolist())
        self.assertEqual(code, 200, answer)
        tensor = tritonclient.http.InferInput("x", list(array.shape), name)
        tensor.set_data_from_numpy(array, binary_data=name == "FP16")  # the client has no JSON for FP16
        result = self.client.infer(name, [tensor], outputs=[tritonclient.http.InferRequestedOutput("y", binary_data=False)])
        return np.array(answer["outputs"][0]["data"], array.dtype), result.as_numpy("y")

    def test_every_type_comes_back_bit_for_bit(self):
        rng = np.random.default_rng(3)
        for name, dtype in TYPES.items():
            kind = np.dtype(dtype)
            if kind.kind == "f":
                facts = np.finfo(dtype)
                ends = [facts.max, facts.min, facts.tiny, facts.smallest_subnormal, -0.0, 0, 1, np.inf, -np.inf]
                array = np.concatenate([np.array(ends, dtype), rng.integers(0, 256, 1600, np.uint8).view(dtype)])
                array = array[~np.isnan(array)]
            elif kind.kind == "b":
                array = np.array([True, False])
            else:
                facts = np.iinfo(dtype)
                array = np.concatenate([np.array([facts.max, facts.min, 0, 1, facts.max - 1], dtype),
                                        rng.integers(0, 256, 1600, np.uint8).view(dtype)])
            with self.subTest(name):
                for got in self.through_json(name, array):
                    self.assertEqual(got.tobytes(), array.tobytes())

    def test_nan_is_nan(self):
        for name in ("FP16", "FP32", "FP64"):
            for got in self.through_json(name, np.array([np.nan, 1, np.nan], TYPES[name])):
                np.testing.assert_array_equal(got, [np.nan, 1, np.nan])

    def test_what_no_element_holds_is_refused_with_its_byte(self):
        cases = [("FP32", 1e39), ("FP32", -1e300), ("FP16", 70000.0), ("INT8", -129), ("UINT8", 256), ("UINT64", 2**64),
                 ("INT64", 2**63), ("INT64", -2**63 - 1), ("INT32", 1.5), ("UINT16", -1), ("BOOL", 2), ("FP32", None),
                 ("INT32", True), ("FP32", "NaN"), ("INT64", float("nan")), ("INT64", float("inf"))]
        for name, value in cases:
            with self.subTest(f"{value} as {name}"):
                code, answer = self.ask(name, [1, value])
                body = json.dumps({"inputs": [{"name": "x", "datatype": name, "shape": [2], "data": [1, value]}]})
                self.assertEqual(code, 400, answer)
                self.assertIn(f"byte {body.index(', ' + json.dumps(value)) + 2}:", answer["error"])

    def test_numbers_beyond_all_bounds_cost_little(self):
        for text in ("9" * 1_000_000, "0." + "0" * 1_000_000 + "1", "1e" + "9" * 1_000_000, "-" + "1" * 1_000_000):
            body = '{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[%s]}]}' % text
            code, answer = self.server.post("/v2/models/FP64/infer", body.encode())
            self.assertEqual(code, 200 if text[0] == "0" else 400, answer)
        for body in (b'{"inputs":' + b"[" * 100000, b'{"inputs":[{"data":' + b"[" * 64 + b"]" * 64 + b"}]}"):
            self.assertEqual(self.server.post("/v2/models/FP64/infer", body)[0], 400)


if __name__ == "__main__":
    unittest.main()
