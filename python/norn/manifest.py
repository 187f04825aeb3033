"""MANIFEST.json and READY of a version folder: written by a trainer, verified by a reader.

The format is docs/delta-log.md.
"""

import json
import os
import pathlib
import zlib

from .delta_log import write_whole

FORMAT = "norn-version-1"
BLOCK_BYTES = 64 << 20
_OWN = ("MANIFEST.json", "READY")


class NotReady(Exception):
    """The folder is not a version yet: its READY is not there."""


class Broken(Exception):
    """The folder is not what its manifest says; the message names the file."""


def block_crcs(path, sync=False):
    """A CRC for each 64 MiB of a file; `sync` also makes the file durable."""
    crcs = []
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            crcs.append(zlib.crc32(block))
        if sync:
            os.fsync(file.fileno())
    return crcs


def files_of(folder):
    folder = pathlib.Path(folder)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")
                  if path.is_file() and path.relative_to(folder).as_posix() not in _OWN)


def write(folder, model, version, base, tables, cut=None):
    """Describe the files of `folder`, then write READY; returns the manifest.

    `tables`: [{"name", "kind", "dtype", "dim", "rows"}]; `cut`: a Position.
    """
    folder = pathlib.Path(folder)
    manifest = {"format": FORMAT, "model": model, "version": version, "base": base}
    if cut is not None:
        manifest["cut"] = cut.to_json()
    manifest["tables"] = sorted(tables, key=lambda table: table["name"])
    manifest["files"] = [{"path": path, "bytes": (folder / path).stat().st_size,
                          "crc32": block_crcs(folder / path, sync=True)}
                         for path in files_of(folder)]
    text = (json.dumps(manifest, indent=2) + "\n").encode()
    write_whole(folder / "MANIFEST.json", text)
    write_whole(folder / "READY", f"{zlib.crc32(text):08x}\n".encode())
    return manifest


def read(folder):
    """The manifest of a version that is READY; its files are not looked at."""
    folder = pathlib.Path(folder)
    try:
        ready = (folder / "READY").read_text()
        text = (folder / "MANIFEST.json").read_bytes()
    except FileNotFoundError as error:
        raise NotReady(f"{error.filename}: it is not there; the version is not whole yet") from error
    if ready != f"{zlib.crc32(text):08x}\n":
        raise Broken(f"{folder}/READY: it says {ready.strip()!r}, MANIFEST.json has CRC "
                     f"{zlib.crc32(text):08x}; publish the version again")
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise Broken(f"{folder}/MANIFEST.json: {error}") from error
    if manifest.get("format") != FORMAT:
        raise Broken(f"{folder}/MANIFEST.json: format {manifest.get('format')!r}; {FORMAT} is known")
    return manifest


def verify(folder):
    """Read the manifest and every file that it names; Broken names the first that differs."""
    folder = pathlib.Path(folder)
    manifest = read(folder)
    for entry in manifest["files"]:
        path = folder / entry["path"]
        if ".." in pathlib.PurePath(entry["path"]).parts or path == pathlib.Path(entry["path"]):
            raise Broken(f"{folder}/MANIFEST.json: '{entry['path']}' is outside the version's folder")
        if not path.is_file():
            raise Broken(f"{path}: MANIFEST.json names it, and it is not there")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise Broken(f"{path}: {size} bytes; MANIFEST.json says {entry['bytes']}")
        crcs = block_crcs(path)
        if len(crcs) != len(entry["crc32"]):
            raise Broken(f"{path}: {len(crcs)} blocks; MANIFEST.json has {len(entry['crc32'])} CRCs")
        for number, (has, says) in enumerate(zip(crcs, entry["crc32"])):
            if has != says:
                raise Broken(f"{path}: block {number} (from byte {number * BLOCK_BYTES}) has CRC "
                             f"{has:08x}; MANIFEST.json says {says:08x}")
    unnamed = set(files_of(folder)) - {entry["path"] for entry in manifest["files"]}
    if unnamed:
        raise Broken(f"{folder}/{min(unnamed)}: MANIFEST.json does not name it")
    return manifest
