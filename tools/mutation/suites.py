"""The tests that a mutant meets, as commands that one build's library and program can be put under."""
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

from mutation.tree import checked

# Peers that run under every mutant; what they import and serve lies in the copy of the tree.
SLOW_PEERS = {"test_examples.py", "test_python_package.py", "test_reference.py", "test_mutate.py"}
ASAN = "allocator_may_return_null=1:quarantine_size_mb=8"
START_SECONDS, TIMES = 20, 6  # a test that takes TIMES as long, and this much more, hangs


@dataclasses.dataclass
class Suite:
    name: str
    command: list
    environment: dict
    folder: pathlib.Path
    seconds: float = 1.0  # when nothing is wrong


def ctest_suites(tree, kind):
    where = tree.work / kind
    for test in json.loads(checked(["ctest", "--test-dir", where, "--show-only=json-v1"]))["tests"]:
        if test["name"].startswith("edges/") or "command" not in test:
            continue
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        environment = dict(item.split("=", 1) for item in properties.get("ENVIRONMENT", []))
        folder = pathlib.Path(properties.get("WORKING_DIRECTORY", where))
        yield Suite(test["name"], test["command"], environment, folder)


def peer_suites(tree, kind, python):
    folder = tree.copy / "tests" / "peers"
    for path in sorted(folder.glob("test_*.py")):
        if path.name not in SLOW_PEERS:
            command = [python, "-m", "unittest", "discover", "-f", "-s", str(folder), "-p", path.name]
            yield Suite(f"peers/{path.stem}", command, {}, tree.copy)


def all_suites(tree, kind, python):
    suites = list(ctest_suites(tree, kind))
    if python:
        suites += peer_suites(tree, kind, python)
    return suites


def run_suite(suite, kind, program, library, environment=None, limit=None):
    """(passed, why) of a suite whose processes take libnorn.so from `library`."""
    command = [str(program) if word.endswith("/bin/norn") else word for word in suite.command]
    env = dict(os.environ, **suite.environment, **(environment or {}), NORN=str(program),
               LD_LIBRARY_PATH=str(library), NORN_SEED="1", NORN_QUICK="1", NORN_MUTATION="1")
    if kind == "asan":  # a process each case: looking for leaks at each end takes minutes
        leaks = not suite.name.startswith("conformance/")
        env.update(ASAN_OPTIONS=f"{ASAN}:detect_leaks={leaks:d}", UBSAN_OPTIONS="print_stacktrace=1", NORN_SANITIZED="1")
    limit = limit or START_SECONDS + TIMES * suite.seconds
    with tempfile.TemporaryFile() as output:  # a pipe would stay open as long as a server that is left behind
        process = subprocess.Popen(command, cwd=suite.folder, env=env, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            return False, f"no end in {limit:.0f} s"
        finally:
            try:  # whatever the test has started goes with it
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode == 77 and suite.name.startswith("conformance/"):
        return True, "skipped"
    return process.returncode == 0, text


def measure(suites, kind, program, library, jobs, environment=lambda number: None):
    """Run every suite without a mutant, learn how long it takes, and give (suite, why) of those that fail."""
    def one(numbered):
        number, suite = numbered
        begin = time.monotonic()
        passed, why = run_suite(suite, kind, program, library, environment(number), limit=900)
        suite.seconds = time.monotonic() - begin
        return passed, suite, why

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return [(suite, why) for passed, suite, why in pool.map(one, enumerate(suites)) if not passed]
