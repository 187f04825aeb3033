"""Hostile clients over gRPC: frames by hand (h2.py), and what no client library would do. Each attack has a bound on the
server's memory, on how long a bystander's call takes meanwhile, and on what is written to the log; after each the server
answers.

NORN names the binary; NORN_SANITIZED=1 says that it is a sanitizer's, which is slower and larger."""

import contextlib
import gzip
import os
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

import grpc
import numpy as np
import onnx
from onnx import TensorProto, helper
from tritonclient.grpc import service_pb2, service_pb2_grpc

from h2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY,
                RST_STREAM, SETTINGS, WINDOW_UPDATE, Client, frame, head, headers, literal, message)
from served import Server

SANITIZED = os.environ.get("NORN_SANITIZED") == "1"
SLOW = 8 if SANITIZED else 1       # on times
LARGE = 4 if SANITIZED else 1      # on memory
MB = 1 << 20

SERVICE = "/inference.GRPCInferenceService/"
HEALTH = "/grpc.health.v1.Health/"
OK, INVALID, NOT_FOUND, EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = "0", "3", "5", "8", "12", "13", "14"
DEADLINE = "4"


def save(path, nodes, inputs, outputs, initializers=()):
    """A model of float tensors; inputs and outputs are {name: dims}."""
    def ports(dims):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in dims.items()]
    graph = helper.make_graph(nodes, "g", ports(inputs), ports(outputs), list(initializers))
    path.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path / "model.onnx")


def constant(name, array):
    return onnx.numpy_helper.from_array(np.asarray(array), name)


def repository_of(folder):
    """same: y = x. wide: a row of 4 becomes one of 40,000. slow: some milliseconds a row."""
    save(folder / "same" / "1", [helper.make_node("Identity", ["x"], ["y"])], {"x": ["B", 4]}, {"y": ["B", 4]})
    save(folder / "wide" / "1", [helper.make_node("Tile", ["x", "times"], ["y"])], {"x": ["B", 4]}, {"y": ["B", 40000]},
         [constant("times", np.int64([1, 10000]))])
    chain = [helper.make_node("MatMul", ["x" if i == 0 else f"h{i}", "w"], ["y" if i == 39 else f"h{i + 1}"]) for i in range(40)]
    save(folder / "slow" / "1", chain, {"x": ["B", 512]}, {"y": ["B", 512]}, [constant("w", np.eye(512, dtype=np.float32))])
    return folder


def request(model="same", rows=1, width=4, typed=False):
    out = service_pb2.ModelInferRequest(model_name=model)
    tensor = out.inputs.add(name="x", datatype="FP32", shape=[rows, width])
    array = np.ones((rows, width), np.float32)
    if typed:
        tensor.contents.fp32_contents.extend(array.ravel().tolist())
    else:
        out.raw_input_contents.append(array.tobytes())
    return out


def resident(process):
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1])


