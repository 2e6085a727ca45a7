"""Secret keys of our own archives, and beside each the mark: the longest history that was let out.

Lies in `DATA/keys`, apart from the archives, so that a copied archive folder gives no key away.
Synchronous: called in lanes and threads.

Source: reliability.md section 3.4 and T-50; decisions 16 and 20.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from datd import crypto
from datd.errors import StorageError
from datd.keys import DiscoveryKey, Key
from datd.records import Record, Signed
from datd.storage.disk import flush_folder, replace_file
from datd.storage.faults import storage_error
from datd.storage.private import create_private, read_private

_SECRET_SIZE: Final = 64
_MARK: Final = ".mark"


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the two feeds of an archive were signed, and let out.

    Attributes:
        metadata: Of the one feed.
        content: Of the other one.
        doubtful: Whether the catalogue that went with it was lost: it may be as old as a backup,
            and of a conflict nothing is known any more.
    """

    metadata: Signed | None = None
    content: Signed | None = None
    doubtful: bool = field(default=False, kw_only=True)


class Secrets:
    """The folder of secret keys: `<2 hex>/<62 hex>` of the discovery key, 0600 in 0700."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: DiscoveryKey) -> bytes | None:
        """The 64-byte secret key of an archive; None if it is not here.

        Raises:
            StorageError: Others can read the file, it holds no key of this archive, or the disk is
                at fault.
        """
        path = self._path(name)
        secret = read_private(path)
        if secret is not None and _named(secret) != name:
            raise StorageError(
                f"{str(path)!r} is not the secret key of the archive it is named after: "
                "put the right one in its place, or remove it"
            )
        return secret

    def to_sign_with(self, record: Record) -> bytes | None:
        """The secret key that an archive of ours is written with, if it may be.

        A key that signed two histories signs nothing any more (reliability.md 3.4).

        Raises:
            StorageError: As `read`.
        """
        ours = record.writable and record.conflict is None
        return self.read(record.key.discovery_key) if ours else None

    def keep(self, secret: bytes) -> None:
        """Keep a secret key; it is on the disk when this returns.

        Raises:
            StorageError: Another file lies in its place, or the disk refused.
            ValueError: It is no secret key: its halves do not belong together.
        """
        name = _named(secret)
        if name is None:
            raise ValueError("the two halves of the secret key do not belong together")
        if self.read(name) is None:
            create_private(self._path(name), secret)

    def remove(self, name: DiscoveryKey) -> None:
        """Forget a secret key for good, with its mark.

        Raises:
            StorageError: The disk refused.
        """
        path = self._path(name)
        try:
            for file in (path, _mark_of(path)):
                file.unlink(missing_ok=True)
            if path.parent.is_dir():
                flush_folder(path.parent)
        except OSError as error:
            raise storage_error(error, path, "remove") from error

    def mark(self, name: DiscoveryKey) -> Mark | None:
        """How far an archive was let out; None if that is not known.

        Raises:
            StorageError: The disk is at fault.
        """
        text = read_private(_mark_of(self._path(name)))
        try:
            told = json.loads(text or b"null")
            if told is None:
                return None
            feeds = [told[feed] for feed in ("metadata", "content")]
            return Mark(
                *(None if feed is None else Signed(**feed) for feed in feeds),
                doubtful=bool(told.get("doubtful", False)),
            )
        except (ValueError, TypeError, KeyError):
            return None  # as good as none: peers are asked before anything is written

    def set_mark(self, name: DiscoveryKey, mark: Mark) -> None:
        """Note how far an archive is let out; it is on the disk when this returns.

        Raises:
            StorageError: The disk refused; the old mark stands.
        """
        path = _mark_of(self._path(name))
        replace_file(path, json.dumps(asdict(mark)).encode(), mode=0o600)

    def _path(self, name: DiscoveryKey) -> Path:
        digits = str(name)
        return self._folder / digits[:2] / digits[2:]


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + _MARK)


def _named(secret: bytes) -> DiscoveryKey | None:
    """The name of the feed that a secret key signs for, or None if its halves do not fit."""
    if len(secret) != _SECRET_SIZE:
        return None
    pair = crypto.key_pair(secret[: crypto.KEY_SIZE])
    return Key(pair.public).discovery_key if pair.secret == secret else None
