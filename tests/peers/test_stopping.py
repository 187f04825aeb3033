"""Signals: how a server stops, and what does not stop it. And the hosts that it listens on."""

import pathlib
import signal
import socket
import tempfile
import time
import unittest
import urllib.request

import tritonclient.grpc
import tritonclient.http

from served import Server, add_model, example_models

READY = b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n"


def head_of(port, request=READY):
    """The head of an answer, over a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        return client.recv(4096).decode()


class StoppingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.repository = pathlib.Path(cls.folder.name) / "repository"
        add_model(cls.repository, "mmoe", example_models() / "mmoe.onnx")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def server(self, *options):
        server = Server(self.repository, *options, log=pathlib.Path(self.folder.name) / f"{self.id()}.log")
        self.addCleanup(server.close)
        return server

    def wait_for(self, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def test_for_a_while_after_sigterm_it_is_not_ready_and_still_serves(self):
        server = self.server("--lame-duck-ms", "60000")
        grpc = tritonclient.grpc.InferenceServerClient(server.grpc)
        self.addCleanup(grpc.close)
        self.assertTrue(grpc.is_server_ready())
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        self.wait_for(lambda: "503" in head_of(server.ports["HTTP"]).splitlines()[0])
        self.assertFalse(grpc.is_server_ready())
        self.assertFalse(grpc.is_model_ready("mmoe"))
        live = head_of(server.ports["HTTP"], READY.replace(b"ready", b"live"))
        self.assertIn("200", live.splitlines()[0])
        self.assertIn("connection: close", live.lower())
        self.assertEqual(server.get("/v2/models/mmoe/config")[0], 200)
        with tritonclient.grpc.InferenceServerClient(server.grpc) as late:  # a new connection
            self.assertEqual(late.get_model_metadata("mmoe").name, "mmoe")
        self.assertIsNone(server.process.poll())
        server.process.send_signal(signal.SIGINT)  # asked again: it does not wait longer
        self.assertEqual(server.process.wait(timeout=30), 0, server.log.read_text())
        self.assertLess(time.monotonic() - begin, 50)
        with self.assertRaises(OSError):
            head_of(server.ports["HTTP"])

    def test_the_lame_duck_ends_by_itself(self):
        server = self.server("--lame-duck-ms", "700")
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        self.assertIn("503", head_of(server.ports["HTTP"]).splitlines()[0])
        self.assertEqual(server.process.wait(timeout=30), 0)
        self.assertGreaterEqual(time.monotonic() - begin, 0.7)

    def test_no_lame_duck_when_none_is_wanted(self):
        server = self.server()  # --lame-duck-ms 0
        begin = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - begin, 10)

    def test_other_signals_do_not_stop_it(self):
        server = self.server()
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE) * 50:
            server.process.send_signal(number)
        self.wait_for(lambda: "nothing to do" in server.log.read_text())
        self.assertIn("200", head_of(server.ports["HTTP"]).splitlines()[0])
        self.assertLess(len(server.log.read_text()), 20000)  # 200 signals are not 200 lines
        self.assertEqual(server.stop(), 0)

    def test_names_and_ipv6_are_hosts(self):
        hosts = [("localhost", "127.0.0.1")]
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
            hosts += [("::1", "[::1]"), ("[::1]", "[::1]"), ("::", "127.0.0.1")]
        except OSError:
            pass  # no IPv6 here
        for host, address in hosts:
            with self.subTest(host):
                log = pathlib.Path(self.folder.name) / "host.log"
                server = Server(self.repository, "--host", host, log=log, address=address)
                try:
                    url = f"http://{address}:{server.ports['HTTP']}/v2/health/live"
                    self.assertEqual(urllib.request.urlopen(url, timeout=10).status, 200)
                    with tritonclient.grpc.InferenceServerClient(f"{address}:{server.ports['gRPC']}") as grpc:
                        self.assertTrue(grpc.is_server_live())
                    self.assertEqual(server.stop(), 0)
                finally:
                    server.kill()


if __name__ == "__main__":
    unittest.main()
