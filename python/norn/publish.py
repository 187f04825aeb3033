"""Publish what a trainer learns: full versions, and deltas that servers apply within a second.

    publisher = Publisher("repository/ranker", tables={"user": user_rows, "item": item_rows})
    publisher.full("model.onnx")              # version 1: model, tables, MANIFEST.json, READY
    publisher.touch("user", keys)             # after each step of training
    publisher.delta(dense={"top.bias": bias}) # touched rows and dense weights, as one step

docs/publish.md is the guide, docs/delta-log.md the formats.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import threading

import numpy as np

from . import delta_frame as df
from . import manifest as _manifest
from . import tables as _tables
from .delta_log import Fenced, FileLog, LogError, Position, sync_folder
from .tracker import Tracker, distinct

_PARTIAL = re.compile(r"\.\d+\.\d+\.partial")


@dataclasses.dataclass
class Tail:
    """What was published after a cut: to be published again from an older checkpoint."""
    keys: dict   # {table: sorted keys of rows and deletes}
    dense: list  # names of dense tensors


class Publisher:
    """The one trainer of a model. Threads may touch; publishing is one at a time, by a lock.

    folder      repository/<model>; versions and log/ are made in it
    tables      {name: source}: an array or tensor (dense), a tables.Table, a (keys, rows[, scales]),
                each read when something is published; or a callable that gives one: of all its keys
                for None, of those that it has for an array of keys
    log         a FileLog, or a folder; default: log/ in `folder`
    partitions  of a log that is not there yet
    bound       of the tracker: keys that may wait to be published

    Where the model has a version that is READY, the publisher takes over at once: a trainer that
    still runs is fenced.
    """

    def __init__(self, folder, tables, log=None, partitions=1, bound=50_000_000):
        self.folder = pathlib.Path(folder)
        self.model = self.folder.resolve().name
        self.sources = dict(sorted(tables.items()))
        self._specs = {name: self._gather(name, np.zeros(0, np.int64), whole=False).spec(name)
                       | {"kind": self._kind(name)} for name in self.sources}
        self.tracker = Tracker(self.sources, bound)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock, self._version_lock = threading.RLock(), threading.Lock()
        self._writer, self._sent, self._why_not = None, (), "publish a full version first"
        self._log = log if isinstance(log, FileLog) else self._open_log(log, partitions)
        self.version = self._newest_version()
        if self.version:
            self._take_over()

    def _open_log(self, folder, partitions):
        folder = pathlib.Path(folder or self.folder / "log")
        return FileLog(folder) if (folder / "LOG.json").exists() else FileLog.create(folder,
                                                                                     partitions)

    def _take_over(self):
        specs = self.specs()
        known = [{key: table[key] for key in ("name", "kind", "dtype", "dim")}
                 for table in self.version["tables"]]
        if known != specs:
            self._why_not = (f"the tables are others than version {self.version['version']} has: "
                             "publish a full version first, which begins a new line")
            return
        self._writer = self._log.become_writer(self.model, specs, self.version["base"])

    def specs(self):
        """[{"name", "kind", "dtype", "dim"}] by name."""
        return list(self._specs.values())

    @property
    def position(self):
        """Where the log stands: keep it in a checkpoint, `resume` wants it."""
        return self._writer.position if self._writer else None

    # ---- full versions

    def full(self, model, settings=None, new_line=False):
        """Write the next version; returns its number.

        model     a path of model.onnx, or of an exported package; or a callable that is given the
                  folder to write model.onnx into (export.package and export.from_torch do)
        settings  norn.json
        new_line  training began anew (another architecture, other tables): deltas from here on are
                  for this version; servers that follow an older one keep its last state
        """
        with self._version_lock:
            begins = new_line or self._writer is None
            # No delta may come between what the files hold and the first frame of a line.
            with self._lock if begins else contextlib.nullcontext():
                return self._write_version(model, settings, begins)

    def _write_version(self, model, settings, begins):
        number = max(self._numbers(), default=0) + 1
        self.settle()
        cut = self.position
        partial = self.folder / f".{number}.{os.getpid()}.partial"
        for stale in self.folder.iterdir():
            if _PARTIAL.fullmatch(stale.name):
                shutil.rmtree(stale)
        (partial / "tables").mkdir(parents=True)
        try:
            self._write_model(model, partial)
            if settings is not None:
                (partial / "norn.json").write_text(json.dumps(settings, indent=2) + "\n")
            tables = [self._write_table(name, partial) for name in self.sources]
            self._refuse_other_tables(partial)
            if begins:
                cut = self._begin_line(number)
            version = _manifest.write(partial, self.model, number, self._writer.base, tables, cut)
            with self._log.lock():
                if self._log.greatest_epoch() > self._writer.epoch:
                    raise Fenced(f"{self.folder}: another trainer has taken over; version {number} "
                                 "was not published, so stop this one")
                os.rename(partial, self.folder / str(number))
            sync_folder(self.folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self.version = version
        return number

    def _begin_line(self, number):
        if self._writer is None:
            self._writer = self._log.become_writer(self.model, self.specs(), number)
        else:
            self._writer.open_line(number, self.specs())
        return self._writer.position

    def _write_model(self, model, folder):
        if callable(model):
            model(folder)
        elif pathlib.Path(model).is_dir():
            shutil.copytree(model, folder, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("MANIFEST.json", "READY"))
        else:
            shutil.copyfile(model, folder / "model.onnx")
            weights = pathlib.Path(f"{model}.data")
            if weights.is_file():
                shutil.copyfile(weights, folder / weights.name)
        if not any((folder / name).is_file() for name in ("model.onnx", "model.norn")):
            raise ValueError(f"{model}: it gave no model.onnx and no model.norn")

    def _write_table(self, name, folder):
        table = self._gather(name)
        table.save(folder / "tables" / f"{name}.safetensors")
        return table.spec(name) | {"rows": len(table.rows)}

    def _refuse_other_tables(self, folder):
        for path in (folder / "tables").iterdir():
            if path.stem not in self.sources:
                raise ValueError(f"the package has a table '{path.stem}' that the publisher was not "
                                 "given: add it to tables")

    def _numbers(self):
        return [int(path.name) for path in self.folder.iterdir()
                if path.is_dir() and path.name.isdecimal()]

    def _newest_version(self):
        """The manifest of the newest version that is READY."""
        for number in sorted(self._numbers(), reverse=True):
            with contextlib.suppress(_manifest.NotReady):
                return _manifest.read(self.folder / str(number))
        return None

    # ---- deltas

    def touch(self, table, keys, timeout=None):
        """Rows that training has changed (or removed): the next delta publishes them."""
        self.tracker.touch(table, keys, timeout)

    def delta(self, rows=None, deletes=None, dense=None):
        """Publish, as one step, what was touched and what is given; the Position after it.

        rows     {table: (keys, rows[, scales])}, the rows as they are now
        deletes  {table: keys}
        dense    {name of an initializer of model.onnx: array}

        With nothing to publish there is no step. A NotDurable leaves the step with the publisher:
        the next call finishes it first, and what that call is given again is not published twice.
        Other errors change nothing; touched keys stay touched.
        """
        with self._lock:
            self._need_writer()
            already = set(self._sent) if self.settle() else set()
            taken = self.tracker.take()
            try:
                frames = self._frames(taken, rows or {}, deletes or {}, dense or {})
                if already:
                    frames = [frame for frame in frames if _identity(frame) not in already]
                if frames:
                    self._sent = [_identity(frame) for frame in frames]
                    self._writer.append(frames)
            except BaseException:
                if not self._writer.unsettled:
                    self.tracker.abort()
                raise
            self._sent = ()
            self.tracker.commit()
            return self.position

    def erase(self, table, keys):
        """Remove rows for good: the trainer has dropped them, servers do with this step."""
        return self.delta(deletes={table: keys})

    def settle(self):
        """Finish a step whose outcome is unknown; True if there was one."""
        with self._lock:
            if self._writer is None or not self._writer.settle():
                return False
            self.tracker.commit()
            return True

    def resume(self, cut=None):
        """After a restart: touch all that was published after the cut of the loaded checkpoint.

        `cut` is the `position` that the checkpoint kept; None: the newest version's, for a trainer
        that loaded that. The next delta publishes the checkpoint's rows for these keys, and deletes
        for those that it does not have: servers hold what this trainer holds. The names in
        Tail.dense are to be given to that delta.
        """
        with self._lock:
            self._need_writer()
            cut = self.version.get("cut") if cut is None else cut
            if cut is not None and not isinstance(cut, Position):
                cut = Position.from_json(cut)
            keys, dense = {}, set()
            for step in self._log.steps(cut, self.specs()):
                if step.base != self._writer.base:
                    continue
                for frame in step.frames:
                    if frame.kind == df.DENSE:
                        dense.add(df.unpack_dense(frame)[0])
                    else:
                        keys.setdefault(step.table_name(frame), []).append(_frame_keys(frame))
            keys = {table: distinct(np.concatenate(parts)) for table, parts in keys.items()}
            for table, found in keys.items():
                self.tracker.restore(table, found)
            return Tail(keys, sorted(dense))

    def _need_writer(self):
        if self._writer is None:
            raise LogError(f"{self.folder}: {self._why_not}")

    # ---- rows into frames

    def _source(self, name):
        if name not in self.sources:
            raise KeyError(f"there is no table '{name}'; there are: {', '.join(self.sources)}")
        return self.sources[name]

    def _kind(self, name):
        source = self._source(name)
        return "hashed" if _is_callable(source) else _tables.of(source).kind

    def _gather(self, name, keys=None, whole=True):
        """The table's rows: all of them, or of those of `keys` that the source has."""
        source = self._source(name)
        if _is_callable(source):
            table = _tables.of(source(None if whole else keys))
            if table.kind != "hashed":
                raise ValueError(f"table '{name}': its callable gave rows without keys")
            return table
        table = _tables.of(source)
        return table if whole else table.take(keys)

    def _frames(self, taken, rows, deletes, dense):
        frames = []
        for number, name in enumerate(self.sources):
            given = _tables.of(rows[name]) if name in rows else None
            gone = _distinct(name, deletes.get(name, ()), "deletes")
            frames += self._table_frames(number, name, taken.get(name), given, gone)
        for name in (*rows, *deletes):
            self._source(name)
        for name, array in dense.items():
            array, dtype = _tables.to_array(array)
            dtype = dtype or _tables.dtype_of(array, f"dense tensor '{name}'")
            frames += df.dense_frames(name, dtype, array)
        return frames

    def _table_frames(self, number, name, touched, given, gone):
        parts = []
        if given is not None:
            keys = np.arange(len(given.rows)) if given.keys is None else given.keys
            given = _tables.Table(given.rows, keys, given.scales, given.dtype)
            both = np.intersect1d(_distinct(name, keys, "rows"), gone, assume_unique=True)
            if len(both):
                raise ValueError(f"table '{name}': key {both[0]} is in rows and in deletes")
            parts.append(given)
        if touched is not None:
            touched = np.setdiff1d(touched, gone, assume_unique=True) if len(gone) else touched
            if given is not None:
                touched = np.setdiff1d(touched, given.keys, assume_unique=True)
            found = self._gather(name, touched, whole=False)
            if not np.isin(_distinct(name, found.keys, "what its source gave"), touched).all():
                raise ValueError(f"table '{name}': its source gave keys that it was not asked for")
            parts.append(found)
            gone = distinct(np.concatenate([gone, np.setdiff1d(touched, found.keys,
                                                               assume_unique=True)]))
        if len(gone) and self._specs[name]["kind"] == "dense":
            raise ValueError(f"table '{name}' is dense, so key {gone[0]} cannot be deleted: publish "
                             "a row of zeros for it")
        frames = []
        for table in parts:
            self._check_rows(name, table)
            frames += self._row_frames(number, table)
        return [*frames, *self._delete_frames(number, gone)]

    def _check_rows(self, name, table):
        wanted = self._specs[name]
        if (table.dtype, table.dim) != (wanted["dtype"], wanted["dim"]):
            raise ValueError(f"table '{name}': rows of {table.dtype}[{table.dim}]; the table is "
                             f"{wanted['dtype']}[{wanted['dim']}]")
        if self._specs[name]["kind"] == "dense" and len(table.keys):
            count = len(_tables.of(self.sources[name]).rows)
            outside = table.keys[(table.keys < 0) | (table.keys >= count)]
            if len(outside):
                raise ValueError(f"table '{name}' has {count} rows, so there is no key {outside[0]}")

    def _row_frames(self, number, table):
        row_bytes = df.row_bytes_of(table.dtype, table.dim)
        most = df.MOST_PAYLOAD // (8 + row_bytes)
        if most == 0:
            raise ValueError(f"rows of {row_bytes} bytes; {df.MOST_PAYLOAD - 8} is the most")
        packed = df.pack_rows(table.rows, table.scales)
        for partition, places in self._split(table.keys, most):
            payload = table.keys[places].astype("<i8").tobytes() + packed[places].tobytes()
            yield df.Frame(df.ROWS, payload, df.DTYPES[table.dtype], partition=partition,
                           table=number, count=len(places), row_bytes=row_bytes)

    def _delete_frames(self, number, keys):
        for partition, places in self._split(keys, df.MOST_PAYLOAD // 8):
            yield df.Frame(df.DELETES, keys[places].astype("<i8").tobytes(), partition=partition,
                           table=number, count=len(places))

    def _split(self, keys, most):
        """(partition, places of at most `most` of its keys, in their order)."""
        order = np.argsort(keys, kind="stable")
        partitions = df.partition_of(keys, self._log.partitions)[order]
        for partition in range(self._log.partitions):
            places = order[partitions == partition]
            for begin in range(0, len(places), most):
                yield partition, places[begin:begin + most]


def _distinct(name, keys, what):
    keys = np.asarray(_tables.to_array(keys)[0], np.int64).reshape(-1)
    keys = np.sort(keys)
    again = np.flatnonzero(keys[1:] == keys[:-1])
    if len(again):
        raise ValueError(f"table '{name}': key {keys[again[0]]} is twice in {what}")
    return keys


def _frame_keys(frame):
    return np.frombuffer(frame.payload, "<i8", frame.count)


def _identity(frame):
    return frame.kind, frame.partition, frame.table, frame.dtype, frame.payload


def _is_callable(source):
    return callable(source) and not hasattr(source, "weight")
