"""`norn serve --follow`: rows that a trainer publishes are served, a step at a time, and new versions as they come.

The model says itself where it is: its answer is a row of table `a`, the same row of table `b`, and the weights `w`,
whose elements are all version * 1000000 + step of whoever wrote them.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

import numpy as np
import onnx
import tritonclient.http
from onnx import TensorProto, helper, numpy_helper

import plain_log
import served
from norn import safetensors_file

KEYS = 50
# NORN_PROOF=1000000: so many requests, over 1,000 steps and 100 switches of version (five minutes).
PROOF_REQUESTS = int(os.environ.get("NORN_PROOF", 100))
PROOF_VERSIONS, PROOF_STEPS = (100, 10) if "NORN_PROOF" in os.environ else (3, 60)
DIMS = {"a": 3, "b": 2}


def cell(version, step):
    return version * 1000000 + step


def rows(version, step, keys, dim):
    return np.repeat(np.float32(cell(version, step)), len(keys) * dim).reshape(-1, dim)


def write_version(folder, version, step=0):
    """y[B, 6] = a[id], b[id], w of one element."""
    (folder / "tables").mkdir(parents=True)
    nodes = [helper.make_node("Embedding", ["id"], [name], domain="ai.norn", table=name, dim=dim)
             for name, dim in DIMS.items()]
    nodes += [helper.make_node("Mul", ["a", "zeros"], ["nothing"]), helper.make_node("Add", ["nothing", "w"], ["c"]),
              helper.make_node("Concat", ["a", "b", "c"], ["y"], axis=1)]
    weights = [numpy_helper.from_array(np.zeros(3, np.float32), "zeros"),
               numpy_helper.from_array(np.full(3, cell(version, step), np.float32), "w")]
    graph = helper.make_graph(nodes, "proof", [helper.make_tensor_value_info("id", TensorProto.INT64, ["B"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 8])], weights)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.norn", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), folder / "model.onnx")
    keys = np.arange(KEYS, dtype=np.int64)
    for name, dim in DIMS.items():
        safetensors_file.write(folder / "tables" / f"{name}.safetensors",
                               {"rows": rows(version, step, keys, dim), "keys": keys})


class FollowTest(unittest.TestCase):
    settings = None  # norn.json

    def write_version(self, version, step=0, at=None):
        folder = at or self.model / str(version)
        write_version(folder, version, step)
        if self.settings:
            (folder / "norn.json").write_text(json.dumps(self.settings))

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.repository = self.folder / "repository"
        self.model = self.repository / "m"
        self.write_version(1)
        self.server = None

    def start(self, *options):
        self.server = served.Server(self.repository, "--follow", *options)
        self.addCleanup(self.server.stop)
        self.client = tritonclient.http.InferenceServerClient(self.server.http)
        self.addCleanup(self.client.close)

    def ask(self, ids=(0,), client=None):
        tensor = tritonclient.http.InferInput("id", [len(ids)], "INT64")
        tensor.set_data_from_numpy(np.array(ids, np.int64))
        return (client or self.client).infer("m", [tensor]).as_numpy("y")

    def metric(self, name):
        for line in self.server.get("/metrics", "metrics")[1].decode().splitlines():
            if line.startswith(name + "{"):
                return float(line.split()[-1])
        return None

    def wait_for(self, what, seconds=20):
        deadline = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), deadline, self.server.log.read_text()[-2000:])
            time.sleep(0.005)

    def wait_for_step(self, step, version=1):
        self.wait_for(lambda: self.metric("norn_delta_step") == step)

    def publish(self, log, keys=range(KEYS), version=1, **more):
        keys = np.array(keys, np.int64)
        step = log.step + 1
        return log.publish({name: (keys, rows(version, step, keys, dim)) for name, dim in DIMS.items()}, **more)

    def publish_all(self, log, version=1):
        """All rows and the weights, in one step."""
        return self.publish(log, version=version, dense={"w": np.full(3, cell(version, log.step + 1), np.float32)})

    def open_log(self, base=1):
        return plain_log.Log(self.model / "log", base, DIMS.items())

    def test_rows_are_served_as_they_are_published(self):
        log = self.open_log()
        self.publish(log, [1, 2, 7])
        self.start()  # it is caught up before it is ready
        np.testing.assert_array_equal(self.ask([0, 1, 7])[:, 0], [cell(1, 0), cell(1, 1), cell(1, 1)])
        begin = time.monotonic()
        self.publish(log, [1, 1000])
        self.wait_for(lambda: self.ask([1])[0, 0] == cell(1, 2))
        self.assertLess(time.monotonic() - begin, 1)
        np.testing.assert_array_equal(self.ask([1000, 2])[:, :5], [[cell(1, 2)] * 5, [cell(1, 1)] * 5])
        log.publish(deletes={"a": np.array([1], np.int64)})
        self.wait_for_step(3)
        np.testing.assert_array_equal(self.ask([1])[0, :5], [0, 0, 0, cell(1, 2), cell(1, 2)])
        self.assertEqual(self.metric("norn_delta_rows_total"), 10)
        self.assertEqual(self.metric("norn_delta_deletes_total"), 1)
        self.assertEqual(self.metric("norn_delta_epoch"), 1)
        self.assertEqual(self.metric("norn_delta_stalled"), 0)
        self.assertLess(abs(self.metric("norn_delta_published_seconds") - time.time()), 60)

    def test_a_log_that_comes_later_is_found(self):
        self.start()
        self.assertIsNone(self.metric("norn_delta_step"))
        self.publish(self.open_log(), [3])
        self.wait_for(lambda: self.ask([3])[0, 0] == cell(1, 1))

    def test_a_step_without_its_seal_is_not_seen(self):
        log = self.open_log()
        self.publish(log, [1])
        self.start()
        self.publish(log, [1, 2], seal=False)
        time.sleep(0.3)
        np.testing.assert_array_equal(self.ask([1, 2])[:, 0], [cell(1, 1), cell(1, 0)])
        log = self.open_log()  # another writer: what was not sealed is void
        self.publish(log, [4])
        self.wait_for_step(2)
        np.testing.assert_array_equal(self.ask([1, 2, 4])[:, 0], [cell(1, 1), cell(1, 0), cell(1, 2)])
        self.assertEqual(self.metric("norn_delta_epoch"), 2)

    def test_a_new_version_is_served_once_it_is_ready(self):
        log = self.open_log()
        self.publish(log, [1])
        self.start()
        # In mid-training: the same line, cut after step 1.
        self.write_version(2)
        plain_log.write_manifest(self.model / "2", 2, base=1, cut=log.cut(), ready=False)
        self.publish(log, [5])
        time.sleep(1.5)
        self.assertEqual(self.ask([0])[0, 0], cell(1, 0))
        plain_log.write_manifest(self.model / "2", 2, base=1, cut=log.cut() | {"step": 1}, ready=False)
        (self.model / "2" / "MANIFEST.json").unlink()
        cut = log.cut()
        self.publish(log, [6])
        plain_log.write_manifest(self.model / "2", 2, base=1, cut=cut)
        self.wait_for(lambda: self.ask([0])[0, 0] == cell(2, 0))
        np.testing.assert_array_equal(self.ask([1, 5, 6])[:, 0], [cell(2, 0), cell(2, 0), cell(1, 3)])
        # Without a manifest: a line of its own, which deltas of the first say nothing to.
        self.write_version(3)
        self.wait_for(lambda: self.ask([6])[0, 0] == cell(3, 0))
        self.publish(log, [6])
        self.wait_for_step(4)
        self.assertEqual(self.ask([6])[0, 0], cell(3, 0))
        self.publish(self.open_log(base=3), [6], version=3)
        self.wait_for(lambda: self.ask([6])[0, 0] == cell(3, 5))

    def test_a_version_that_is_not_what_its_manifest_says_is_refused(self):
        self.start()
        self.write_version(2)
        plain_log.write_manifest(self.model / "2", 2)
        table = self.model / "2" / "tables" / "a.safetensors"
        data = bytearray(table.read_bytes())
        data[-1] ^= 1
        staged = self.folder / "staged"
        shutil.move(self.model / "2", staged)
        (staged / "tables" / "a.safetensors").write_bytes(data)
        shutil.move(staged, self.model / "2")
        self.wait_for(lambda: "is not what MANIFEST.json says" in self.server.log.read_text())
        self.assertEqual(self.ask([0])[0, 0], cell(1, 0))
        shutil.rmtree(self.model / "2")

    def test_a_gap_stops_the_deltas_and_not_the_serving(self):
        log = self.open_log()
        self.publish(log, [1])
        self.start()
        self.wait_for_step(1)
        log.sequence += 1  # a frame that never was
        self.publish(log, [1])
        self.wait_for(lambda: self.metric("norn_delta_stalled") == 1)
        self.assertIn("sequence 6 where 5 should be", self.server.log.read_text())
        self.assertEqual(self.ask([1])[0, 0], cell(1, 1))
        self.assertEqual(self.metric("norn_delta_step"), 1)
        # The next full version, cut behind the gap, mends it.
        self.write_version(2)
        plain_log.write_manifest(self.model / "2", 2, base=1, cut=log.cut())
        self.wait_for(lambda: self.ask([0])[0, 0] == cell(2, 0))

    def test_dense_weights_come_with_their_rows(self):
        log = self.open_log()
        self.publish_all(log)
        self.start()
        np.testing.assert_array_equal(self.ask([0, 7]), np.full((2, 8), cell(1, 1)))
        log.publish(dense={"w": np.arange(3, dtype=np.float32)})
        self.wait_for_step(2)
        np.testing.assert_array_equal(self.ask([0])[0], [cell(1, 1)] * 5 + [0, 1, 2])
        self.publish(log, [0])  # rows alone: the weights stay
        self.wait_for_step(3)
        np.testing.assert_array_equal(self.ask([0])[0], [cell(1, 3)] * 5 + [0, 1, 2])

    def test_weights_that_do_not_fit_stop_the_deltas(self):
        for name, array, words in (("v", np.zeros(3, np.float32), "no initializer 'v'"),
                                   ("w", np.zeros(4, np.float32), "initializer 'w' is float32[3]; what was "
                                                                  "published is float32[4]"),
                                   ("w", np.zeros((1, 3), np.float32), r"float32[1,3]")):
            with self.subTest(words):
                shutil.rmtree(self.model / "log", ignore_errors=True)
                shutil.rmtree(self.model / "rows", ignore_errors=True)
                log = self.open_log()
                self.publish_all(log)
                self.start()
                self.publish(log, dense={name: array})
                self.wait_for(lambda: self.metric("norn_delta_stalled") == 1)
                self.assertIn(words, self.server.log.read_text())
                np.testing.assert_array_equal(self.ask([0]), np.full((1, 8), cell(1, 1)))
                self.server.stop()

    def test_every_answer_is_of_one_step_and_one_version(self):
        log = self.open_log()
        self.publish_all(log)
        self.start("--instances", "2")
        stop, wrong, answers = threading.Event(), [], [0, 0]

        def ask(me):
            client, last = tritonclient.http.InferenceServerClient(self.server.http), 0
            tensor = tritonclient.http.InferInput("id", [3], "INT64")
            tensor.set_data_from_numpy(np.array([3, 17, 49], np.int64))
            while not stop.is_set():
                y = client.infer("m", [tensor]).as_numpy("y")
                seen = int(y[0, 0]) % 1000000
                if (y != y[0, 0]).any() or seen < last:
                    wrong.append((last, y))
                last, answers[me] = seen, answers[me] + 1
            client.close()

        threads = [threading.Thread(target=ask, args=(me,)) for me in range(2)]
        for thread in threads:
            thread.start()
        for version in range(2, PROOF_VERSIONS + 2):
            wanted = PROOF_REQUESTS * (version - 1) // PROOF_VERSIONS
            for _ in range(PROOF_STEPS):
                self.publish_all(log)
                time.sleep(0.002)
            while sum(answers) < wanted and not wrong:
                self.publish_all(log)
                time.sleep(0.1)
            self.write_version(1, log.step, at=self.model / str(version))
            plain_log.write_manifest(self.model / str(version), version, base=1, cut=log.cut())
            self.wait_for(lambda: f"version {version} is ready" in self.server.log.read_text())
            shutil.rmtree(self.model / str(version - 1))
        self.wait_for_step(log.step)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertGreaterEqual(sum(answers), PROOF_REQUESTS)
        self.assertEqual(self.ask([0])[0, 0], cell(1, log.step))
        if "NORN_PROOF" in os.environ:
            print(f"{sum(answers)} answers over {log.step} steps and {PROOF_VERSIONS} switches of version: none mixed")


class TierFollowTest(FollowTest):
    """The same with the rows in a folder of RocksDB's, and a cache that holds few of them."""

    settings = {"tier": "rocksdb:rows", "tier_memory_mb": 1}

    def test_a_restart_goes_on_where_the_rows_are(self):
        log = self.open_log()
        self.publish(log, [1], dense={"w": np.arange(3, dtype=np.float32)})
        self.start()
        for key in range(5, 15):
            self.publish(log, [key])
        self.wait_for_step(11)
        self.server.process.kill()
        self.server.process.wait()
        self.publish(log, [2])
        self.start()
        self.assertEqual(self.metric("norn_delta_step"), 12)
        self.assertEqual(self.metric("norn_delta_rows_total"), 2)
        np.testing.assert_array_equal(self.ask([0, 1, 2, 14])[:, 0], [cell(1, 0), cell(1, 1), cell(1, 12), cell(1, 11)])
        cached, fetched = (self.metric(f"norn_tier_{what}_keys_total") for what in ("cached", "fetched"))
        self.ask([0, 1, 2, 14])
        self.assertEqual(self.metric("norn_tier_cached_keys_total"), cached + 8)
        self.assertEqual(self.metric("norn_tier_fetched_keys_total"), fetched)
        # Weights are in no row: they come from the log, since the full version.
        np.testing.assert_array_equal(self.ask([0])[0, 5:], [0, 1, 2])
        self.server.process.kill()
        self.server.process.wait()
        # Rows that stand at a step of another log are not gone on with.
        shutil.rmtree(self.model / "log")
        other = self.open_log()
        for key in range(14):
            self.publish(other, [key])
        self.start()
        self.assertEqual(self.metric("norn_delta_stalled"), 1)
        self.assertIn("stand at step 12 of another log", self.server.log.read_text())


