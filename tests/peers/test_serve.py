"""norn serve against unmodified clients: tritonclient over HTTP and gRPC, perf_analyzer, and hostile bytes."""

import json
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import numpy as np
import onnxruntime
import tritonclient.grpc
import tritonclient.http

from served import REPOSITORY, Server, add_model, example_models

from examples import models  # noqa: E402  (served sets the path)

BATCHES = (1, 7, 64, 1000)
RTOL, ATOL = 1e-5, 1e-6


def reference(name, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(example_models() / f"{name}.onnx"), options,
                                           providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds)))


def datatype(array):
    return {"float32": "FP32", "int64": "INT64", "int32": "INT32", "bool": "BOOL",
            "float64": "FP64"}[str(array.dtype)]


def client_inputs(module, feeds, **more):
    inputs = []
    for name, array in feeds.items():
        tensor = module.InferInput(name, list(array.shape), datatype(array))
        tensor.set_data_from_numpy(array, **more)
        inputs.append(tensor)
    return inputs


class ServeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.repository = pathlib.Path(cls.scratch.name) / "repository"
        for name in models.SIX:
            add_model(cls.repository, name, example_models() / f"{name}.onnx")
        broken = cls.repository / "broken" / "1"
        broken.mkdir(parents=True)
        (broken / "model.onnx").write_bytes((example_models() / "dlrm.onnx").read_bytes()[:1000])
        (cls.repository / "empty").mkdir()
        cls.server = Server(cls.repository)
        cls.http = tritonclient.http.InferenceServerClient(cls.server.http)
        cls.grpc = tritonclient.grpc.InferenceServerClient(cls.server.grpc)

    @classmethod
    def tearDownClass(cls):
        cls.http.close()
        cls.grpc.close()
        cls.server.close()
        cls.scratch.cleanup()

    def assert_scores(self, result, expected, what):
        for name, wanted in expected.items():
            got = result.as_numpy(name)
            self.assertEqual(got.shape, wanted.shape, what)
            np.testing.assert_allclose(got, wanted, rtol=RTOL, atol=ATOL, err_msg=what)

    def test_scores_equal_onnxruntime_over_http_and_grpc(self):
        for name in models.SIX:
            for batch in BATCHES:
                feeds = models.inputs(name, "small", batch, seed=batch)
                expected = reference(name, feeds)
                what = f"{name} at batch {batch}"
                with self.subTest(what):
                    self.assert_scores(self.http.infer(name, client_inputs(tritonclient.http, feeds)),
                                       expected, what + ", HTTP binary")
                    self.assert_scores(self.grpc.infer(name, client_inputs(tritonclient.grpc, feeds)),
                                       expected, what + ", gRPC")

    def test_json_tensors_give_the_same_scores(self):
        feeds = models.inputs("dlrm", "small", 7, seed=3)
        inputs = client_inputs(tritonclient.http, feeds, binary_data=False)
        outputs = [tritonclient.http.InferRequestedOutput(name, binary_data=False)
                   for name in reference("dlrm", feeds)]
        self.assert_scores(self.http.infer("dlrm", inputs, outputs=outputs), reference("dlrm", feeds), "JSON")

    def test_joined_requests_get_their_own_rows(self):
        """Many clients at once, each with rows of its own: the queue must not mix them up."""
        failures = []

        def client(seed):
            try:
                with tritonclient.http.InferenceServerClient(self.server.http) as http:
                    for round_ in range(5):
                        batch = 1 + (seed + round_) % 5
                        feeds = models.inputs("deepfm", "small", batch, seed=100 * seed + round_)
                        self.assert_scores(http.infer("deepfm", client_inputs(tritonclient.http, feeds)),
                                           reference("deepfm", feeds), f"client {seed}")
            except Exception as error:  # noqa: BLE001 - reported by the main thread
                failures.append(error)

        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_metadata_config_and_statistics_are_what_clients_read(self):
        feeds = models.inputs("dlrm", "small", 3, seed=5)
        self.http.infer("dlrm", client_inputs(tritonclient.http, feeds))
        for client, as_json in ((self.http, {}), (self.grpc, {"as_json": True})):
            self.assertTrue(client.is_server_live())
            self.assertTrue(client.is_server_ready())
            self.assertTrue(client.is_model_ready("dlrm"))
            self.assertFalse(client.is_model_ready("broken"))
            self.assertIn("statistics", client.get_server_metadata(**as_json)["extensions"])
            metadata = client.get_model_metadata("dlrm", **as_json)
            self.assertEqual({port["name"] for port in metadata["inputs"]}, set(feeds))
            config = client.get_model_config("dlrm", **as_json)
            config = config.get("config", config)
            self.assertEqual({port["name"] for port in config["input"]}, set(feeds))
            self.assertGreater(int(config["max_batch_size"]), 1)
            stats = client.get_inference_statistics("dlrm", **as_json)["model_stats"][0]
            self.assertGreaterEqual(int(stats["inference_count"]), 3)
            for part in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
                self.assertGreaterEqual(int(stats["inference_stats"][part]["count"]), 1, part)
            index = {entry["name"]: entry for entry in self.index(client, as_json)}
            self.assertEqual(index["dlrm"]["state"], "READY")
            self.assertEqual(index["broken"]["state"], "UNAVAILABLE")
            self.assertIn("model.onnx", index["broken"]["reason"])
            self.assertIn("version", index["empty"]["reason"])

    @staticmethod
    def index(client, as_json):
        index = client.get_model_repository_index(**as_json)
        return index["models"] if isinstance(index, dict) else index

    def test_metrics_count_what_was_answered(self):
        def count():
            status, page = self.server.get("/metrics", port="metrics")
            self.assertEqual(status, 200)
            line = [row for row in page.decode().splitlines() if row.startswith('nv_inference_request_success{model="mmoe"')]
            return int(line[0].rsplit(" ", 1)[1])

        before = count()
        feeds = models.inputs("mmoe", "small", 2, seed=5)
        self.http.infer("mmoe", client_inputs(tritonclient.http, feeds))
        self.assertEqual(count(), before + 1)

    # ---- bad requests ---------------------------------------------------------------------------------

    def refused(self, status, words, body, headers=None, path="/v2/models/dlrm/infer"):
        code, answer = self.server.post(path, body, headers)
        self.assertEqual(code, status, answer)
        self.assertIn(words, json.loads(answer)["error"])

    def test_bad_requests_are_refused_with_the_tensor_named(self):
        feeds = models.inputs("dlrm", "small", 2, seed=1)
        good = {"inputs": [{"name": name, "shape": list(array.shape), "datatype": datatype(array),
                            "data": array.ravel().tolist()} for name, array in feeds.items()]}

        def with_input(**changes):
            changed = json.loads(json.dumps(good))
            changed["inputs"][0].update(changes)
            return json.dumps(changed).encode()

        first = good["inputs"][0]["name"]
        self.assertEqual(self.server.post("/v2/models/dlrm/infer", json.dumps(good).encode())[0], 200)
        self.refused(400, first, with_input(datatype="FP64"))
        self.refused(400, first, with_input(shape=[2, 1], data=[0, 0]))
        self.refused(400, first, with_input(data=[1]))
        self.refused(400, first, with_input(shape=[1 << 40, 1 << 40]))
        self.refused(400, first, with_input(shape=[0x7fffffffffffffff, 13]))
        self.refused(400, "nobody", with_input(name="nobody"))
        self.refused(400, "missing", json.dumps({"inputs": good["inputs"][1:]}).encode())
        self.refused(400, "twice", json.dumps({"inputs": good["inputs"] + good["inputs"]}).encode())
        self.refused(400, "", b"")
        self.refused(400, "byte", b"{" * 100000)
        self.refused(400, "byte", b'{"inputs": [\xff\xfe]}')
        self.refused(400, "Inference-Header-Content-Length", b"{}", {"Inference-Header-Content-Length": "7"})
        self.refused(400, "Inference-Header-Content-Length", b"{}", {"Inference-Header-Content-Length": "-1"})
        self.refused(404, "nothing", json.dumps(good).encode(), path="/v2/models/nothing/infer")
        self.refused(404, "version 9", json.dumps(good).encode(), path="/v2/models/dlrm/versions/9/infer")
        self.refused(400, "version 'x'", json.dumps(good).encode(), path="/v2/models/dlrm/versions/x/infer")
        self.refused(503, "broken", json.dumps(good).encode(), path="/v2/models/broken/infer")
        with self.assertRaisesRegex(tritonclient.utils.InferenceServerException, "INVALID_ARGUMENT.*" + first):
            wrong = {**feeds, first: feeds[first].astype(np.float64)}
            self.grpc.infer("dlrm", client_inputs(tritonclient.grpc, wrong))

    def test_an_id_outside_its_table_fails_that_request_alone(self):
        feeds = models.inputs("dlrm", "small", 2, seed=1)
        ids = next(name for name, array in feeds.items() if array.dtype == np.int64)
        feeds[ids] = np.full_like(feeds[ids], 1 << 40)
        with self.assertRaises(tritonclient.utils.InferenceServerException) as caught:
            self.http.infer("dlrm", client_inputs(tritonclient.http, feeds))
        self.assertIn("1099511627776", str(caught.exception))
        good = models.inputs("dlrm", "small", 2, seed=1)
        self.assert_scores(self.http.infer("dlrm", client_inputs(tritonclient.http, good)),
                           reference("dlrm", good), "after the bad one")

    def test_hostile_bytes_leave_the_server_serving(self):
        rng = np.random.default_rng(1)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        frame = struct.pack(">I", 0xffffff)[1:] + b"\x00\x00\x00\x00\x00\x01"
        attacks = [("HTTP", b"GET / HTTP/9.9\r\n\r\n"), ("HTTP", b"\x00" * 100),
                   ("HTTP", b"POST /v2/models/dlrm/infer HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"),
                   ("HTTP", b"POST /v2/models/dlrm/infer HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
                   ("HTTP", b"POST /v2/models/dlrm/infer HTTP/1.1\r\nContent-Length: 50\r\n\r\n{"),
                   ("HTTP", b"A: " + b"b" * 200000), ("gRPC", b"hello"), ("gRPC", preface + frame),
                   ("gRPC", preface + b"\xff" * 1000), ("gRPC", preface)]
        attacks += [(port, preface * (port == "gRPC") + rng.bytes(300)) for port in ("HTTP", "gRPC")
                    for _ in range(50)]
        for port, data in attacks:
            with socket.create_connection(("127.0.0.1", self.server.ports[port]), timeout=5) as connection:
                try:
                    connection.sendall(data)
                except OSError:
                    pass  # refused before it had read everything
        self.assertIsNone(self.server.process.poll())
        self.assertTrue(self.http.is_server_live())
        self.assertTrue(self.grpc.is_server_live())

    # ---- life -----------------------------------------------------------------------------------------

    def freed(self):
        return int(re.search(rb"^norn_versions_freed_total (\d+)$", self.server.get("/metrics", "metrics")[1], re.M)[1])

    def test_models_are_loaded_and_unloaded_while_others_serve(self):
        add_model(self.repository, "late", example_models() / "mmoe.onnx", version=3)
        with self.assertRaisesRegex(tritonclient.utils.InferenceServerException, "late"):
            self.http.get_model_metadata("late")
        self.http.load_model("late")
        self.assertEqual(self.http.get_model_metadata("late")["versions"], ["3"])
        freed, feeds = self.freed(), models.inputs("mmoe", "small", 2, seed=5)
        for client, kind in ((self.http, tritonclient.http), (self.grpc, tritonclient.grpc)):
            for ask in (client.is_model_ready, client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
                ask("late")
            client.infer("late", client_inputs(kind, feeds))
        self.grpc.unload_model("late")
        self.assertFalse(self.http.is_model_ready("late"))
        deadline = time.monotonic() + 20  # what has asked of it holds it no longer
        while self.freed() == freed and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(self.freed(), freed + 1)
        with self.assertRaisesRegex(tritonclient.utils.InferenceServerException, "ghost"):
            self.grpc.load_model("ghost")

    def test_sigterm_answers_what_is_in_flight_then_exits_zero(self):
        with tempfile.TemporaryDirectory() as scratch:
            repository = pathlib.Path(scratch) / "repository"
            add_model(repository, "dlrm", example_models() / "dlrm.onnx")
            server = Server(repository)
            feeds = models.inputs("dlrm", "small", 1000, seed=1)
            expected = reference("dlrm", feeds)
            answers, started = [], threading.Barrier(5)

            def client():
                with tritonclient.http.InferenceServerClient(server.http) as http:
                    http.infer("dlrm", client_inputs(tritonclient.http, feeds))  # the connection is up
                    started.wait()
                    try:
                        while True:
                            answers.append(http.infer("dlrm", client_inputs(tritonclient.http, feeds)))
                    except Exception:  # noqa: BLE001 - the server went away, as it should
                        pass

            threads = [threading.Thread(target=client) for _ in range(4)]
            for thread in threads:
                thread.start()
            started.wait()
            time.sleep(0.1)
            self.assertEqual(server.stop(), 0, server.log.read_text())
            for thread in threads:
                thread.join()
            self.assertGreater(len(answers), 0)
            for answer in answers:
                self.assert_scores(answer, expected, "while stopping")

    def test_perf_analyzer_measures_over_http_and_grpc(self):
        for protocol, url in (("http", self.server.http), ("grpc", self.server.grpc)):
            with self.subTest(protocol):
                run = subprocess.run(
                    [sys.executable, str(REPOSITORY / "tests/peers/perf_analyzer.py"), "-m", "wide_deep", "-u", url,
                     "-i", protocol, "-b", "8", "--concurrency-range", "2", "--measurement-interval", "500",
                     "--stability-percentage", "95", "--input-data", "zero", *self.perf_shapes("wide_deep")],
                    capture_output=True, text=True, timeout=180, check=False)
                self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
                self.assertIn("Throughput:", run.stdout)
                self.assertNotIn("Throughput: 0 ", run.stdout)

    def perf_shapes(self, name):
        """--shape for inputs that have dynamic dims besides the batch."""
        metadata = self.http.get_model_metadata(name)
        shapes = []
        for port in metadata["inputs"]:
            if any(int(dim) < 0 for dim in port["shape"][1:]):
                shapes += ["--shape", f"{port['name']}:" + ",".join("4" if int(d) < 0 else str(d) for d in port["shape"][1:])]
        return shapes


if __name__ == "__main__":
    unittest.main()
