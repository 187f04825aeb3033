"""Rows of every type from python/norn's Publisher, and of `norn publish`, to `norn serve --follow`, through failures and take-overs."""

import errno
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]

from examples.movielens import factors, online  # noqa: E402
from norn import tables  # noqa: E402
from norn.delta_log import NotDurable  # noqa: E402
from norn.publish import Publisher  # noqa: E402

NORN = os.environ.get("NORN", str(ROOT / "build/release/bin/norn"))
COUNTS = {"user": 60, "item": 40}


def stored(dtype, rows):
    """(rows, *scales) as a table of that type has them, and the float32 rows that they stand for."""
    if dtype == "F16":
        return (rows.astype(np.float16),), rows.astype(np.float16).astype(np.float32)
    if dtype == "BF16":
        bits = (rows.view(np.uint32) >> 16).astype(np.uint16)
        return (bits,), (bits.astype(np.uint32) << 16).view(np.float32)
    if dtype == "I8":
        scales = (np.abs(rows).max(axis=1, initial=0) / 127 + 1e-9).astype(np.float32)
        small = np.round(rows / scales[:, None]).astype(np.int8)
        return (small, scales), small * scales[:, None]
    return (rows,), rows


class Trained:
    """Two tables whose rows come and go."""

    def __init__(self, dtype):
        self.dtype, self.rng, self.shift = dtype, np.random.default_rng(1), np.zeros(1, np.float32)
        self.tables = {name: {} for name in COUNTS}
        self.sources = {name: lambda keys, name=name: self.rows(name, keys) for name in COUNTS}

    def rows(self, name, keys):
        table = self.tables[name]
        keys = sorted(table) if keys is None else [key for key in keys.tolist() if key in table]
        rows = np.float32([table[key] for key in keys]).reshape(-1, factors.WIDTH)
        return np.int64(keys), *stored(self.dtype, rows)[0]

    def change(self, publisher):
        for name, count in COUNTS.items():
            keys = self.rng.integers(0, count, 6)
            for key in keys.tolist():
                if self.rng.random() < 0.2:
                    self.tables[name].pop(key, None)
                else:
                    self.tables[name][key] = self.rng.normal(0, 0.5, factors.WIDTH)
            publisher.touch(name, keys)
        self.shift = self.shift + np.float32(0.01)

    def expected(self):
        """What a server of these rows scores with; a missing row is zeros."""
        model = factors.Factors(*COUNTS.values(), 1)
        for name, count in COUNTS.items():
            rows = np.zeros((count, factors.WIDTH), np.float32)
            keys = sorted(self.tables[name])
            rows[keys] = stored(self.dtype, np.float32([self.tables[name][k] for k in keys]).reshape(
                -1, factors.WIDTH))[1]
            setattr(model, name, rows)
        model.shift, model.last = self.shift, (0, 0)
        return model


def publish_with_a_full_disk(publisher, after, dense):
    real, calls = os.pwrite, []

    def fails(*arguments):
        calls.append(arguments)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)
    with unittest.mock.patch("os.pwrite", fails):
        publisher.delta(dense=dense)


@unittest.skipUnless(os.access(NORN, os.X_OK) and online.knows_follow(NORN),
                     "there is no norn that follows")
class Served(unittest.TestCase):
    def test_what_the_trainer_holds_is_served_after_every_step(self):
        for dtype, partitions in (("F32", 1), ("F16", 2), ("BF16", 1), ("I8", 3)):
            with self.subTest(dtype=dtype, partitions=partitions):
                self.train(Trained(dtype), partitions)

    def train(self, trained, partitions):
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch) / online.MODEL
            publisher = Publisher(folder, trained.sources, partitions=partitions)
            publisher.full(factors.write_model)
            server = online.Served(folder, NORN)
            self.addCleanup(server.process.kill)
            for step in range(24):
                trained.change(publisher)
                dense = {"shift": trained.shift}
                if step % 5 == 4:
                    with self.assertRaisesRegex(NotDurable, "No space left"):
                        publish_with_a_full_disk(publisher, partitions - 1, dense)
                    if step % 2:  # sealed in some partitions, and then never finished
                        publisher = Publisher(folder, trained.sources)
                        publisher.resume()
                        for name, count in COUNTS.items():
                            publisher.touch(name, range(count))
                if step == 12:
                    publisher.full(factors.write_model)
                publisher.delta(dense=dense)
                server.follow(trained.expected())
            server.close()

    def test_what_the_command_line_publishes_is_served(self):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            folder, package, trained = scratch / online.MODEL, scratch / "package", Trained("F32")
            (package / "tables").mkdir(parents=True)
            factors.write_model(package)
            for name in COUNTS:
                tables.Table(*self.swapped(trained.rows(name, None))).save(package / f"tables/{name}.safetensors")
            self.norn("publish", "full", package, "--to", folder, "--create-log", 2)
            server = online.Served(folder, NORN)
            self.addCleanup(server.process.kill)
            for step in range(4):
                changed = self.change(trained)
                self.norn("publish", "delta", "--to", folder, *self.parts(scratch, trained, changed))
                server.follow(trained.expected())
                if step == 1:  # the log folded into a version, which goes on where it stands
                    self.norn("store", "apply", folder / "1", "--log", folder / "log", "--out", scratch / "now")
                    self.norn("publish", "full", scratch / "now", "--to", folder)
            server.close()
            server = online.Served(folder, NORN)  # version 2 alone, with what came after it
            self.addCleanup(server.process.kill)
            server.follow(trained.expected())
            server.close()
            self.norn("store", "verify", folder)

    def norn(self, *words):
        subprocess.run([NORN, *map(str, words)], check=True, stdout=subprocess.DEVNULL, timeout=60)

    @staticmethod
    def swapped(part):
        keys, rows, *scales = part
        return (rows, keys, *scales)

    @staticmethod
    def change(trained):
        """Rows of a step, {table: (keys that have a row, keys that have none)}; the weight changes too."""
        changed = {}
        for name, count in COUNTS.items():
            keys = np.unique(trained.rng.integers(0, count, 8))
            for key in keys.tolist():
                if trained.rng.random() < 0.2:
                    trained.tables[name].pop(key, None)
                else:
                    trained.tables[name][key] = trained.rng.normal(0, 0.5, factors.WIDTH)
            has = np.isin(keys, list(trained.tables[name]))
            changed[name] = keys[has], keys[~has]
        trained.shift = trained.shift + np.float32(0.01)
        return changed

    def parts(self, scratch, trained, changed):
        words = []
        for name, (kept, gone) in changed.items():
            path = scratch / f"{name}.safetensors"
            tables.Table(*self.swapped(trained.rows(name, kept))).save(path)
            np.save(scratch / f"{name}.npy", gone)
            words += ["--rows", f"{name}={path}", "--deletes", f"{name}={scratch / name}.npy"]
        np.save(scratch / "shift.npy", trained.shift)
        return [*words, "--dense", f"shift={scratch}/shift.npy"]


if __name__ == "__main__":
    unittest.main()
