"""The delta log of python/norn: its bytes, its faults, its one writer. Formats: docs/delta-log.md."""

import contextlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock
import zlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

import plain_log  # noqa: E402
from norn import delta_frame as df  # noqa: E402
from norn import delta_log  # noqa: E402
from norn.delta_log import Damage, Fenced, FileLog, LogError, NotDurable, Position  # noqa: E402
from norn.delta_reader import Fork, Gap  # noqa: E402

TABLES = [{"name": "item", "dtype": "F32", "dim": 4, "kind": "hashed"},
          {"name": "user", "dtype": "I8", "dim": 3, "kind": "hashed"}]


def rows_frame(keys, value, partition=0):
    rows = np.full((len(keys), 4), value, np.float32)
    payload = np.asarray(keys, "<i8").tobytes() + df.pack_rows(rows).tobytes()
    return df.Frame(df.ROWS, payload, df.DTYPES["F32"], count=len(keys), row_bytes=16,
                    partition=partition)


def rows_of(step):
    return {int(key): row.tolist() for _, keys, rows, _ in step.rows() for key, row in zip(keys, rows)}


class Scratch(unittest.TestCase):
    def setUp(self):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # hundreds of syncs
        folder = tempfile.TemporaryDirectory(dir=memory)
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def log_of(self, steps, partitions=1, name="log"):
        """A log whose step n holds rows of n under keys 0 … 2, with its writer."""
        log = FileLog.create(self.folder / name, partitions)
        writer = log.become_writer("ranker", TABLES, base=1)
        for number in range(1, steps + 1):
            writer.append([rows_frame(range(3), number, p) for p in range(partitions)])
        return log, writer

    def copy(self, log, name="copy"):
        shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(log.folder, self.folder / name)
        return FileLog(self.folder / name)


class Bytes(Scratch):
    def test_a_frame_is_the_header_of_the_specification_then_payload_and_zeros(self):
        frame = df.Frame(df.DELETES, struct.pack("<q", -5), base=3, epoch=2, sequence=9, step=7,
                         published_ns=11, partition=1, table=4, count=1, previous_crc=0xabcd)
        data = frame.encode()
        self.assertEqual(len(data), 104)
        fields = {0: ("<I", 0x314c444e), 4: ("<H", 96), 6: ("<B", 2), 7: ("<B", 0), 8: ("<Q", 3),
                  16: ("<Q", 2), 24: ("<Q", 9), 32: ("<Q", 7), 40: ("<q", 11), 48: ("<I", 1),
                  52: ("<I", 4), 56: ("<I", 1), 60: ("<I", 0), 64: ("<Q", 8),
                  72: ("<I", zlib.crc32(struct.pack("<q", -5))), 76: ("<I", 0), 80: ("<I", 0xabcd),
                  84: ("<I", 0), 88: ("<I", 0), 92: ("<I", zlib.crc32(data[:92]))}
        for at, (form, value) in fields.items():
            self.assertEqual(struct.unpack_from(form, data, at)[0], value, f"field at {at}")
        odd = df.Frame(df.OPEN, b"123").encode()
        self.assertEqual((len(odd), odd[96:]), (104, b"123\0\0\0\0\0"))
        with self.assertRaisesRegex(df.Short, "padding that is not zeros"):
            df.decode(odd[:-1] + b"\1", "here")

    def test_int8_rows_end_in_zeros_and_their_scale(self):
        packed = df.pack_rows(np.int8([[1, -2, 3], [4, 5, 6]]), np.float32([0.5, 2]))
        self.assertEqual(packed[0].tobytes(), bytes([1, 254, 3, 0]) + struct.pack("<f", 0.5))
        payload = struct.pack("<qq", 8, 9) + packed.tobytes()
        frame = df.Frame(df.ROWS, payload, df.DTYPES["I8"], count=2, row_bytes=8)
        keys, rows, scales = df.unpack_rows(frame, 3)
        self.assertEqual((keys.tolist(), rows.tolist(), scales.tolist()),
                         ([8, 9], [[1, -2, 3], [4, 5, 6]], [0.5, 2]))

    def test_a_key_is_in_the_partition_of_its_mixed_bits(self):
        def partition(key, count):
            mask = (1 << 64) - 1
            x = (key + 0x9e3779b97f4a7c15) & mask
            x = ((x ^ x >> 30) * 0xbf58476d1ce4e5b9) & mask
            x = ((x ^ x >> 27) * 0x94d049bb133111eb) & mask
            return ((x ^ x >> 31) >> 32) % count
        keys = [0, 1, -1, 2**63 - 1, -2**63, 12345]
        for count in (1, 3, 4096):
            self.assertEqual(df.partition_of(keys, count).tolist(),
                             [partition(key, count) for key in keys])

    def test_dense_tensors_come_back_whole_in_pieces_that_fit(self):
        rng = np.random.default_rng(1)
        tensors = {"top.weight": rng.random((700, 1000), np.float32), "bias": np.float16([1, 2]),
                   "half": np.uint16([[7], [8]]), "scalar": np.array(3, np.float32),
                   "none": np.zeros((0, 4), np.float32)}
        kinds = {"bias": "F16", "half": "BF16"}
        log = FileLog.create(self.folder / "log")
        writer = log.become_writer("ranker", TABLES, 1)
        frames = [frame for name, array in tensors.items()
                  for frame in df.dense_frames(name, kinds.get(name, "F32"), array)]
        self.assertLessEqual(max(len(frame.payload) for frame in frames), 921600)
        self.assertEqual(len(frames), 8)
        writer.append(frames)
        step, = log.steps()
        dense = step.dense()
        for name, array in tensors.items():
            self.assertEqual((dense[name].dtype, dense[name].shape), (array.dtype, array.shape))
            np.testing.assert_array_equal(dense[name], array)

    def test_the_reader_in_the_documentation_reads_a_log(self):
        log, writer = self.log_of(2, name="ranker/log")
        writer.append([df.Frame(df.DELETES, struct.pack("<q", 1), table=1, count=1)])
        text = (ROOT / "docs" / "delta-log.md").read_text()
        code = re.findall(r"```python\n(.*?)```", text, re.S)[-1]
        done = subprocess.run([sys.executable, "-c", code, str(log.folder)], capture_output=True,
                              text=True, check=True)
        self.assertEqual(done.stdout.splitlines(),
                         ["step 1: rows item 3", "step 2: rows item 3", "step 3: deletes user 1"])


