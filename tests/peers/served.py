"""A `norn serve` process for tests: a repository of example models, free ports, and its log."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "python")]

NORN = os.environ.get("NORN", str(REPOSITORY / "build/release/bin/norn"))
MODELS = REPOSITORY / "build" / "models"


def example_models():
    """The folder of the small example models; built once."""
    marker = MODELS / ".complete"
    if not marker.exists():
        subprocess.run([sys.executable, "-m", "examples.models", "--out", str(MODELS)],
                       cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        marker.touch()
    return MODELS


def add_model(repository, name, file, version=1):
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    shutil.copy(file, folder / "model.onnx")
    return folder


class Server:
    """Started by the constructor, ready when it returns; `stop` sends SIGTERM and gives the exit status."""

    def __init__(self, repository, *options, ready_seconds=60, log=None, address="127.0.0.1"):
        self.address = address
        self.log = log or repository.parent / f"{repository.name}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [NORN, "serve", "--repository", str(repository), "--host", "127.0.0.1", "--http-port", "0",
                 "--grpc-port", "0", "--metrics-port", "0", "--model-control", "explicit",
                 "--lame-duck-ms", "0", *options],
                stderr=log)
        self.ports = {}
        deadline = time.monotonic() + ready_seconds
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"norn serve is not ready:\n{self.log.read_text()}")
            time.sleep(0.02)
        self.http = f"{address}:{self.ports['HTTP']}"
        self.grpc = f"{address}:{self.ports['gRPC']}"

    def is_ready(self):
        found = re.search(r"HTTP on port (\d+), gRPC on (\d+), metrics on (\d+)", self.log.read_text())
        if not found:
            return False
        self.ports = dict(zip(("HTTP", "gRPC", "metrics"), map(int, found.groups())))
        return self.get("/v2/health/ready")[0] == 200

    def get(self, path, port="HTTP"):
        return self.request("GET", path, None, {}, port)

    def post(self, path, body=b"", headers=None):
        return self.request("POST", path, body, headers or {}, "HTTP")

    def request(self, method, path, body, headers, port):
        """(status, body) of one exchange; status 0 when the connection failed."""
        url = f"http://{self.address}:{self.ports[port]}{path}"
        request = urllib.request.Request(url, data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (urllib.error.URLError, ConnectionError):
            return 0, b""

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self):
        """The end of a test: a server that was not ended by it must end well (a sanitizer speaks at exit)."""
        if self.process.poll() is not None:
            return
        try:
            status = self.stop()
        finally:
            self.kill()
        if status != 0:
            raise AssertionError(f"norn serve ended with {status}:\n{self.log.read_text()[-4000:]}")
