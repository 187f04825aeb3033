"""The delta log as a folder of files: read it, follow it, or be its one writer.

    log = FileLog("repository/ranker/log")
    for step in log.steps(): ...                         # whole steps, in order, checked
    writer = log.become_writer("ranker", tables, base=1) # fences whoever wrote before
    writer.append(frames)                                # durable when it returns

The format is docs/delta-log.md. A step that could not be written whole is kept by its writer and
is finished, byte for byte, by `settle` or the next `append`: a retry neither loses nor doubles it.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import struct
import time

from . import delta_frame as df
from .delta_frame import Damage, Frame, LogError
from .delta_reader import PartitionReader, StepReader

SEGMENT_BYTES = 64 << 20
LOCK_SECONDS = 10
MOST_PARTITIONS = 1024


class Fenced(LogError):
    """Another writer has taken over; this one may write no more."""


class NotDurable(LogError):
    """The step is not on disk; `settle` tries again, with the same bytes at the same place."""


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a reader or a version stands: by partition the last sequence and its header CRC."""
    epoch: int
    step: int
    sequence: tuple
    chain: tuple

    @classmethod
    def start(cls, partitions):
        return cls(0, 0, (0,) * partitions, (0,) * partitions)

    @classmethod
    def from_json(cls, cut):
        return cls(cut["epoch"], cut["step"], tuple(cut["sequence"]), tuple(cut["chain"]))

    def to_json(self):
        return {"epoch": self.epoch, "step": self.step, "sequence": list(self.sequence),
                "chain": list(self.chain)}


class FileLog:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        path = self.folder / "LOG.json"
        try:
            form = json.loads(path.read_text())
            self.partitions = int(form["partitions"])
        except FileNotFoundError as error:
            raise LogError(f"{path}: there is no log here; FileLog.create makes one") from error
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(f"{path}: it must say {{\"format\": \"norn-log-1\", \"partitions\": N}}"
                           ) from error
        if form.get("format") != "norn-log-1" or not 1 <= self.partitions <= MOST_PARTITIONS:
            raise LogError(f"{path}: format {form.get('format')!r} with {self.partitions} partitions;"
                           f" this reader knows norn-log-1 with 1 to {MOST_PARTITIONS}")

    @classmethod
    def create(cls, folder, partitions=1):
        """The log in `folder`, made where there is none."""
        folder = pathlib.Path(folder)
        if not 1 <= partitions <= MOST_PARTITIONS:
            raise ValueError(f"{folder}: {partitions} partitions; a log has 1 to {MOST_PARTITIONS}")
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "LOG.json").exists():
            for partition in range(partitions):
                (folder / f"{partition:05}").mkdir(exist_ok=True)
            text = json.dumps({"format": "norn-log-1", "partitions": partitions}) + "\n"
            write_whole(folder / "LOG.json", text.encode())
        log = cls(folder)
        if log.partitions != partitions:
            raise LogError(f"{folder}/LOG.json: the log has {log.partitions} partitions, not "
                           f"{partitions}; that never changes")
        return log

    # ---- reading

    def segments(self, partition):
        """[(first sequence, path)] in order."""
        folder = self.folder / f"{partition:05}"
        try:
            names = sorted(name for name in os.listdir(folder)
                           if name.endswith(".ndl") and name[:-4].isdigit())
        except FileNotFoundError:
            return []
        return [(int(name[:-4]), folder / name) for name in names]

    def frames(self, partition=0, after=(0, 0)):
        """Every whole frame after (sequence, chain), void ones too."""
        with PartitionReader(self, partition, *after) as reader:
            while (frame := reader.next()) is not None:
                yield frame

    def reader(self, after=None, tables=()):
        """A StepReader; `tables` are those of the version whose cut `after` is."""
        return StepReader(self, after or Position.start(self.partitions), tables)

    def steps(self, after=None, tables=()):
        """The sealed steps after a Position, to the log's end as it is now."""
        with self.reader(after, tables) as reader:
            while (step := reader.next()) is not None:
                yield step

    def follow(self, after=None, tables=(), stop=lambda: False, poll_seconds=0.02):
        """The same without end: waits for what is appended until `stop()`."""
        with self.reader(after, tables) as reader:
            while not stop():
                step = reader.next()
                if step is not None:
                    yield step
                else:
                    time.sleep(poll_seconds)

    def trim(self, before):
        """Remove the segments that hold nothing after the Position `before`."""
        removed = []
        with self.lock():
            for partition in range(self.partitions):
                segments = self.segments(partition)
                for (_, path), (following, kept) in zip(segments, segments[1:]):
                    # What is left must have a frame: the next writer continues its chain.
                    if following > before.sequence[partition] + 1 or not kept.stat().st_size:
                        break
                    path.unlink()
                    removed.append(path)
        return removed

    # ---- writing

    @contextlib.contextmanager
    def lock(self, seconds=LOCK_SECONDS):
        path = self.folder / "LOCK"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            deadline = time.monotonic() + seconds
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise LogError(f"{path}: {_holder(descriptor)} has held the lock for "
                                       f"{seconds} s; end it, then try again") from None
                    time.sleep(0.002)
            yield
        finally:
            os.close(descriptor)

    def greatest_epoch(self):
        return max((int(name[6:]) for name in os.listdir(self.folder)
                    if name.startswith("epoch-") and name[6:].isdigit()), default=0)

    def become_writer(self, model, tables, base, lock_seconds=LOCK_SECONDS):
        """Fence the writers before, cut what they left unfinished, begin the next epoch."""
        with self.lock(lock_seconds):
            epoch = self.greatest_epoch() + 1
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            os.close(os.open(self.folder / f"epoch-{epoch:020}", flags, 0o644))
            sync_folder(self.folder)
            tails = [_read_tail(self, partition) for partition in range(self.partitions)]
            for tail in tails:
                if tail.torn:
                    with open(tail.path, "r+b") as file:
                        file.truncate(tail.offset)
                        os.fsync(file.fileno())
            writer = Writer(self, model, epoch, tails)
            writer.open_line(base, tables, locked=True)
        return writer


