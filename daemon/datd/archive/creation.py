"""Makes the two feeds of a new archive, and opens those of one that may be written to."""

from datd.archive.archive import Archive
from datd.archive.content_key import content_secret
from datd.archive.entries import HYPERDRIVE, Header
from datd.crypto import KeyPair, content_key_pair
from datd.errors import StorageError
from datd.feed.feed import Feed
from datd.keys import Key
from datd.storage.layout import ArchiveFiles

_SECRET_SIZE = 64


def create(files: ArchiveFiles, pair: KeyPair) -> Archive:
    """Begin an archive of our own: version 0, with nothing in it but its header.

    All of it is on disk when this returns, the secret key in the metadata feed's `secret_key` file.

    Args:
        files: Files of both feeds, all empty.
        pair: Keys of the metadata feed; made of a seed that nobody can guess.

    Raises:
        StorageError: Another feed lies there (D-7), or the disk is at fault. What was made until
            then holds nothing of worth.
    """
    content_pair = content_key_pair(pair.secret)
    metadata = Feed.create(files.metadata, pair)
    content = Feed.create(files.content, content_pair, keep_secret=False)
    metadata.append([Header(HYPERDRIVE, content_pair.public).encode()])
    metadata.flush()
    return Archive(metadata, content)


def open_own(
    files: ArchiveFiles, key: Key | None = None, *, secret: bytes | None = None, clean: bool = True
) -> Archive:
    """Open both feeds of an archive, for writing if its secret key is at hand.

    Args:
        files: Files of both feeds.
        key: The archive's key; None takes the one that is stored.
        secret: The metadata feed's 64-byte secret key, if it is not kept among the files.
        clean: Whether the last close was orderly; see `Feed.open`.

    Raises:
        StorageError: There is no archive, or not this one, or it cannot be read.
        ArchiveFormatError: The feed is no archive.
    """
    metadata = Feed.open(files.metadata, key, secret_key=secret, clean=clean)
    archive = Archive(metadata)
    if not metadata.has(0):
        raise StorageError(f"{files.metadata.data.name} lacks the header of the archive")
    own = secret if secret is not None else files.metadata.secret_key.read(0, _SECRET_SIZE)
    content_key = archive.content_key()
    archive.content = Feed.open(
        files.content,
        content_key,
        secret_key=content_secret(own, content_key) if metadata.writable else None,
        clean=clean,
    )
    return archive