class Bystander:
    """A process that asks for one small inference after another on a connection of its own, and keeps the two longest
    times: one may be the machine's doing. Not a thread: it would wait for the attacker's interpreter, not the server."""

    PROGRAM = """
import sys, threading, time
sys.path.insert(0, sys.argv[1])
from h2 import Client
content, end = bytes.fromhex(sys.argv[3]), []
client, stream, longest, second = Client(int(sys.argv[2])), -1, 0.0, 0.0
threading.Thread(target=lambda: end.append(sys.stdin.read()), daemon=True).start()
while not end:
    stream += 2
    begin = time.monotonic()
    client.call(stream, content, path="/inference.GRPCInferenceService/ModelInfer")
    answer = client.answer(stream, 240)
    if stream > 1:
        second, longest = sorted((second, longest, time.monotonic() - begin))[1:]
    assert answer and answer["fields"].get("grpc-status") == "0", answer
    del client.streams[stream]
    if stream == 1:
        print("asks", flush=True)
    time.sleep(0.002)
print(longest, second)
"""

    def __init__(self, port):
        self.process = subprocess.Popen([sys.executable, "-c", self.PROGRAM, str(pathlib.Path(__file__).parent), str(port),
                                         request().SerializeToString().hex()], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.longest = self.second = float("inf")
        self.failure = None

    def __enter__(self):
        self.process.stdout.readline()  # its first answer came, or it ended
        return self

    def __exit__(self, *what):
        words, failure = self.process.communicate(timeout=300)
        if words.split():
            self.longest, self.second = map(float, words.split())
        if self.process.returncode != 0:
            self.failure = failure[-2000:]


class GrpcTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = pathlib.Path(scratch.name)
        cls.repository = repository_of(cls.scratch / "repository")
        cls.server = cls.start()
        cls.addClassCleanup(cls.server.close)

    @classmethod
    def start(cls, *options, log="shared"):
        return Server(cls.repository, "--max-request-bytes", str(32 * MB), *options, ready_seconds=60 * SLOW,
                      log=cls.scratch / f"{log}.log")

    def own(self, *options):
        server = self.start(*options, log=self.id())
        self.addCleanup(server.close)
        return server

    def client(self, server=None, **more):
        client = Client((server or self.server).ports["gRPC"], **more)
        self.addCleanup(client.socket.close)
        return client

    def channel(self, server=None, *options):
        channel = grpc.insecure_channel((server or self.server).grpc,
                                        options=[("grpc.use_local_subchannel_pool", 1), *options])
        self.addCleanup(channel.close)
        return channel

    def tearDown(self):
        self.assertIsNone(self.server.process.poll(), self.server.log.read_text()[-3000:])
        self.assert_serves(self.client())

    def assert_serves(self, client, stream=99999):
        self.assertFalse(client.closed)
        self.assertTrue(client.call(stream))
        self.assertEqual(client.answer(stream)["fields"].get("grpc-status"), OK)

    @contextlib.contextmanager
    def bounded(self, server=None, memory=64 * MB, seconds=0.5, log=4096):
        """What happens inside may cost so much, and hold a bystander up for so long."""
        server = server or self.server
        memory_before, log_before, peak = resident(server.process), server.log.stat().st_size, [0]
        stop = threading.Event()

        def watch():
            while not stop.wait(0.02):
                peak[0] = max(peak[0], resident(server.process))
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with Bystander(server.ports["gRPC"]) as bystander:
                yield bystander
        finally:
            stop.set()
            watcher.join()
        self.assertIsNone(bystander.failure)
        self.assertLess(bystander.second, seconds * SLOW)
        self.assertLess(bystander.longest, 5 * seconds * SLOW)
        self.assertLess(peak[0] - memory_before, memory * LARGE)
        self.assertLess(server.log.stat().st_size - log_before, log)


class RefusalTest(GrpcTest):
    def test_what_is_no_call_is_refused_at_its_head_and_the_connection_goes_on(self):
        cases = (({"path": "/no/Method"}, "200", UNIMPLEMENTED), ({"path": SERVICE + "ModelStreamInfer"}, "200", UNIMPLEMENTED),
                 ({"path": "/" + "x" * 5000}, "200", UNIMPLEMENTED), ({"path": SERVICE}, "200", UNIMPLEMENTED),
                 ({"grpc_encoding": "zstd"}, "200", UNIMPLEMENTED), ({"grpc_encoding": "GZIP2"}, "200", UNIMPLEMENTED),
                 ({"grpc_timeout": "123456789S"}, "200", INVALID), ({"grpc_timeout": "1h"}, "200", INVALID),
                 ({"grpc_timeout": "-1S"}, "200", INVALID), ({"grpc_timeout": ""}, "200", INVALID),
                 ({"te": None}, "200", INVALID),
                 ({"content_type": "application/json"}, "415", None), ({"content_type": None}, "415", None),
                 ({"content_type": "application/grpc-web"}, "415", None), ({"content_type": "application/grpcx"}, "415", None),
                 ({"content_type": "application/grpc+json"}, "415", None), ({"_method": "GET"}, "405", None),
                 ({"_method": "PUT"}, "405", None))
        client = self.client()
        for i, (changes, status, code) in enumerate(cases):
            with self.subTest(**changes):  # no END_STREAM: nothing but the head is ever sent
                client.send(headers(2 * i + 1, head(**changes)))
                answer = client.answer(2 * i + 1, 5 * SLOW)
                self.assertIsNotNone(answer, "not answered before the client half-closed")
                self.assertEqual((answer["fields"][":status"], answer["fields"].get("grpc-status")), (status, code))
                client.read(lambda: answer["reset"] is not None, 5 * SLOW)
                self.assertEqual(answer["reset"], 0)  # NO_ERROR: the rest is not wanted
                client.send(frame(DATA, END_STREAM, 2 * i + 1, message(b"x" * 1000)))  # was on its way
        self.assert_serves(client)

    def test_what_is_right_is_taken(self):
        for changes in ({"grpc_timeout": "99999999H"}, {"grpc_timeout": "00000001H"}, {"grpc_encoding": "gzip"},
                        {"grpc_encoding": "identity"}, {"content_type": "application/grpc+proto"},
                        {"content_type": "application/grpc;charset=utf-8"}, {"more": [("x-any", "y" * 8000)]}):
            with self.subTest(**changes):
                client = self.client()
                client.call(1, **changes)
                self.assertEqual(client.answer(1)["fields"].get("grpc-status"), OK)

    def test_an_unknown_encoding_is_told_which_are_known(self):
        client = self.client()
        client.send(headers(1, head(grpc_encoding="br")))
        self.assertIn("identity", client.answer(1)["fields"]["grpc-accept-encoding"])

    def test_a_call_has_one_whole_message(self):
        packed = gzip.compress(b"")
        for data, code, changes in (
                (message() + message(), UNIMPLEMENTED, {}), (message(b"\x0a\0") + b"\0", UNIMPLEMENTED, {}), (b"", UNIMPLEMENTED, {}),
                (b"\0\0\0", INVALID, {}), (message(b"abc")[:-1], INVALID, {}), (b"\0\xff\xff\xff\xff", EXHAUSTED, {}),
                (message(b"", 1), INTERNAL, {}), (message(b"", 2), INVALID, {}), (message(b"", 255), INVALID, {}),
                (message(packed, 1), OK, {"grpc_encoding": "gzip"}), (message(packed[:-3], 1), INVALID, {"grpc_encoding": "gzip"}),
                (message(b"no gzip", 1), INVALID, {"grpc_encoding": "gzip"}), (message(packed, 1), INTERNAL, {"grpc_encoding": "identity"})):
            for cut in {0, 1, 4, 5, len(data)}:
                with self.subTest(data[:20], cut=cut):
                    client = self.client()
                    client.send(headers(1, head(**changes)), frame(DATA, 0, 1, data[:cut]), frame(DATA, END_STREAM, 1, data[cut:]))
                    self.assertEqual(client.answer(1)["fields"].get("grpc-status"), code)
                    self.assert_serves(client)

    def test_a_message_that_is_too_large_is_refused_by_its_prefix(self):
        client = self.client()
        client.send(headers(1, head(SERVICE + "ModelInfer")), frame(DATA, 0, 1, b"\0" + struct.pack(">I", 33 * MB)))
        answer = client.answer(1, 5 * SLOW)
        self.assertEqual(answer["fields"]["grpc-status"], EXHAUSTED)
        self.assertIn("--max-request-bytes", answer["fields"]["grpc-message"])
        self.assert_serves(client)

    def test_messages_are_percent_encoded(self):
        client = self.client()
        name = "né%"
        client.call(1, service_pb2.ModelMetadataRequest(name=name).SerializeToString(), path=SERVICE + "ModelMetadata")
        fields = client.answer(1)["fields"]
        self.assertEqual(fields["grpc-status"], NOT_FOUND)
        self.assertIn("n%C3%A9%25", fields["grpc-message"])
        with self.assertRaises(grpc.RpcError) as caught:
            service_pb2_grpc.GRPCInferenceServiceStub(self.channel()).ModelMetadata(service_pb2.ModelMetadataRequest(name=name))
        self.assertIn(name, caught.exception.details())

    def test_large_metadata_costs_a_stream(self):
        client = self.client()
        self.assertTrue(client.read(lambda: client.settings, 5 * SLOW))
        limit = client.settings[6]  # SETTINGS_MAX_HEADER_LIST_SIZE
        self.assertLess(limit, 64 * 1024)
        for i, more in enumerate(([("x", "y" * limit)], [(f"x{k}", "y" * 1000) for k in range(60)], [("x" * 20000, "y")],
                                  [("a", "")] * 1000)):
            with self.subTest(len(more)):
                client.call(2 * i + 1, more=more)
                answer = client.answer(2 * i + 1)
                self.assertEqual(answer["fields"].get("grpc-status"), EXHAUSTED)
                self.assert_serves(client, 1001 + 2 * i) if i == 3 else None
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel())
        for size in (20_000, 100_000, 1_000_000):
            with self.assertRaises(grpc.RpcError) as caught:
                stub.ServerLive(service_pb2.ServerLiveRequest(), metadata=[("x", "y" * size)], timeout=20 * SLOW)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            self.assertTrue(stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=20 * SLOW).live)

    def test_a_field_that_is_left_out_leaves_the_table_as_it_would_have(self):
        """HPACK's table is the connection's: an indexed field that is larger than it empties it, on both sides."""
        client, number = self.client(), iter(range(1, 100, 2))
        keep = b"\x40" + literal("te", "trailers")[1:]  # indexed: it becomes entry 62
        huge = b"\x40" + literal("x", "y" * 40000)[1:]

        def code(more):
            stream = next(number)
            client.call(stream, block=head(te=None) + more)
            return client.answer(stream)["fields"].get("grpc-status")
        self.assertEqual([code(keep), code(b"\xbe"), code(keep), code(b"\xbf")], [OK] * 4)
        self.assertEqual(code(literal("te", "trailers") + huge), EXHAUSTED)
        self.assertEqual([code(keep), code(b"\xbe")], [OK] * 2)
        client.call(next(number), block=head(te=None) + b"\xbf")  # there is one entry now
        client.read(lambda: client.goaway is not None)
        self.assertEqual(client.goaway, 9)  # COMPRESSION_ERROR

    def test_trailers_of_the_client_end_a_request(self):
        client = self.client()
        client.send(headers(1, head()), frame(DATA, 0, 1, message()), headers(1, b"\0\x01a\x01b", END_STREAM))
        self.assertEqual(client.answer(1)["fields"].get("grpc-status"), OK)


