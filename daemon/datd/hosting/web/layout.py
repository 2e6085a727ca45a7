"""Where on a web server the parts of an archive lie: addresses and byte ranges. Pure.

Two layouts are understood, and look alike: a folder of the `dat` command (files plain at their
paths, feeds in `.dat/`), and the same with `.dat/content.data` beside, which holds every version.

Source: transports.md section 6; sleep.md sections 1, 2, 5 to 8.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from yarl import URL

from datd.storage.names import safe_path
from datd.storage.sleep import HEADER_SIZE

SIGNATURE_SIZE: Final = 64
# What a web server is asked for at one go. More is not faster, and is in memory until it is stored.
MAX_SPAN: Final = 2**20
# wire.md: no message, and so no block, is larger.
MAX_BLOCK: Final = 8 * 2**20
# Addresses longer than this break proxies and servers.
MAX_URL: Final = 2048

HTTP: Final = frozenset({"http", "https"})
WEBSOCKET: Final = frozenset({"ws", "wss"})

Locate = Callable[[int], tuple[str, int, int] | None]
"""Content byte to (name of its file, offset in it, bytes from there to the file's end)."""


def web_source(text: str) -> str:
    """The address of a web source as it is kept: a folder of the web, or a WebSocket.

    Args:
        text: As somebody wrote it.

    Raises:
        ValueError: It is none; the text says why.
    """
    try:
        url = URL(text.strip())
        port = url.port
    except ValueError:
        raise ValueError("is no address of the web") from None
    if url.scheme not in HTTP | WEBSOCKET or not url.host or not port:
        raise ValueError("is no address such as https://example.org/archive/ or wss://HOST/PATH")
    if url.user is not None or url.password is not None:
        raise ValueError("holds a user name or password, which would be shown to others")
    if len(str(url)) > MAX_URL:
        raise ValueError(f"is longer than {MAX_URL} characters")
    if url.scheme in WEBSOCKET:
        return str(url.with_fragment(None))
    if url.query_string:
        raise ValueError("has a query; a web source is a folder")
    kept = str(url.with_fragment(None))
    return kept if kept.endswith("/") else f"{kept}/"


def sleep_url(base: URL, name: str) -> URL:
    """The address of a SLEEP file, such as "metadata.tree"."""
    return URL(f"{base}.dat/{name}", encoded=True)


def file_url(base: URL, name: str) -> URL | None:
    """The address of an archive's file; None if its name must not be put into one."""
    components = safe_path(name)
    if components is None:
        return None
    return URL(str(base) + "/".join(quote(part, safe="") for part in components), encoded=True)


def signed_length(size: int) -> int:
    """Blocks that a `signatures` file of so many bytes speaks of."""
    return max(0, size - HEADER_SIZE) // SIGNATURE_SIZE


@dataclass(slots=True)
class Extent:
    """Where a block lies in its feed."""

    block: int
    offset: int
    size: int


@dataclass(slots=True)
class Span:
    """Neighbouring blocks that come with one request.

    Attributes:
        name: The file that holds them, as entries have it; None: the feed's own `data` file.
        start: The first byte there.
        blocks: Which, in order.
    """

    name: str | None
    start: int
    blocks: list[Extent]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(block.size for block in self.blocks)


def spans(extents: Iterable[Extent], locate: Locate | None) -> tuple[list[Span], list[int]]:
    """Put blocks together that lie behind one another in one file.

    Args:
        extents: Blocks in the order of the feed.
        locate: Finds the file of a content byte; None: the feed has a file of its own.

    Returns:
        What to ask for, and the blocks that lie in no file that could be asked for.
    """
    found: list[Span] = []
    nowhere: list[int] = []
    name: str | None = None
    shift = end = 0  # feed byte + shift = file byte, up to the feed byte `end`
    for extent in extents:
        if locate is not None and not extent.offset < end:
            place = locate(extent.offset)
            if place is None:
                nowhere.append(extent.block)
                continue
            name, shift, end = place[0], place[1] - extent.offset, extent.offset + place[2]
        if locate is not None and extent.offset + extent.size > end:
            nowhere.append(extent.block)  # blocks never span files: the entry lies
            continue
        last = found[-1] if found else None
        if (
            last is not None
            and last.name == name
            and last.start + last.size == extent.offset + shift
            and last.size + extent.size <= MAX_SPAN
        ):
            last.blocks.append(extent)
        else:
            found.append(Span(name, extent.offset + shift, [extent]))
    return found, nowhere


def cut(span: Span, data: bytes) -> list[tuple[int, bytes | None]]:
    """The bytes of each block of a span; None where the answer is too short."""
    pieces: list[tuple[int, bytes | None]] = []
    at = 0
    for block in span.blocks:
        piece = data[at : at + block.size]
        pieces.append((block.block, piece if len(piece) == block.size else None))
        at += block.size
    return pieces
