"""The pool of open files that all feeds share."""

import errno
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datd.shortage import OUT_OF_DESCRIPTORS, Shortage

# L-21. A feed touches six files, a busy archive twelve: twenty busy archives stay open at once, and
# three quarters of what the system grants are left for connections.
MAX_OPEN_FILES = 256


@dataclass(slots=True)
class _Held:
    descriptor: int
    writable: bool
    leases: int = 0
    stale: bool = False


class Descriptors:
    """Lends descriptors by path and keeps the most recently used open, up to a limit.

    Lanes run in several threads, so the book is kept under a lock; reads and writes are not.

    Attributes:
        limit: How many stay open. Less than was allowed after a shortage: then it grows by one with
            each file that can be opened.
    """

    def __init__(self, limit: int = MAX_OPEN_FILES, shortage: Shortage | None = None) -> None:
        """Nothing is open yet.

        Args:
            limit: How many may stay open.
            shortage: Is told when there is no descriptor, and has half of them closed.
        """
        self.limit = limit
        self._allowed = limit
        self._shortage = shortage or Shortage(time.monotonic)
        self._shortage.relieved_by(self.shrink)
        self._held: OrderedDict[Path, _Held] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def open_files(self) -> int:
        """How many descriptors are held just now."""
        return len(self._held)

    @contextmanager
    def lease(self, path: Path, *, create: bool) -> Iterator[int]:
        """Lend a descriptor; see `storage.base.DescriptorPool`."""
        held = self._take(path, create)
        try:
            yield held.descriptor
        finally:
            self._give_back(held)

    def forget(self, path: Path) -> None:
        """Close what is held for a path as soon as nobody uses it."""
        with self._lock:
            held = self._held.pop(path, None)
            if held is not None:
                self._retire(held)

    def shrink(self) -> None:
        """Keep half as many open as now: others need descriptors more (C-17)."""
        with self._lock:
            self.limit = max(1, min(self.limit, len(self._held) // 2))
            self._close_surplus()

    def close(self) -> None:
        """Close everything."""
        with self._lock:
            for held in self._held.values():
                self._retire(held)
            self._held.clear()

    def _take(self, path: Path, create: bool) -> _Held:
        try:
            return self._lend(path, create)
        except OSError as error:
            if error.errno not in OUT_OF_DESCRIPTORS:
                raise
            self._shortage.met(error, "files of archives cannot be opened")
        # There may be one now. If not, the error says that it is no file that is missing (D-7).
        return self._lend(path, create)

    def _lend(self, path: Path, create: bool) -> _Held:
        with self._lock:
            held = self._held.get(path)
            if held is not None and create and not held.writable:
                del self._held[path]
                self._retire(held)
                held = None
            if held is None:
                held = self._open(path, create)
                self._held[path] = held
                self.limit = min(self._allowed, self.limit + 1)
            else:
                self._held.move_to_end(path)
            held.leases += 1
            self._close_surplus()
            return held

    def _give_back(self, held: _Held) -> None:
        with self._lock:
            held.leases -= 1
            if held.stale and not held.leases:
                os.close(held.descriptor)

    def _open(self, path: Path, create: bool) -> _Held:
        # A later write must not reopen, and a read-only disk must still be readable (D-6).
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return _Held(os.open(path, flags | (os.O_CREAT if create else 0), 0o644), True)
        except PermissionError:
            if create:
                raise
        except OSError as error:
            if create or error.errno != errno.EROFS:
                raise
        return _Held(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), False)

    def _close_surplus(self) -> None:
        if len(self._held) <= self.limit:
            return
        for path, held in list(self._held.items()):
            if not held.leases:
                del self._held[path]
                self._retire(held)
                if len(self._held) <= self.limit:
                    return

    def _retire(self, held: _Held) -> None:
        held.stale = True
        if not held.leases:
            os.close(held.descriptor)