class FloodTest(GrpcTest):
    def flood(self, pieces, seconds=20):
        """Send until the server has had enough; True: it said so, False: it took all of it."""
        client = self.client()
        with self.bounded():
            for piece in pieces:
                if not client.send(piece, seconds=seconds * SLOW):
                    break
            client.read(lambda: client.goaway is not None, seconds * SLOW)
        return client

    def test_frames_without_work_end_the_connection(self):
        empty = frame(DATA, 0, 1)
        ones = b"".join(headers(i, head()) + frame(RST_STREAM, 0, i, b"\0\0\0\x08") for i in range(1, 20001, 2))
        for name, pieces in {
                "SETTINGS": [frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100)) * 1000] * 100,
                "PING": [frame(PING, 0, 0, b"12345678") * 1000] * 100,
                "PING answered": [frame(PING, ACK, 0, b"12345678") * 1000] * 100,
                "PRIORITY": [frame(PRIORITY, 0, 1, b"\0\0\0\0\1") * 1000] * 100,
                "WINDOW_UPDATE": [frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 1000] * 100,
                "an unknown type": [frame(0x42, 0, 0, b"x") * 1000] * 100,
                "empty DATA": [headers(1, head())] + [empty * 1000] * 100,
                "DATA of one byte": [headers(1, head())] + [frame(DATA, 0, 1, b"\0")] * 5000,
                "DATA of padding": [headers(1, head())] + [frame(DATA, 8, 1, b"\x28" + b"\0" * 40) * 1000] * 100,
                "rapid reset": [ones[i:i + 65536] for i in range(0, len(ones), 65536)]}.items():
            with self.subTest(name):
                said = self.flood(pieces).goaway
                if name == "rapid reset":  # newer libraries count these too, and say INTERNAL_ERROR
                    said = ENHANCE_YOUR_CALM if said == 2 else said
                self.assertEqual(said, ENHANCE_YOUR_CALM)

    def test_answers_earn_what_their_calls_cost_and_two_frames_more(self):
        def goes_on(pings, flights=60, calls=50):
            client = self.client()
            for first in range(1, 2 * flights * calls, 2 * calls):
                streams = range(first, first + 2 * calls, 2)
                for stream in streams:
                    client.send(frame(PING, 0, 0, b"12345678") * pings)
                    client.call(stream)
                client.read(lambda: client.goaway is not None or all(client.stream(i)["ended"] for i in streams), 20 * SLOW)
                if client.goaway is not None:
                    return False
            return True

        self.assertTrue(goes_on(2))
        self.assertFalse(goes_on(5))  # 3 too many for each of 3000 calls

    def test_endless_header_blocks_end_the_connection(self):
        for name, pieces in {
                "of nothing": [frame(CONTINUATION, 0, 1) * 1000] * 100,
                "of fields": [frame(CONTINUATION, 0, 1, b"\0\x01a\x04" + b"b" * 4) * 1000] * 100,
                "of one field": [frame(CONTINUATION, 0, 1, b"b" * 16000)] * 1000}.items():
            with self.subTest(name):
                start = b"\0\x01a\x7f\x80\xff\xff\x7f" if name == "of one field" else head()
                client = self.flood([frame(HEADERS, 0, 1, start)] + pieces)
                self.assertTrue(client.goaway is not None or client.closed)

    def test_more_streams_than_there_may_be_are_refused(self):
        client = self.client()
        with self.bounded():
            for first in range(1, 4001, 400):
                client.send(*[headers(i, head()) for i in range(first, first + 400, 2)])
            client.read(lambda: client.goaway is not None or sum(s["reset"] == 7 for s in client.streams.values()) > 500, 10 * SLOW)
        self.assertTrue(client.goaway is not None or len(client.streams) > 500)

    def test_garbage_is_hung_up_on(self):
        for data in (b"", b"\0" * 100, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PREFACE + b"\xff" * 100,
                     PREFACE + frame(DATA, 0, 1, b"x"), PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 2, head()),
                     PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff"),
                     PREFACE + frame(SETTINGS) + frame(GOAWAY, 0, 0, b"\0" * 8),
                     PREFACE + frame(SETTINGS) + b"\xff\xff\xff\0\0\0\0\0\1"):
            with self.subTest(data[:60]), self.bounded():
                client = self.client(hello=data)
                with contextlib.suppress(OSError):  # it hung up already
                    client.socket.shutdown(socket.SHUT_WR)
                self.assertTrue(client.read(lambda: False, 10 * SLOW))


