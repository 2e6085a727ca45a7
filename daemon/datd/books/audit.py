"""The audit log: who changed what, and who used a secret key. Lines of JSON, in files with an end.

Written by a thread of its own, so a slow disk delays no answer. The file is opened for each batch,
so another program may move it away at any time; ours are moved when they are large.
"""

import asyncio
import json
import logging
import os
import stat
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from datd.words import counted

log = logging.getLogger(__name__)

# A change a second for half a day each; with six of them a busy daemon looks back for days, and a
# quiet one for years.
MAX_FILE = 10 * 10**6
KEPT_FILES = 5
# Lines that wait for a disk which takes nothing: more than these are lost, and counted.
MAX_WAITING = 10_000


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One change, or one use of a secret.

    Attributes:
        id: Counts up, across restarts.
        at: Seconds since 1970.
        who: "token:ID", "api.token", "unix:UID", "account:NAME" or "nobody".
        source: The address it came from, or "unix".
        action: Name of the operation, such as "remove_archive".
        archive: Discovery key of the archive, hex: a link would be the right to read.
        status: HTTP status of the answer; None: the client was gone before there was one.
    """

    id: int
    at: float
    who: str
    source: str
    action: str
    archive: str | None
    status: int | None


_FIELDS = {field.name for field in fields(AuditLine)}


class AuditLog:
    """Appends lines, and reads them back a page at a time."""

    def __init__(self, path: Path, *, max_file: int = MAX_FILE) -> None:
        """A log that is not open yet.

        Args:
            path: Its newest file; older ones lie beside it as `.1`, `.2` and so on.
            max_file: Bytes after which a file is moved away.
        """
        self._path = path
        self._max_file = max_file
        self._thread = ThreadPoolExecutor(1, "audit")
        self._waiting: deque[AuditLine] = deque()
        self._next = 1
        self._lost = 0
        self._failed = False
        self._writing: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Find out where the counting goes on."""
        loop = asyncio.get_running_loop()
        self._next = await loop.run_in_executor(self._thread, self._last_id) + 1

    async def close(self) -> None:
        """Write what waits, and end."""
        while self._waiting or (self._writing is not None and not self._writing.done()):
            await self._write_soon()
        self._thread.shutdown()

    def note(
        self,
        at: float,
        who: str,
        source: str,
        action: str,
        archive: str | None,
        status: int | None,
    ) -> None:
        """Add a line; returns at once. For the fields see `AuditLine`."""
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
            return
        self._waiting.append(AuditLine(self._next, at, who, source, action, archive, status))
        self._next += 1
        self._write_soon()

    async def page(self, since: int | None, limit: int) -> list[AuditLine]:
        """Lines, in the order in which they were written.

        Args:
            since: After the line with this id; None: the newest ones.
            limit: How many at most.
        """
        if self._writing is not None:
            await self._writing
        if self._waiting:  # they came while the thread wrote, which has ended just now
            self._write_soon()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._read, since, limit)

    def _write_soon(self) -> asyncio.Future[None]:
        if self._writing is None or self._writing.done():
            loop = asyncio.get_running_loop()
            self._writing = loop.run_in_executor(self._thread, self._write)
            self._writing.add_done_callback(self._written)
        return self._writing

    def _written(self, _: asyncio.Future[None]) -> None:
        if self._waiting:  # they came while the thread wrote
            self._write_soon()

    # ---- in the thread

    def _write(self) -> None:
        lines = []
        while self._waiting:
            lines.append(self._waiting.popleft())
        data = b"".join(
            json.dumps(asdict(line), separators=(",", ":")).encode("ascii") + b"\n"
            for line in lines
        )
        try:
            self._append(data)
        except OSError as error:
            if not self._failed:
                log.error("%s cannot be written: %s", self._path, error.strerror)
            self._failed = True
            self._lost += len(lines)
            return
        if self._lost:
            lost = counted(self._lost, "line")
            log.error("%s lacks %s: the disk took nothing", self._path, lost)
        self._failed, self._lost = False, 0

    def _append(self, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags | os.O_NONBLOCK, 0o600)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(0, "it is no plain file")
            if found.st_mode & 0o077:
                os.fchmod(descriptor, 0o600)  # T-50: it was made wider by somebody else
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if size >= self._max_file:
            self._move()

    def _move(self) -> None:
        for number in range(KEPT_FILES, 0, -1):
            with suppress(FileNotFoundError):
                os.replace(self._file(number - 1), self._file(number))

    def _file(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")

    def _last_id(self) -> int:
        for number in range(KEPT_FILES + 1):
            last = deque(_lines(self._file(number)), maxlen=1)
            if last:
                return last[0].id
        return 0

    def _read(self, since: int | None, limit: int) -> list[AuditLine]:
        if since is None:
            found: deque[AuditLine] = deque()
            for number in range(KEPT_FILES + 1):
                newest = deque(_lines(self._file(number)), maxlen=limit - len(found))
                found.extendleft(reversed(newest))
                if len(found) >= limit:
                    break
            return list(found)
        page: list[AuditLine] = []
        for number in range(KEPT_FILES, -1, -1):
            for line in _lines(self._file(number)):
                if line.id > since:
                    page.append(line)
                    if len(page) >= limit:
                        return page
        return page


def _lines(path: Path) -> Iterator[AuditLine]:
    """The lines of one file; what is no line of ours, as after a crash, is passed over."""
    try:
        with path.open("rb") as opened:
            for text in opened:
                found = _line(text)
                if found is not None:
                    yield found
    except OSError:
        return


def _line(text: bytes) -> AuditLine | None:
    try:
        found: Any = json.loads(text)
        if not isinstance(found, dict) or found.keys() != _FIELDS:
            return None
        return AuditLine(**found) if isinstance(found["id"], int) else None
    except (ValueError, RecursionError):
        return None