@dataclasses.dataclass
class _Tail:
    """The end of one partition: where the next frame goes."""
    partition: int
    path: pathlib.Path
    offset: int = 0
    sequence: int = 0
    chain: int = 0
    sealed: int = 0    # the step of the last seal or open
    greatest: int = 0  # of any frame, void ones too
    torn: bool = False


def _read_tail(log, partition):
    segments = log.segments(partition)
    if not segments:
        return _Tail(partition, log.folder / f"{partition:05}" / f"{1:020}.ndl")
    # The last segment may have no seal yet: back to one that has.
    for first, _ in reversed(segments):
        tail, sealed = _Tail(partition, None), False
        with PartitionReader(log, partition, first - 1, None if first > 1 else 0) as reader:
            while (frame := reader.next()) is not None:
                tail.greatest = max(tail.greatest, frame.step)
                if frame.kind in (df.SEAL, df.OPEN):
                    tail.sealed = frame.step
                sealed |= frame.kind == df.SEAL
            tail.path, tail.offset = reader.path, reader.offset
            tail.sequence, tail.chain = reader.sequence, reader.chain
            tail.torn = tail.path.stat().st_size > tail.offset
        if sealed:
            break
    if tail.chain is None:
        raise Damage(f"{tail.path}: the log begins with an empty segment, so the chain is lost")
    return tail


@dataclasses.dataclass
class _Write:
    path: pathlib.Path
    offset: int
    data: bytes