class MemoryTest(GrpcTest):
    def test_unread_answers_are_bounded(self):
        """Answers of 640 KB a row to requests of a few bytes, by clients whose windows are closed or that read nothing."""
        server = self.own("--memory-budget", str(160 * MB), "--body-timeout-ms", "4000", "--max-batch", "16")
        content = request("wide", 16).SerializeToString()
        shut = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))  # no window for streams
        with self.bounded(server, memory=400 * MB, seconds=1.5):
            clients = [self.client(server, hello=shut if i % 2 else PREFACE + frame(SETTINGS), receive_bytes=4096) for i in range(8)]
            for stream in range(1, 101, 2):
                for client in clients:
                    client.call(stream, content, path=SERVICE + "ModelInfer")
            time.sleep(2)
        deadline = time.monotonic() + 20 * SLOW  # answers that nobody takes are dropped
        while self.held(server) > MB and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertLess(self.held(server), MB)  # the one who asks holds some itself
        self.assert_serves(self.client(server))

    @staticmethod
    def held(server):
        page = server.get("/metrics", "metrics")[1].decode()
        return int(re.search(r"^norn_memory_held_bytes (\d+)", page, re.M)[1])

    def test_requests_that_never_end_are_bounded(self):
        server = self.own("--memory-budget", str(100 * MB), "--body-timeout-ms", "2000")
        with self.bounded(server, memory=300 * MB, seconds=1.5):
            clients, refused = [self.client(server) for _ in range(12)], 0
            for client in clients:
                client.send(headers(1, head(SERVICE + "ModelInfer")), frame(DATA, 0, 1, b"\0" + struct.pack(">I", 30 * MB)),
                            *[frame(DATA, 0, 1, b"x" * 16000)] * 100)
            for client in clients:
                answer = client.answer(1, 15 * SLOW)  # at once, or when it stood still for too long
                self.assertIn(answer["fields"]["grpc-status"], (EXHAUSTED, DEADLINE))
                refused += answer["fields"]["grpc-status"] == EXHAUSTED
        self.assertGreaterEqual(refused, 9)

    def test_a_bomb_is_refused(self):
        bomb = gzip.compress(b"\0" * (200 * MB))
        with self.bounded(memory=200 * MB, seconds=1.5):
            clients = [self.client() for _ in range(4)]
            for client in clients:
                client.send(headers(1, head(SERVICE + "ModelInfer", grpc_encoding="gzip")), frame(DATA, END_STREAM, 1, message(bomb, 1))
                            if len(bomb) < 16000 else b"".join(self.pieces(1, message(bomb, 1))))
            for client in clients:
                self.assertEqual(client.answer(1)["fields"]["grpc-status"], EXHAUSTED)

    @staticmethod
    def pieces(stream, data, size=16000):
        return [frame(DATA, END_STREAM if i + size >= len(data) else 0, stream, data[i:i + size]) for i in range(0, len(data), size)]

    def test_large_typed_contents_do_not_stall_others(self):
        content = request("same", 400_000, typed=True).SerializeToString()
        with self.bounded(memory=200 * MB, seconds=1.0):
            client = self.client()
            client.send(headers(1, head(SERVICE + "ModelInfer")), *self.pieces(1, message(content)))
            self.assertEqual(client.answer(1, 30 * SLOW)["fields"].get("grpc-status", OK), OK)


