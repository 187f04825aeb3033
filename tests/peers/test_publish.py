"""python/norn's Publisher, tracker, manifests and tables, with numpy alone. The guide: docs/publish.md."""

import json
import os
import pathlib
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import unittest
import unittest.mock

import numpy as np

from test_delta_log import ROOT, Scratch

from norn import delta_frame as df
from norn import manifest, safetensors_file, tables
from norn.delta_log import Fenced, FileLog, LogError, NotDurable
from norn.publish import Publisher
from norn.tables import Table
from norn.tracker import Tracker

try:
    import torch
except ImportError:
    torch = None


def state_of(log, cut=None, specs=()):
    """{table: {key: row bytes}} and {dense name: array} that a server has after the log."""
    rows, dense = {}, {}
    for step in log.steps(cut, specs):
        for table, keys, values, scales in step.rows():
            packed = df.pack_rows(values, scales)
            rows.setdefault(table, {}).update(zip(keys.tolist(), map(bytes, packed)))
        for table, keys in step.deletes():
            for key in keys.tolist():
                rows.setdefault(table, {}).pop(key, None)
        dense |= step.dense()
    return rows, dense


class Trainer(Scratch):
    def setUp(self):
        super().setUp()
        (self.folder / "model.onnx").write_bytes(b"a model")
        self.model = self.folder / "ranker"
        self.user = np.zeros((1000, 8), np.float32)
        self.item = {}  # {key: row of int8}, whose scale is its key

    def items(self, keys):
        keys = sorted(self.item) if keys is None else [k for k in keys.tolist() if k in self.item]
        return (np.int64(keys), np.int8([self.item[k] for k in keys]).reshape(-1, 3),
                np.float32(keys))

    def publisher(self, **more):
        return Publisher(self.model, {"user": self.user, "item": self.items}, **more)

    def published(self, **more):
        publisher = self.publisher(**more)
        publisher.full(self.folder / "model.onnx")
        return publisher

    def log(self):
        return FileLog(self.model / "log")