class Reading(Scratch):
    def test_what_was_written_from_the_specification_alone_is_read(self):
        witness = plain_log.Log(self.folder / "log", 7, [("a", 3), ("b", 2)])
        witness.publish({"b": (np.int64([4, 5]), np.float32([[1, 2], [3, 4]]))}, {"a": np.int64([9])},
                        {"w": np.float32([[8]])})
        witness.publish({"a": (np.int64([1]), np.float32([[1, 2, 3]]))}, seal=False)
        again = plain_log.Log(self.folder / "log", 7, [("a", 3), ("b", 2)])
        again.publish({"a": (np.int64([2]), np.float32([[4, 5, 6]]))})
        first, second = FileLog(self.folder / "log").steps()
        self.assertEqual((first.base, first.step, first.epoch, second.epoch), (7, 1, 1, 2))
        self.assertEqual(rows_of(first), {4: [1, 2], 5: [3, 4]})
        self.assertEqual([(t, k.tolist()) for t, k in first.deletes()], [("a", [9])])
        self.assertEqual(first.dense()["w"].tolist(), [[8]])
        self.assertEqual(rows_of(second), {2: [4, 5, 6]})
        self.assertEqual(second.position.to_json() | {"epoch": 2}, again.cut())

    def test_steps_come_in_order_from_any_position_over_segments(self):
        with unittest.mock.patch.object(delta_log, "SEGMENT_BYTES", 1000):
            for partitions in (1, 3):
                log, _ = self.log_of(12, partitions, f"log{partitions}")
                self.assertGreater(len(log.segments(0)), 2)
                steps = list(log.steps())
                self.assertEqual([step.step for step in steps], list(range(1, 13)))
                self.assertEqual(rows_of(steps[4]), {key: [5.0] * 4 for key in range(3)})
                for step in steps:
                    cut = Position.from_json(json.loads(json.dumps(step.position.to_json())))
                    rest = list(log.steps(cut, TABLES))
                    self.assertEqual([s.step for s in rest], list(range(step.step + 1, 13)))

    def test_a_follower_sees_every_step_of_writers_that_come_and_go(self):
        with unittest.mock.patch.object(delta_log, "SEGMENT_BYTES", 2000):
            log, _ = self.log_of(0, 2)
            seen, done = [], threading.Event()

            def follow():
                for step in log.follow(stop=done.is_set, poll_seconds=0.001):
                    seen.append((step.step, rows_of(step)[0][0]))
                    if len(seen) == 40:
                        done.set()
            thread = threading.Thread(target=follow)
            thread.start()
            for _ in range(4):
                writer = log.become_writer("ranker", TABLES, 1)
                for _ in range(10):
                    step = writer.position.step + 1
                    writer.append([rows_frame([0], step, p) for p in range(2)])
            thread.join(20)
            done.set()
            self.assertEqual(seen, [(step, float(step)) for step in range(1, 41)])

    def test_what_was_trimmed_is_a_gap_and_the_rest_is_read(self):
        with unittest.mock.patch.object(delta_log, "SEGMENT_BYTES", 600):
            log, _ = self.log_of(12)
            steps = list(log.steps())
            removed = log.trim(steps[5].position)
            self.assertTrue(removed)
            with self.assertRaisesRegex(Gap, "partition 0 begins at sequence"):
                list(log.steps())
            rest = list(log.steps(steps[5].position, TABLES))
            self.assertEqual([step.step for step in rest], list(range(7, 13)))
            log.trim(steps[-1].position)
            writer = log.become_writer("ranker", TABLES, 1)
            self.assertEqual(writer.append([rows_frame([1], 1)]).step, 13)
            self.assertEqual([s.step for s in log.steps(steps[-1].position)], [13])

    def test_an_empty_last_segment_is_read_over_and_the_one_before_it_is_kept(self):
        log, writer = self.log_of(3)
        after = writer.position
        (log.folder / "00000" / f"{after.sequence[0] + 1:020}.ndl").touch()
        self.assertEqual([step.step for step in log.steps()], [1, 2, 3])
        self.assertEqual(list(log.steps(after)), [])
        self.assertEqual(log.trim(after), [])
        follower = log.reader(after, TABLES)
        self.assertIsNone(follower.next())
        log.become_writer("ranker", TABLES, 1).append([rows_frame([1], 4)])
        self.assertEqual(rows_of(follower.next()), {1: [4.0] * 4})
        follower.__exit__()

    def test_a_missing_segment_is_a_gap(self):
        with unittest.mock.patch.object(delta_log, "SEGMENT_BYTES", 600):
            log, _ = self.log_of(12)
            path = log.segments(0)[2][1]
            path.unlink()
            with self.assertRaisesRegex(Gap, "frames between are missing"):
                list(log.steps())

    def test_another_history_is_a_fork(self):
        log, _ = self.log_of(3)
        other, _ = self.log_of(3, name="other")
        cut = list(other.steps())[1].position
        with self.assertRaisesRegex(Fork, "is another than the position's"):
            list(log.steps(cut))
        with self.assertRaisesRegex(Fork, "ends at sequence 7, the position is at 99"):
            list(log.steps(Position(1, 9, (99,), (1,))))

    def test_log_json_is_checked(self):
        with self.assertRaisesRegex(LogError, "there is no log here"):
            FileLog(self.folder)
        FileLog.create(self.folder / "log", 2)
        with self.assertRaisesRegex(LogError, "has 2 partitions, not 3"):
            FileLog.create(self.folder / "log", 3)
        (self.folder / "log" / "LOG.json").write_text('{"format": "norn-log-9", "partitions": 1}')
        with self.assertRaisesRegex(LogError, "norn-log-9"):
            FileLog(self.folder / "log")


