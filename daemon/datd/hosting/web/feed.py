"""One feed of an archive on a web server: its length, what it has, blocks and their proofs.

Nothing is trusted. The length is looked at with its signature before anybody hears of it, and
blocks are compared with their hashes, so that a file that was edited behind the archive's back is
told from a server that lies: the first costs that file, the second the conversation.

Source: transports.md section 6, sleep.md, feeds.md sections 6 to 9.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from bitarray import bitarray
from yarl import URL

from datd import crypto
from datd.errors import WebError
from datd.feed import flat_tree
from datd.feed.merkle import MerkleTree, Proof
from datd.hosting.web.client import NotThere, Seen, WebHost
from datd.hosting.web.layout import (
    MAX_BLOCK,
    MAX_SPAN,
    SIGNATURE_SIZE,
    Extent,
    Span,
    cut,
    file_url,
    signed_length,
    sleep_url,
    spans,
)
from datd.hosting.web.tree import PageMissing, RemoteTree, nodes_around, tree_of
from datd.keys import Key
from datd.replication.block_map import INDEX_LIMIT
from datd.storage.sleep import BITFIELD, HEADER_SIZE

T = TypeVar("T")

Place = Callable[[Sequence[Extent]], Awaitable[tuple[list[Span], list[int]]]]
"""Says which files hold some blocks, see `web_layout.spans`."""

# A web server in the middle of an update: its signatures may be ahead of its tree.
_SIGNATURES_TRIED: Final = 4
# A partial copy has signatures of some lengths only; so many of the last ones are looked at.
_SIGNATURES_READ: Final = 64
# A file with so many bad blocks was edited: it is not asked for any more. One bad block alone may
# be a disk's fault, and then the others are still of use.
_BAD_BLOCKS: Final = 3
# A proof needs a page for each level of the tree, at most.
_MOST_PAGES: Final = 128
_HAVE_BYTES: Final = 1024
_BLOCKS_A_PAGE: Final = 8 * _HAVE_BYTES


class WebFeed:
    """A feed that lies below a URL.

    Attributes:
        key: Its public key.
        length: Blocks that the newest good signature covers.
    """

    def __init__(
        self, host: WebHost, base: URL, name: str, key: Key, place: Place | None = None
    ) -> None:
        """Ask for nothing yet.

        Args:
            host: Reads.
            base: The archive's folder on the server.
            name: "metadata" or "content".
            key: The feed's.
            place: Finds files of content; None: all bytes lie in the feed's `data` file.
        """
        self.key = key
        self.length = 0
        self._bad: Counter[str] = Counter()
        self._new_bad: list[str] = []
        self._host = host
        self._base = base
        self._name = name
        self._place = place
        self._flat: bool | None = True if place is None else None
        self._seen: Seen | None = None
        self._nodes = RemoteTree()
        self._tree = MerkleTree(self._nodes, lambda _: None)
        self._page_size: int | None = None

    async def refresh(self) -> bool:
        """Look how long the feed is. Returns whether anything changed.

        Raises:
            WebError: The server cannot be asked, or its signatures do not hold.
        """
        url = self._url("signatures")
        seen = await self._host.look(url)
        if seen == self._seen:
            return False
        self._host.forget()
        length = signed_length(seen.size)
        if length >= INDEX_LIMIT:
            raise WebError(f"{url.host} has a signatures file of {seen.size} bytes: nobody has")
        first = max(0, length - _SIGNATURES_READ)
        at = HEADER_SIZE + first * SIGNATURE_SIZE
        data = await self._host.read(url, at, at + (length - first) * SIGNATURE_SIZE)
        found = [
            (first + number // SIGNATURE_SIZE + 1, data[number : number + SIGNATURE_SIZE])
            for number in range(0, len(data), SIGNATURE_SIZE)
        ]
        signed = [one for one in reversed(found) if len(one[1]) == SIGNATURE_SIZE and any(one[1])]
        for candidate, signature in signed[:_SIGNATURES_TRIED]:
            if await self._take(candidate, signature):
                self._seen = seen
                return True
        raise WebError(
            f"{url.host}: no signature of {self._name} holds; it may be in the middle of an update"
        )

    async def _take(self, length: int, signature: bytes) -> bool:
        nodes = RemoteTree()
        nodes.begin(length)
        await self._load(nodes, flat_tree.full_roots(2 * length))
        try:
            tree = tree_of(nodes, signature)
        except (PageMissing, ValueError):
            return False
        roots = tree.roots(length)
        if roots is None or not crypto.verify(crypto.root_hash(roots), signature, self.key.raw):
            return False
        self.length, self._nodes, self._tree = length, nodes, tree
        self._page_size = None
        self._bad.clear()
        return True

    async def have(self, start: int, stop: int) -> bitarray:
        """Which blocks from `start` up to `stop` the server says it has.

        Args:
            start: A multiple of 8192.
            stop: At most 2^20 more.
        """
        stop = min(stop, self.length)
        bits = bitarray(endian="big")
        if start >= stop:
            return bits
        url = self._url("bitfield")
        size = self._page_size
        try:
            if size is None:
                header = await self._host.read(url, 0, HEADER_SIZE)
                size = int.from_bytes(header[5:7], "big")
                self._page_size = size = size if size in BITFIELD.entry_sizes else 0
            if not size:
                raise NotThere("no bitfield that is understood")
            first, behind = start // _BLOCKS_A_PAGE, -(-stop // _BLOCKS_A_PAGE)
            data = await self._host.read(
                url, HEADER_SIZE + first * size, HEADER_SIZE + behind * size
            )
        except NotThere:
            bits.extend([True] * (stop - start))  # asked for one by one, then
            return bits
        for page in range(behind - first):
            piece = data[page * size : page * size + _HAVE_BYTES]
            bits.frombytes(piece.ljust(_HAVE_BYTES, b"\0"))
        del bits[stop - start :]
        return bits

    async def proof(self, block: int, digest: int, *, hash_only: bool = False) -> Proof | None:
        """Prove a block to somebody who knows what `digest` says; see `MerkleTree.proof`."""
        if block >= self.length:
            return None
        return await self._over(lambda: self._tree.proof(block, digest=digest, hash_only=hash_only))

    async def resolve(self, position: int) -> int | None:
        """The block that holds a byte; None if nobody can tell."""
        found = await self._over(lambda: self._tree.seek(position))
        return None if found is None or found[0] & 1 else found[0] // 2

    async def fetch(self, blocks: range) -> tuple[dict[int, bytes], list[int]]:
        """Read neighbouring blocks, the first ones of them that come in one go.

        Returns:
            Those that are what their hashes say; and those the server turns out not to have. What
            is in neither was not asked for.

        Raises:
            WebError: The server does not answer.
        """
        blocks = range(blocks.start, min(blocks.stop, self.length))
        if not blocks:
            return {}, []
        nodes, tree = self._nodes, self._tree
        await self._load(nodes, nodes_around(blocks[0], blocks[-1], self.length))
        offset = await self._over(lambda: tree.block_offset(blocks[0]))
        extents: list[Extent] = []
        lost: list[int] = []
        total = 0
        for block in blocks:
            leaf = await self._over(lambda block=block: tree.get(2 * block))  # type: ignore[misc]
            if leaf is None or offset is None or leaf.size > MAX_BLOCK:
                lost.append(block)
                break  # where the ones behind begin is not known
            if total and total + leaf.size > MAX_SPAN:
                break
            extents.append(Extent(block, offset, leaf.size))
            offset += leaf.size
            total += leaf.size
        asked, nowhere = await self._where(extents)
        answers = await asyncio.gather(*(self._read(span) for span in asked))
        good: dict[int, bytes] = {}
        lost += nowhere
        for span, data in zip(asked, answers, strict=True):
            for block, value in cut(span, data):
                leaf = await self._over(lambda block=block: tree.get(2 * block))  # type: ignore[misc]
                if value is not None and leaf and crypto.leaf_hash(value) == leaf.hash:
                    good[block] = value
                else:
                    lost.append(block)
                    if value is not None:
                        name = span.name or f"{self._name}.data"
                        self._bad[name] += 1
                        self._new_bad.append(name)
        return good, lost

    def take_bad(self) -> list[str]:
        """Files of blocks that were not what their hash says, since the last call."""
        bad, self._new_bad = self._new_bad, []
        return bad

    async def _where(self, extents: Sequence[Extent]) -> tuple[list[Span], list[int]]:
        if self._flat is None:
            try:
                await self._host.look(self._url("data"))
                self._flat = True
            except NotThere:
                self._flat = False
        if self._flat or self._place is None:
            return spans(extents, None)
        return await self._place(extents)

    async def _read(self, span: Span) -> bytes:
        """The bytes of a span, fewer or none where they are not there."""
        url = self._url("data") if span.name is None else file_url(self._base, span.name)
        edited = span.name is not None and self._bad[span.name] >= _BAD_BLOCKS
        if url is None or edited or not span.size:
            return b""
        try:
            return await self._host.read(url, span.start, span.start + span.size)
        except NotThere:
            return b""

    async def _load(self, nodes: RemoteTree, wanted: Sequence[int]) -> None:
        await asyncio.gather(*(self._load_pages(nodes, *run) for run in nodes.missing(wanted)))

    async def _load_pages(self, nodes: RemoteTree, first: int, stop: int) -> None:
        try:
            data = await self._host.read(self._url("tree"), *nodes.page_range(first, stop))
        except NotThere:
            data = b""
        nodes.put(first, stop, data)

    async def _over(self, look: Callable[[], T]) -> T:
        """Do what looks at nodes, fetching the pages that it turns out to need."""
        for _ in range(_MOST_PAGES):
            try:
                return look()
            except PageMissing as missing:
                await self._load_pages(self._nodes, missing.page, missing.page + 1)
        raise WebError("its tree is larger than anybody can look through")

    def _url(self, name: str) -> URL:
        return sleep_url(self._base, f"{self._name}.{name}")
