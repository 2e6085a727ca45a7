"""The pool of open files that all feeds share."""

import errno
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from datd.shortage import OUT_OF_DESCRIPTORS, Shortage

# L-21. A feed touches six files, a busy archive twelve: twenty busy archives stay open at once, and
# three quarters of what the system grants are left for connections.
MAX_OPEN_FILES = 256


@dataclass(slots=True)
class _Held:
    path: Path
    descriptor: int
    writable: bool
    leases: int = 0
    stale: bool = False


class Descriptors:
    """Lends descriptors by path and keeps the most recently used open, up to a limit.

    Lanes run in several threads, so the book is kept under a lock; what the disk does is not: one
    that hangs, or has to wake up first, must not hold up the files of others.

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
        self._forgotten = 0  # calls of `forget`: what is being opened meanwhile may be meant
        self._refused: dict[Path, OSError] = {}

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
            self._forgotten += 1
            self._refused.pop(path, None)
            held = self._held.pop(path, None)
            idle = self._retire(held) if held is not None else []
        for one in idle:
            with suppress(OSError):  # nobody needs what was not flushed by now
                os.close(one.descriptor)

    def shrink(self) -> None:
        """Keep half as many open as now: others need descriptors more (C-17)."""
        with self._lock:
            self.limit = max(1, min(self.limit, len(self._held) // 2))
            idle = self._surplus()
        self._close(idle)

    def close(self) -> None:
        """Close everything."""
        with self._lock:
            idle = [one for held in self._held.values() for one in self._retire(held)]
            self._held.clear()
        self._close(idle)

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
            if (refused := self._refused.pop(path, None)) is not None:
                raise refused
            held = self._held.get(path)
            if held is not None and (held.writable or not create):
                self._held.move_to_end(path)
                held.leases += 1
                return held
            forgotten = self._forgotten
        fresh = self._open(path, create)
        fresh.leases = 1
        with self._lock:
            held = self._held.get(path)
            if forgotten != self._forgotten or (held is not None and held.writable):
                fresh.stale = True  # for this time only
                return fresh
            idle = self._retire(held) if held is not None else []
            self._held[path] = fresh
            self._held.move_to_end(path)
            self.limit = min(self._allowed, self.limit + 1)
            idle += self._surplus()
        self._close(idle)
        return fresh

    def _give_back(self, held: _Held) -> None:
        with self._lock:
            held.leases -= 1
            idle = [held] if held.stale and not held.leases else []
        self._close(idle)

    def _open(self, path: Path, create: bool) -> _Held:
        # A later write must not reopen, and a read-only disk must still be readable (D-6).
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags | (os.O_CREAT if create else 0), 0o644)
            return _Held(path, descriptor, writable=True)
        except PermissionError:
            if create:
                raise
        except OSError as error:
            if create or error.errno != errno.EROFS:
                raise
        # Non-blocking, or a pipe put in its place would hold us for ever.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
        return _Held(path, os.open(path, flags), writable=False)

    def _surplus(self) -> list[_Held]:
        """Take out those above the limit that nobody uses; they are to be closed."""
        idle: list[_Held] = []
        if len(self._held) <= self.limit:
            return idle
        for held in list(self._held.values()):
            if not held.leases:
                del self._held[held.path]
                idle += self._retire(held)
                if len(self._held) <= self.limit:
                    break
        return idle

    def _retire(self, held: _Held) -> list[_Held]:
        """It is not lent any more; gives it if it is to be closed now."""
        held.stale = True
        return [] if held.leases else [held]

    def _close(self, idle: list[_Held]) -> None:
        for held in idle:
            try:
                os.close(held.descriptor)
            except OSError as error:
                # Some file systems (NFS) say only now that they could not write, and never again:
                # whoever uses that file next, to flush it perhaps, has to hear of it (D-4).
                with self._lock:
                    self._refused[held.path] = error