class Torn(Scratch):
    def test_a_tail_torn_at_every_byte_of_the_last_step_is_no_step_and_is_cut(self):
        log, _ = self.log_of(3)
        path = log.segments(0)[0][1]
        whole = path.stat().st_size
        last = whole - list(log.frames())[-1].bytes
        begins = last - list(log.frames())[-2].bytes
        for size in range(begins, whole):
            copy = self.copy(log)
            os.truncate(copy.segments(0)[0][1], size)
            self.assertEqual([step.step for step in copy.steps()], [1, 2], f"cut at {size}")
            if size >= last:
                writer = copy.become_writer("ranker", TABLES, 1)
                writer.append([rows_frame([7], 7)])
                self.assertEqual([(s.step, len(rows_of(s))) for s in copy.steps()],
                                 [(1, 3), (2, 3), (4, 1)])

    def test_a_flipped_byte_ends_the_log_in_its_last_frame_and_is_damage_before(self):
        log, _ = self.log_of(3)
        whole = log.segments(0)[0][1].read_bytes()
        frames = list(log.frames())
        path = self.copy(log).segments(0)[0][1]
        copy = FileLog(self.folder / "copy")
        last, middle = len(whole) - frames[-1].bytes, len(whole) - sum(f.bytes for f in frames[-3:])
        for begin, wanted in ((last, None), (middle, Damage)):
            size = frames[-1].bytes if wanted is None else frames[-3].bytes
            for at in range(size):
                damaged = bytearray(whole)
                damaged[begin + at] ^= 1 << at % 8
                path.write_bytes(damaged)
                with self.subTest(frame_at=begin, byte=at):
                    if wanted is None:
                        self.assertEqual([step.step for step in copy.steps()], [1, 2])
                        continue
                    with self.assertRaisesRegex(wanted, f"{path}: offset {begin}: partition 0, "
                                                        "sequence 5: .* follows"):
                        list(copy.frames())

    def test_a_writer_does_not_cut_damage_away(self):
        log, _ = self.log_of(3)
        path = log.segments(0)[0][1]
        whole = bytearray(path.read_bytes())
        whole[list(log.frames())[0].bytes + 30] ^= 1
        path.write_bytes(whole)
        with self.assertRaisesRegex(Damage, "restore the file"):
            log.become_writer("ranker", TABLES, 1)
        self.assertEqual(path.stat().st_size, len(whole))

    def test_headers_that_lie_with_good_checksums_are_refused(self):
        log, writer = self.log_of(1)
        frame = rows_frame([1], 1)
        frame.base = frame.step = 1
        frame.epoch, frame.sequence, frame.previous_crc = 1, 4, writer.position.chain[0]
        path = log.segments(0)[0][1]
        whole = path.read_bytes()
        for field, value, says in (("partition", 3, "is of partition 3"),
                                   ("sequence", 6, "frame 6 follows 3"),
                                   ("previous_crc", 5, "continues another frame"),
                                   ("epoch", 2, "is of epoch 2 within epoch 1"),
                                   ("count", 2, "says 48 bytes of payload and has 24"),
                                   ("dtype", 9, "dtype 9"), ("kind", 8, "kind 8")):
            was = getattr(frame, field)
            setattr(frame, field, value)
            path.write_bytes(whole + frame.encode())
            setattr(frame, field, was)
            with self.subTest(field=field), self.assertRaisesRegex(LogError, says):
                list(log.frames())

    def test_a_step_that_is_sealed_in_some_partitions_only_is_void_for_all(self):
        log, writer = self.log_of(2, partitions=3)
        before = log.reader()
        self.assertEqual([before.next().step, before.next().step, before.next()], [1, 2, None])
        real, calls = os.pwrite, []

        def fails_at_the_last(descriptor, data, offset):
            calls.append(offset)
            if len(calls) == 3:
                raise OSError(5, "Input/output error")
            return real(descriptor, data, offset)
        with unittest.mock.patch("os.pwrite", fails_at_the_last):
            with self.assertRaisesRegex(NotDurable, "step 3 of epoch 1 is not durable"):
                writer.append([rows_frame([p], 3, p) for p in range(3)])
        self.assertIsNone(before.next())
        after = log.become_writer("ranker", TABLES, 1)
        after.append([rows_frame([p], 4, p) for p in range(3)])
        self.assertEqual([s.step for s in log.steps()], [1, 2, 4])
        self.assertEqual(before.next().step, 4)
        before.__exit__()
        for partition in range(3):
            opened = [frame for frame in log.frames(partition) if frame.kind == df.OPEN][-1]
            self.assertEqual((opened.epoch, opened.step), (2, 2))
        with self.assertRaises(Fenced):
            writer.settle()

    def test_a_seal_that_names_other_ends_is_damage(self):
        log, writer = self.log_of(1)
        path = log.segments(0)[0][1]
        seal = df.Frame(df.SEAL, struct.pack("<Q", 9), base=1, epoch=1, sequence=4, step=2, count=1,
                        previous_crc=writer.position.chain[0])
        path.write_bytes(path.read_bytes() + seal.encode())
        with self.assertRaisesRegex(Damage, "the seal of step 2 names other ends"):
            list(log.steps())