class Versions(Trainer):
    def test_a_full_version_is_whole_named_and_cut(self):
        self.item[-4] = [1, 2, 3]
        publisher = self.published()
        found = manifest.verify(self.model / "1")
        self.assertEqual((found["model"], found["version"], found["base"]), ("ranker", 1, 1))
        self.assertEqual(found["tables"], [
            {"name": "item", "kind": "hashed", "dtype": "I8", "dim": 3, "rows": 1},
            {"name": "user", "kind": "dense", "dtype": "F32", "dim": 8, "rows": 1000}])
        self.assertEqual([entry["path"] for entry in found["files"]],
                         ["model.onnx", "tables/item.safetensors", "tables/user.safetensors"])
        first, = self.log().frames()
        self.assertEqual(found["cut"], {"epoch": 1, "step": 0, "sequence": [1],
                                        "chain": [first.header_crc]})
        publisher.delta(dense={"bias": np.float32([1])})
        self.assertEqual(publisher.full(self.folder / "model.onnx", settings={"instances": 2}), 2)
        second = manifest.verify(self.model / "2")
        self.assertEqual((second["base"], second["cut"]["step"], second["cut"]["sequence"]),
                         (1, 1, [3]))
        self.assertEqual(json.loads((self.model / "2" / "norn.json").read_text()), {"instances": 2})
        self.assertEqual(sorted(p.name for p in self.model.iterdir()), ["1", "2", "log"])

    def test_every_flipped_byte_and_every_file_more_or_less_is_found(self):
        self.published()
        folder = self.model / "1"
        with unittest.mock.patch.object(manifest, "BLOCK_BYTES", 4096):
            manifest.write(folder, "ranker", 1, 1, [])
            for path in [p for p in folder.rglob("*") if p.is_file()]:
                whole = path.read_bytes()
                for at in {0, len(whole) // 2, len(whole) - 1}:
                    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
                    with self.assertRaisesRegex(manifest.Broken, f"{folder}/"):
                        manifest.verify(folder)
                path.write_bytes(whole[:-1])
                with self.assertRaises(manifest.Broken):
                    manifest.verify(folder)
                path.unlink()
                with self.assertRaises((manifest.Broken, manifest.NotReady)):
                    manifest.verify(folder)
                path.write_bytes(whole)
            (folder / "more").write_bytes(b"")
            with self.assertRaisesRegex(manifest.Broken, "1/more: MANIFEST.json does not name it"):
                manifest.verify(folder)

    def test_a_manifest_that_leads_out_of_its_folder_is_refused(self):
        self.published()
        for path in ("../1/model.onnx", str(self.model / "1" / "model.onnx")):
            (self.model / "1" / "READY").unlink()
            manifest.write(self.model / "1", "ranker", 1, 1, [])
            text = json.loads((self.model / "1" / "MANIFEST.json").read_text())
            text["files"][0]["path"] = path
            data = json.dumps(text).encode()
            (self.model / "1" / "MANIFEST.json").write_bytes(data)
            (self.model / "1" / "READY").write_text(f"{manifest.zlib.crc32(data):08x}\n")
            with self.assertRaisesRegex(manifest.Broken, "outside the version's folder"):
                manifest.verify(self.model / "1")

    def test_a_version_that_fails_half_way_is_not_there(self):
        publisher = self.published()

        def fails(folder):
            (folder / "model.onnx").write_bytes(b"half")
            raise OSError("no space")
        with self.assertRaisesRegex(OSError, "no space"):
            publisher.full(fails)
        with self.assertRaisesRegex(ValueError, "no model.onnx"):
            publisher.full(lambda folder: None)
        (self.folder / "package" / "tables").mkdir(parents=True)
        (self.folder / "package" / "model.onnx").write_bytes(b"m")
        Table(np.zeros((2, 2), np.float32)).save(self.folder / "package" / "tables" / "x.safetensors")
        with self.assertRaisesRegex(ValueError, "table 'x' that the publisher was not given"):
            publisher.full(self.folder / "package")
        self.assertEqual(sorted(p.name for p in self.model.iterdir()), ["1", "log"])
        self.assertEqual(publisher.full(self.folder / "model.onnx"), 2)

    def test_a_new_line_gives_deltas_its_base_and_an_old_one_keeps_its_own(self):
        publisher = self.published()
        publisher.delta(dense={"b": np.float32([1])})
        self.assertEqual(publisher.full(self.folder / "model.onnx", new_line=True), 2)
        publisher.delta(dense={"b": np.float32([2])})
        self.assertEqual([(s.step, s.base) for s in self.log().steps()], [(1, 1), (2, 2)])
        self.assertEqual(manifest.read(self.model / "2")["base"], 2)
        cut = manifest.read(self.model / "1")["cut"]
        publisher.delta(dense={"c": np.float32([2])})
        self.assertEqual(publisher.resume(cut).dense, ["b", "c"])
        publisher.full(self.folder / "model.onnx", new_line=True)
        publisher.delta(dense={"c": np.float32([3])})
        self.assertEqual(publisher.resume(cut).dense, ["c"])
        other = Publisher(self.model, {"user": np.zeros((9, 4), np.float32)})
        with self.assertRaisesRegex(LogError, "the tables are others than version 3 has"):
            other.delta()
        self.assertEqual(other.full(self.folder / "model.onnx"), 4)
        other.touch("user", [1])
        other.delta()
        step = list(self.log().steps())[-1]
        self.assertEqual((step.base, [name for name, *_ in step.rows()]), (4, ["user"]))
        with self.assertRaises(Fenced):
            publisher.full(self.folder / "model.onnx")
        with self.assertRaises(LogError):
            self.publisher_without_version().delta()

    def publisher_without_version(self):
        return Publisher(self.folder / "new", {"user": self.user})


class Deltas(Trainer):
    def test_touched_given_and_deleted_rows_and_dense_weights_are_one_step(self):
        publisher = self.published(partitions=3)
        self.item = {key: [key % 100, 1, 2] for key in range(0, 3000, 3)}
        self.user[:] = np.arange(1000)[:, None]
        publisher.touch("user", [5, 999, 5])
        publisher.touch("item", np.arange(3000))
        publisher.delta(rows={"user": (np.int64([7]), np.ones((1, 8), np.float32))},
                        deletes={"item": [3]}, dense={"top.bias": np.float32([1, 2])})
        step, = self.log().steps()
        rows, dense = state_of(self.log())
        self.assertEqual(sorted(rows["user"]), [5, 7, 999])
        self.assertEqual(rows["user"][999], np.full(8, 999, np.float32).tobytes())
        self.assertEqual(sorted(rows["item"]), sorted(set(self.item) - {3}))
        self.assertEqual(rows["item"][6], struct.pack("<bbbxf", 6, 1, 2, 6))
        deleted = np.concatenate([keys for _, keys in step.deletes()])
        self.assertEqual(sorted(deleted.tolist()), sorted({*range(3000)} - set(self.item) | {3}))
        np.testing.assert_array_equal(dense["top.bias"], np.float32([1, 2]))
        for frame in step.frames:
            if frame.kind in (df.ROWS, df.DELETES):
                keys = df.unpack_keys(frame)
                self.assertEqual(set(df.partition_of(keys, 3)), {frame.partition})
                self.assertTrue((np.diff(keys) > 0).all())

    def test_many_rows_are_split_into_frames_that_a_broker_takes(self):
        self.user = np.random.default_rng(1).random((100000, 8), np.float32)
        publisher = self.published()
        publisher.touch("user", np.arange(100000))
        publisher.delta()
        step, = self.log().steps()
        self.assertEqual(len(step.frames), 5)
        self.assertLessEqual(max(len(frame.payload) for frame in step.frames), 900 * 1024)
        np.testing.assert_array_equal(np.concatenate([rows for _, _, rows, _ in step.rows()]),
                                      self.user)

    def test_nothing_touched_is_no_step(self):
        publisher = self.published()
        self.assertEqual(publisher.delta(), publisher.position)
        self.assertEqual(list(self.log().steps()), [])

    def test_what_does_not_fit_is_refused_and_loses_nothing(self):
        publisher = self.published()
        publisher.touch("user", [1])
        ones = np.ones((2, 8), np.float32)
        for more, says in (
                ({"rows": {"user": (np.int64([1, 1]), ones)}}, "key 1 is twice in rows"),
                ({"rows": {"user": (np.int64([1, 1000]), ones)}}, "has 1000 rows, so there is no key"),
                ({"rows": {"user": (np.int64([1, 2]), ones[:, :3])}}, r"F32\[3\]; the table is F32\[8\]"),
                ({"rows": {"user": (np.int64([1, 2]), ones.astype(float))}}, "rows of float64"),
                ({"rows": {"item": (np.int64([1]), np.int8([[1, 2, 3]]))}}, "int8 rows need scales"),
                ({"rows": {"film": (np.int64([1, 2]), ones)}}, "there is no table 'film'"),
                ({"deletes": {"user": [1]}}, "table 'user' is dense"),
                ({"deletes": {"item": [1, 1]}}, "key 1 is twice in deletes"),
                ({"rows": {"item": (np.int64([1]), np.int8([[1, 2, 3]]), np.float32([1]))},
                  "deletes": {"item": [1]}}, "key 1 is in rows and in deletes"),
                ({"dense": {"b": np.float64([1])}}, "dense tensor 'b' is float64")):
            with self.subTest(says=says), self.assertRaisesRegex((ValueError, KeyError), says):
                publisher.delta(**more)
        self.assertEqual(list(self.log().steps()), [])
        publisher.delta()
        self.assertEqual(sorted(state_of(self.log())[0]["user"]), [1])

    def test_erased_rows_are_deleted(self):
        self.item = {1: [1, 1, 1], 2: [2, 2, 2]}
        publisher = self.published()
        publisher.touch("item", [1, 2])
        publisher.delta()
        del self.item[1]
        publisher.erase("item", [1])
        self.assertEqual(sorted(state_of(self.log())[0]["item"]), [2])

    def test_bfloat16_and_half_rows_and_modules_are_published_as_they_are(self):
        class Module:
            weight = np.float16([[1, 2], [3, 4]])

            def __call__(self):
                raise AssertionError("a module is not asked for rows")
        bits = np.uint16([[0x3f80, 0x4000], [0x4040, 0x7fc1]])
        publisher = Publisher(self.model, {"half": Module(), "brain": bits})
        publisher.full(self.folder / "model.onnx")
        publisher.touch("half", [1])
        publisher.touch("brain", [0, 1])
        publisher.delta(dense={"d": bits})
        rows, dense = state_of(self.log())
        self.assertEqual(rows, {"half": {1: Module.weight[1].tobytes()},
                                "brain": {0: bits[0].tobytes(), 1: bits[1].tobytes()}})
        np.testing.assert_array_equal(dense["d"], bits)
        self.assertEqual({t["name"]: t["dtype"] for t in publisher.version["tables"]},
                         {"half": "F16", "brain": "BF16"})
        stored = self.model / "1" / "tables" / "brain.safetensors"
        self.assertEqual(safetensors_file.dtypes(stored), {"rows": "BF16"})

    def test_numpy_alone_is_enough(self):
        code = ("import sys; sys.modules |= {'onnx': None, 'torch': None}\n"
                "import numpy as np; from norn.publish import Publisher\n"
                f"p = Publisher({str(self.model)!r}, {{'t': np.zeros((2, 2), np.float32)}})\n"
                f"p.full({str(self.folder / 'model.onnx')!r}); p.touch('t', [1]); p.delta()")
        subprocess.run([sys.executable, "-c", code], check=True,
                       env=dict(os.environ, PYTHONPATH=str(ROOT / "python")))
        self.assertEqual(len(list(self.log().steps())), 1)


class Failures(Trainer):
    def failing_sync(self):
        return unittest.mock.patch("os.fdatasync", side_effect=OSError(5, "Input/output error"))

    def test_a_retry_after_an_unknown_outcome_neither_loses_nor_doubles(self):
        publisher = self.published()
        given = {"rows": {"user": (np.int64([3]), np.ones((1, 8), np.float32))},
                 "dense": {"b": np.float32([1])}}
        publisher.touch("item", [8])
        with self.failing_sync():
            for _ in range(3):
                with self.assertRaisesRegex(NotDurable, "step 1 of epoch 1 .*Input/output error"):
                    publisher.delta(**given)
        publisher.touch("user", [4])
        publisher.delta(**given)
        steps = list(self.log().steps())
        self.assertEqual([step.step for step in steps], [1, 2])
        self.assertEqual([keys.tolist() for _, keys, *_ in steps[0].rows()], [[3]])
        self.assertEqual([keys.tolist() for _, keys in steps[0].deletes()], [[8]])
        self.assertEqual([keys.tolist() for _, keys, *_ in steps[1].rows()], [[4]])
        self.assertEqual((list(steps[0].dense()), list(steps[1].dense())), (["b"], []))
        publisher.delta(**given)
        self.assertEqual(len(list(self.log().steps())), 3)

    def test_a_failed_publish_keeps_its_keys_through_a_full_disk(self):
        publisher = self.published()
        path = self.log().segments(0)[0][1]
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, limits[1]))
        try:
            for key in range(5):
                publisher.touch("user", [key])
                self.user[key] = key + 1
                with self.assertRaisesRegex(NotDurable, "File too large"):
                    publisher.delta()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.assertEqual(len(publisher.tracker), 5)
        publisher.delta()
        self.assertEqual(len(publisher.tracker), 0)
        rows, _ = state_of(self.log())
        self.assertEqual(rows["user"], {key: self.user[key].tobytes() for key in range(5)})

    def test_keys_on_their_way_are_not_touched_again_by_a_failure(self):
        publisher = self.published()
        publisher.touch("user", [1])
        with self.failing_sync(), self.assertRaises(NotDurable):
            publisher.delta()
        self.user[1] = 5  # not touched yet: a later step's
        publisher.delta()
        self.assertEqual([rows.tolist() for step in self.log().steps()
                          for _, _, rows, _ in step.rows()], [[[0.0] * 8]])

    def test_a_source_that_fails_keeps_its_keys(self):
        broken = []

        def items(keys):
            if broken:
                raise RuntimeError("the trainer is busy")
            return np.int64([1]), np.float32([[1]])
        publisher = Publisher(self.model, {"item": items})
        publisher.full(self.folder / "model.onnx")
        publisher.touch("item", [1])
        broken.append(True)
        with self.assertRaisesRegex(RuntimeError, "busy"):
            publisher.delta()
        broken.clear()
        publisher.delta()
        self.assertEqual(list(state_of(self.log())[0]["item"]), [1])

    def test_a_source_that_gives_other_keys_than_it_was_asked_for_is_refused(self):
        given = [7]

        def items(asked):
            keys = given if asked is None or len(asked) else []
            return np.int64(keys), np.zeros((len(keys), 1), np.float32)
        publisher = Publisher(self.model, {"item": items})
        publisher.full(self.folder / "model.onnx")
        for given, says in (([1, 1], "key 1 is twice in what its source gave"),
                            ([1, 2], "its source gave keys that it was not asked for")):
            publisher.touch("item", [1])
            with self.assertRaisesRegex(ValueError, says):
                publisher.delta()

    def test_a_restarted_trainer_makes_servers_equal_to_its_checkpoint(self):
        for partitions in (1, 3):
            with self.subTest(partitions=partitions):
                self.restart(partitions, self.folder / f"restart{partitions}")

    def restart(self, partitions, model):
        rng = np.random.default_rng(partitions)
        self.model, self.item = model, {key: [0, 0, 0] for key in range(20)}
        self.user = np.zeros((50, 8), np.float32)
        publisher, checkpoint = self.published(partitions=partitions), None
        for step in range(1, 30):
            keys = rng.integers(0, 50, 5)
            self.user[keys] = step
            new, gone = int(rng.integers(0, 60)), int(rng.integers(0, 20))
            self.item[new] = [step] * 3
            self.item.pop(gone, None)
            publisher.touch("user", keys)
            publisher.touch("item", [new, gone])
            publisher.delta(dense={"b": np.float32([step])})
            if step == 20:
                checkpoint = (self.user.copy(), dict(self.item), publisher.position.to_json())
        self.user, self.item, cut = checkpoint
        restarted = self.publisher()
        publisher.touch("user", [1])
        with self.assertRaises(Fenced):
            publisher.delta()
        tail = restarted.resume(cut)
        self.assertEqual(tail.dense, ["b"])
        restarted.delta(dense={"b": np.float32([20])})
        version = self.model / "1"
        served = {table: {} for table in ("user", "item")}
        for table in served:
            stored = tables.load(version / "tables" / f"{table}.safetensors")
            keys = range(len(stored.rows)) if stored.keys is None else stored.keys.tolist()
            served[table] = dict(zip(keys, map(bytes, df.pack_rows(stored.rows, stored.scales))))
        for step in self.log().steps():
            for table, keys, values, scales in step.rows():
                served[table].update(zip(keys.tolist(), map(bytes, df.pack_rows(values, scales))))
            for table, keys in step.deletes():
                for key in keys.tolist():
                    served[table].pop(key, None)
        keys, rows, scales = self.items(None)
        self.assertEqual(served["item"], dict(zip(keys.tolist(), map(bytes, df.pack_rows(rows, scales)))))
        self.assertEqual(served["user"], dict(enumerate(map(bytes, df.pack_rows(self.user)))))
        self.assertEqual(state_of(self.log())[1]["b"], [20])

    def test_a_publisher_killed_with_9_continues_and_repairs(self):
        self.published()
        rng, seen, kills = random.Random(3), 0, 0
        while kills < 15 or (seen <= 5 and kills < 300):  # a busy machine comes less far between two
            kills += 1
            child = os.fork()
            if child == 0:
                try:
                    self.train_until_killed()
                finally:
                    os._exit(1)
            time.sleep(rng.uniform(0.002, 0.04))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            steps = list(self.log().steps())
            for step in steps:
                # Rows, dense weight and key of a step are one number, or the step is torn.
                (_, keys, rows, _), = step.rows()
                self.assertEqual({*rows.ravel().tolist()}, {float(step.dense()["b"][0])})
                self.assertEqual(len(keys), 200)
            seen = max(seen, len(steps))
        self.assertGreater(seen, 5)
        publisher = self.publisher()
        tail = publisher.resume(manifest.read(self.model / "1")["cut"])
        self.assertEqual(tail.keys["user"].tolist(), list(range(200)))
        publisher.delta()
        for path in self.model.iterdir():
            if path.name.isdecimal():
                manifest.verify(path)

    def train_until_killed(self):
        real = os.pwrite
        os.pwrite = lambda descriptor, data, at: real(descriptor, data[:random.randrange(1, 2000)], at)
        publisher = self.publisher()
        for value in range(1 << 20):
            self.user[:] = value
            publisher.touch("user", np.arange(200))
            publisher.delta(dense={"b": np.float32([value])})
            if value % 7 == 0:
                publisher.full(self.folder / "model.onnx")


