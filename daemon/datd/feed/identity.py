"""The key files of a feed: who it is, and whether we may write it.

A new identity is made only where nothing of a feed lies (D-7). A file that cannot be read is not
absent.

Source: sleep.md sections 3, 4 and 10.
"""

from typing import NamedTuple

from datd import crypto
from datd.crypto import KeyPair
from datd.errors import StorageError
from datd.keys import Key
from datd.storage.base import FeedStorage
from datd.storage.sleep import BITFIELD, SIGNATURES, TREE

_SECRET_SIZE = 64


class Identity(NamedTuple):
    """Who a feed is.

    Attributes:
        key: Its public key.
        secret: 64 bytes that belong to the key, or None: then it is only read.
        stored: Whether the `key` file holds the key.
    """

    key: Key
    secret: bytes | None
    stored: bool


def create(storage: FeedStorage, pair: KeyPair, *, keep_secret: bool) -> None:
    """Begin the files of a new feed of our own; all of it is on disk when this returns.

    Args:
        storage: Six files, none of which may hold a byte.
        pair: The new feed's keys.
        keep_secret: Write the secret key too. That of a content feed is derived instead.

    Raises:
        StorageError: A feed lies here, or the disk is at fault.
    """
    for file in (
        storage.key,
        storage.secret_key,
        storage.tree,
        storage.signatures,
        storage.bitfield,
        storage.data,
    ):
        if file.size():
            raise StorageError(
                f"{file.name} is not empty: a new feed is only made where no other one lies"
            )
    if keep_secret:
        storage.secret_key.write(0, pair.secret)
        storage.secret_key.sync()
    storage.key.write(0, pair.public)
    storage.key.sync()
    for file, kind in (
        (storage.tree, TREE),
        (storage.signatures, SIGNATURES),
        (storage.bitfield, BITFIELD),
    ):
        file.write(0, kind.header(kind.entry_sizes[0]))
        file.sync()


def read(storage: FeedStorage, wanted: Key | None, secret: bytes | None) -> Identity:
    """Find out who a feed is.

    Args:
        storage: Its files.
        wanted: The key it should have, or None to take what is there.
        secret: Its secret key if that is kept elsewhere.

    Raises:
        StorageError: Another feed lies here, or no key is to be found.
    """
    raw = storage.key.read(0, crypto.KEY_SIZE)
    found = Key(raw) if len(raw) == crypto.KEY_SIZE else None
    kept = secret if secret is not None else storage.secret_key.read(0, _SECRET_SIZE)
    own = _public_of(kept)
    key = found or wanted or own
    if key is None:
        raise StorageError(
            f"{storage.key.name} holds no key: give the link of the archive that lies here"
        )
    if wanted is not None and key != wanted:
        raise StorageError(
            f"{storage.key.name} is the key of another feed than the one asked for: "
            "choose another folder"
        )
    return Identity(key, kept if own == key else None, found is not None)


def _public_of(secret: bytes) -> Key | None:
    """The public key that a secret key belongs to, or None if its two halves do not fit."""
    if len(secret) != _SECRET_SIZE:
        return None
    pair = crypto.key_pair(secret[: crypto.KEY_SIZE])
    return Key(pair.public) if pair.secret == secret else None