class OneWriter(Scratch):
    WRITER = ("import sys; sys.path[:0] = {path!r}\n"
              "import test_delta_log as t\n"
              "log = t.FileLog({folder!r})\n"
              "writer = log.become_writer('ranker', t.TABLES, 1)\n"
              "print('open', flush=True)\n"
              "for line in sys.stdin:\n"
              "    try:\n"
              "        if 'hold' in line:\n"
              "            with log.lock():\n"
              "                print('held', flush=True); t.time.sleep(60)\n"
              "        print(writer.append([t.rows_frame([1], 1)]).step, flush=True)\n"
              "    except t.Fenced as error:\n"
              "        print('Fenced', error, flush=True)\n")

    def start(self, log):
        code = self.WRITER.format(path=[str(ROOT / "tests" / "peers")], folder=str(log.folder))
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "open\n")
        return process

    def ask(self, process, what):
        process.stdin.write(what + "\n")
        process.stdin.flush()

    def test_a_zombie_that_wakes_after_a_take_over_is_refused(self):
        log = FileLog.create(self.folder / "log")
        zombie = self.start(log)
        self.ask(zombie, "append")
        self.assertEqual(zombie.stdout.readline(), "1\n")
        zombie.send_signal(signal.SIGSTOP)
        self.ask(zombie, "append")
        writer = log.become_writer("ranker", TABLES, 1)
        zombie.send_signal(signal.SIGCONT)
        self.assertRegex(zombie.stdout.readline(),
                         "Fenced .*/log: epoch 2 has begun, this writer is of 1; another trainer")
        writer.append([rows_frame([2], 2)])
        self.assertEqual([(s.epoch, s.step) for s in log.steps()], [(1, 1), (2, 2)])

    def test_a_writer_stopped_in_mid_append_is_named_and_its_death_lets_go(self):
        log = FileLog.create(self.folder / "log")
        stopped = self.start(log)
        self.ask(stopped, "hold")
        self.assertEqual(stopped.stdout.readline(), "held\n")
        stopped.send_signal(signal.SIGSTOP)
        with self.assertRaisesRegex(LogError, f"LOCK: process {stopped.pid} has held the lock"):
            log.become_writer("ranker", TABLES, 1, lock_seconds=0.1)
        stopped.kill()
        stopped.wait()
        self.assertEqual(log.become_writer("ranker", TABLES, 1).epoch, 2)

    def test_a_full_disk_leaves_the_step_to_be_finished_byte_for_byte(self):
        log, writer = self.log_of(2)
        path = log.segments(0)[0][1]
        size, limits = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
        twin = self.copy(log)
        for room in (0, 50, 96, 150, 168, 200, 270):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, limits[1]))
            try:
                with self.assertRaisesRegex(NotDurable, f"{path}: step 3 .*File too large"):
                    (writer.settle if writer.unsettled else lambda: writer.append(
                        [rows_frame(range(3), 3)]))()
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            self.assertEqual(path.stat().st_size, size + room)
            self.assertEqual([step.step for step in log.steps()], [1, 2])
        self.assertTrue(writer.settle())
        self.assertFalse(writer.settle())
        writer.append([rows_frame([5], 4)])
        self.assertEqual([step.step for step in log.steps()], [1, 2, 3, 4])
        self.assertEqual(path.read_bytes()[:size], twin.segments(0)[0][1].read_bytes())

    def test_kill_9_at_any_moment_leaves_whole_steps_without_gaps(self):
        log = FileLog.create(self.folder / "log", 3)
        acknowledged, rng = set(), random.Random(5)
        with unittest.mock.patch.object(delta_log, "SEGMENT_BYTES", 100000):
            for _ in range(25):
                acknowledged |= self.killed_writer(log, rng.uniform(0.001, 0.05))
        steps = list(log.steps())
        numbers = [step.step for step in steps]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertLessEqual(acknowledged, set(numbers))
        self.assertGreater(len(acknowledged), 10)
        for step in steps:
            wanted = {key: [float(step.step)] * 4 for key in range(300)}
            self.assertEqual(rows_of(step), wanted)
        for partition in range(3):
            frames = list(log.frames(partition))
            self.assertEqual([frame.sequence for frame in frames], list(range(1, len(frames) + 1)))

    def killed_writer(self, log, seconds):
        """The steps that a writer said were durable before it was killed."""
        ear, mouth = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                self.write_until_killed(log, mouth)
            os._exit(1)
        os.close(mouth)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(ear) as said:
            return {int(line) for line in said.read().split()}

    def write_until_killed(self, log, mouth):
        real, rng = os.pwrite, random.Random(os.getpid())
        # Short writes: a kill then finds the middle of a frame.
        os.pwrite = lambda descriptor, data, at: real(descriptor, data[:rng.randrange(1, 3000)], at)
        writer = log.become_writer("ranker", TABLES, 1)
        keys = np.arange(300)
        partitions = df.partition_of(keys, 3)
        while True:
            step = writer._step + 1
            writer.append([rows_frame(keys[partitions == p], step, p) for p in range(3)])
            os.write(mouth, b"%d\n" % step)


if __name__ == "__main__":
    unittest.main()
