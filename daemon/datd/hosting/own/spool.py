"""Files that somebody sends, kept until they are whole: then they are written in one go.

Who sends slowly would otherwise hold an archive's turn for as long, and nobody else could write it.
"""

import asyncio
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import IO, TypeVar

from datd.errors import NoRoom
from datd.hosting.keeping.room import Room
from datd.storage.faults import storage_error

# So much is kept in memory: most files never touch the disk before they are in their archive.
IN_MEMORY = 2**20
# Read and written at a time: enough for a disk, little for 256 connections at once (L-22).
PIECE = 2**20

T = TypeVar("T")


class Spool:
    """The bytes of one file. The file on the disk has no name: a crash leaves nothing of it."""

    def __init__(self, folder: Path, *, room: Room, executor: Executor, held: int) -> None:
        """Hold nothing yet.

        Args:
            folder: Below which there is room, on the same disk as archives.
            room: Says how much of it.
            executor: Threads that may wait for the disk.
            held: Bytes that the archive holds which the file is for.
        """
        self._folder = folder
        self._room = room
        self._executor = executor
        self._held = held
        self._head = bytearray()
        self._file: IO[bytes] | None = None
        self._written = 0
        # Who is cancelled leaves a thread at the file, which must not be closed under its hands.
        self._turn = threading.Lock()
        self._closed = False

    async def fill(self, body: AsyncIterator[bytes]) -> None:
        """Take all that somebody sends.

        Raises:
            NoRoom: It is more than there is room for.
            StorageError: The disk refused.
        """
        async for piece in body:
            self._head += piece
            if len(self._head) >= IN_MEMORY:
                await self._spill()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Give all of it, from the beginning."""
        if self._file is not None:
            await self._spill()
            await self._run(self._rewind)
            while piece := await self._run(self._read):
                yield piece
        elif self._head:
            yield bytes(self._head)

    def close(self) -> None:
        """Forget all of it."""
        self._room.coming -= self._written
        if self._written:
            # Nobody waits for it: to give back gigabytes takes a file system its time.
            self._executor.submit(self._forget)
        self._written = 0

    async def _spill(self) -> None:
        lacking = self._room.refusal(self._held + self._written + len(self._head))
        if lacking is not None:
            raise NoRoom(lacking)
        data = bytes(self._head)
        self._head.clear()
        self._written += len(data)
        self._room.coming += len(data)
        await self._run(lambda: self._append(data))

    def _append(self, data: bytes) -> None:
        with self._turn:
            if self._closed:
                return
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]

    def _rewind(self) -> None:
        with self._turn:
            if self._file is not None:
                self._file.seek(0)

    def _read(self) -> bytes:
        with self._turn:
            return b"" if self._file is None else self._file.read(PIECE)

    def _forget(self) -> None:
        with self._turn:
            self._closed = True
            if self._file is not None:
                self._file.close()
                self._file = None

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)
        except OSError as error:
            raise storage_error(error, self._folder, "keep what is sent in") from error
