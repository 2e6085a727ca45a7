"""The data folder: its lock, its parts, and the token of the API."""

import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType

from datd.errors import StorageError
from datd.storage.private import create_private, read_private

# What was lost when the catalogue was made anew, until somebody removes it.
REPORT = "catalogue-rebuilt.txt"

_TOKEN = "api.token"
_MAKE_ANEW = "remove it, and the next start makes a new one"


class DataFolder:
    """One daemon's folder, held by a lock for as long as it runs (D-8).

    Attributes:
        used: Whether a daemon has run here before.

    Raises:
        StorageError: It cannot be made, or another daemon holds it; the text says which process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.used = False
        self._lock = -1

    def __enter__(self) -> "DataFolder":
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{self.path} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
            os.close(self._lock)
            if not isinstance(error, BlockingIOError):  # a network disk without locks
                raise StorageError(f"{self.path} cannot be locked: {error.strerror}") from None
            raise StorageError(
                f"{self.path} is in use by process {holder or 'unknown'}: "
                "stop that daemon, or give this one another --data-dir"
            ) from None
        self.used = os.fstat(self._lock).st_size > 0 or (self.path / _TOKEN).exists()
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._lock)

    @property
    def archives(self) -> Path:
        """Where the files of archives lie."""
        return self.path / "archives"

    @property
    def keys(self) -> Path:
        """Where secret keys of our own archives lie."""
        return self.path / "keys"

    @property
    def known_blocks(self) -> Path:
        """The index of blocks by hash, which is made again when it is lost (decision 14)."""
        return self.path / "index" / "blocks.sqlite3"

    @property
    def history(self) -> Path:
        """The index of changes by path, which is made again when it is lost (decision 14)."""
        return self.path / "index" / "history.sqlite3"

    @property
    def audit(self) -> Path:
        """The newest file of the audit log: who changed what."""
        return self.path / "audit.jsonl"

    @property
    def catalogue(self) -> Path:
        """The catalogue's file."""
        return self.path / "catalogue.sqlite3"

    def token(self) -> str:
        """The token of the API, made at the first call and kept in `api.token` (mode 0600).

        Raises:
            StorageError: The file is empty, readable by others, or cannot be read or written.
        """
        file = self.path / _TOKEN
        try:
            kept = read_private(file)
            if kept is None:
                token = secrets.token_hex(32)
                create_private(file, f"{token}\n".encode())
                return token
            token = kept.decode("ascii").strip()
        except StorageError as error:
            raise StorageError(f"{file} cannot be the token of the API: {error}") from None
        except UnicodeDecodeError:
            raise StorageError(f"{file} holds no token: {_MAKE_ANEW}") from None
        if not token:
            raise StorageError(f"{file} is empty: {_MAKE_ANEW}")
        return token
