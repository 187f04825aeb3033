"""Hostile clients over HTTP, on raw sockets. Each attack has a bound on the server's memory, on how long a
bystander's small request takes meanwhile, and on what is written to the log; after each the server answers.

NORN names the binary; NORN_SANITIZED=1 says that it is a sanitizer's, which is slower and larger."""

import concurrent.futures
import contextlib
import gzip
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper

from served import NORN, Server

SANITIZED = os.environ.get("NORN_SANITIZED") == "1"
SLOW = 8 if SANITIZED else 1       # on times
LARGE = 4 if SANITIZED else 1      # on memory
MB = 1 << 20


def save(node, inputs, outputs, path, initializers=()):
    """One node's model; ports are (name, type, dims)."""
    path.parent.mkdir(parents=True)
    ports = [[helper.make_tensor_value_info(*port) for port in ports] for ports in (inputs, outputs)]
    graph = helper.make_graph([node], "g", *ports, list(initializers))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def repository_of_identities(folder):
    for name, kind in (("f32", TensorProto.FLOAT), ("u64", TensorProto.UINT64), ("i64", TensorProto.INT64)):
        save(helper.make_node("Identity", ["x"], ["y"]), [("x", kind, ["B", 4])], [("y", kind, ["B", 4])],
             folder / name / "1" / "model.onnx")
    return folder


def resident(process):
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1])


def infer_json(rows=1, text=None):
    data = text or ",".join(["0.5"] * 4 * rows)
    return ('{"inputs":[{"name":"x","shape":[%d,4],"datatype":"FP32","data":[%s]}]}' % (rows, data)).encode()


def post(body, extra="", path="/v2/models/f32/infer"):
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


GET_LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
SMALL = post(infer_json())


class Client:
    """A raw connection that reads whole answers."""

    def __init__(self, port, timeout=20 * SLOW):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def until(self, mark):
        while mark not in self.buffer:
            piece = self.socket.recv(1 << 16)
            if not piece:
                raise ConnectionError(f"closed after {self.buffer[:200]}")
            self.buffer += piece
        head, self.buffer = self.buffer.split(mark, 1)
        return head

    def answer(self, head_only=False):
        """(code, fields, body) of the next answer; 100 Continue is passed over."""
        while True:
            lines = self.until(b"\r\n\r\n").decode().split("\r\n")
            code = int(lines[0].split()[1])
            if code != 100:
                break
        fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        count = 0 if head_only else int(fields["content-length"])
        while len(self.buffer) < count:
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise ConnectionError("closed inside a body")
            self.buffer += piece
        body, self.buffer = self.buffer[:count], self.buffer[count:]
        return code, fields, body

    def ask(self, data, **more):
        self.send(data)
        return self.answer(**more)

    def is_closed(self):
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


