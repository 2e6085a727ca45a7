"""The secret key of an archive in the layout of the `dat` command: outside its folder.

Source: sleep.md section 4.
"""

from collections.abc import Iterable
from pathlib import Path

from datd import crypto
from datd.errors import StorageError
from datd.storage.base import DescriptorPool, RandomAccess
from datd.storage.disk import DiskFile, Piece


class OwnerKeyFile:
    """A RandomAccess over a file named by the discovery key, that counts only with an owner mark.

    A copy of the folder without its mark is read-only even where the key lies. Files of others are
    read whatever their mode; ours are for the owner only.
    """

    def __init__(
        self, mark: RandomAccess, key: RandomAccess, secret_keys: Path | None, pool: DescriptorPool
    ) -> None:
        """Open nothing yet.

        Args:
            mark: The archive's `metadata.ogd`: one byte of any value says that it is the owner's.
            key: The archive's `metadata.key`, 32 bytes once there are any.
            secret_keys: Folder of all secret keys; with None nothing can be read or written.
            pool: Lends descriptors.
        """
        self._mark = mark
        self._key = key
        self._secret_keys = secret_keys
        self._pool = pool
        self._opened: DiskFile | None = None

    @property
    def name(self) -> str:
        file = self._file()
        return file.name if file else f"secret key for {self._key.name}"

    def read(self, offset: int, length: int) -> bytes:
        file = self._owned()
        return file.read(offset, length) if file else b""

    def write(self, offset: int, data: Piece) -> None:
        self.write_many(((offset, data),))

    def write_many(self, writes: Iterable[tuple[int, Piece]]) -> None:
        file = self._file()
        if file is None:
            raise StorageError(
                f"cannot keep the secret key for {self._key.name!r}: a folder of secret keys and "
                "the archive's own key must be there first"
            )
        if not self._mark.size():
            self._mark.write(0, b"\0")
        file.write_many(writes)

    def truncate(self, size: int) -> None:
        file = self._owned()
        if file:
            file.truncate(size)

    def sync(self) -> None:
        self._mark.sync()
        file = self._file()
        if file:
            file.sync()

    def punch(self, offset: int, length: int) -> None:
        file = self._owned()
        if file:
            file.punch(offset, length)

    def size(self) -> int:
        file = self._owned()
        return file.size() if file else 0

    def close(self) -> None:
        self._mark.close()
        if self._opened:
            self._opened.close()

    def _owned(self) -> DiskFile | None:
        return self._file() if self._mark.size() else None

    def _file(self) -> DiskFile | None:
        if self._opened is None and self._secret_keys is not None:
            key = self._key.read(0, crypto.KEY_SIZE)
            if len(key) == crypto.KEY_SIZE:
                name = crypto.discovery_key(key).hex()
                path = self._secret_keys / name[:2] / name[2:]
                self._opened = DiskFile(path, self._pool, mode=0o600)
        return self._opened