class Writer:
    """The one writer of a log, for an epoch. One thread at a time."""

    def __init__(self, log, model, epoch, tails):
        self.log, self.model, self.epoch = log, model, epoch
        self.base = 0
        self._tails = tails
        self._sealed = min(tail.sealed for tail in tails)
        self._step = max(tail.greatest for tail in tails)
        self._pending = None  # (writes, what _tails and _sealed will be)

    @property
    def position(self):
        """After the last durable step."""
        return Position(self.epoch, self._sealed, tuple(t.sequence for t in self._tails),
                        tuple(t.chain for t in self._tails))

    @property
    def unsettled(self):
        """Is there a step whose outcome is not known?"""
        return self._pending is not None

    def open_line(self, base, tables, locked=False):
        """Begin the line of training of version `base`, with these tables."""
        self.settle()
        self.base = base
        payload = df.open_payload(self.model, tables)
        frames = [Frame(df.OPEN, payload, partition=p, count=len(tables), step=self._sealed)
                  for p in range(self.log.partitions)]
        self._plan(frames, time.time_ns(), self._sealed)
        self.settle(locked)

    def append(self, frames, published_ns=None):
        """Write frames (rows, deletes, dense; with their partition) as one step; its Position.

        First finishes a step before that is not settled. NotDurable: this one is kept, see `settle`.
        """
        self.settle()
        self._step += 1
        for frame in frames:
            frame.step = self._step
        ends = [tail.sequence + 1 for tail in self._tails]
        for frame in frames:
            ends[frame.partition] += 1
        payload = struct.pack(f"<{len(ends)}Q", *ends)
        seals = [Frame(df.SEAL, payload, partition=p, count=len(ends), step=self._step)
                 for p in range(self.log.partitions)]
        self._plan([*frames, *seals], published_ns or time.time_ns(), self._step)
        self.settle()
        return self.position

    def _plan(self, frames, published_ns, sealed):
        """Number, chain and place the frames: from here on nothing about them changes."""
        tails = [dataclasses.replace(tail) for tail in self._tails]
        for tail in tails:
            if tail.offset >= SEGMENT_BYTES:
                tail.path = tail.path.with_name(f"{tail.sequence + 1:020}.ndl")
                tail.offset = 0
        begins = [(tail.path, tail.offset, []) for tail in tails]
        for frame in frames:
            tail = tails[frame.partition]
            frame.base, frame.epoch, frame.published_ns = self.base, self.epoch, published_ns
            frame.sequence, frame.previous_crc = tail.sequence + 1, tail.chain
            begins[frame.partition][2].append(frame.encode())
            tail.sequence, tail.chain = frame.sequence, frame.header_crc
            tail.offset += frame.bytes
        writes = [_Write(path, offset, b"".join(data)) for path, offset, data in begins]
        self._pending = (writes, tails, sealed)

    def settle(self, locked=False):
        """Make the unsettled step durable, if there is one; True if there was."""
        if self._pending is None:
            return False
        writes, tails, sealed = self._pending
        with contextlib.nullcontext() if locked else self.log.lock():
            greatest = self.log.greatest_epoch()
            if greatest > self.epoch:
                raise Fenced(f"{self.log.folder}: epoch {greatest} has begun, this writer is of "
                             f"{self.epoch}; another trainer has taken over, so stop this one")
            for write in writes:
                self._write(write)
        self._tails, self._sealed, self._pending = tails, sealed, None
        return True

    def _write(self, write):
        created = write.offset == 0
        try:
            descriptor = os.open(write.path, os.O_RDWR | (os.O_CREAT if created else 0), 0o644)
            try:
                size = os.fstat(descriptor).st_size
                if not write.offset <= size <= write.offset + len(write.data):
                    raise Damage(f"{write.path}: it has {size} bytes where this writer left "
                                 f"{write.offset}; somebody else changed it, so start again with "
                                 "a new epoch")
                # After a failed fdatasync the kernel may call dirty pages clean: write all again.
                view, at = memoryview(write.data), 0
                while at < len(view):
                    at += os.pwrite(descriptor, view[at:], write.offset + at)
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            if created:
                sync_folder(write.path.parent)
        except OSError as error:
            raise NotDurable(f"{write.path}: step {self._step} of epoch {self.epoch} is not durable "
                             f"({error.strerror}); it is kept, and is finished when you try again"
                             ) from error


def _holder(descriptor):
    """Who holds the lock, as far as /proc/locks tells."""
    status = os.fstat(descriptor)
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if "FLOCK" in fields and "->" not in fields and wanted in fields:
                return f"process {fields[4]}"
    return "another process"


def sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path, data):
    """Durable, and never seen half-written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)

