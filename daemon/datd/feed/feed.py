"""One append-only feed: its blocks, their proofs, and the rules for what becomes part of it.

No network, no clock, no files of an archive. Not for use by two threads at once.

Source: feeds.md; sleep.md section 10 for the order of writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from bitarray import bitarray

from datd import crypto
from datd.crypto import KeyPair
from datd.errors import BlockMissing, IntegrityError, NotWritableError, ReadOnlyError
from datd.feed import identity
from datd.feed.appending import append
from datd.feed.blocks import Blocks
from datd.feed.identity import Identity
from datd.feed.intake import Intake
from datd.feed.merkle import MerkleTree, Proof
from datd.feed.recovery import Recovered, recover, sound_tree
from datd.feed.store import FeedStore
from datd.keys import Key
from datd.storage.base import FeedStorage

# Nodes that are remembered of a peer, about 1 MiB: to forget them costs one longer proof.
MAX_REMOTE_NODES = 16384

Proofs = Mapping[int, Proof]  # by block
NO_PROOFS: Proofs = {}


class Feed:
    """A feed on its files.

    Attributes:
        key: Its public key.
        discovery_key: 32 bytes, its public name.
        recovered: What recovery found when it was opened, or None if none was needed.
        dirty_blocks: Blocks written since the last flush.
    """

    def __init__(
        self, storage: FeedStorage, who: Identity, store: FeedStore, tree: MerkleTree
    ) -> None:
        """Use `create` or `open`."""
        self.key = who.key
        self.discovery_key = who.key.discovery_key.raw
        self.recovered: Recovered | None = None
        self.dirty_blocks = 0
        self._identity = who
        self._storage = storage
        self._store = store
        self._tree = tree
        self._intake = Intake(tree, store, who.key.raw)
        self._blocks = Blocks(self.discovery_key, store, tree)

    @classmethod
    def create(cls, storage: FeedStorage, pair: KeyPair, *, keep_secret: bool = True) -> "Feed":
        """Begin a feed of our own. Its keys are on disk when this returns.

        Args:
            storage: Its files, all empty.
            pair: Its keys.
            keep_secret: Write the `secret_key` file. That of a content feed is derived instead.

        Raises:
            StorageError: Another feed lies there (D-7), or the disk is at fault.
        """
        identity.create(storage, pair, keep_secret=keep_secret)
        who, store = Identity(Key(pair.public), pair.secret, True), FeedStore(storage)
        return cls(storage, who, store, MerkleTree(store, store.signature_of))

    @classmethod
    def open(
        cls,
        storage: FeedStorage,
        key: Key | None = None,
        *,
        secret_key: bytes | None = None,
        clean: bool = True,
        trust_bits: bool = True,
    ) -> "Feed":
        """Open what is there; with a key and no files, an empty copy that writes nothing yet.

        Args:
            storage: Its files.
            key: Its key; None takes the one that is stored.
            secret_key: 64 bytes if they are kept elsewhere; ignored when they do not fit the key.
            clean: Whether the last close was orderly. It is recovered if not, or if a quick check
                fails.
            trust_bits: False checks every node and block by hash: for a folder that is not ours.

        Raises:
            StorageError: Another feed lies there, or what lies there cannot be read or proven.
        """
        who = identity.read(storage, key, secret_key)
        store = FeedStore(storage)
        tree = sound_tree(store, who.key.raw) if clean and trust_bits else None
        if tree is not None:
            return cls(storage, who, store, tree)
        tree, recovered = recover(store, who, trust_bits=trust_bits)
        feed = cls(storage, who, store, tree)
        feed.recovered = recovered
        return feed

    # What it is

    @property
    def length(self) -> int:
        """Blocks of the longest history that is proven here."""
        return self._tree.length

    @property
    def byte_length(self) -> int:
        """Bytes of those blocks."""
        return self._tree.byte_length

    @property
    def writable(self) -> bool:
        """Whether `append` may be called: the secret key is here and nothing of ours is lost."""
        return self._identity.secret is not None and not self.behind

    @property
    def behind(self) -> int:
        """Length that was recorded once and is not proven any more, or 0 (D-3).

        Appending below it could sign a second history. It passes when peers gave the rest back.
        """
        claimed = self.recovered.claimed if self.recovered is not None else 0
        return claimed if claimed > self.length else 0

    def accept_shorter(self) -> None:
        """Write on from the present length: the network was asked and knows no longer one."""
        if self.recovered is not None:
            self.recovered = self.recovered._replace(claimed=0)

    @property
    def dirty(self) -> int:
        """Bytes written since the last flush."""
        return self._store.dirty

    # What is here

    def has(self, block: int) -> bool:
        """Whether a block is here; memory only."""
        return self._store.bitfield.get(block)

    @property
    def have(self) -> bitarray:
        """A copy of the have bits of all blocks, most significant bit first."""
        return self._store.bitfield.have(0, self.length)

    @property
    def present_blocks(self) -> int:
        """Blocks here."""
        return self._store.bitfield.have_count

    @property
    def present_bytes(self) -> int:
        """Bytes in them."""
        return self._blocks.size

    # Reading

    def get(self, block: int) -> bytes:
        """Read a block and check its hash (D-5).

        Raises:
            BlockMissing: It is not here. One that was damaged counts as missing from then on.
            StorageError: The disk is at fault.
        """
        return self._blocks.get(block)

    def serve(
        self, block: int, digest: int = 0, remote: set[int] | None = None
    ) -> tuple[bytes, Proof]:
        """A block and its proof for a peer; see `get` and `proof`.

        Args:
            block: The block.
            digest: The `nodes` number of the request.
            remote: Nodes that a peer has which keeps every hash it is sent, in order; grows with
                the proof. Without it nothing is assumed beyond the digest.
        """
        value = self.get(block)
        _bound(remote)
        proof = self._tree.proof(block, digest=digest, remote=remote, keeps=remote is not None)
        if proof is None:
            raise BlockMissing(self.discovery_key, block)
        return value, proof

    def block_offset(self, block: int) -> int:
        """Byte at which a block starts.

        Raises:
            BlockMissing: The tree does not know.
        """
        offset = self._tree.block_offset(block)
        if offset is None:
            raise BlockMissing(self.discovery_key, block)
        return offset

    def block_size(self, block: int) -> int:
        """Bytes of a block.

        Raises:
            BlockMissing: The tree does not know.
        """
        leaf = self._tree.get(2 * block)
        if leaf is None:
            raise BlockMissing(self.discovery_key, block)
        return leaf.size

    def resolve_bytes(self, position: int) -> int | None:
        """The block that a peer's byte request means, or None if it cannot be told from here."""
        found = self._tree.seek(position) if position > 0 else None
        return None if found is None or found[0] & 1 else found[0] // 2

    def audit(self, start: int, end: int) -> list[int]:
        """Read and hash the present blocks from `start` up to `end`.

        Returns:
            The damaged ones, which are not here any more; `take_damaged` tells them too.
        """
        return self._blocks.audit(start, min(end, self.length))

    def signed_roots(self) -> tuple[int, bytes, bytes] | None:
        """See `MerkleTree.signed_roots`: what the writer last put its name to, as known here."""
        return self._tree.signed_roots()

    def take_damaged(self) -> list[int]:
        """Blocks found damaged since the last call."""
        return self._blocks.take_damaged()

    # Asking and answering

    def digest(self, block: int) -> int:
        """The `nodes` number for a request: which hashes above a block are here already."""
        return self.digests([block])[0]

    def digests(self, blocks: Iterable[int]) -> list[int]:
        """The same for each of some blocks: neighbours together cost little more than one."""
        return self._tree.digests(blocks, self._intake.verifier.loose)

    def proof(
        self,
        block: int,
        *,
        digest: int = 0,
        hash_only: bool = False,
        remote: set[int] | None = None,
    ) -> Proof:
        """What proves a block, or its hash, to a peer.

        Args:
            block: The block.
            digest: The `nodes` number of the request.
            hash_only: No value goes along.
            remote: Nodes the peer is known to have; grows with what the digest tells.

        Raises:
            BlockMissing: Nodes or signature are not here.
        """
        _bound(remote)
        proof = self._tree.proof(block, digest=digest, hash_only=hash_only, remote=remote)
        if proof is None:
            raise BlockMissing(self.discovery_key, block)
        return proof

    # Receiving

    def put(self, block: int, value: bytes, proof: Proof) -> bool:
        """Store one block; whether it is new. See `put_many`."""
        return bool(self.put_many([(block, value, proof)]))

    def put_many(self, blocks: Sequence[tuple[int, bytes | None, Proof]]) -> list[int]:
        """Verify blocks from a peer, then store them together, unflushed.

        Without a value it is a hash answer, see `put_hashes`.

        Returns:
            The indexes that were not here before.

        Raises:
            IntegrityError: One does not hold; those before it are stored, see its `stored`.
            ForkError: One holds for another history; likewise.
            StorageError: The disk refused. Nothing counts as stored.
        """
        try:
            stored = self._intake.put_many(blocks)
        except IntegrityError as error:
            self.dirty_blocks += len(error.stored)
            self._blocks.recount()
            raise
        self._count(len(stored.indexes), stored.size)
        return stored.indexes

    def put_hashes(self, block: int, proof: Proof) -> None:
        """Take a hash answer. Hashes without a proven size stay in memory (T-19).

        Raises:
            IntegrityError: It does not hold; nothing is stored.
        """
        self._intake.put_many([(block, None, proof)])

    def knows_above(self, block: int, count: int) -> bool:
        """Whether the node above the `count` blocks around a block is proven; a power of two."""
        return self._tree.has(2 * (block - block % count) + count - 1)

    def damaged_above(self, block: int) -> bool:
        """See `MerkleTree.damaged_above`: then a proof may be too short through our own fault."""
        return self._tree.damaged_above(block)

    def leaf_hash(self, block: int) -> bytes | None:
        """What a block hashes to, if that is proven here, whether or not the block is here."""
        leaf = self._tree.get(2 * block)
        return self._intake.verifier.loose.get(2 * block) if leaf is None else leaf.hash

    def subtree_hash(self, block: int, count: int) -> bytes | None:
        """What some blocks hash to together, if that is proven here.

        Args:
            block: The first one, a multiple of `count`.
            count: How many: a power of two.
        """
        if count == 1:
            return self.leaf_hash(block)
        node = self._tree.get(2 * block + count - 1)
        return None if node is None else node.hash

    def put_known(
        self, blocks: Sequence[tuple[int, bytes]], proofs: Proofs = NO_PROOFS
    ) -> list[int]:
        """Store blocks that were come by elsewhere, unflushed; gives those that are here now.

        A block is not if its hash is another one, or cannot be proven from what is here.

        Args:
            blocks: Their numbers and bytes.
            proofs: Of those whose own hash may not be known here: what leads up to one that is.

        Raises:
            StorageError: The disk refused; of the blocks some may be stored.
        """
        fits: list[tuple[int, bytes, Proof]] = []
        for block, value in blocks:
            own, proof = self.leaf_hash(block), proofs.get(block)
            if own == crypto.leaf_hash(value) or (own is None and proof is not None):
                fits.append((block, value, proof or Proof([])))
        try:
            self.put_many(fits)
        except IntegrityError:  # a node above one says otherwise: a block with a proof settles it
            for block, value, proof in fits:
                with suppress(IntegrityError):
                    self.put(block, value, proof)
        return [block for block, _, _ in fits if self.has(block)]

    def _count(self, blocks: int, size: int) -> None:
        self.dirty_blocks += blocks
        self._blocks.added(size)

    # Writing

    def append(self, blocks: Sequence[bytes], hashes: Sequence[bytes] | None = None) -> int:
        """Add blocks under one signature, unflushed: tell nobody before `flush`.

        Returns:
            The index of the first. Leaf hashes that somebody worked out before may come along.

        Raises:
            NotWritableError: The secret key is not here, or part of the feed is lost.
            ValueError: A block is larger than can travel.
            StorageError: The disk refused; the feed is as before (D-12).
        """
        secret = self._writing_key()
        start = self.length
        if blocks:
            self._count(len(blocks), append(self._tree, self._store, blocks, secret, hashes))
        return start

    def _writing_key(self) -> bytes:
        secret = self._identity.secret
        if secret is None:
            raise NotWritableError("this feed is only read here: its secret key is not at hand")
        if self.behind:
            raise NotWritableError(
                f"this feed had {self.behind} blocks and only {self.length} are left: "
                "get the others back from peers first"
            )
        return secret

    # Dropping

    def clear(self, ranges: Iterable[tuple[int, int]]) -> list[int]:
        """Drop blocks: durably their bits first, then their bytes. What proves the rest stays.

        Args:
            ranges: Blocks, as (first, behind the last).

        Returns:
            Those that were here; none while the feed is `behind` and its bits are a warning.

        Raises:
            StorageError: The disk refused. On a read-only one all is as before.
        """
        if self.behind:
            return []
        chosen = list(ranges)
        gone = self._blocks.forget(chosen)
        try:
            self.flush()
            self._store.flush_bits()
        except ReadOnlyError:
            self._blocks.remember(gone)
            raise
        self._blocks.punch(chosen)
        return gone

    # Durability

    def flush(self) -> None:
        """Make everything written durable, and then the bits that speak of it.

        Raises:
            StorageError: The disk failed. Close the feed and open it as not clean (D-4).
        """
        if self._store.dirty and not self._identity.stored:
            self._storage.key.write(0, self.key.raw)
            self._storage.key.sync()
            self._identity = self._identity._replace(stored=True)
        if not self.behind:
            self._store.release_bits()
        self._store.flush()
        self.dirty_blocks = 0

    def close(self) -> None:
        """Flush what is dirty and close the files."""
        try:
            self.flush()
        finally:
            self._store.forget()
            self._storage.close()


def _bound(remote: set[int] | None) -> None:
    if remote is not None and len(remote) > MAX_REMOTE_NODES:
        remote.clear()
