"""`norn store` and `norn publish` beside python/norn: each reads what the other wrote, and bad input changes nothing."""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time
import unittest
import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from test_delta_log import ROOT, Scratch

from norn import manifest, safetensors_file, tables
from norn.delta_log import Fenced, FileLog
from norn.publish import Publisher
from norn.tables import Table

NORN = os.environ.get("NORN") or str(ROOT / "build/release/bin/norn")


def small_model(path):
    """y = x + bias, with a bias of two."""
    bias = numpy_helper.from_array(np.float32([1, 2]), "bias")
    graph = helper.make_graph([helper.make_node("Add", ["x", "bias"], ["y"])], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 2])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 2])], [bias])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


def bytes_below(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(pathlib.Path(folder).rglob("*"))
            if path.is_file() and path.name != "LOCK"}


def keyed(path, keys, rows, scales=None, dtype=None):
    Table(rows, np.asarray(keys, np.int64), scales, dtype).save(path)
    return path


class Cli(Scratch):
    def norn(self, *words, **more):
        done = subprocess.run([NORN, *map(str, words)], capture_output=True, text=True, timeout=120, **more)
        self.assertIn(done.returncode, (0, 1, 2), done)
        return done

    def done(self, *words, **more):
        done = self.norn(*words, **more)
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        return done.stdout

    def refused(self, *words, says, status=1, **more):
        done = self.norn(*words, **more)
        self.assertEqual(done.returncode, status, done)
        for text in (says,) if isinstance(says, str) else says:
            self.assertIn(text, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        return done

    def npy(self, name, array):
        path = self.folder / f"{name}.npy"
        np.save(path, array)
        return path


class Model(Cli):
    """A published model: hashed int8 'item', dense float32 'user', a small model.onnx."""

    def setUp(self):
        super().setUp()
        self.package = self.folder / "package"
        (self.package / "tables").mkdir(parents=True)
        small_model(self.package / "model.onnx")
        self.user = np.arange(40, dtype=np.float32).reshape(10, 4)
        Table(self.user).save(self.package / "tables/user.safetensors")
        keyed(self.package / "tables/item.safetensors", [-4, 7, 9], np.int8([[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
              np.float32([0.5, 1, 2]))
        self.model = self.folder / "ranker"

    def publish(self, *more):
        return self.done("publish", "full", self.package, "--to", self.model, "--create-log", 2, *more)

    def delta(self, *words):
        return self.done("publish", "delta", "--to", self.model, *words)

    def log(self):
        return FileLog(self.model / "log")

    def get(self, *words):
        return self.norn("store", "get", *words).stdout.splitlines()


class Tables(Cli):
    def test_arrays_come_back_bit_for_bit(self):
        noise = np.random.default_rng(1)
        keys = noise.choice(10 ** 15, 500, replace=False).astype(np.int64) - 5 * 10 ** 14
        forms = {"f4": noise.standard_normal((500, 7)).astype(np.float32),
                 "f2": noise.standard_normal((500, 7)).astype(np.float16),
                 "bf": noise.integers(0, 65536, (500, 7)).astype(np.uint16),
                 "i1": noise.integers(-128, 128, (500, 7)).astype(np.int8)}
        for name, rows in forms.items():
            with self.subTest(name):
                scales = ["--scales", self.npy("scales", noise.random(500).astype(np.float32))] if name == "i1" else []
                out = self.folder / "t.safetensors"
                self.done("store", "import", self.npy("rows", rows), "--keys", self.npy("keys", keys), *scales,
                          "--out", out)
                read = tables.load(out)
                np.testing.assert_array_equal(read.rows, rows)
                np.testing.assert_array_equal(read.keys, keys)
                self.assertEqual(read.dtype, {"f4": "F32", "f2": "F16", "bf": "BF16", "i1": "I8"}[name])
                back = ["--scales", self.folder / "s.npy"] if scales else []
                self.done("store", "export", out, "--out", self.folder / "r.npy", "--keys", self.folder / "k.npy", *back)
                for a, b in (("r", "rows"), ("k", "keys"), *([("s", "scales")] if scales else [])):
                    self.assertEqual((self.folder / f"{a}.npy").read_bytes(), (self.folder / f"{b}.npy").read_bytes())
                self.done("store", "export", out, "--out", self.folder / "r.safetensors", "--keys", self.folder / "k.npy",
                          *back)
                self.assertEqual(safetensors_file.dtypes(self.folder / "r.safetensors")["weight"], read.dtype)
                np.testing.assert_array_equal(safetensors_file.read(self.folder / "r.safetensors")["weight"], rows)
                self.done("store", "import", self.folder / "r.safetensors", "--keys", self.folder / "k.npy", *scales,
                          "--out", self.folder / "again.safetensors")
                self.assertEqual((self.folder / "again.safetensors").read_bytes(), out.read_bytes())

    def test_a_python_table_file_is_exported_and_its_default_kept(self):
        path = self.folder / "t.safetensors"
        Table(np.float32([[1, 2], [3, 4]]), np.int64([3, 1]), default=np.float32([9, 9])).save(path)
        self.refused("store", "export", path, "--out", self.folder / "r.npy", "--keys", self.folder / "k.npy",
                     says=["t.safetensors", "'default'", "--default FILE"])
        self.assertFalse((self.folder / "r.npy").exists())
        self.done("store", "export", path, "--out", self.folder / "r.npy", "--keys", self.folder / "k.npy", "--default",
                  self.folder / "d.npy")
        np.testing.assert_array_equal(np.load(self.folder / "k.npy"), [1, 3])
        np.testing.assert_array_equal(np.load(self.folder / "d.npy"), [9, 9])

    def test_keys_of_other_integers_are_widened(self):
        out = self.folder / "t.safetensors"
        self.done("store", "import", self.npy("r", np.zeros((2, 3), np.float32)), "--keys",
                  self.npy("k", np.int32([-5, 6])), "--out", out)
        np.testing.assert_array_equal(tables.load(out).keys, [-5, 6])

    def test_what_does_not_go_together_is_refused_and_nothing_written(self):
        rows, out = self.npy("rows", np.zeros((3, 2), np.float32)), self.folder / "t.safetensors"
        cases = (([rows, "--keys", self.npy("few", np.int64([1, 2]))], ["rows.npy", "'keys'", "int64[rows]"]),
                 ([rows, "--keys", self.npy("twice", np.int64([1, 2, 1]))], ["rows.npy", "key 1 comes twice"]),
                 ([rows, "--keys", self.npy("real", np.float32([1, 2, 3]))], ["real.npy", "keys are integers"]),
                 ([self.npy("flat", np.zeros(3, np.float32))], ["flat.npy", "'rows'", "[rows, dim]"]),
                 ([self.npy("wide", np.zeros((3, 2)))], ["wide.npy", "float64[3,2]"]),
                 ([self.npy("bytes", np.zeros((3, 2), np.int8))], ["bytes.npy", "'scales'"]),
                 ([self.folder / "none.npy"], ["none.npy"]),
                 ([self.folder / "rows.pt"], [".npy or .safetensors"]))
        for words, says in cases:
            with self.subTest(says):
                self.refused("store", "import", *words, "--out", out, says=says)
                self.assertFalse(out.exists())

    def test_one_tensor_of_several_is_named(self):
        path, out = self.folder / "state.safetensors", self.folder / "t.safetensors"
        safetensors_file.write(path, {"a": np.zeros((2, 2), np.float32), "b": np.ones((3, 2), np.float32)})
        self.refused("store", "import", path, "--out", out, says=["state.safetensors", "2 tensors", "--tensor"])
        self.refused("store", "import", path, "--tensor", "c", "--out", out, says=["no tensor 'c'"])
        self.done("store", "import", path, "--tensor", "b", "--out", out)
        np.testing.assert_array_equal(tables.load(out).rows, np.ones((3, 2)))


class Publishing(Model):
    def test_python_reads_what_is_published(self):
        said = self.publish()
        self.assertIn("ranker/1: step 0 of epoch 1; base 1", said)
        found = manifest.verify(self.model / "1")
        self.assertEqual((found["model"], found["version"], found["base"]), ("ranker", 1, 1))
        self.assertEqual(found["tables"], [
            {"name": "item", "kind": "hashed", "dtype": "I8", "dim": 3, "rows": 3},
            {"name": "user", "kind": "dense", "dtype": "F32", "dim": 4, "rows": 10}])
        said = self.delta("--rows", f"item={keyed(self.folder / 'i.safetensors', [100, -4], np.int8([[1, 1, 1], [2, 2, 2]]), np.float32([3, 4]))}",
                          "--rows", f"user={keyed(self.folder / 'u.safetensors', [2], np.float32([[5, 6, 7, 8]]))}",
                          "--deletes", f"item={self.npy('gone', np.int64([9, 7]))}",
                          "--dense", f"bias={self.npy('bias', np.float32([7, 8]))}")
        self.assertIn("log: step 1 of epoch 2; base 1", said)
        step, = self.log().steps()
        self.assertEqual(step.base, 1)
        rows = {(table, key): (row.tolist(), None if scales is None else scales[i])
                for table, keys, values, scales in step.rows() for i, (key, row) in enumerate(zip(keys.tolist(), values))}
        self.assertEqual(rows, {("item", 100): ([1, 1, 1], 3), ("item", -4): ([2, 2, 2], 4),
                                ("user", 2): ([5, 6, 7, 8], None)})
        self.assertEqual({(t, k) for t, keys in step.deletes() for k in keys.tolist()}, {("item", 7), ("item", 9)})
        np.testing.assert_array_equal(step.dense()["bias"], [7, 8])
        # and a Python trainer goes on
        publisher = Publisher(self.model, {"user": self.user, "item": (np.int64([-4, 7, 9]), np.zeros((3, 3), np.int8),
                                                                      np.ones(3, np.float32))})
        publisher.delta(rows={"user": (np.int64([0]), np.float32([[1, 1, 1, 1]]))})
        self.assertEqual([s.step for s in self.log().steps()], [1, 2])
        self.done("store", "verify", self.model)

    def test_a_log_of_python_is_read_applied_and_verified(self):
        publisher = Publisher(self.model, {"user": self.user, "item": (np.int64([-4, 7]), np.int8([[1, 2, 3], [4, 5, 6]]),
                                                                      np.float32([0.5, 1]))}, partitions=3)
        publisher.full(self.package / "model.onnx")
        publisher.delta(rows={"item": (np.int64([8, 7]), np.int8([[9, 9, 9], [1, 1, 1]]), np.float32([2, 3]))},
                        dense={"bias": np.float32([5, 6])})
        publisher.delta(deletes={"item": [-4]}, rows={"user": (np.int64([3]), np.float32([[1, 2, 3, 4]]))})
        log = self.model / "log"
        self.assertEqual(self.get(self.model / "1", "item", 7, -4, 8), ["7 full: 4.0 5.0 6.0", "-4 full: 0.5 1.0 1.5", "8 no row"])
        self.assertEqual(self.get(self.model, "item", 7, -4, 8, "--log", log),
                         ["7 step 1: 3.0 3.0 3.0", "-4 no row: step 2 deleted it", "8 step 1: 18.0 18.0 18.0"])
        self.assertEqual(self.get(self.model, "item", -4, "--log", log, "--step", 1), ["-4 full: 0.5 1.0 1.5"])
        out = self.folder / "now"
        said = self.done("store", "apply", self.model / "1", "--log", log, "--out", out)
        self.assertIn("step 2; 2 steps applied, with 3 rows and 1 delete", said)
        found = manifest.verify(out)
        self.assertEqual((found["model"], found["base"], found["cut"]), ("ranker", 1, publisher.position.to_json()))
        item = tables.load(out / "tables/item.safetensors")
        self.assertEqual((item.keys.tolist(), item.rows.tolist(), item.scales.tolist()),
                         ([7, 8], [[1, 1, 1], [9, 9, 9]], [3, 2]))
        user = self.user.copy()
        user[3] = [1, 2, 3, 4]
        np.testing.assert_array_equal(tables.load(out / "tables/user.safetensors").rows, user)
        model = onnx.load(out / "model.onnx")
        onnx.checker.check_model(model)
        np.testing.assert_array_equal(numpy_helper.to_array(model.graph.initializer[0]), [5, 6])
        # published, it goes on where it stands, and the trainer is not fenced
        self.assertIn("ranker/2: step 2 of epoch 1; base 1", self.done("publish", "full", out, "--to", self.model))
        publisher.delta(rows={"user": (np.int64([9]), np.float32([[8, 8, 8, 8]]))})
        second = manifest.verify(self.model / "2")
        self.assertEqual((second["version"], second["base"], second["cut"]), (2, 1, found["cut"]))
        self.assertEqual(self.get(self.model, "user", 9, 3, "--log", log), ["9 step 3: 8.0 8.0 8.0 8.0", "3 full: 1.0 2.0 3.0 4.0"])
        self.assertIn("3 whole steps, the last is 3", self.done("store", "verify", self.model))

    def test_a_step_of_before_is_a_version_too(self):
        self.publish()
        for value in (1, 2, 3):
            self.delta("--rows", f"user={keyed(self.folder / 'u.safetensors', [0], np.full((1, 4), value, np.float32))}")
        log = self.model / "log"
        self.done("store", "apply", self.model / "1", "--log", log, "--out", self.folder / "7", "--step", 2)
        found = manifest.verify(self.folder / "7")
        self.assertEqual((found["version"], found["cut"]["step"], found["cut"]["epoch"]), (7, 2, 3))
        np.testing.assert_array_equal(tables.load(self.folder / "7/tables/user.safetensors").rows[0], [2] * 4)
        self.assertEqual(self.get(self.folder / "7", "user", 0, "--log", log), ["0 step 3: 3.0 3.0 3.0 3.0"])
        self.refused("store", "get", self.folder / "7", "user", 0, "--log", log, "--step", 1,
                     says=["stands at step 2 already"])
        self.refused("store", "apply", self.model / "1", "--log", log, "--out", self.folder / "8", "--step", 9,
                     says=["step 9 is not in it", "is 3"])
        self.assertFalse((self.folder / "8").exists())

    def test_each_call_is_a_term_that_fences_a_trainer(self):
        self.publish()
        publisher = Publisher(self.model, {"user": self.user, "item": (np.int64([1]), np.zeros((1, 3), np.int8),
                                                                      np.ones(1, np.float32))})
        self.delta("--deletes", f"item={self.npy('gone', np.int64([9]))}")
        with self.assertRaises(Fenced):
            publisher.delta(deletes={"item": [7]})
        self.assertIn("ranker/2: step 1 of epoch 4; base 1",
                      self.done("publish", "full", self.package, "--to", self.model, "--base", 1))
        self.assertIn("ranker/3: step 1 of epoch 5; base 3", self.done("publish", "full", self.package, "--to", self.model))
        self.assertIn("base 3", self.delta("--deletes", f"item={self.npy('gone', np.int64([9]))}"))

    def test_bad_input_changes_nothing(self):
        self.publish()
        before = bytes_below(self.model)
        item = keyed(self.folder / "i.safetensors", [1, 2], np.zeros((2, 3), np.int8), np.ones(2, np.float32))
        cases = (
            (["--rows", f"ghost={item}"], ["no table 'ghost'", "item"]),
            (["--rows", f"user={item}"], ["i.safetensors", "int8[3]", "'user'", "float32[4]"]),
            (["--rows", f"item={item}", "--rows", f"item={item}"], ["'item' has rows of", "already"]),
            (["--rows", f"item={item}", "--deletes", f"item={self.npy('d', np.int64([2]))}"], ["key 2", "to be deleted"]),
            (["--deletes", f"item={self.npy('t', np.int64([2, 2]))}"], ["t.npy", "key 2", "twice"]),
            (["--deletes", f"item={self.npy('f', np.float32([2]))}"], ["f.npy", "int64[n]"]),
            (["--deletes", f"user={self.npy('d', np.int64([2]))}"], ["'user' is dense"]),
            (["--rows", f"user={keyed(self.folder / 'u.safetensors', [10], np.zeros((1, 4), np.float32))}"],
             ["'user'", "10 rows", "no key 10"]),
            (["--dense", f"ghost={self.npy('g1', np.float32([1]))}"], ["no initializer 'ghost'"]),
            (["--dense", f"bias={self.npy('g2', np.float32([1]))}"], ["'bias' is float32[2]", "float32[1]"]),
            (["--dense", f"bias={self.npy('g', np.float64([1, 2]))}"], ["g.npy", "float64"]),
            (["--rows", f"item={self.folder / 'none.safetensors'}"], ["none.safetensors"]),
        )
        for words, says in cases:
            with self.subTest(says):
                self.refused("publish", "delta", "--to", self.model, *words, says=says)
                self.assertEqual(bytes_below(self.model), before)
        for words, says in ((["--rows", "item"], "not NAME=FILE"), ([], "nothing to publish")):
            self.refused("publish", "delta", "--to", self.model, *words, says=says, status=2)
        self.refused("publish", "full", self.folder / "none", "--to", self.model, says="is no folder")
        self.refused("publish", "full", self.package, "--to", self.model, "--base", 5, says="no such version")
        (self.package / "tables/item.safetensors").write_bytes(b"\xff" * 32)
        self.refused("publish", "full", self.package, "--to", self.model, says="item.safetensors")
        self.refused("publish", "delta", "--to", self.folder / "empty", "--rows", f"item={item}", says="empty")
        self.assertEqual(bytes_below(self.model), before)

    def test_a_delta_wants_a_log_and_a_version(self):
        self.done("publish", "full", self.package, "--to", self.model)
        gone = self.npy("gone", np.int64([9]))
        self.assertNotIn("cut", manifest.verify(self.model / "1"))
        self.refused("publish", "delta", "--to", self.model, "--deletes", f"item={gone}", says=["no log", "--create-log"])
        self.delta("--deletes", f"item={gone}", "--create-log", 1)
        self.refused("publish", "delta", "--to", self.model, "--deletes", f"item={gone}", "--create-log", 3,
                     says="1 partition, not 3")
        self.assertEqual(self.get(self.model, "item", 9, "--log", self.model / "log"), ["9 no row: step 1 deleted it"])

    def test_a_cut_of_another_log_is_refused(self):
        self.publish()
        self.delta("--deletes", f"item={self.npy('gone', np.int64([9]))}")
        self.done("store", "apply", self.model / "1", "--log", self.model / "log", "--out", self.folder / "now")
        other = self.folder / "other"
        self.done("publish", "full", self.package, "--to", other, "--create-log", 2)
        self.refused("publish", "full", self.folder / "now", "--to", other, says=["another log", "--base"])
        self.assertFalse((other / "2").exists())
        self.assertEqual([p.name for p in other.iterdir() if p.name.endswith(".partial")], [])

    def test_a_full_disk_publishes_nothing(self):
        self.publish()
        big = keyed(self.folder / "b.safetensors", np.arange(200_000), np.zeros((200_000, 3), np.int8),
                    np.ones(200_000, np.float32))
        before = bytes_below(self.model / "1")

        def small():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        self.refused("publish", "delta", "--to", self.model, "--rows", f"item={big}", says=["log", "not published"],
                     preexec_fn=small)
        self.assertEqual(list(self.log().steps()), [])
        self.delta("--rows", f"item={big}")
        step, = self.log().steps()
        self.assertEqual(sum(len(keys) for _, keys, _, _ in step.rows()), 200_000)
        shutil.copy(big, self.package / "tables/item.safetensors")
        self.refused("publish", "full", self.package, "--to", self.model, says="item.safetensors", preexec_fn=small)
        self.refused("store", "apply", self.model / "1", "--log", self.model / "log", "--out", self.folder / "now",
                     says="item.safetensors", preexec_fn=small)
        self.assertEqual(sorted(p.name for p in self.model.iterdir()), ["1", "log"])
        self.assertFalse((self.folder / "now").exists())
        self.assertEqual(bytes_below(self.model / "1"), before)
        self.done("store", "verify", self.model)

    def test_a_killed_publish_leaves_no_version_and_the_next_one_cleans_up(self):
        self.publish()
        (self.package / "weights.bin").write_bytes(os.urandom(64 << 20))
        killed = 0
        for attempt in range(20):
            process = subprocess.Popen([NORN, "publish", "full", self.package, "--to", self.model],
                                       stdout=subprocess.DEVNULL)
            deadline = time.monotonic() + 30
            while process.poll() is None and time.monotonic() < deadline:
                if list(self.model.glob(".*.partial")):
                    time.sleep(0.01 * attempt)
                    break
            process.kill()
            killed += process.wait() == -signal.SIGKILL
            for path in self.model.iterdir():
                if path.name.isdecimal():
                    manifest.verify(path)  # whatever is visible is whole
        self.assertGreater(killed, 2)
        self.publish()
        self.assertEqual([p.name for p in self.model.iterdir() if p.name.endswith(".partial")], [])
        self.done("store", "verify", self.model)


class Looking(Model):
    def test_stat_says_what_is_there(self):
        self.publish()
        self.delta("--deletes", f"item={self.npy('gone', np.int64([9]))}")
        found = json.loads(self.done("store", "stat", self.model, "--json"))
        self.assertEqual(found["version"]["cut"], {"epoch": 1, "step": 0, "sequence": [1, 1]})
        self.assertEqual([(t["name"], t["kind"], t["dtype"], t["dim"], t["rows"]) for t in found["tables"]],
                         [("item", "hashed", "int8", 3, 3), ("user", "dense", "float32", 4, 10)])
        self.assertEqual(found["tables"][0]["bytes"], (self.model / "1/tables/item.safetensors").stat().st_size)
        self.assertEqual([t["index_bytes"] for t in found["tables"]], [16 * 17, 0])
        log = found["log"]
        self.assertEqual({key: log[key] for key in ("partitions", "epoch", "base", "step", "steps", "frames", "deletes")},
                         {"partitions": 2, "epoch": 2, "base": 1, "step": 1, "steps": 1, "frames": 7, "deletes": 1})
        size = sum(path.stat().st_size for path in (self.model / "log").rglob("*.ndl"))
        self.assertEqual((log["bytes"], log["segments"]), (size, 2))
        for folder in (self.model, self.model / "1", self.model / "1/tables", self.model / "log"):
            self.assertTrue(self.done("store", "stat", folder))
        self.assertIn("hashed int8[3]", self.done("store", "stat", self.model / "1/tables"))
        (self.model / "1/READY").unlink()
        self.assertIn("no READY", self.done("store", "stat", self.model / "1"))
        (self.folder / "bare").mkdir()
        self.refused("store", "stat", self.folder / "bare", says="nothing of a store")

    def test_get_names_what_is_not_there(self):
        self.publish()
        done = self.norn("store", "get", self.model, "user", 0, 10)
        self.assertEqual((done.returncode, done.stdout.splitlines()),
                         (1, ["0 full: 0.0 1.0 2.0 3.0", "10 no row: the table's keys are 0 to 9"]))
        self.refused("store", "get", self.model, "ghost", 1, says="no table 'ghost'")
        self.refused("store", "get", self.model, "user", "x", says="whole number", status=2)
        self.refused("store", "get", self.model, "user", says="usage", status=2)
        self.refused("store", "get", self.model, "user", 1, "--log", self.folder / "none", says="none")


    def test_a_terminal_shows_how_far_it_is(self):
        (self.package / "weights.bin").write_bytes(bytes(128 << 20))
        ours, theirs = os.openpty()
        process = subprocess.Popen([NORN, "publish", "full", self.package, "--to", self.model], stderr=theirs,
                                   stdout=subprocess.DEVNULL)
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while data := os.read(ours, 65536):
                seen += data
        os.close(ours)
        self.assertEqual(process.wait(), 0)
        self.assertRegex(seen.decode(), r"\[#+ *\] +\d+ %  copying  [\d.]+ MB, [\d.]+ MB/s")
        self.assertRegex(seen.decode(), r"100 %  checksums  134\.\d MB")
        self.assertTrue(seen.endswith(b"\r\x1b[K"), seen[-40:])  # the line is gone


class Verifying(Model):
    def setUp(self):
        super().setUp()
        self.publish()
        for key in range(3):
            self.delta("--deletes", f"item={self.npy('gone', np.int64([key]))}")

    def broken(self, says, folder=None):
        self.refused("store", "verify", folder or self.model, says=says)

    def test_what_is_right_is_said(self):
        said = self.done("store", "verify", self.model)
        self.assertIn("table 'item': hashed, no key twice, 3 rows of int8[3]", said)
        self.assertIn("3 whole steps, the last is 3", said)

    def test_a_changed_byte_a_missing_file_and_one_too_many(self):
        path = self.model / "1/model.onnx"
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        self.broken(["model.onnx", "publish the version again"])
        path.unlink()
        self.broken(["model.onnx", "MANIFEST.json lists it"])
        path.write_bytes(data)
        (self.model / "1/more").touch()
        self.broken(["1/more", "does not name it"])

    def test_a_manifest_that_lies_about_its_tables(self):
        text = json.loads((self.model / "1/MANIFEST.json").read_text())
        text["tables"][0]["dim"] = 5
        data = json.dumps(text).encode()
        (self.model / "1/MANIFEST.json").write_bytes(data)
        self.broken(["READY", "not of this MANIFEST.json"])
        (self.model / "1/READY").write_text(f"{zlib.crc32(data):08x}\n")
        self.broken(["item.safetensors", "MANIFEST.json says", "int8[5]"])

    def test_keys_that_repeat_in_a_folder_of_tables(self):
        folder = self.folder / "tables"
        folder.mkdir()
        safetensors_file.write(folder / "t.safetensors", {"keys": np.int64([4, 4]), "rows": np.zeros((2, 2), np.float32)})
        self.broken(["t.safetensors", "key 4 comes twice"], folder)

    def segment(self, partition=0):
        path, = (self.model / f"log/{partition:05}").glob("*.ndl")
        return path

    def test_every_changed_byte_of_a_log_is_found(self):
        path = self.segment()
        data = path.read_bytes()
        frames = list(self.log().frames(0))
        last = len(data) - frames[-1].bytes
        for at in range(0, last, 13):
            if data[at:at + 1] == b"\0" and at % 8 and not any(data[at - at % 8:at - at % 8 + 8]):
                continue  # may be padding, which nothing covers
            path.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1:])
            self.refused("store", "verify", self.model / "log", says=[path.name, "byte"])
        path.write_bytes(data)
        self.done("store", "verify", self.model)

    def test_a_gap_a_missing_seal_and_a_torn_tail(self):
        path, frames = self.segment(), list(self.log().frames(0))
        data, sizes = path.read_bytes(), [frame.bytes for frame in frames]
        path.write_bytes(data[:sizes[0]] + data[sizes[0] + sizes[1]:])
        self.broken(["sequence 3 where 2 should be"])
        path.write_bytes(data + data[:40])
        self.assertIn("40 bytes behind", self.done("store", "stat", self.model))
        self.done("store", "verify", self.model)
        path.write_bytes(data[:-sizes[-1]])  # the last step lacks this partition's seal: it is not whole yet
        self.assertIn("2 whole steps, the last is 2", self.done("store", "verify", self.model))

    def test_a_log_that_the_version_is_not_of(self):
        other = self.folder / "other"
        self.done("publish", "full", self.package, "--to", other, "--create-log", 2)
        shutil.rmtree(self.model / "log")
        shutil.copytree(other / "log", self.model / "log")
        self.broken(["another", "publish a full version"])

    def test_frames_that_were_trimmed_are_missed_by_an_old_version(self):
        log = self.log()
        for partition in range(2):
            path = self.segment(partition)
            frames, data = list(log.frames(partition)), path.read_bytes()
            at = sum(frame.bytes for frame in frames[:4])
            path.unlink()
            path.with_name(f"{5:020}.ndl").write_bytes(data[at:])
        self.broken(["trimmed away", "publish a full version"])
        self.done("store", "verify", self.model / "log")


if __name__ == "__main__":
    unittest.main()
