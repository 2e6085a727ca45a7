"""Blocks from peers on their way into a feed: verified together, written together, then counted.

Source: feeds.md section 9; sleep.md section 10, order of writes.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from datd.errors import IntegrityError, StorageError
from datd.feed.merkle import MerkleTree, Proof
from datd.feed.store import FeedStore
from datd.feed.verify import Verifier


class Stored(NamedTuple):
    """What a batch brought.

    Attributes:
        indexes: Blocks that were not here before.
        size: Their bytes in all.
    """

    indexes: list[int]
    size: int


class Intake:
    """The receiving side of one feed.

    Attributes:
        verifier: Decides what holds.
    """

    def __init__(self, tree: MerkleTree, store: FeedStore, public_key: bytes) -> None:
        self.verifier = Verifier(tree, public_key)
        self._tree = tree
        self._store = store
        # A block and its offset: who writes in order never searches.
        self._cursor = (0, 0)

    def put_many(self, blocks: Sequence[tuple[int, bytes | None, Proof]]) -> Stored:
        """Verify blocks or (with None for the value) hash answers, then store them together.

        Raises:
            IntegrityError: One does not hold; those before it are stored, see its `stored`.
            StorageError: The disk refused. Nothing counts as stored.
        """
        check = self.verifier.check
        before = (self._tree.length, self._tree.byte_length)
        good: list[tuple[int, bytes]] = []
        failure: IntegrityError | None = None
        try:
            for block, value, proof in blocks:
                if check(block, value, proof) and value is not None:
                    good.append((block, value))
        except IntegrityError as error:
            failure = error
        except StorageError:
            self._forget(before)
            raise
        stored = self._store_verified(good, before)
        if failure is not None:
            failure.stored = stored.indexes
            raise failure
        return stored

    def _store_verified(
        self, blocks: Iterable[tuple[int, bytes]], before: tuple[int, int]
    ) -> Stored:
        """Write what the verifier let through, and only then count it as here."""
        tree, store = self._tree, self._store
        signatures = {
            length: signature
            for length, signature in self.verifier.signatures.items()
            if store.signature_of(length) != signature
        }
        self.verifier.signatures.clear()
        try:
            writes, stored = self._place(blocks)
            store.write(writes, tree.fresh.values(), signatures)
        except StorageError:
            self._forget(before)
            raise
        store.mark(tree.fresh)
        tree.settle()
        mark = store.bitfield.set
        for block in stored.indexes:
            mark(block)
        return stored

    def _forget(self, before: tuple[int, int]) -> None:
        """Be as if the batch had not come; what may be on disk of it has no bit."""
        self._tree.fresh.clear()
        self._tree.length, self._tree.byte_length = before
        self.verifier.signatures.clear()

    def _place(self, blocks: Iterable[tuple[int, bytes]]) -> tuple[list[tuple[int, bytes]], Stored]:
        """Where new blocks go: what to write, and what it brings."""
        has = self._store.bitfield.get
        writes: list[tuple[int, bytes]] = []
        indexes: dict[int, None] = {}
        at, offset = self._cursor
        total = 0
        for block, value in blocks:
            if block in indexes or has(block):
                continue
            if block != at:
                offset = self._offset(block)
            indexes[block] = None
            if value:
                writes.append((offset, value))
            at = block + 1
            offset += len(value)
            total += len(value)
        self._cursor = (at, offset)
        return writes, Stored(list(indexes), total)

    def _offset(self, block: int) -> int:
        offset = self._tree.block_offset(block)
        if offset is None:
            # Its siblings and roots came with the proof; what they should lie beside is gone.
            raise StorageError(f"{self._store.tree.name} has lost nodes before block {block}")
        return offset