class Tracking(unittest.TestCase):
    def test_take_commit_abort(self):
        tracker = Tracker(["a", "b"])
        tracker.touch("a", [3, 1, 3])
        self.assertEqual({t: k.tolist() for t, k in tracker.take().items()}, {"a": [1, 3]})
        tracker.touch("a", [1, 5])
        with self.assertRaisesRegex(RuntimeError, "on their way already"):
            tracker.take()
        tracker.abort()
        self.assertEqual({t: k.tolist() for t, k in tracker.take().items()}, {"a": [1, 3, 5]})
        tracker.commit()
        self.assertEqual((tracker.take(), len(tracker)), ({}, 0))
        with self.assertRaisesRegex(KeyError, "there is no table 'c'"):
            tracker.touch("c", [1])

    def test_at_its_bound_it_waits_and_drops_nothing(self):
        tracker = Tracker(["a"], bound=100)
        tracker.touch("a", range(60))
        tracker.touch("a", range(60))
        tracker.touch("a", range(100))
        with self.assertRaisesRegex(TimeoutError, "100 touched keys wait to be published"):
            tracker.touch("a", [200], timeout=0.01)
        for _ in range(3):
            waiting = threading.Thread(target=tracker.touch, args=("a", [200]), daemon=True)
            waiting.start()
            waiting.join(0.03)
            self.assertTrue(waiting.is_alive())
            # It waited over this take, so what it touches must not go to the buffer that was taken.
            self.assertEqual(tracker.take()["a"].tolist(), list(range(100)))
            tracker.commit()
            waiting.join(5)
            self.assertEqual(tracker.take()["a"].tolist(), [200])
            tracker.commit()
            tracker.touch("a", range(100))

    def test_threads_lose_no_key_and_count_none_twice(self):
        tracker, count, done = Tracker(["a", "b"], bound=3000), 4, []
        committed = {"a": [], "b": []}

        def train(seed):
            rng = np.random.default_rng(seed)
            for batch in range(200):
                tracker.touch("ab"[batch % 2], seed * 10**6 + batch * 100 + rng.permutation(100))
            done.append(seed)
        threads = [threading.Thread(target=train, args=(seed,)) for seed in range(count)]
        for thread in threads:
            thread.start()
        rng, most = random.Random(1), 0
        while len(done) < count or len(tracker):
            most = max(most, len(tracker))
            taken = tracker.take()
            if rng.random() < 0.4:
                tracker.abort()
                continue
            for table, keys in taken.items():
                committed[table].append(keys)
            tracker.commit()
        for thread in threads:
            thread.join()
        for number, table in enumerate("ab"):
            keys = np.sort(np.concatenate(committed[table]))
            wanted = [seed * 10**6 + batch * 100 + key for seed in range(count)
                      for batch in range(number, 200, 2) for key in range(100)]
            np.testing.assert_array_equal(keys, wanted)
        self.assertLess(most, 3000 + 100)


