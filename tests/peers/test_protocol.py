"""What clients ask for beyond tensors: parameters and extensions, model control, the forms of a shape. Each is honoured or
refused by its name, over HTTP and gRPC alike."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from served import REPOSITORY, Server, add_model

X = np.arange(6, dtype=np.float32).reshape(3, 2)


def save(folder, nodes, inputs, outputs):
    """A model of float tensors; inputs and outputs are {name: dims}."""
    def ports(all_dims):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in all_dims.items()]
    graph = helper.make_graph(nodes, "g", ports(inputs), ports(outputs))
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), folder / "model.onnx")


class ProtocolTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.repository = pathlib.Path(cls.folder.name) / "repository"
        save(cls.repository / "neg" / "1", [helper.make_node("Neg", ["x"], ["y"])], {"x": ["B", 2]}, {"y": ["B", 2]})
        save(cls.repository / "sum" / "1", [helper.make_node("Add", ["a", "b"], ["y"])], {"a": ["B"], "b": ["B"]}, {"y": ["B"]})
        (cls.repository / "bad" / "1").mkdir(parents=True)
        (cls.repository / "bad" / "1" / "model.onnx").write_text("no model")
        cls.server = Server(cls.repository)
        cls.clients = ((tritonclient.http, tritonclient.http.InferenceServerClient(cls.server.http)),
                       (tritonclient.grpc, tritonclient.grpc.InferenceServerClient(cls.server.grpc)))

    @classmethod
    def tearDownClass(cls):
        for _, client in cls.clients:
            client.close()
        cls.server.close()
        cls.folder.cleanup()

    def infer(self, module, client, model="neg", feeds=None, **more):
        inputs = []
        for name, array in (feeds or {"x": X}).items():
            inputs.append(module.InferInput(name, list(array.shape), "FP32"))
            inputs[-1].set_data_from_numpy(array)
        return client.infer(model, inputs, **more)

    # ---- parameters -----------------------------------------------------------------------------------

    def test_what_norn_lacks_is_refused_by_its_name(self):
        for module, client in self.clients:
            for more, words in (({"sequence_id": 7, "sequence_start": True}, "sequence extension"),
                                ({"sequence_id": "s"}, "sequence extension"), ({"priority": 1}, "schedule policy"),
                                ({"parameters": {"temperature": 1}}, "temperature"),
                                ({"outputs": [module.InferRequestedOutput("y", class_count=2)]}, "classification")):
                with self.subTest(module.__name__, **{k: str(v) for k, v in more.items()}):
                    with self.assertRaisesRegex(InferenceServerException, words):
                        self.infer(module, client, **more)

    def test_an_output_asked_for_twice_is_refused(self):
        for module, client in self.clients:
            with self.assertRaisesRegex(InferenceServerException, "'y' was asked for twice"):
                self.infer(module, client, outputs=[module.InferRequestedOutput("y")] * 2)

    def test_what_asks_for_nothing_is_accepted(self):
        for module, client in self.clients:
            answer = self.infer(module, client, sequence_id=0, sequence_start=False, priority=0, timeout=0, request_id="q")
            np.testing.assert_array_equal(answer.as_numpy("y"), -X)

    def test_shared_memory_is_refused_for_inputs_and_outputs(self):
        for module, client in self.clients:
            tensor = module.InferInput("x", [3, 2], "FP32")
            tensor.set_shared_memory("region", 24)
            with self.assertRaisesRegex(InferenceServerException, "shared memory"):
                client.infer("neg", [tensor])
            output = module.InferRequestedOutput("y")
            output.set_shared_memory("region", 24)
            with self.assertRaisesRegex(InferenceServerException, "shared memory"):
                self.infer(module, client, outputs=[output])

    def test_an_id_with_a_nul_is_refused(self):
        for module, client in self.clients:
            with self.assertRaisesRegex(InferenceServerException, "NUL"):
                self.infer(module, client, request_id="a\0b")

    # ---- rank-1 tensors -------------------------------------------------------------------------------

    def test_one_element_a_row_has_the_form_that_configurations_can_say(self):
        a, b = np.float32([1, 2, 3]), np.float32([10, 20, 30])
        for module, client in self.clients:
            as_json = {"as_json": True} if module is tritonclient.grpc else {}
            config = client.get_model_config("sum", **as_json)
            config = config.get("config", config)
            self.assertGreater(int(config["max_batch_size"]), 1)
            for port in config["input"] + config["output"]:
                self.assertEqual([int(dim) for dim in port["dims"]], [1])
                self.assertEqual(port["reshape"].get("shape", []), [])
            metadata = client.get_model_metadata("sum", **as_json)
            self.assertEqual([[int(dim) for dim in port["shape"]] for port in metadata["inputs"]], [[-1, 1]] * 2)
            for first, second in ((a, b), (a[:, None], b[:, None]), (a, b[:, None])):
                answer = self.infer(module, client, "sum", {"a": first, "b": second})
                np.testing.assert_array_equal(answer.as_numpy("y"), [11, 22, 33])
            with self.assertRaisesRegex(InferenceServerException, "'a': 2 dimensions were sent"):
                self.infer(module, client, "sum", {"a": np.zeros((3, 2), np.float32), "b": b})
            neg = client.get_model_config("neg", **as_json)
            self.assertNotIn("reshape", neg.get("config", neg)["input"][0])

    def test_perf_analyzer_runs_the_movielens_example(self):
        server = Server(REPOSITORY / "examples/movielens/repository", log=pathlib.Path(self.folder.name) / "movielens.log")
        self.addCleanup(server.close)
        for protocol, url in (("http", server.http), ("grpc", server.grpc)):
            run = subprocess.run(
                [sys.executable, str(REPOSITORY / "tests/peers/perf_analyzer.py"), "-m", "movielens", "-u", url, "-i", protocol,
                 "-b", "8", "--concurrency-range", "2", "--measurement-interval", "500", "--stability-percentage", "95",
                 "--input-data", "zero"], capture_output=True, text=True, timeout=180, check=False)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            self.assertIn("Throughput:", run.stdout)

    # ---- model control ----------------------------------------------------------------------------------

    def test_overrides_of_a_load_are_refused_with_what_to_do_instead(self):
        for module, client in self.clients:
            with self.assertRaisesRegex(InferenceServerException, "norn.json"):
                client.load_model("neg", config='{"max_batch_size": 4}')
            with self.assertRaisesRegex(InferenceServerException, "version folder"):
                client.load_model("neg", config="{}", files={"file:1/model.onnx": b"x"})
            client.unload_model("neg", unload_dependents=True)
            self.assertFalse(client.is_model_ready("neg"))
            client.load_model("neg")
        path = "/v2/repository/models/neg/load"
        for body, code in ((b'{"parameters": {"speed": 1}}', 501), (b'{"config": "{}"}', 400), (b'{"parameters": 1}', 400),
                           (b"{", 400), (b"[]", 400), (b"{}", 200), (b"", 200)):
            self.assertEqual(self.server.post(path, body)[0], code, body)

    def test_names_that_the_repository_does_not_have_leave_no_trace(self):
        def names():
            return [entry["name"] for entry in json.loads(self.server.post("/v2/repository/index")[1])]
        before = names()
        for name in ("ghost", "..", ".", "../repository/neg", "neg/1", "", "a" * 300, "%2e%2e", "\u00e9"):
            for module, client in self.clients:
                for act in (client.load_model, client.unload_model):
                    with self.assertRaises(InferenceServerException):
                        act(name)
        self.assertEqual(names(), before)

    def test_the_index_says_what_failed_and_filters_by_ready(self):
        shutil.copytree(self.repository / "neg", self.repository / "turns")
        (_, http), (_, grpc) = self.clients
        http.load_model("turns")
        (self.repository / "turns" / "2").mkdir()
        (self.repository / "turns" / "2" / "model.onnx").write_text("no model")
        with self.assertRaisesRegex(InferenceServerException, "turns/2/model.onnx"):
            http.load_model("turns")
        index = {(entry["name"], entry.get("version")): entry
                 for entry in json.loads(self.server.post("/v2/repository/index")[1])}
        self.assertEqual(index["turns", "1"]["state"], "READY")
        self.assertEqual(index["turns", "2"]["state"], "UNAVAILABLE")
        self.assertIn("turns/2/model.onnx", index["turns", "2"]["reason"])
        self.assertEqual(index["bad", "1"]["state"], "UNAVAILABLE")
        self.assertIn("model.onnx", index["bad", "1"]["reason"])
        metrics = self.server.get("/metrics", "metrics")[1].decode()
        self.assertIn('norn_model_load_failures_total{model="turns"} 1\n', metrics)
        self.assertIn('norn_model_load_failures_total{model="neg"} 0\n', metrics)
        ready = json.loads(self.server.post("/v2/repository/index", b'{"ready": true}')[1])
        self.assertIn("turns", [entry["name"] for entry in ready])
        self.assertNotIn("bad", [entry["name"] for entry in ready])
        request = tritonclient.grpc.service_pb2.RepositoryIndexRequest(ready=True)
        self.assertNotIn("bad", [entry.name for entry in grpc._client_stub.RepositoryIndex(request).models])
        self.assertEqual(self.server.post("/v2/repository/index", b'{"ready": 1}')[0], 400)
        self.assertEqual(self.server.post("/v2/repository/index", b'{"steady": true}')[0], 400)

    def test_what_is_there_but_not_loaded_is_told_from_what_is_not_there(self):
        shutil.copytree(self.repository / "neg", self.repository / "later")
        (_, http), (_, grpc) = self.clients
        for client in (http, grpc):
            with self.assertRaisesRegex(InferenceServerException, "in the repository but was not loaded"):
                client.get_model_metadata("later")
            with self.assertRaisesRegex(InferenceServerException, "in the repository but not loaded"):
                client.unload_model("later")
            with self.assertRaisesRegex(InferenceServerException, "'nowhere' is not in the repository"):
                client.get_model_metadata("nowhere")

    def test_model_control_is_off_unless_it_is_asked_for(self):
        server = Server(self.repository, "--model-control", "none", log=pathlib.Path(self.folder.name) / "none.log")
        self.addCleanup(server.close)
        with tritonclient.http.InferenceServerClient(server.http) as http, \
                tritonclient.grpc.InferenceServerClient(server.grpc) as grpc:
            for client in (http, grpc):
                for act in (client.load_model, client.unload_model):
                    with self.assertRaisesRegex(InferenceServerException, r"(403|PERMISSION_DENIED).*--model-control explicit"):
                        act("neg")
                self.assertTrue(client.is_model_ready("neg"))
            self.assertNotIn("model_repository", http.get_server_metadata()["extensions"])
        self.assertIn("model_repository", self.clients[0][1].get_server_metadata()["extensions"])


if __name__ == "__main__":
    unittest.main()
