"""A delta log and a manifest written from docs/delta-log.md alone, without Norn: the specification's witness."""

import fcntl
import json
import os
import pathlib
import struct
import time
import zlib

HEADER = struct.Struct("<IHBBQQQQqIIIIQIIIII")  # all but header_crc
ROWS, DELETES, DENSE, SEAL, OPEN = range(1, 6)
F32 = 1


class Log:
    """One partition, one writer. `tables`: [(name, dim)], hashed and float32, in order of name."""

    def __init__(self, folder, base, tables):
        self.folder, self.base, self.tables = pathlib.Path(folder), base, sorted(tables)
        (self.folder / "00000").mkdir(parents=True, exist_ok=True)
        (self.folder / "LOG.json").write_text('{"format": "norn-log-1", "partitions": 1}')
        self.segment = self.folder / "00000" / f"{1:020}.ndl"
        self.sequence = self.chain = self.step = 0
        for header in self.headers():
            self.sequence, self.chain = header[6], header[-1]
            if header[2] == SEAL:
                self.step = header[7]
        epochs = [int(path.name[6:]) for path in self.folder.glob("epoch-*")]
        self.epoch = max(epochs, default=0) + 1
        (self.folder / f"epoch-{self.epoch:020}").touch(exist_ok=False)
        names = [{"name": name, "dtype": "F32", "dim": dim, "kind": "hashed"} for name, dim in self.tables]
        text = json.dumps({"model": "m", "tables": names}).encode()
        self.append([self.frame(OPEN, text, count=len(names), step=self.step)])

    def headers(self):
        bytes_, at = self.segment.read_bytes() if self.segment.exists() else b"", 0
        while at < len(bytes_):
            header = HEADER.unpack_from(bytes_, at) + struct.unpack_from("<I", bytes_, at + HEADER.size)
            yield header
            at += 96 + -(-header[13] // 8) * 8

    def frame(self, kind, payload, *, dtype=0, table=0, count=0, row_bytes=0, step=None):
        self.sequence += 1
        header = HEADER.pack(0x314c444e, 96, kind, dtype, self.base, self.epoch, self.sequence,
                             self.step + 1 if step is None else step, time.time_ns(), 0, table, count, row_bytes,
                             len(payload), zlib.crc32(payload), 0, self.chain, 0, 0)
        self.chain = zlib.crc32(header)
        return header + struct.pack("<I", self.chain) + payload + b"\0" * (-len(payload) % 8)

    def append(self, frames):
        with open(self.folder / "LOCK", "w") as lock, open(self.segment, "ab") as file:
            fcntl.flock(lock, fcntl.LOCK_EX)
            file.write(b"".join(frames))
            file.flush()
            os.fdatasync(file.fileno())

    def publish(self, rows=None, deletes=None, dense=None, *, seal=True):
        """rows: {table: (int64 keys, float32 [n, dim])}; deletes: {table: keys}; dense: {name: float32 array}."""
        frames, number = [], {name: i for i, (name, _) in enumerate(self.tables)}
        for name, (keys, values) in (rows or {}).items():
            frames.append(self.frame(ROWS, keys.tobytes() + values.tobytes(), dtype=F32, table=number[name],
                                     count=len(keys), row_bytes=values.shape[1] * 4))
        for name, keys in (deletes or {}).items():
            frames.append(self.frame(DELETES, keys.tobytes(), table=number[name], count=len(keys)))
        for name, array in (dense or {}).items():
            text = name.encode()
            head = struct.pack("<IIQQ", len(text), array.ndim, 0, array.nbytes) + struct.pack(f"<{array.ndim}q", *array.shape)
            frames.append(self.frame(DENSE, head + text + b"\0" * (-len(text) % 8) + array.tobytes(), dtype=F32,
                                     count=array.nbytes))
        if seal:
            frames.append(self.frame(SEAL, struct.pack("<Q", self.sequence + 1), count=1))
        self.append(frames)
        self.step += seal
        return self.step

    def cut(self):
        return {"epoch": self.epoch, "step": self.step, "sequence": [self.sequence], "chain": [self.chain]}


def write_manifest(folder, version, base=None, cut=None, ready=True):
    """MANIFEST.json and READY of what is in `folder`."""
    block, files = 64 << 20, []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        files.append({"path": str(path.relative_to(folder)), "bytes": len(data),
                      "crc32": [zlib.crc32(data[at:at + block]) for at in range(0, len(data), block)]})
    manifest = {"format": "norn-version-1", "model": "m", "version": version, "base": base or version, "files": files}
    text = json.dumps({**manifest, **({"cut": cut} if cut else {})}).encode()
    (folder / "MANIFEST.json").write_bytes(text)
    if ready:
        (folder / "READY").write_text(f"{zlib.crc32(text):08x}\n")