class Bystander:
    """A process that asks for one small inference after another on a connection of its own, and keeps the two longest
    times: one may be the machine's doing. Not a thread: it would wait for the attacker's interpreter, not the server."""

    PROGRAM = """
import socket, sys, time
port, request = int(sys.argv[1]), sys.stdin.buffer.readline()[:-1].decode("unicode_escape").encode("latin1")
connection = socket.create_connection(("127.0.0.1", port), timeout=120)
longest, second, count, end = 0.0, 0.0, 0, []
import threading
threading.Thread(target=lambda: end.append(sys.stdin.buffer.read()), daemon=True).start()
while not end or count == 0:
    begin, answer = time.monotonic(), b""
    connection.sendall(request)
    while b"}]}" not in answer:
        answer += connection.recv(65536) or sys.exit("closed")
    assert answer.startswith(b"HTTP/1.1 200"), answer
    second, longest = sorted((second, longest, time.monotonic() - begin))[1:]
    count += 1
    time.sleep(0.002)
print(longest, second, count)
"""

    def __init__(self, port):
        self.process = subprocess.Popen([sys.executable, "-c", self.PROGRAM, str(port)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.process.stdin.write(SMALL.decode("latin1").encode("unicode_escape") + b"\n")
        self.process.stdin.flush()
        self.longest, self.second, self.count = float("inf"), float("inf"), 0

    def __enter__(self):
        return self

    def __exit__(self, *what):
        words = self.process.communicate(timeout=120)[0].split()
        if words:
            self.longest, self.second, self.count = float(words[0]), float(words[1]), int(words[2])


class AttacksTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = pathlib.Path(scratch.name)
        cls.repository = repository_of_identities(cls.scratch / "repository")
        cls.server = cls.start()
        cls.addClassCleanup(cls.server.close)

    @classmethod
    def start(cls, *options):
        return Server(cls.repository, *options, ready_seconds=60 * SLOW)

    def own(self, *options):
        server = self.start(*options)
        self.addCleanup(server.close)
        return server

    def client(self, server=None, **more):
        client = Client((server or self.server).ports["HTTP"], **more)
        self.addCleanup(client.socket.close)
        return client

    def tearDown(self):
        self.assertIsNone(self.server.process.poll(), self.server.log.read_text()[-3000:])
        self.assertEqual(self.client().ask(SMALL)[0], 200)

    @staticmethod
    def held(server):
        """Bytes of the budget that are held, once what was given up has been cleared away."""
        deadline = time.monotonic() + 5 * SLOW
        while True:
            page = server.get("/metrics", "metrics")[1].decode()
            held, connections = (int(re.search(rf"^{name} (\d+)$", page, re.M)[1])
                                 for name in ("norn_memory_held_bytes", "norn_connections"))
            if held <= 65536 * connections or time.monotonic() > deadline:
                return held, connections
            time.sleep(0.05)

    @contextlib.contextmanager
    def bounded(self, server=None, memory=64 * MB, seconds=0.6, log=4096):
        """What happens inside may cost so much, and hold a bystander up for so long."""
        server = server or self.server
        self.client(server).ask(SMALL)
        memory_before, log_before, peak = resident(server.process), server.log.stat().st_size, [0]
        stop = threading.Event()

        def watch():
            while not stop.wait(0.02):
                peak[0] = max(peak[0], resident(server.process))
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with Bystander(server.ports["HTTP"]) as bystander:
                time.sleep(0.05)
                yield bystander
        finally:
            stop.set()
            watcher.join()
        self.assertGreater(bystander.count, 0)
        self.assertLess(bystander.second, seconds * SLOW)
        self.assertLess(bystander.longest, 5 * seconds * SLOW)
        self.assertLess(peak[0] - memory_before, memory * LARGE)
        self.assertLess(server.log.stat().st_size - log_before, log)

    def refused(self, data, code, words="", server=None, closed=True):
        client = self.client(server)
        try:
            client.send(data)
        except OSError:
            pass  # answered before all of it was sent
        got, fields, body = client.answer()
        self.assertEqual((got, fields["content-type"]), (code, "application/json"), (data[:200], body[:500]))
        self.assertIn(words, json.loads(body)["error"])
        if closed:
            self.assertEqual(fields["connection"], "close")
            self.assertTrue(client.is_closed())
        return fields

    # ---- what two readers could read differently

    def test_malformed_requests_are_refused_in_json_and_the_connection_closed(self):
        host = b"POST /v2 HTTP/1.1\r\nHost: a\r\n"
        for data, code in (
                (host + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
                (host + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
                (host + b"Content-Length: +84\r\n\r\n", 400), (host + b"Content-Length: -1\r\n\r\n", 400),
                (host + b"Content-Length: 0x10\r\n\r\n", 400), (host + b"Content-Length: 1 0\r\n\r\n", 400),
                (host + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
                (host + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
                (host + b"Transfer-Encoding: gzip\r\n\r\n", 501), (host + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 501),
                (host + b"Content-Length : 2\r\n\r\n{}", 400), (b"GET /v2 HTTP/1.1\r\nHost : a\r\n\r\n", 400),
                (host + b": x\r\n\r\n", 400), (host + b"A: \0\r\n\r\n", 400), (host + b"A\0: b\r\n\r\n", 400),
                (host + b"A: \x07\r\n\r\n", 400), (host + b"A: b\r\n folded\r\n\r\n", 400),
                (b"GET /v2 HTTP/1.1\nHost: a\n\n", 400), (b"GET /v2 HTTP/1.1\r\nHost: a\n\r\n", 400),
                (b"GET /v2 HTTP/1.1\r\nHost: a\rB: c\r\n\r\n", 400), (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
                (b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400), (b"GET /v2 HTTP/2.0\r\nHost: a\r\n\r\n", 505),
                (b"GET /v2\r\n\r\n", 400), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505), (b"\x16\x03\x01\x02\0\x01\0", 400),
                (b"BREW /v2 HTTP/1.1\r\nHost: a\r\n\r\n", 501), (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
                (b"GET /v2 HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 70000 + b"\r\n\r\n", 431),
                (b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
                (host + b"Expect: tea\r\n\r\n", 417), (host + b"Content-Length: 300000000\r\n\r\n", 413),
                (host + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
                (host + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
                (host + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}x", 400),
                (host + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n", 400)):
            with self.subTest(data[-60:]):
                self.refused(data, code)

    def test_endpoints_say_what_they_take(self):
        client = self.client()
        for line, code, allow in (("DELETE /v2", 405, "GET, HEAD"), ("GET /v2/models/f32/infer", 405, "POST"),
                                  ("PUT /v2/models/f32/infer", 405, "POST"), ("HEAD /v2/repository/index", 405, "POST"),
                                  ("OPTIONS /v2/health/live", 405, "GET, HEAD"), ("GET /v2/nothing/here", 404, None),
                                  ("GET /v3", 404, None), ("GET *", 404, None), ("GET /v2/models/%00", 400, None),
                                  ("GET /v2/models/%zz", 400, None), ("GET /v2/models/../../etc", 400, None),
                                  ("GET /v2/models/%2e%2e/1", 400, None), ("GET /v2/models/..%2f..%2fetc", 404, None),
                                  ("GET http://elsewhere/v2/health/live?a=b", 200, None), ("GET //v2//health/live", 200, None),
                                  ("GET /v2/models/%66%332", 200, None)):
            with self.subTest(line):
                client.send(f"{line} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                got, fields, body = client.answer(head_only=line.startswith("HEAD"))
                self.assertEqual((got, fields.get("allow")), (code, allow), body)
                if code >= 400 and not line.startswith("HEAD"):
                    self.assertIn("error", json.loads(body))

    def test_heads_have_no_body_and_the_length_of_one(self):
        client = self.client()
        for path in ("/v2", "/v2/models/f32", "/v2/models/f32/config", "/v2/nothing"):
            whole = client.ask(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            head = client.ask(f"HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), head_only=True)
            self.assertEqual((head[0], head[1]["content-length"]), (whole[0], str(len(whole[2]))))
        self.assertEqual(client.ask(GET_LIVE)[0], 200)

    def test_what_the_protocol_allows_is_taken(self):
        body = infer_json()
        chunked = b"POST /v2/models/f32/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        pieces = b"".join(b"%x;name=\"va;lue\"\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7))
        client = self.client()
        for data in (chunked + pieces + b"0\r\n\r\n", chunked + pieces + b"000;x\r\nTrailer: t\r\n\r\n", b"\r\n\r\n" + SMALL,
                     post(body, extra="Expect: 100-continue\r\n"), post(body, extra="X-Empty:\r\nX-Tab:\t1\t\r\n")):
            code, _, answer = client.ask(data)
            self.assertEqual(code, 200, answer)
            self.assertEqual(json.loads(answer)["outputs"][0]["data"], [0.5] * 4)
        client.send(post(body, extra="Expect: 100-continue\r\n")[:-len(body)])
        self.assertTrue(client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 "))
        self.assertEqual(client.ask(body)[0], 200)
        for extra, kept in (("Connection: keep-alive\r\n", True), ("", False)):
            client = self.client()
            code, fields, _ = client.ask(f"GET /v2/health/live HTTP/1.0\r\n{extra}\r\n".encode())
            self.assertEqual((code, fields["connection"]), (200, "keep-alive" if kept else "close"))
            if not kept:
                self.assertTrue(client.is_closed())

    def test_pipelined_requests_are_answered_in_order(self):
        client = self.client()
        client.send(b"".join(post(infer_json(text=f"{i},0,0,0")) + GET_LIVE for i in range(300)))
        for i in range(300):
            self.assertEqual(json.loads(client.answer()[2])["outputs"][0]["data"][0], i)
            self.assertEqual(client.answer()[0], 200)

    # ---- memory

    def test_unread_answers_hold_one_answer_a_connection(self):
        request = post(infer_json(rows=4000), extra="")
        with self.bounded(memory=150 * MB):
            stuck = [self.client(timeout=0.5) for _ in range(8)]
            for client in stuck:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                with contextlib.suppress(TimeoutError):
                    client.send(request * 200)  # 16 MB of requests, more of answers
            for client in stuck:
                client.socket.close()

    def test_bodies_together_keep_to_the_budget_and_memory_comes_back(self):
        server = self.own("--memory-budget", str(160 * MB), "--max-request-bytes", str(64 * MB),
                          "--body-timeout-ms", "300000")
        before = resident(server.process)
        piece = b" " * MB
        with self.bounded(server, memory=220 * MB):
            held, codes = [], []
            for _ in range(20):
                client = self.client(server)
                client.send(b"POST /v2/models/f32/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (60 * MB))
                held.append(client)
            for client in held:
                with contextlib.suppress(OSError):
                    for _ in range(50):
                        client.send(piece)
            for client in held:
                client.socket.settimeout(0.2)
                try:
                    code, fields, _ = client.answer()
                    self.assertEqual(fields["retry-after"], "1")
                    codes.append(code)
                except (TimeoutError, ConnectionError):
                    codes.append(0)
            self.assertEqual(codes[:2], [0, 0])                     # two of 60 MB fit into 7/8 of 160
            self.assertGreaterEqual(codes.count(503), 15, codes)    # a reset may hide an answer
            self.refused(b"POST /v2/models/f32/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (65 * MB), 413,
                         server=server)
            for client in held:
                client.socket.close()
        deadline = time.monotonic() + 10 * SLOW
        while not SANITIZED and resident(server.process) > before + 40 * MB:  # a sanitizer keeps what was freed
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        held, connections = self.held(server)
        self.assertLessEqual(held, 65536 * connections)
        # Room is there again for a large one.
        self.assertEqual(self.client(server).ask(post(infer_json(rows=400000), extra=""))[0], 200)

    def test_a_promise_of_a_body_holds_nothing(self):
        server = self.own("--memory-budget", str(160 * MB), "--max-request-bytes", str(64 * MB))
        silent = [self.client(server) for _ in range(50)]
        for client in silent:
            client.send(b"POST /v2/models/f32/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n{" % (60 * MB))
        time.sleep(0.2)
        self.assertEqual(self.client(server).ask(post(infer_json(rows=400000)))[0], 200)

    def test_a_huge_id_is_counted_like_a_tensor(self):
        server = self.own("--memory-budget", str(100 * MB), "--max-request-bytes", str(80 * MB))
        body = infer_json()[:-1] + b',"id":"' + b"i" * 50 * MB + b'"}'
        with self.bounded(server, memory=160 * MB):
            self.refused(post(body), 503, "memory-budget", server, closed=False)
            self.assertEqual(self.client(server).ask(post(infer_json()[:-1] + b',"id":"' + b"i" * 9000 + b'"}'))[0], 200)

    def test_chunked_bodies_keep_to_the_budget(self):
        server = self.own("--memory-budget", str(64 * MB), "--max-request-bytes", str(48 * MB),
                          "--body-timeout-ms", "300000")
        with self.bounded(server, memory=130 * MB):
            codes = []
            clients = [self.client(server) for _ in range(6)]
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(b"POST /v2/models/f32/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for _ in range(18):
                        client.send(b"100000\r\n" + b" " * MB + b"\r\n")
            for client in clients:
                client.socket.settimeout(0.2)
                try:
                    codes.append(client.answer()[0])
                except (TimeoutError, ConnectionError):
                    codes.append(0)
            self.assertIn(503, codes)
            for client in clients:
                client.socket.close()

    def test_an_output_asked_for_twice_is_refused(self):
        body = json.loads(infer_json(rows=1000))
        body["outputs"] = [{"name": "y"}] * 1000
        with self.bounded():
            self.refused(post(json.dumps(body).encode()), 400, "output 'y'", closed=False)

    # ---- time

    def test_large_bodies_hold_no_bystander_up(self):
        server = self.own("--io-threads", "1")
        numbers = b"0.123456," * (11 * MB)  # 99 MB
        huge = b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[' + numbers[:-1] + b"]}]}"
        packed = gzip.compress(huge, 1)
        with self.bounded(server, memory=700 * MB) as bystander:
            for body, extra in ((huge, ""), (packed, "Content-Encoding: gzip\r\n")):
                client = self.client(server, timeout=60 * SLOW)
                code, _, answer = client.ask(post(body, extra))
                self.assertEqual((code, "more elements" in json.loads(answer)["error"]), (400, True), answer)
            rows = 250000
            whole = self.client(server, timeout=60 * SLOW).ask(post(infer_json(rows=rows), "Accept-Encoding: gzip\r\n"))
            self.assertEqual(whole[0], 200)
            self.assertEqual(json.loads(gzip.decompress(whole[2]))["outputs"][0]["shape"], [rows, 4])
        self.assertGreater(bystander.count, 20)

    def test_chunk_lines_and_chunk_overhead_are_bounded(self):
        head = b"POST /v2/models/f32/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        with self.bounded():
            begin = time.monotonic()
            self.refused(head + b"0" * 100000, 400, "4 KiB")
            self.refused(head + b"1;" + b"x" * 50 * MB, 400, "4 KiB")
            self.refused(head + (b"1;" + b"x" * 4000 + b"\r\n \r\n") * 2000, 400, "more lines than data")
            self.refused(head + b"0\r\n" + b"T: r\r\n" * 5000, 431, "trailers")
            self.assertLess(time.monotonic() - begin, 10 * SLOW)

    def test_an_inflating_bomb_is_refused_without_its_memory(self):
        bomb = zlib.compress(b" " * 400 * MB, 9)
        server = self.own("--max-request-bytes", str(16 * MB))
        with self.bounded(server, memory=120 * MB):
            for _ in range(5):
                self.refused(post(bomb, "Content-Encoding: deflate\r\n"), 429, "max-request-bytes", server, closed=False)

    def test_slow_clients_are_told_and_closed(self):
        server = self.own("--header-timeout-ms", "600", "--body-timeout-ms", "600", "--idle-timeout-ms", "1200")
        with self.bounded(server):
            begin = time.monotonic()
            silent, idle = self.client(server), self.client(server)
            self.assertEqual(idle.ask(GET_LIVE)[0], 200)
            trickle, stuck = self.client(server), self.client(server)
            stuck.send(SMALL[:-10])
            with contextlib.suppress(OSError):
                for byte in range(40):  # a head that never ends, a byte at a time
                    trickle.send(GET_LIVE[byte:byte + 1])
                    time.sleep(0.05)
            self.assertEqual(trickle.answer()[0], 408)
            self.assertEqual(stuck.answer()[0], 408)
            self.assertTrue(silent.is_closed())
            self.assertTrue(idle.is_closed())
            self.assertLess(time.monotonic() - begin, 10 * SLOW)

    def test_a_client_that_closes_is_no_longer_worked_for(self):
        server = self.own("--batch-delay-us", "1500000")
        for _ in range(30):
            with Client(server.ports["HTTP"]) as client:
                client.send(SMALL)
        time.sleep(0.3)
        with Client(server.ports["HTTP"]) as client:
            self.assertEqual(client.ask(SMALL)[0], 200)
        page = server.get("/metrics", "metrics")[1].decode()
        cancelled = re.search(r'nv_inference_request_failure{model="f32",version="1",reason="CANCELED"} (\d+)', page)
        self.assertEqual(int(cancelled[1]), 30)
        self.assertIn("norn_requests_in_flight 0\n", page)

    def test_clients_that_close_at_any_moment_leave_nothing_held(self):
        server = self.own("--io-threads", "1")
        large = post(infer_json(rows=60000), "Accept-Encoding: gzip\r\n")
        packed = post(gzip.compress(infer_json(rows=60000), 1), "Content-Encoding: gzip\r\n")
        rng = np.random.default_rng(9)
        for i in range(60):
            request = packed if i % 2 else large
            with Client(server.ports["HTTP"]) as client:
                client.send(request[:rng.integers(1, len(request))] if i % 3 == 0 else request)
                if i % 3:
                    time.sleep(rng.uniform(0, 0.04))  # while it is read, run, written or sent
        held, connections = self.held(server)
        self.assertLessEqual(held, 65536 * connections)
        self.assertGreaterEqual(held, 0)
        self.assertEqual(server.stop(), 0)

    def test_a_stop_does_not_wait_for_a_client_that_reads_nothing(self):
        server = self.own("--drain-ms", "500", "--lame-duck-ms", "0")
        stuck = self.client(server, timeout=0.5)
        stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(TimeoutError):
            stuck.send(post(infer_json(rows=400000)))
        time.sleep(0.5)
        begin = time.monotonic()
        self.assertEqual(server.stop(), 0, server.log.read_text()[-2000:])
        self.assertLess(time.monotonic() - begin, 6 * SLOW)

    # ---- connections and the log

    def test_over_the_connection_limit_idle_ones_make_room(self):
        server = self.own("--max-connections", "40")
        idle = [self.client(server) for _ in range(60)]
        refused = 0
        for client in idle:
            client.socket.settimeout(0.05)
            try:
                code, _, body = client.answer()
                self.assertEqual(code, 503)
                self.assertIn("max-connections", json.loads(body)["error"])
                self.assertEqual(client.buffer, b"")
                refused += 1
            except (TimeoutError, ConnectionError):
                pass
        self.assertGreaterEqual(refused, 15)
        for client in idle[:3]:  # busy ones stay, and are in nobody's way
            with contextlib.suppress(OSError):
                client.send(SMALL[:-5])
        time.sleep(1.1)  # the others count as idle now
        for _ in range(30):
            self.assertEqual(self.client(server).ask(SMALL)[0], 200)
        self.assertLess(server.log.stat().st_size, 8192)

    def test_without_descriptors_accepting_pauses_and_the_log_stays_small(self):
        server = self.own()
        kept = self.client(server)
        self.assertEqual(kept.ask(SMALL)[0], 200)
        used = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 10, limits[1]))
        before, cpu = server.log.stat().st_size, self.cpu_seconds(server)
        clients = [self.client(server) for _ in range(60)]
        time.sleep(1.5)
        self.assertEqual(kept.ask(SMALL)[0], 200)
        self.assertLess(server.log.stat().st_size - before, 2000)
        self.assertIn("accept:", server.log.read_text())
        self.assertLess(self.cpu_seconds(server) - cpu, 0.5 * SLOW)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        for client in clients:
            self.assertEqual(client.ask(GET_LIVE)[0], 200)

    @staticmethod
    def cpu_seconds(server):
        fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_a_log_that_nobody_reads_delays_nothing(self):
        reads, writes = os.pipe()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = subprocess.Popen([NORN, "serve", "--repository", str(self.repository), "--host", "127.0.0.1", "--http-port",
                                    str(port), "--no-grpc", "--no-metrics", "--model-control", "explicit"], stderr=writes, env={**os.environ, "NORN_LOG": "debug"})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.set_blocking(writes, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writes, b"x" * 512)  # fills what the server has not
        os.set_blocking(writes, True)
        os.close(writes)
        deadline = time.monotonic() + 30 * SLOW
        while time.monotonic() < deadline:
            try:
                with Client(port) as client:
                    if client.ask(b"GET /v2/health/ready HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200:
                        break
            except OSError:
                time.sleep(0.05)
        with Client(port) as client:
            for _ in range(20):
                self.assertEqual(client.ask(post(b"", path="/v2/repository/models/f32/load"))[0], 200)
            self.assertEqual(client.ask(SMALL)[0], 200)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=20 * SLOW), 0)
        self.assertLess(time.monotonic() - begin, 5 * SLOW)
        os.close(reads)

    def test_many_hostile_connections_at_once(self):
        rng = np.random.default_rng(5)
        starts = [SMALL, GET_LIVE, SMALL[:-5], b"GET ", b"POST /v2/models/f32/infer HTTP/1.1\r\nHost: a\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n5\r\n"]

        def attack(seed):
            data = bytearray(starts[seed % len(starts)] + rng.bytes(40))
            for at in rng.integers(0, len(data), 3):
                data[at] = rng.integers(0, 256)
            with contextlib.suppress(OSError), Client(self.server.ports["HTTP"], timeout=0.02) as client:
                client.send(bytes(data))
                client.socket.recv(1000)
        with self.bounded(), concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(attack, range(600)))


if __name__ == "__main__":
    unittest.main()