class TimeTest(GrpcTest):
    def test_slow_clients_are_hung_up_on(self):
        server = self.own("--header-timeout-ms", "400", "--body-timeout-ms", "600", "--idle-timeout-ms", "800")
        hello = PREFACE + frame(SETTINGS)
        with self.bounded(server):
            silent = [self.client(server, hello=data) for data in (
                b"", b"PRI", PREFACE, hello[:-1], hello + frame(HEADERS, 0, 1, head()), hello + headers(1, head())[:-1], hello)]
            half = self.client(server)
            half.send(headers(1, head(SERVICE + "ModelInfer")), frame(DATA, 0, 1, message(b"x" * 100)[:50]))
            for client in silent:
                self.assertTrue(client.read(lambda: False, 10 * SLOW), "the connection stayed open")
            self.assertEqual(half.answer(1, 10 * SLOW)["fields"]["grpc-status"], DEADLINE)

    def test_a_request_that_trickles_is_given_up(self):
        server = self.own("--body-timeout-ms", "500")
        client = self.client(server)
        client.send(headers(1, head(SERVICE + "ModelInfer")), frame(DATA, 0, 1, message(b"x" * 100)[:5]))
        begin = time.monotonic()
        while time.monotonic() - begin < 15 * SLOW and not client.stream(1)["ended"]:
            client.send(frame(DATA, 0, 1, b"x"))
            client.read(lambda: client.stream(1)["ended"], 0.2)
        self.assertEqual(client.stream(1)["fields"].get("grpc-status"), DEADLINE)

    def test_idle_connections_make_room(self):
        server = self.own("--max-connections", "40")
        idle = [self.client(server) for _ in range(60)]
        time.sleep(1.2)
        with self.bounded(server):
            for _ in range(20):
                self.assert_serves(self.client(server))
        del idle

    def test_the_work_of_clients_that_have_gone_is_dropped(self):
        content = request("slow", 256, 512).SerializeToString()
        reset = self.client()
        gone = [self.client() for _ in range(10)]
        data = b"".join(MemoryTest.pieces(1, message(content)))
        begin = time.monotonic()
        one = self.client()
        one.send(headers(1, head(SERVICE + "ModelInfer")), data)
        self.assertEqual(one.answer(1, 60 * SLOW)["fields"].get("grpc-status"), OK)
        alone = time.monotonic() - begin
        for stream in range(1, 41, 2):
            reset.send(headers(stream, head(SERVICE + "ModelInfer")), *MemoryTest.pieces(stream, message(content)))
        for client in gone:
            client.send(headers(1, head(SERVICE + "ModelInfer")), data)
        reset.send(*[frame(RST_STREAM, 0, stream, b"\0\0\0\x08") for stream in range(1, 41, 2)])
        for client in gone:
            client.socket.close()
        time.sleep(0.2)
        begin = time.monotonic()
        late, stream, code = self.client(), 1, None
        while code != OK and time.monotonic() - begin < 60 * SLOW:
            late.send(headers(stream, head(SERVICE + "ModelInfer")), *MemoryTest.pieces(stream, message(content)))
            code = late.answer(stream, 60 * SLOW)["fields"].get("grpc-status")
            self.assertIn(code, (OK, EXHAUSTED))  # the queue has learned that clients do not wait long
            stream += 2
        self.assertLess(time.monotonic() - begin, 8 * alone + 0.5 * SLOW)  # 30 were sent
        self.assert_serves(reset)


