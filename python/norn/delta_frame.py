"""Frames of the delta log: a header of 96 bytes, a payload, zeros up to a multiple of 8.

The format is docs/delta-log.md. Whoever wants to see what a log holds reads frames with `decode`;
whoever wants to write one uses `delta_log.FileLog`, which numbers and chains them.
"""

import dataclasses
import json
import struct
import zlib

import numpy as np

ROWS, DELETES, DENSE, SEAL, OPEN = 1, 2, 3, 4, 5
KIND_NAMES = {ROWS: "rows", DELETES: "deletes", DENSE: "dense", SEAL: "seal", OPEN: "open"}
DTYPES = {"F32": 1, "F16": 2, "BF16": 3, "I8": 4}
DTYPE_NAMES = {code: name for name, code in DTYPES.items()}
#: How elements lie in numpy, which has no bfloat16: its bits are in uint16.
ELEMENTS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"),
            "I8": np.dtype("i1")}

MAGIC = b"NDL1"
HEADER_BYTES = 96
MOST_PAYLOAD = 900 * 1024
_HEADER = struct.Struct("<4sHBBQQQQqIIIIQIIIIII")
_CRC_AT = HEADER_BYTES - 4
assert _HEADER.size == HEADER_BYTES


class LogError(Exception):
    """Something is wrong with a log; the message names the file, and what to do."""


class Damage(LogError):
    """Bytes that no writer of this format leaves."""


class Short(Exception):
    """The bytes end, or stop making sense, within a frame: how the tail of a log may look."""


@dataclasses.dataclass
class Frame:
    kind: int
    payload: bytes = b""
    dtype: int = 0
    base: int = 0
    epoch: int = 0
    sequence: int = 0
    step: int = 0
    published_ns: int = 0
    partition: int = 0
    table: int = 0
    count: int = 0
    row_bytes: int = 0
    previous_crc: int = 0
    header_crc: int = 0

    @property
    def bytes(self):
        """What it takes in a segment."""
        return padded(HEADER_BYTES + len(self.payload), 8)

    def encode(self):
        """The frame's bytes; sets header_crc, which the next frame's chain needs."""
        if len(self.payload) > MOST_PAYLOAD:
            raise ValueError(f"a frame of {len(self.payload)} bytes of payload; "
                             f"{MOST_PAYLOAD} is the most")
        head = _HEADER.pack(MAGIC, HEADER_BYTES, self.kind, self.dtype, self.base, self.epoch,
                            self.sequence, self.step, self.published_ns, self.partition, self.table,
                            self.count, self.row_bytes, len(self.payload), zlib.crc32(self.payload),
                            0, self.previous_crc, 0, 0, 0)
        self.header_crc = zlib.crc32(head[:_CRC_AT])
        tail = bytes(self.bytes - HEADER_BYTES - len(self.payload))
        return b"".join((head[:_CRC_AT], struct.pack("<I", self.header_crc), self.payload, tail))