class KillTest(TierFollowTest):
    """kill -9 at any moment: while it loads, catches up, applies, changes versions. NORN_KILLS=100: so many."""

    def test_kills(self):
        kills = int(os.environ.get("NORN_KILLS", 20))
        rng, log, newest = np.random.default_rng(int(time.time())), self.open_log(), {}
        version, stop = 1, threading.Event()

        def train():
            while not stop.is_set():
                keys = rng.choice(KEYS, 5, replace=False)
                step = self.publish(log, np.sort(keys))
                newest.update({int(key): step for key in keys})
                time.sleep(0.003)

        for kill in range(kills):
            stop.clear()
            trainer = threading.Thread(target=train)
            trainer.start()
            if kill % 3 == 2:  # a full version of now, without what was there before it
                time.sleep(0.05)
                stop.set()
                trainer.join()
                version += 1
                self.write_version(1, log.step, at=self.model / str(version))
                newest = dict.fromkeys(range(KEYS), log.step)
                plain_log.write_manifest(self.model / str(version), version, base=1, cut=log.cut())
                stop.clear()
                trainer = threading.Thread(target=train)
                trainer.start()
            process = subprocess.Popen([served.NORN, "serve", "--repository", str(self.repository), "--follow", "--http-port",
                                        "0", "--no-grpc", "--no-metrics"], stderr=subprocess.DEVNULL)
            time.sleep(rng.exponential(0.15))
            process.kill()
            process.wait()
            stop.set()
            trainer.join()
        self.start()
        self.wait_for_step(log.step)
        wanted = [cell(1, newest.get(key, 0)) for key in range(KEYS)]
        np.testing.assert_array_equal(self.ask(range(KEYS))[:, :5], np.repeat(np.float32(wanted), 5).reshape(-1, 5))


# Cases of a base class run once, in it.
for name in [name for name in dir(TierFollowTest) if name.startswith("test_")]:
    setattr(KillTest, name, None)


if __name__ == "__main__":
    unittest.main()
