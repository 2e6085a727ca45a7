"""The content key in block 0: checks what an author wrote, and finds the secret of our own."""

from datd.archive.entries import HYPERDRIVE, Header
from datd.crypto import KEY_SIZE, content_key_pair
from datd.errors import ArchiveFormatError
from datd.keys import Key

_PRIME = 2**255 - 19
_SIGN_BIT = 1 << 255
# A y coordinate of the four points of order 8; the other two of them have the negative one.
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
# y of all eight points whose order divides 8: identity, order 2, order 4, order 8. For keys made of
# them signatures can be made without any secret.
_SMALL_ORDER = frozenset({1, _PRIME - 1, 0, _ORDER_8, _PRIME - _ORDER_8})


def checked_content_key(header: Header, metadata: Key) -> Key:
    """Give the content feed's key, if the header makes sense.

    Args:
        header: Block 0 of the metadata feed.
        metadata: Key of the metadata feed.

    Raises:
        ArchiveFormatError: The feed is no archive, or the key cannot be one (reliability.md T-28).
    """
    if header.type != HYPERDRIVE:
        raise ArchiveFormatError(
            f"this is a plain feed of type {header.type[:80]!r}: it is hosted, but it has no files"
        )
    raw = header.content_key
    if len(raw) != KEY_SIZE:
        raise ArchiveFormatError(
            f"the archive's content key has {len(raw)} bytes: expected {KEY_SIZE}"
        )
    if raw == metadata.raw:
        raise ArchiveFormatError("the archive names its metadata feed as its content feed")
    if has_small_order(raw):
        raise ArchiveFormatError("the archive's content key is one that anybody can sign for")
    return Key(raw)


def content_secret(metadata_secret: bytes, content: Key) -> bytes | None:
    """Give the secret key of an archive's content feed, which is derived and never stored.

    Args:
        metadata_secret: The 64-byte secret key of the metadata feed.
        content: The content key that block 0 names.

    Returns:
        64 bytes; None if the archive's content key was not derived from this secret, as no known
        program makes it: then nobody can write its content with this secret alone.

    Source: feeds.md section 1.
    """
    pair = content_key_pair(metadata_secret)
    return pair.secret if pair.public == content.raw else None


def has_small_order(public: bytes) -> bool:
    """Whether 32 bytes encode one of the eight points of small order, in any way of writing it.

    The sign of x does not matter, and y may be written with the prime added.
    """
    y = (int.from_bytes(public, "little") & ~_SIGN_BIT) % _PRIME
    return y in _SMALL_ORDER