def padded(size, to):
    return -(-size // to) * to


def decode_header(data, where):
    """(Frame without its payload, payload bytes, payload CRC) of the first 96 bytes of `data`.

    Short where there is no whole header, LogError for one that this reader cannot take.
    """
    if len(data) < HEADER_BYTES:
        raise Short(f"{len(data)} bytes of a header")
    (magic, size, kind, dtype, base, epoch, sequence, step, published_ns, partition, table, count,
     row_bytes, payload_bytes, payload_crc, codec, previous_crc, reserved, flags,
     header_crc) = _HEADER.unpack(data[:HEADER_BYTES])
    if zlib.crc32(data[:_CRC_AT]) != header_crc:
        raise Short("a header whose CRC does not fit")
    if magic != MAGIC or size != HEADER_BYTES or reserved or flags:
        raise LogError(f"{where}: frame {sequence} is of a form that this reader does not know "
                       f"(magic {magic!r}, header of {size} bytes, flags {flags:#x}); use a newer "
                       "norn")
    if codec:
        raise LogError(f"{where}: frame {sequence} is packed with codec {codec}, which this reader "
                       "does not know; use a newer norn")
    if kind not in KIND_NAMES or payload_bytes > MOST_PAYLOAD:
        raise LogError(f"{where}: frame {sequence} has kind {kind} and {payload_bytes} bytes; "
                       f"kinds are 1 to 5, and {MOST_PAYLOAD} bytes the most")
    frame = Frame(kind, b"", dtype, base, epoch, sequence, step, published_ns, partition, table,
                  count, row_bytes, previous_crc, header_crc)
    return frame, payload_bytes, payload_crc


def decode(data, where, payload=True):
    """(Frame, bytes it takes) from the start of `data`; without `payload` that is passed over."""
    frame, payload_bytes, payload_crc = decode_header(data, where)
    end = padded(HEADER_BYTES + payload_bytes, 8)
    if len(data) < end:
        raise Short(f"{len(data)} bytes of a frame of {end}")
    if payload:
        frame.payload = bytes(data[HEADER_BYTES:HEADER_BYTES + payload_bytes])
        if zlib.crc32(frame.payload) != payload_crc:
            raise Short("a payload whose CRC does not fit")
        if any(data[HEADER_BYTES + payload_bytes:end]):
            raise Short("padding that is not zeros")
        check_payload(frame, where)
    return frame, end


def check_payload(frame, where):
    """The sizes in the header of a frame whose CRCs fit say the same as its payload has."""
    wanted = {ROWS: frame.count * (8 + frame.row_bytes), DELETES: frame.count * 8,
              SEAL: frame.count * 8}.get(frame.kind)
    if wanted is not None and wanted != len(frame.payload):
        raise Damage(f"{where}: frame {frame.sequence} ({KIND_NAMES[frame.kind]}) says {wanted} "
                     f"bytes of payload and has {len(frame.payload)}")
    if frame.kind in (ROWS, DENSE) and frame.dtype not in DTYPE_NAMES:
        raise Damage(f"{where}: frame {frame.sequence} has dtype {frame.dtype}; 1 to 4 are known")


# ---- payloads

def row_bytes_of(dtype, dim):
    """Bytes of a row in a frame: I8 ends in zeros up to a multiple of 4 and the scale."""
    if dtype == "I8":
        return padded(dim, 4) + 4
    return dim * ELEMENTS[dtype].itemsize


def pack_rows(rows, scales=None):
    """[n, row_bytes] of rows as a frame holds them."""
    rows = np.ascontiguousarray(rows)
    count, dim = rows.shape
    raw = rows.view(np.uint8).reshape(count, dim * rows.itemsize)
    if rows.dtype != np.int8:
        return raw
    packed = np.zeros((count, padded(dim, 4) + 4), np.uint8)
    packed[:, :dim] = raw
    packed[:, -4:] = np.ascontiguousarray(scales, "<f4").view(np.uint8).reshape(count, 4)
    return packed


def unpack_rows(frame, dim):
    """(keys, rows, scales or None) of a rows frame of a table of `dim` elements."""
    dtype = DTYPE_NAMES[frame.dtype]
    if frame.row_bytes != row_bytes_of(dtype, dim):
        raise Damage(f"frame {frame.sequence}: rows of {frame.row_bytes} bytes; {dim} elements of "
                     f"{dtype} take {row_bytes_of(dtype, dim)}")
    keys = np.frombuffer(frame.payload, "<i8", frame.count)
    raw = np.frombuffer(frame.payload, np.uint8, offset=frame.count * 8)
    raw = raw.reshape(frame.count, frame.row_bytes)
    if dtype != "I8":
        return keys, raw.view(ELEMENTS[dtype]), None
    scales = np.ascontiguousarray(raw[:, -4:]).view("<f4")[:, 0]
    return keys, np.ascontiguousarray(raw[:, :dim]).view(np.int8), scales


def unpack_keys(frame):
    return np.frombuffer(frame.payload, "<i8", frame.count)


def dense_frames(name, dtype, array):
    """Frames of a dense tensor, in pieces that fit."""
    text = name.encode()
    dims = struct.pack(f"<{array.ndim}q", *array.shape)
    text_padded = text + bytes(-len(text) % 8)
    room = (MOST_PAYLOAD - 24 - len(dims) - len(text_padded)) // 8 * 8
    if room <= 0:
        raise ValueError(f"dense tensor '{name[:40]}…': its name fills a frame")
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8).tobytes()
    for offset in range(0, max(len(raw), 1), room):
        piece = raw[offset:offset + room]
        head = struct.pack("<IIQQ", len(text), array.ndim, offset, len(raw))
        yield Frame(DENSE, head + dims + text_padded + piece, DTYPES[dtype], count=len(piece))


def unpack_dense(frame, where="dense"):
    """(name, dtype, shape, offset, bytes of the whole, piece) of a dense frame."""
    try:
        size, rank, offset, total = struct.unpack_from("<IIQQ", frame.payload)
        shape = struct.unpack_from(f"<{rank}q", frame.payload, 24)
        at = 24 + 8 * rank
        name = frame.payload[at:at + size].decode()
        piece = frame.payload[at + padded(size, 8):]
    except (struct.error, UnicodeDecodeError) as error:
        raise Damage(f"{where}: frame {frame.sequence}: the head of a dense tensor is cut short "
                     "or no text") from error
    dtype = DTYPE_NAMES[frame.dtype]
    elements = int(np.prod(shape, dtype=object)) if shape else 1
    if (len(piece) != frame.count or offset + len(piece) > total or min(shape, default=0) < 0
            or elements * ELEMENTS[dtype].itemsize != total):
        raise Damage(f"{where}: frame {frame.sequence}: a piece of {len(piece)} bytes at {offset} "
                     f"of dense tensor '{name}' of {total}, {dtype}{list(shape)}")
    return name, dtype, shape, offset, total, piece


def open_payload(model, tables):
    """`tables`: [{"name", "dtype", "dim", "kind"}, …], sorted by name."""
    known = [{key: table[key] for key in ("name", "dtype", "dim", "kind")} for table in tables]
    return json.dumps({"model": model, "tables": known}, separators=(",", ":")).encode()


def unpack_open(frame, where="open"):
    try:
        opened = json.loads(frame.payload)
        return opened["model"], opened["tables"]
    except (ValueError, KeyError, TypeError) as error:
        raise Damage(f"{where}: frame {frame.sequence}: an open frame must hold a model and its "
                     "tables as JSON") from error


def partition_of(keys, partitions):
    """The partition of each key; see docs/delta-log.md."""
    keys = np.ascontiguousarray(keys, np.int64).view(np.uint64)
    with np.errstate(over="ignore"):
        x = keys + np.uint64(0x9e3779b97f4a7c15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
        x = x ^ (x >> np.uint64(31))
    return ((x >> np.uint64(32)) % np.uint64(partitions)).astype(np.int64)
