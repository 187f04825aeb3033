"""norn serve while things go wrong: clients that vanish or dawdle, full queues, passed deadlines, bodies too
large, models that go away, kills. After each the server must still answer, with the right scores."""

import gzip
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import zlib

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from served import NORN, Server, add_model, example_models
from test_serve import ATOL, RTOL, client_inputs, datatype, reference

from examples import models  # noqa: E402  (served sets the path)

NAME = "wide_deep"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def body_of(feeds):
    return json.dumps({"inputs": [{"name": name, "shape": list(array.shape), "datatype": datatype(array),
                                   "data": array.ravel().tolist()} for name, array in feeds.items()]}).encode()


def post_bytes(body, path=f"/v2/models/{NAME}/infer", extra=""):
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{extra}\r\n").encode() + body


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def grpc_headers(path):
    """An HPACK block without indexing or Huffman codes."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers",
              "content-type": "application/grpc"}
    return b"".join(b"\x00" + bytes([len(k)]) + k.encode() + bytes([len(v)]) + v.encode() for k, v in fields.items())


def resident_kb(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


class FaultsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = pathlib.Path(scratch.name)
        cls.repository = cls.scratch / "repository"
        add_model(cls.repository, NAME, example_models() / f"{NAME}.onnx")
        package = cls.repository / "user" / "1"
        shutil.copytree(example_models() / "repository" / "dlrm" / "1", package)
        config = json.loads((package / "norn.json").read_text()) if (package / "norn.json").exists() else {}
        config.setdefault("inputs", {}).setdefault("dense", {})["batch"] = "user"
        (package / "norn.json").write_text(json.dumps(config))
        shutil.copytree(example_models() / "repository" / "dlrm_bags", cls.repository / "dlrm_bags")
        cls.server = Server(cls.repository, "--max-batch", "64", "--max-request-bytes", "2000000")
        cls.addClassCleanup(cls.server.close)
        cls.feeds = models.inputs(NAME, "small", 3, seed=1)
        cls.expected = reference(NAME, cls.feeds)

    def connect(self, port="HTTP", server=None):
        return socket.create_connection(("127.0.0.1", (server or self.server).ports[port]), timeout=20)

    def assert_scores(self, result, expected, what=""):
        for name, wanted in expected.items():
            np.testing.assert_allclose(result.as_numpy(name), wanted, rtol=RTOL, atol=ATOL, err_msg=what)

    def http(self, server=None):
        client = tritonclient.http.InferenceServerClient((server or self.server).http, network_timeout=60)
        self.addCleanup(client.close)
        return client

    def grpc(self, server=None):
        client = tritonclient.grpc.InferenceServerClient((server or self.server).grpc)
        self.addCleanup(client.close)
        return client

    def tearDown(self):
        """Whatever the test did, both protocols answer."""
        self.assertIsNone(self.server.process.poll(), self.server.log.read_text()[-3000:])
        self.assert_scores(self.http().infer(NAME, client_inputs(tritonclient.http, self.feeds)), self.expected)
        self.assert_scores(self.grpc().infer(NAME, client_inputs(tritonclient.grpc, self.feeds)), self.expected)

    # ---- clients ----------------------------------------------------------------------------------------

    def test_clients_that_vanish(self):
        request = post_bytes(body_of(models.inputs(NAME, "small", 64, seed=2)))
        at_once = struct.pack("ii", 1, 0)
        for cut in (10, 60, len(request) // 2, len(request)):
            for reset in (False, True):
                for _ in range(5):
                    with self.connect() as client:
                        client.sendall(request[:cut])
                        if reset:
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        message = b"\0" + struct.pack(">I", 4) + b"\x0a\x02ab"
        headers = grpc_headers("/inference.GRPCInferenceService/ModelInfer")
        request = (PREFACE + frame(4, 0, 0) + frame(1, 4, 1, headers) + frame(0, 1, 1, message))
        for cut in (3, 30, len(request) - 4, len(request)):
            for _ in range(5):
                with self.connect("gRPC") as client:
                    client.sendall(request[:cut])

    def test_a_half_closed_connection_gets_its_answer(self):
        with self.connect() as client:
            client.sendall(post_bytes(body_of(self.feeds), extra="Connection: close\r\n"))
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := client.recv(65536):
                answer += piece
        self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 200"), answer[:200])

    def test_slow_clients_hold_nobody_up(self):
        request = post_bytes(body_of(self.feeds))
        slow = [self.connect() for _ in range(50)] + [self.connect("gRPC") for _ in range(50)]
        for i, client in enumerate(slow):
            client.sendall(request[:20 + i] if i < 50 else PREFACE[:5 + i % 10])
        for _ in range(5):
            begin = time.monotonic()
            self.assert_scores(self.http().infer(NAME, client_inputs(tritonclient.http, self.feeds)), self.expected)
            self.assertLess(time.monotonic() - begin, 10)
        for client in slow:
            client.close()

    def test_one_byte_at_a_time(self):
        request = post_bytes(body_of(models.inputs(NAME, "small", 1, seed=3)), extra="Connection: close\r\n")
        with self.connect() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(0, len(request)):
                client.sendall(request[i:i + 1])
            self.assertIn(b"200 OK", client.recv(65536))

    def test_streams_reset_in_flight(self):
        request = tritonclient.grpc.service_pb2.ModelInferRequest(model_name=NAME)
        for tensor in client_inputs(tritonclient.grpc, models.inputs(NAME, "small", 64, seed=2)):
            request.inputs.append(tensor._get_tensor())
            request.raw_input_contents.append(tensor._get_content())
        message = request.SerializeToString()
        message = b"\0" + struct.pack(">I", len(message)) + message
        headers = grpc_headers("/inference.GRPCInferenceService/ModelInfer")
        out = PREFACE + frame(4, 0, 0)
        for stream in range(1, 201, 2):
            out += frame(1, 4, stream, headers)
            pieces = [message[i:i + 16000] for i in range(0, len(message), 16000)]
            for i, piece in enumerate(pieces):
                out += frame(0, 1 if i + 1 == len(pieces) else 0, stream, piece)
            out += frame(3, 0, stream, struct.pack(">I", 8))
        with self.connect("gRPC") as client:
            client.settimeout(20)
            client.sendall(out)
            self.assertTrue(client.recv(100))

    def test_many_streams_of_one_connection(self):
        client, done, lock = self.grpc(), [], threading.Event()

        def answered(result, error):
            done.append(error)
            if len(done) == 300:
                lock.set()
        for _ in range(300):
            client.async_infer(NAME, client_inputs(tritonclient.grpc, self.feeds), answered)
        self.assertTrue(lock.wait(60), len(done))
        self.assertEqual([error for error in done if error], [])

    # ---- limits -----------------------------------------------------------------------------------------

    def test_a_full_queue_refuses_and_recovers(self):
        server = Server(self.repository, "--queue-limit", "2", "--batch-delay-us", "2000000", "--max-batch", "64")
        self.addCleanup(server.close)
        codes, started = [], threading.Barrier(12)

        def client(seed):
            started.wait()
            codes.append(server.post(f"/v2/models/{NAME}/infer", body_of(models.inputs(NAME, "small", 1, seed=seed)))[0])
        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(12)]
        for thread in threads:
            thread.start()
        time.sleep(0.7)
        with self.assertRaisesRegex(InferenceServerException, "RESOURCE_EXHAUSTED.*queue"):
            self.grpc(server).infer(NAME, client_inputs(tritonclient.grpc, self.feeds))
        for thread in threads:
            thread.join()
        self.assertEqual(set(codes), {200, 429})
        self.assertEqual(codes.count(200), 2)
        self.assertEqual(server.post(f"/v2/models/{NAME}/infer", body_of(self.feeds))[0], 200)
        self.assertEqual(server.stop(), 0)

    def test_deadlines(self):
        server = Server(self.repository, "--batch-delay-us", "1500000", "--max-batch", "64")
        self.addCleanup(server.close)
        begin = time.monotonic()
        with self.assertRaisesRegex(InferenceServerException, "deadline"):
            self.http(server).infer(NAME, client_inputs(tritonclient.http, self.feeds), timeout=50000)
        body = json.loads(body_of(self.feeds))
        body["parameters"] = {"timeout": 50000}
        self.assertEqual(server.post(f"/v2/models/{NAME}/infer", json.dumps(body).encode())[0], 504)
        with self.assertRaisesRegex(InferenceServerException, "(?i)deadline"):
            self.grpc(server).infer(NAME, client_inputs(tritonclient.grpc, self.feeds), client_timeout=0.05)
        self.assertLess(time.monotonic() - begin, 30)
        self.assert_scores(self.http(server).infer(NAME, client_inputs(tritonclient.http, self.feeds),
                                                   timeout=50000000), self.expected)

    def test_bodies_over_the_limit(self):
        for content in (b"{" + b" " * 2100000, ):
            try:
                code, _ = self.server.post(f"/v2/models/{NAME}/infer", content)
                self.assertIn(code, (0, 400, 413))  # 0: refused while the client was still sending
            except OSError:
                pass
        with self.connect() as client:
            client.sendall(f"POST /v2/models/{NAME}/infer HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n".encode())
            self.assertRegex(client.recv(1000), rb"^HTTP/1.1 4\d\d")
        feeds = models.inputs(NAME, "small", 20000, seed=1)
        with self.assertRaisesRegex(InferenceServerException, "RESOURCE_EXHAUSTED.*max-request-bytes"):
            self.grpc().infer(NAME, client_inputs(tritonclient.grpc, feeds))

    # ---- bodies -----------------------------------------------------------------------------------------

    def test_compressed_bodies(self):
        feeds = models.inputs(NAME, "small", 40, seed=6)
        expected = reference(NAME, feeds)
        for packing in ("gzip", "deflate"):
            for binary in (True, False):
                outputs = [tritonclient.http.InferRequestedOutput(name, binary_data=binary) for name in expected]
                with self.subTest(packing, binary=binary):
                    inputs = client_inputs(tritonclient.http, feeds, binary_data=binary)
                    self.assert_scores(self.http().infer(NAME, inputs, outputs=outputs, request_compression_algorithm=packing,
                                                         response_compression_algorithm=packing), expected)
            with self.subTest("gRPC", packing=packing):
                self.assert_scores(self.grpc().infer(NAME, client_inputs(tritonclient.grpc, feeds),
                                                     compression_algorithm=packing), expected)

    def test_compressed_answers_only_when_asked_for(self):
        body = body_of(models.inputs(NAME, "small", 64, seed=6))
        for asked, given in (("", None), ("Accept-Encoding: gzip;q=0\r\n", None), ("Accept-Encoding: br\r\n", None),
                             ("Accept-Encoding: br, gzip;q=0.5\r\n", b"gzip"), ("Accept-Encoding: deflate\r\n", b"deflate")):
            with self.subTest(asked), self.connect() as client:
                client.sendall(post_bytes(body, extra=asked + "Connection: close\r\n"))
                answer = b""
                while piece := client.recv(65536):
                    answer += piece
                head, content = answer.split(b"\r\n\r\n", 1)
                if given:
                    self.assertIn(b"Content-Encoding: " + given, head)
                    content = gzip.decompress(content) if given == b"gzip" else zlib.decompress(content)
                else:
                    self.assertNotIn(b"Content-Encoding", head)
                self.assertIn("outputs", json.loads(content))

    def test_hostile_compressed_bodies(self):
        good = gzip.compress(body_of(self.feeds))
        path = f"/v2/models/{NAME}/infer"
        bomb = gzip.compress(b"\0" * 200_000_000)
        for code, body, encoding in ((200, good, "gzip"), (200, zlib.compress(body_of(self.feeds)), "deflate"),
                                     (429, bomb, "gzip"), (400, good[:-9], "gzip"), (400, good + b"more", "gzip"),
                                     (400, b"", "gzip"), (400, b"\x1f\x8b" + b"\xff" * 50, "gzip"),
                                     (400, body_of(self.feeds), "gzip"), (501, good, "br"), (501, good, "gzip, gzip")):
            answer = self.server.post(path, body, {"Content-Encoding": encoding})
            self.assertEqual(answer[0], code, (encoding, body[:20], answer))
        self.assertLess(resident_kb(self.server.process), 1_000_000)

    def test_large_requests_are_split_and_joined(self):
        for rows in (64, 65, 1000):
            feeds = models.inputs(NAME, "small", rows, seed=rows)
            self.assert_scores(self.http().infer(NAME, client_inputs(tritonclient.http, feeds)), reference(NAME, feeds), rows)

    def test_one_user_row_equals_the_rows_repeated(self):
        for items in (1, 5, 64, 150):
            feeds = models.inputs("dlrm", "small", items, seed=items)
            one = {**feeds, "dense": feeds["dense"][:1]}
            many = {**feeds, "dense": np.repeat(feeds["dense"][:1], items, axis=0)}
            expected = reference("dlrm", many)
            for client, module in ((self.http(), tritonclient.http), (self.grpc(), tritonclient.grpc)):
                self.assert_scores(client.infer("user", client_inputs(module, one)), expected, f"{items} items")
                self.assert_scores(client.infer("user", client_inputs(module, many)), expected, f"{items} rows")

    def test_requests_of_no_rows(self):
        feeds = {name: array[:0] for name, array in self.feeds.items()}
        for client, module in ((self.http(), tritonclient.http), (self.grpc(), tritonclient.grpc)):
            result = client.infer(NAME, client_inputs(module, feeds))
            for name, wanted in self.expected.items():
                self.assertEqual(result.as_numpy(name).shape, (0, *wanted.shape[1:]))

    def test_ragged_inputs(self):
        for batch in (1, 7, 60, 150):
            feeds = models.inputs("dlrm_bags", "small", batch, seed=batch)
            expected = reference("dlrm_bags", feeds)
            for client, module in ((self.http(), tritonclient.http), (self.grpc(), tritonclient.grpc)):
                self.assert_scores(client.infer("dlrm_bags", client_inputs(module, feeds)), expected, f"batch {batch}")

    # ---- models and processes -----------------------------------------------------------------------------

    def test_reloads_under_load_fail_no_request_and_keep_memory(self):
        stop, failures, answers = threading.Event(), [], []

        def client():
            http = tritonclient.http.InferenceServerClient(self.server.http)
            while not stop.is_set():
                try:
                    self.assert_scores(http.infer(NAME, client_inputs(tritonclient.http, self.feeds)), self.expected)
                    answers.append(1)
                except Exception as error:  # noqa: BLE001 - reported by the main thread
                    failures.append(error)
            http.close()
        threads = [threading.Thread(target=client) for _ in range(2)]
        for thread in threads:
            thread.start()
        control, sizes = self.http(), []
        for i in range(100):
            control.load_model(NAME)
            if i % 25 == 24:
                sizes.append(resident_kb(self.server.process))
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertGreater(len(answers), 10)
        self.assertLess(sizes[-1], 1.15 * sizes[0] + 4000, sizes)

    def test_a_model_folder_that_goes_away(self):
        folder = add_model(self.repository, "gone", example_models() / f"{NAME}.onnx").parent
        control = self.http()
        control.load_model("gone")
        shutil.rmtree(folder)
        self.assert_scores(control.infer("gone", client_inputs(tritonclient.http, self.feeds)), self.expected)
        with self.assertRaisesRegex(InferenceServerException, "gone"):
            control.load_model("gone")
        self.assert_scores(control.infer("gone", client_inputs(tritonclient.http, self.feeds)), self.expected)
        control.unload_model("gone")
        with self.assertRaisesRegex(InferenceServerException, "gone"):
            control.infer("gone", client_inputs(tritonclient.http, self.feeds))

    def refused_to_start(self, *options, words=()):
        done = subprocess.run([NORN, "serve", *map(str, options)], capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith("norn serve:")]
        self.assertEqual(len(lines), 1, done.stderr)
        for word in words:
            self.assertIn(str(word), lines[0])

    def test_starts_that_cannot_be(self):
        port = self.server.ports["HTTP"]
        free = ("--grpc-port", 0, "--metrics-port", 0, "--host", "127.0.0.1")
        self.refused_to_start("--repository", self.repository, "--http-port", port, *free, words=(port, "in use"))
        self.refused_to_start("--repository", self.scratch / "nowhere", "--http-port", 0, *free, words=("nowhere",))
        self.refused_to_start("--repository", __file__, "--http-port", 0, *free, words=("test_faults.py",))
        self.refused_to_start("--repository", self.repository, "--http-port", 0, *free[:4], "--host", "example", words=("example",))

    def test_killed_and_started_again(self):
        server = Server(self.repository)
        ports = ["--http-port", str(server.ports["HTTP"]), "--grpc-port", str(server.ports["gRPC"])]
        held = self.connect(server=server)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server = Server(self.repository, *ports)
        self.addCleanup(server.close)
        held.close()
        self.assert_scores(self.http(server).infer(NAME, client_inputs(tritonclient.http, self.feeds)), self.expected)
        self.assertEqual(server.stop(), 0)

    def test_sigterm_with_idle_and_stuck_clients(self):
        server = Server(self.repository, "--drain-ms", "3000")
        self.addCleanup(server.close)
        idle = [self.connect(server=server) for _ in range(10)] + [self.connect("gRPC", server) for _ in range(10)]
        idle[0].sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"200", idle[0].recv(1000))
        idle[11].sendall(PREFACE + frame(4, 0, 0))
        idle[1].sendall(post_bytes(body_of(self.feeds))[:200])  # half a request, and no more
        stuck = socket.socket()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # asks, and never reads the answers
        stuck.connect(("127.0.0.1", server.ports["HTTP"]))
        stuck.settimeout(1)
        try:
            stuck.sendall(post_bytes(body_of(models.inputs(NAME, "small", 64, seed=1))) * 200)
        except TimeoutError:
            pass
        begin = time.monotonic()
        self.assertEqual(server.stop(), 0, server.log.read_text())
        self.assertLess(time.monotonic() - begin, 8)
        stuck.close()
        for client in idle:
            client.close()


if __name__ == "__main__":
    unittest.main()
