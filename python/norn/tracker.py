"""Which rows a trainer has touched since they were last published. Any thread may touch."""

import threading
import time

import numpy as np

_NONE = np.zeros(0, np.int64)


def distinct(keys):
    """Sorted, each once. np.unique of integers goes by a hash, ten times slower at a million keys."""
    keys = np.sort(np.asarray(keys, np.int64), axis=None)
    return keys[np.concatenate([keys[:1] == keys[:1], keys[1:] != keys[:-1]])]


class Tracker:
    """Two buffers: what is touched now, and what is on its way.

    `take` moves the first into the second; `commit` forgets that, `abort` puts it back. So no key is
    lost where a publish fails. Nothing is dropped for want of room either: with `bound` distinct keys
    in both, `touch` waits for a commit. A thread that both trains and publishes needs a bound above
    what it touches between two publishes.
    """

    def __init__(self, tables, bound=50_000_000):
        self.bound = bound
        self._active = {name: _Keys() for name in tables}
        self._taken = None
        self._changed = threading.Condition()

    def touch(self, table, keys, timeout=None):
        """Note keys; TimeoutError where there was no room for `timeout` seconds: none was noted."""
        keys = distinct(keys)
        with self._changed:
            self._buffer(table)
            deadline = None if timeout is None else time.monotonic() + timeout
            while self._full():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"table '{table}': {self.bound} touched keys wait to be "
                                       "published, the bound; publish, or make the bound larger")
                self._changed.wait(left)
            self._buffer(table).add(keys)  # not the one of before: a take may have replaced it

    def restore(self, table, keys):
        """Note keys whatever the bound is: what a restarted trainer found in the log."""
        with self._changed:
            self._buffer(table).add(distinct(keys))

    def take(self):
        """{table: sorted distinct keys} touched; they are on their way until commit or abort."""
        with self._changed:
            if self._taken is not None:
                raise RuntimeError("keys are on their way already: commit or abort them first")
            self._taken = {name: buffer.distinct() for name, buffer in self._active.items()
                           if buffer.most}
            self._active = {name: _Keys() for name in self._active}
            return dict(self._taken)

    def commit(self):
        with self._changed:
            self._taken = None
            self._changed.notify_all()

    def abort(self):
        with self._changed:
            for name, keys in (self._taken or {}).items():
                self._active[name].add(keys)
            self._taken = None
            self._changed.notify_all()

    def __len__(self):
        """Distinct keys, by table, that are touched or on their way."""
        with self._changed:
            return self._count(exact=True)

    def _buffer(self, table):
        if table not in self._active:
            raise KeyError(f"there is no table '{table}'; there are: {', '.join(self._active)}")
        return self._active[table]

    def _full(self):
        return self._count() >= self.bound and self._count(exact=True) >= self.bound

    def _count(self, exact=False):
        taken = sum(map(len, (self._taken or {}).values()))
        return taken + sum(len(buffer.distinct()) if exact else buffer.most
                           for buffer in self._active.values())


class _Keys:
    """Distinct keys, merged when they have doubled."""

    def __init__(self):
        self._merged, self._parts = _NONE, []
        self.most = 0  # no fewer than there are

    def add(self, keys):
        self._parts.append(keys)
        self.most += len(keys)
        if self.most > 2 * len(self._merged) + (1 << 16):
            self.distinct()

    def distinct(self):
        if self._parts:
            self._merged = distinct(np.concatenate([self._merged, *self._parts]))
            self._parts, self.most = [], len(self._merged)
        return self._merged
