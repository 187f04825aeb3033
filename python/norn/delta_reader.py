"""Reading a delta log: the frames of a partition, checked; the steps of all partitions, whole."""

import dataclasses
import os
import struct
import time

import numpy as np

from . import delta_frame as df
from .delta_frame import Damage, LogError, Short


class Gap(LogError):
    """What comes next is not there any more: load a version whose cut is later."""


class Fork(LogError):
    """The log goes on from another frame than the one that the position names."""


class PartitionReader:
    """The frames of one partition after (sequence, chain), in order, while they are appended.

    A chain of None takes whatever the first frame says. Every frame's CRCs, sequence, chain and
    epoch are checked.
    """

    def __init__(self, log, partition, sequence, chain):
        self.log, self.partition = log, partition
        self.sequence, self.chain = sequence, chain
        self.path, self.offset, self.epoch = None, 0, 0
        self._file, self._first = None, 0
        try:
            self._find()
        except LogError:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._file:
            self._file.close()

    def next(self):
        """The next whole Frame, None at the end of what is written."""
        if self._file is None and not self._find():
            return None
        frame, size = self._decode()
        if frame is None:
            return None
        self._check(frame)
        self.offset += size
        self.sequence, self.chain, self.epoch = frame.sequence, frame.header_crc, frame.epoch
        return frame

    def _open(self, first, path):
        if self._file:
            self._file.close()
        try:
            self._file = open(path, "rb", buffering=0)
        except FileNotFoundError:
            raise Gap(f"{path}: it was trimmed away while it was read; load a version whose cut is "
                      "later") from None
        self.path, self.offset, self._first = path, 0, first

    def _find(self):
        """Stand after the frame self.sequence; False where the partition has no segment yet."""
        segments = self.log.segments(self.partition)
        if not segments and self.sequence == 0:
            return False
        fitting = [entry for entry in segments if entry[0] <= self.sequence + 1]
        if not fitting:
            begins = f"begins at sequence {segments[0][0]}" if segments else "is empty"
            raise Gap(f"{self.log.folder}: partition {self.partition} {begins}, and what follows "
                      f"{self.sequence} is wanted; load a version whose cut is later")
        first, path = fitting[-1]
        wanted, chain = self.sequence, self.chain
        self._open(first, path)
        if first == wanted + 1:
            return True
        self.sequence, self.chain = first - 1, None
        while self.sequence < wanted:
            frame, size = self._decode(payload=False)
            if frame is None:
                raise Fork(f"{self.path}: the log ends at sequence {self.sequence}, the position is "
                           f"at {wanted}; is it another log's, or was this one cut?")
            self._check(frame)
            self.offset += size
            self.sequence, self.chain, self.epoch = frame.sequence, frame.header_crc, frame.epoch
        if chain is not None and chain != self.chain:
            raise Fork(f"{self.path}: frame {wanted} of partition {self.partition} is another than "
                       f"the position's (header CRC {self.chain:#010x}, not {chain:#010x})")
        return True

    def _decode(self, payload=True):
        """(frame, size) of what comes next, in this segment or the one after; (None, 0): nothing yet."""
        frame, size = self._decode_here(payload)
        while frame is None and (following := self._following()):
            # Once more: it may have been written before the next segment was made.
            frame, size = self._decode_here(payload, finished=True)
            if frame is None:
                if following[0][0] != self.sequence + 1:
                    raise Gap(f"{following[0][1]}: partition {self.partition}: the segment before "
                              f"ends at {self.sequence}; frames between are missing")
                self._open(*following[0])
                frame, size = self._decode_here(payload)
        return frame, size

    def _following(self):
        return [entry for entry in self.log.segments(self.partition)
                if entry[0] > self.sequence and entry[0] != self._first]

    def _decode_here(self, payload, finished=False):
        for attempt in range(3):
            if attempt:  # a writer that takes over rewrites a torn tail; damage stays as it is
                time.sleep(0.01)
            data = self._read(df.HEADER_BYTES)
            if not data:
                return None, 0
            where = f"{self.path}: offset {self.offset}"
            try:
                _, payload_bytes, _ = df.decode_header(data, where)
                data = self._read(df.padded(df.HEADER_BYTES + payload_bytes, 8))
                return df.decode(data, where, payload)
            except Short as why:
                reason = why
            at = _whole_frame(self._rest(), where)
            if at is None and not finished:
                return None, 0
        follows = "the next segment" if at is None else f"a whole frame at {self.offset + at}"
        raise Damage(f"{where}: partition {self.partition}, sequence {self.sequence + 1}: {reason}, "
                     f"though {follows} follows; restore the file, or load a version whose cut is "
                     "later and trim the log to it")

    def _read(self, size):
        return os.pread(self._file.fileno(), size, self.offset)

    def _rest(self):
        return self._read(max(os.fstat(self._file.fileno()).st_size - self.offset, 0))

    def _check(self, frame):
        where = f"{self.path}: offset {self.offset}: partition {self.partition}"
        if frame.partition != self.partition:
            raise Damage(f"{where}: frame {frame.sequence} is of partition {frame.partition}")
        if frame.sequence != self.sequence + 1:
            raise Gap(f"{where}: frame {frame.sequence} follows {self.sequence}; frames between "
                      "are missing")
        if self.chain is not None and frame.previous_crc != self.chain:
            raise Fork(f"{where}: frame {frame.sequence} continues another frame than "
                       f"{self.sequence} (header CRC {frame.previous_crc:#010x}, not "
                       f"{self.chain:#010x})")
        if frame.epoch < self.epoch or (self.epoch and frame.epoch > self.epoch
                                        and frame.kind != df.OPEN):
            raise Damage(f"{where}: frame {frame.sequence} ({df.KIND_NAMES[frame.kind]}) is of epoch "
                         f"{frame.epoch} within epoch {self.epoch}")