class HealthTest(GrpcTest):
    @staticmethod
    def ask(service):
        name = service.encode()
        return b"\x0a" + bytes([len(name)]) + name if name else b""

    def test_check_knows_the_server_its_service_and_its_models(self):
        client = self.client()
        for i, (service, code) in enumerate((("", OK), ("inference.GRPCInferenceService", OK), ("same", OK), ("nobody", NOT_FOUND),
                                             ("../same", NOT_FOUND), ("s" * 100, NOT_FOUND))):
            client.call(2 * i + 1, self.ask(service), path=HEALTH + "Check")
            answer = client.answer(2 * i + 1)
            self.assertEqual(answer["fields"]["grpc-status"], code, service)
            if code == OK:
                self.assertEqual(answer["data"], message(b"\x08\x01"))  # SERVING

    def test_watch_tells_every_change(self):
        server = self.own("--lame-duck-ms", "3000")
        client = self.client(server)
        services = ("", "inference.GRPCInferenceService", "same", "nobody")
        for i, service in enumerate(services):
            client.call(2 * i + 1, self.ask(service), path=HEALTH + "Watch")
        said = lambda i: [one for one in client.stream(2 * i + 1)["data"].split(b"\0\0\0\0\2\x08") if one]  # noqa: E731
        client.read(lambda: all(said(i) for i in range(4)))
        self.assertEqual([said(i) for i in range(4)], [[b"\1"], [b"\1"], [b"\1"], [b"\3"]])
        server.post("/v2/repository/models/same/unload")
        client.read(lambda: len(said(2)) == 2)
        server.post("/v2/repository/models/same/load")
        client.read(lambda: len(said(2)) == 3)
        self.assertEqual(said(2), [b"\1", b"\2", b"\1"])
        self.assertEqual(said(0), [b"\1"])  # nothing changed there
        server.process.terminate()
        client.read(lambda: all(len(said(i)) == n for i, n in enumerate((2, 2, 4, 1))))
        self.assertEqual([said(i)[-1] for i in range(3)], [b"\2"] * 3)
        self.assert_serves(client)  # a lame duck
        client.read(lambda: all(client.stream(2 * i + 1)["ended"] for i in range(4)) and client.goaway is not None)
        for i in range(4):
            self.assertEqual(client.stream(2 * i + 1)["fields"]["grpc-status"], UNAVAILABLE)
        self.assertEqual(client.goaway, 0)
        self.assertEqual(server.process.wait(timeout=30), 0)

    def test_watches_are_bounded_and_end_with_their_deadline(self):
        with self.bounded():
            clients = [self.client() for _ in range(3)]
            for client in clients:
                client.send(*[headers(i, head(HEALTH + "Watch", grpc_timeout="1S")) + frame(DATA, END_STREAM, i, message())
                              for i in range(1, 1401, 2)])
            for client in clients:
                client.read(lambda: sum(s["ended"] for s in client.streams.values()) == 700)
            codes = [s["fields"]["grpc-status"] for client in clients for s in client.streams.values()]
        self.assertEqual(set(codes), {DEADLINE, EXHAUSTED})


if __name__ == "__main__":
    unittest.main()
