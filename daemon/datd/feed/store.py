"""The open files of one feed: nodes and signatures by number, writes and flushes in the safe order.

It decides nothing: what is true is settled by `verify`, `recovery` and `feed` before it comes here.

Source: sleep.md sections 5 to 8 and 10 (order of writes).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate

from datd.errors import ReadOnlyError, StorageError
from datd.feed.bitfield import Bitfield
from datd.feed.mended import MendedFile
from datd.storage.base import FeedStorage, RandomAccess
from datd.storage.sleep import BITFIELD, SIGNATURES, TREE, SleepFile, SleepKind, read_entry_size
from datd.types import Node

# Decoded nodes kept for the next look-up: a batch of blocks touches the same few hundred again and
# again. Full, it takes about 400 KB, and only a feed that is being read or written has one.
_CACHED_NODES = 2048
# Blocks smaller than this are joined before they are written: the copy costs less than the pieces.
_SMALL_BLOCK = 2**14


class FeedStore:
    """One feed's tree, signatures, bitfield and data.

    Attributes:
        data: The blocks, one after the other.
        tree: Nodes; an entry counts only when its bit is set.
        signatures: Signatures, each at the index below its length.
        bitfield: What is known and here.
        bitfield_file: Where it lies.
        overlay: Nodes that recovery worked out and a read-only disk did not take.
        bits_lost: Whether the bitfield's header makes no sense, and so nothing in it counts.
        dirty: Bytes written since the last flush.
    """

    def __init__(self, storage: FeedStorage) -> None:
        """Open what is there; nothing is written.

        Raises:
            StorageError: A file cannot be read.
        """
        self.data = storage.data
        self._mended: list[MendedFile] = []
        self.tree = self._open_entries(storage.tree, TREE)
        self.signatures = self._open_entries(storage.signatures, SIGNATURES)
        self.bitfield_file = storage.bitfield
        self.bitfield, self.bits_lost = self._open_bits()
        self.overlay: dict[int, Node] = {}
        self._overlay_signatures: dict[int, bytes] = {}
        self._own_signatures: dict[int, bytes] = {}  # by length: they wait for the next flush
        self.dirty = 0
        self._hold_bits = False
        self._cache: dict[int, Node] = {}

    def _open_entries(self, file: RandomAccess, kind: SleepKind) -> SleepFile:
        if _header_fits(file, kind):
            return SleepFile(file, kind)
        # Entries lie at fixed places: whether they are any good, their hashes will tell.
        self._mended.append(MendedFile(file, kind.header(kind.entry_sizes[0])))
        return SleepFile(self._mended[-1], kind)

    def _open_bits(self) -> tuple[Bitfield, bool]:
        if _header_fits(self.bitfield_file, BITFIELD):
            return Bitfield.open(self.bitfield_file), False
        return Bitfield(self.bitfield_file), True

    @property
    def damaged(self) -> bool:
        """Whether a header cannot be understood."""
        return self.bits_lost or bool(self._mended)

    # Nodes and signatures

    def has(self, index: int) -> bool:
        """Whether a node is known."""
        return self.bitfield.has_node(index)

    def get(self, index: int) -> Node | None:
        """A known node, or None."""
        node = self._cache.get(index)
        if node is not None:
            return node
        if not self.bitfield.has_node(index):
            return None
        node = self.overlay.get(index)
        if node is None:
            node = self.stored_node(index)
            if node is None:
                return None
        if len(self._cache) >= _CACHED_NODES:
            self._cache.clear()
        self._cache[index] = node
        return node

    def stored_node(self, index: int) -> Node | None:
        """What the tree file holds at a place, whatever the bit says."""
        entry = self.tree.get(index)
        if entry is None:
            return None
        return Node(index, entry[:32], int.from_bytes(entry[32:], "big"))

    def signature_of(self, length: int) -> bytes | None:
        """The signature that covers a length, or None."""
        if not length:
            return None
        return (
            self._own_signatures.get(length)
            or self.signatures.get(length - 1)
            or self._overlay_signatures.get(length)
        )

    # Writing

    def write(
        self,
        blocks: Sequence[tuple[int, bytes]],
        nodes: Collection[Node],
        signatures: Mapping[int, bytes],
    ) -> None:
        """Put data, then nodes, then signatures on disk, unflushed. No bit is set.

        Args:
            blocks: Byte offset and bytes of each block, in order.
            nodes: Verified nodes.
            signatures: By the length they cover.

        Raises:
            StorageError: The disk refused; some of it may be written.
        """
        if blocks:
            self.data.write_many(blocks)
            self.dirty += sum([len(value) for _, value in blocks])
        if nodes:
            self.tree.put_many(
                [(node.index, node.hash + node.size.to_bytes(8, "big")) for node in nodes]
            )
            self.dirty += 40 * len(nodes)
        self._put_signatures(signatures)
        self.dirty += 64 * len(signatures)

    def append(
        self,
        offset: int,
        blocks: Sequence[bytes],
        entries: Mapping[int, bytes],
        length: int,
        signature: bytes,
    ) -> None:
        """Put blocks of our own at the end of the data, with what proves them; see `write`.

        The signature waits for `flush`. A crash may take any of what was not flushed: a signature
        that it left would hold for blocks that are nowhere, and our feed could never be shorter
        again (D-3). Blocks that it left without one are signed anew, to the same bytes.

        Args:
            offset: Where the data ends.
            blocks: One behind the other.
            entries: What the tree file is to hold, by node.
            length: Blocks of the feed then.
            signature: Covers that length.
        """
        size = sum(map(len, blocks))
        if size < _SMALL_BLOCK * len(blocks):
            self.data.write_many([(offset, b"".join(blocks))])
        else:
            starts = accumulate(map(len, blocks), initial=offset)
            self.data.write_many(zip(starts, blocks, strict=False))
        self.tree.put_many(entries.items())
        self._own_signatures[length] = signature
        self.dirty += size + 40 * len(entries) + 64

    def _put_signatures(self, signatures: Mapping[int, bytes]) -> None:
        if signatures:
            self.signatures.put_many(
                [(length - 1, signature) for length, signature in signatures.items()]
            )

    def mark(self, nodes: Mapping[int, Node]) -> None:
        """Count written nodes as known."""
        if len(self._cache) + len(nodes) > _CACHED_NODES:
            self._cache.clear()
        self._cache.update(nodes)
        self.bitfield.set_nodes(nodes)

    def flush(self) -> None:
        """Make everything written durable: blocks, then what signs them, then bits (D-1)."""
        if self.dirty:
            self.data.sync()
            self.tree.sync()
            self._put_signatures(self._own_signatures)
            self._own_signatures.clear()
            self.signatures.sync()
            self.flush_bits()
            self.dirty = 0
        else:
            # Only a damaged block's bit can have changed; it will be found damaged again.
            with suppress(ReadOnlyError):
                self.flush_bits()

    def flush_bits(self) -> None:
        """Make the bits durable. What they speak of must be already."""
        if self._hold_bits:
            return
        if self.bitfield.write_pages():
            self.bitfield_file.sync()

    def roll_back(self, length: int, byte_length: int, nodes: Iterable[int]) -> None:
        """Take a failed append off the disk again, as far as the disk lets us.

        A rest that stays is harmless: it has no bit, and the next append overwrites it.
        """
        self._cache.clear()
        end = max(0, 2 * length - 1)
        # A parent of old and new blocks lies among the old nodes.
        inner = [(node, bytes(40)) for node in nodes if node < end]
        with suppress(StorageError):
            if self.data.size() > byte_length:
                self.data.truncate(byte_length)
        with suppress(StorageError):
            self.tree.truncate(end)
            if inner:
                self.tree.put_many(inner)

    # Repair

    def repair(
        self,
        nodes: Mapping[int, Node],
        signatures: Mapping[int, bytes],
        bitfield: Bitfield | None,
        *,
        hold_bits: bool,
    ) -> None:
        """Write what recovery found out. On a read-only disk it holds in memory only.

        Args:
            nodes: Nodes whose entries are blank or wrong in the file.
            signatures: Signatures made again, by length.
            bitfield: A new set of bits if some of the old are to go, else None.
            hold_bits: Keep the old bits on disk until `release_bits`.

        Cut short at any point, the next recovery comes to the same result (D-9).
        """
        self._cache.clear()
        try:
            for mended in self._mended:
                mended.write_header()
            self.write((), nodes.values(), {})
            # What a killed process left may be in memory only: as in `append`, it is signed last.
            self.data.sync()
            self.tree.sync()
            self._put_signatures(signatures)
            self.signatures.sync()
            self._hold_bits = hold_bits
            if bitfield is not None:
                self.bitfield = bitfield
                if not hold_bits:
                    self.bitfield_file.truncate(0)
            self.flush()
        except ReadOnlyError:
            self.overlay.update(nodes)
            self._overlay_signatures.update(signatures)
            self.dirty = 0
            if bitfield is not None:
                self.bitfield = bitfield

    def release_bits(self) -> None:
        """Let the next flush replace the bits that recovery left on disk as a warning."""
        if self._hold_bits:
            self.bitfield_file.truncate(0)
            self._hold_bits = False

    def forget(self) -> None:
        """Give back the memory of caches."""
        self._cache.clear()
        self.tree.forget()
        self.signatures.forget()


def _header_fits(file: RandomAccess, kind: SleepKind) -> bool:
    file.read(
        0, 1
    )  # a file that cannot be read at all is another matter: it is not damaged content
    try:
        read_entry_size(file, kind)
    except StorageError:
        return False
    return True