def _whole_frame(rest, where):
    """Where in `rest`, after its first byte, a whole frame begins; None if nowhere."""
    at = rest.find(df.MAGIC, 1)
    while at >= 0:
        if at % 8 == 0:
            try:
                df.decode(memoryview(rest)[at:], where)
                return at
            except (Short, LogError):
                pass
        at = rest.find(df.MAGIC, at + 1)
    return None


@dataclasses.dataclass
class Step:
    """One publish: what becomes visible together."""
    base: int
    epoch: int
    step: int
    published_ns: int
    tables: list     # [{"name", "dtype", "dim", "kind"}], by the frames' numbers
    frames: list
    position: object  # after it

    def table_name(self, frame):
        return self._table(frame)["name"]

    def rows(self):
        """(table, keys, rows, scales or None) of each rows frame; BF16 as uint16."""
        for frame in self.frames:
            if frame.kind == df.ROWS:
                table = self._table(frame)
                yield table["name"], *df.unpack_rows(frame, table["dim"])

    def deletes(self):
        """(table, keys) of each deletes frame."""
        for frame in self.frames:
            if frame.kind == df.DELETES:
                yield self.table_name(frame), df.unpack_keys(frame)

    def dense(self):
        """{name: array} of dense tensors, their pieces put together; BF16 as uint16."""
        found = {}
        for frame in self.frames:
            if frame.kind != df.DENSE:
                continue
            name, dtype, shape, offset, total, piece = df.unpack_dense(frame)
            if name not in found:
                found[name] = np.zeros(total, np.uint8), []
            buffer, had = found[name]
            buffer[offset:offset + len(piece)] = np.frombuffer(piece, np.uint8)
            had.append((offset, len(piece), dtype, shape))
        return {name: _whole_dense(name, *entry, self.step) for name, entry in found.items()}

    def _table(self, frame):
        if frame.table >= len(self.tables):
            raise LogError(f"partition {frame.partition}, frame {frame.sequence}: table "
                           f"{frame.table} of {len(self.tables)}; a reader that begins in "
                           "mid-epoch needs the version's tables")
        return self.tables[frame.table]


def _whole_dense(name, buffer, pieces, step):
    end = 0
    for offset, size, _, _ in sorted(pieces):
        if offset != end:
            break
        end += size
    if end != len(buffer):
        raise Damage(f"step {step}: dense tensor '{name}' has no byte {end} of {len(buffer)}")
    _, _, dtype, shape = pieces[0]
    return buffer.view(df.ELEMENTS[dtype]).reshape(shape)


class StepReader:
    """Whole steps of all partitions; frames that an open made void are passed over."""

    def __init__(self, log, after, tables):
        if len(after.sequence) != log.partitions:
            raise LogError(f"{log.folder}: a position of {len(after.sequence)} partitions; the log "
                           f"has {log.partitions}")
        self.log, self.position, self.tables = log, after, list(tables)
        self._parts = [_Part(PartitionReader(log, p, after.sequence[p], after.chain[p]))
                       for p in range(log.partitions)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for part in self._parts:
            part.reader.__exit__()

    def next(self):
        """The next sealed Step; None where the log has no more now."""
        while True:
            for part in self._parts:
                part.fill()
            seals = [part.seal for part in self._parts]
            held = [seal for seal in seals if seal is not None]
            if not held:
                return None
            newest = max((seal.epoch, seal.step) for seal in held)
            old = [part for part in self._parts
                   if part.seal is not None and (part.seal.epoch, part.seal.step) != newest]
            for part in old:
                if part.seal.epoch == newest[0]:
                    raise Damage(f"{part.reader.path}: step {newest[1]} is sealed in another "
                                 f"partition, and step {part.seal.step} of the same epoch is not "
                                 "sealed in all")
                part.drop()  # never sealed everywhere: a newer epoch made it void
            if old:
                continue
            if None in seals:
                return None
            return self._take()

    def _take(self):
        first = self._parts[0].seal
        ends = struct.pack(f"<{len(self._parts)}Q",
                           *(part.seal.sequence for part in self._parts))
        frames = []
        for part in self._parts:
            if part.seal.payload != ends:
                raise Damage(f"{part.reader.path}: the seal of step {part.seal.step} names other "
                             "ends than the partitions have")
            if part.opened is not None:
                self.tables = df.unpack_open(part.opened, part.reader.path)[1]
            frames += part.frames
        if first.step <= self.position.step:
            raise Damage(f"{self._parts[0].reader.path}: step {first.step} follows step "
                         f"{self.position.step}")
        self.position = type(self.position)(
            first.epoch, first.step, tuple(part.seal.sequence for part in self._parts),
            tuple(part.seal.header_crc for part in self._parts))
        for part in self._parts:
            part.opened = None
            part.drop()
        return Step(first.base, first.epoch, first.step, first.published_ns, self.tables, frames,
                    self.position)


class _Part:
    """One partition up to its next seal."""

    def __init__(self, reader):
        self.reader = reader
        self.frames, self.seal, self.opened = [], None, None

    def fill(self):
        while self.seal is None and (frame := self.reader.next()) is not None:
            if frame.kind == df.OPEN:
                self.frames, self.opened = [], frame
            elif frame.kind == df.SEAL:
                self.seal = frame
            else:
                self.frames.append(frame)

    def drop(self):
        self.frames, self.seal = [], None
