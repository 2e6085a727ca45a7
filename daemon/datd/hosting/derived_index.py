"""The file of an index that is derived from the archives and can be made again (decision 14).

It is an SQLite database, used in a thread of its own. A file that is damaged or of another format
goes and is begun anew; while the disk gives trouble nothing is known. Nobody gets an error.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from datd.storage.private import make_database_private

T = TypeVar("T")
log = logging.getLogger(__name__)

# What SQLite says of a damaged file; the last one of tables that are not there.
_DAMAGE: Final = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR))
# Python gives extended codes: SQLITE_CORRUPT_INDEX and others. What they extend is the low byte.
_PRIMARY: Final = 0xFF


class DamagedIndex(Exception):
    """What a call found in the index makes no sense: the file is to be begun anew."""


@dataclass(frozen=True)
class Form:
    """How an index lies in its file, and how that is treated.

    Attributes:
        number: Of this format, not 0; a file that has another is begun anew.
        schema: SQL that makes its tables.
        cache_kib: Memory while it is in use.
        lasting: It survives a power cut whole, or is known to be damaged: for an index of which a
            missing row would not be noticed. Others need not wait for the disk.
        without: What it means that nothing is known, for the log.
    """

    number: int
    schema: str
    cache_kib: int
    lasting: bool
    without: str


class DerivedIndex:
    """The file, opened when it is first asked.

    Attributes:
        made: How often it was begun anew since the daemon's start.
    """

    def __init__(
        self, file: Path, form: Form, opened: Callable[[sqlite3.Connection], None]
    ) -> None:
        """Nothing is opened or made yet.

        Args:
            file: Where it lies; its folder is made if need be.
            form: What lies there.
            opened: Called in the thread whenever it was opened or begun anew.
        """
        self.made = 0
        self._file = file
        self._form = form
        self._opened = opened
        self._thread = ThreadPoolExecutor(1, file.stem)
        self._connection: sqlite3.Connection | None = None
        self._failed = False

    @property
    def begun(self) -> bool:
        """Whether there is something to ask: it is open, or its file lies there."""
        return self._connection is not None or self._file.exists()

    async def run(self, call: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Have a call made in the thread, one after the other.

        Args:
            call: Gets the database, in autocommit mode. It may raise `DamagedIndex`.
            otherwise: What is returned where the file cannot be used.
        """

        def attempt() -> T:
            try:
                return call(self._database())
            except (sqlite3.Error, OSError, DamagedIndex) as error:
                self._recover(error)
                return otherwise

        return await asyncio.get_running_loop().run_in_executor(self._thread, attempt)

    async def close(self) -> None:
        """End; `run` must not be called any more."""

        def attempt() -> None:
            try:
                self._close()
            except sqlite3.Error as error:
                self._complain(error)

        await asyncio.get_running_loop().run_in_executor(self._thread, attempt)
        self._thread.shutdown()

    # In the thread

    def _recover(self, error: Exception) -> None:
        """A damaged file is begun anew, once; any other trouble (a full disk) may pass."""
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, DamagedIndex) or (code is not None and code & _PRIMARY in _DAMAGE):
            log.warning("%s is damaged and made anew: %s", self._file, error)
            try:
                self._close()
                self._remove()
                self._database()
            except (sqlite3.Error, OSError) as again:
                error = again
            else:
                return
        self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            log.warning("%s: %s; %s meanwhile", self._file, error, self._form.without)

    def _database(self) -> sqlite3.Connection:
        if self._connection is None:
            database = self._open()
            try:
                self._opened(database)
            except BaseException:
                database.close()
                raise
            self._connection = database
        return self._connection

    def _open(self) -> sqlite3.Connection:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_database_private(self._file)  # what is in it tells links
        database = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA synchronous = {'NORMAL' if self._form.lasting else 'OFF'}")
            database.execute(f"PRAGMA cache_size = -{self._form.cache_kib}")
            (found,) = database.execute("PRAGMA user_version").fetchone()
            if found not in (0, self._form.number):
                database.close()
                self._remove()
                return self._open()
            if found == 0:
                database.executescript(self._form.schema)
                database.execute(f"PRAGMA user_version = {self._form.number}")
                self.made += 1
        except BaseException:
            database.close()
            raise
        return database

    def _close(self) -> None:
        if self._connection is not None:
            database, self._connection = self._connection, None
            database.close()

    def _remove(self) -> None:
        for ending in ("", "-wal", "-shm", "-journal"):
            self._file.with_name(self._file.name + ending).unlink(missing_ok=True)