class Forms(Scratch):
    RNG = np.random.default_rng(2)
    ROWS = {"F32": RNG.random((5, 3), np.float32), "F16": RNG.random((5, 3)).astype(np.float16),
            "BF16": RNG.integers(0, 65536, (5, 3)).astype(np.uint16),
            "I8": RNG.integers(-128, 128, (5, 3)).astype(np.int8)}
    KEYS, SCALES = np.int64([9, -3, 4, 2**62, 0]), np.float32([1, 2, 3, 4, 5])

    def test_tables_go_to_files_and_back_bit_for_bit(self):
        suffixes = [".npy", ".safetensors", *([".pt"] if torch else [])]
        for dtype, rows in self.ROWS.items():
            for suffix in suffixes:
                for hashed in (False, True):
                    with self.subTest(dtype=dtype, suffix=suffix, hashed=hashed):
                        self.round_trip(dtype, rows, suffix, hashed)

    def round_trip(self, dtype, rows, suffix, hashed):
        table = self.folder / "t.safetensors"
        scales = self.SCALES if dtype == "I8" else None
        Table(rows, self.KEYS if hashed else None, scales, dtype).save(table)
        order = np.argsort(self.KEYS) if hashed else slice(None)
        loaded = tables.load(table)
        self.assertEqual((loaded.dtype, loaded.kind), (dtype, "hashed" if hashed else "dense"))
        self.assertEqual(loaded.rows.tobytes(), rows[order].tobytes())
        parts = [word for name, there in (("keys", hashed), ("scales", dtype == "I8")) if there
                 for word in (f"--{name}", str(self.folder / f"{name}.npy"))]
        out = self.folder / f"out{suffix}"
        tables.main(["export", str(table), str(out), *parts])
        again = self.folder / "again.safetensors"
        tables.main(["import", str(out), str(again), *parts])
        self.assertEqual(again.read_bytes(), table.read_bytes())
        if hashed:
            np.testing.assert_array_equal(loaded.keys, np.sort(self.KEYS))
            np.testing.assert_array_equal(loaded.take(self.KEYS[::-1]).rows, rows[::-1])
        else:
            self.assertEqual(loaded.take([7, 2, -1]).keys.tolist(), [2])

    def test_the_safetensors_package_reads_the_same(self):
        try:
            from safetensors import deserialize
        except ImportError:
            self.skipTest("safetensors is not installed")
        for dtype, rows in self.ROWS.items():
            path = self.folder / f"{dtype}.safetensors"
            Table(rows, dtype=dtype, scales=self.SCALES if dtype == "I8" else None).save(path)
            found = dict(deserialize(path.read_bytes()))["rows"]
            self.assertEqual((found["dtype"], found["shape"], bytes(found["data"])),
                             (dtype, [5, 3], rows.tobytes()))

    @unittest.skipUnless(torch, "PyTorch is not installed")
    def test_a_state_dict_is_imported_by_name(self):
        weight = torch.randn(6, 4)
        torch.save({"user.weight": weight, "half": weight.bfloat16(), "n": 3}, self.folder / "s.pt")
        tables.main(["import", str(self.folder / "s.pt"), str(self.folder / "t.safetensors"),
                     "--tensor", "half"])
        loaded = tables.load(self.folder / "t.safetensors")
        self.assertEqual(loaded.rows.tobytes(), weight.bfloat16().view(torch.int16).numpy().tobytes())

    def test_what_is_no_table_is_refused_by_name(self):
        path = self.folder / "t.safetensors"
        two = np.ones((2, 3), np.float32)
        for make, says in ((lambda: Table(np.ones((2, 3))), "rows of float64"),
                           (lambda: Table(np.ones(3, np.float32)), r"rows of shape \[3\]"),
                           (lambda: Table(two, np.int64([1])), r"keys of shape \[1\] for 2 rows"),
                           (lambda: Table(np.int8([[1]])), "int8 rows need scales"),
                           (lambda: Table(two, np.int64([1, 1])).save(path), "key 1 is there twice")):
            with self.assertRaisesRegex(ValueError, says):
                make()
        safetensors_file.write(path, {"user.weight": two})
        with self.assertRaisesRegex(ValueError, f"{path}: it has tensors .*user.weight"):
            tables.load(path)
        path.write_bytes(path.read_bytes()[:-1])
        with self.assertRaisesRegex(ValueError, "ends outside the file"):
            tables.load(path)
        with self.assertRaisesRegex(SystemExit, "say --tensor, one of: a, b"):
            safetensors_file.write(path, {"a": two, "b": two})
            tables.main(["import", str(path), str(self.folder / "x.safetensors")])


if __name__ == "__main__":
    unittest.main()
