"""What is done to a feed in one call into its lane: a batch of blocks or hashes stored, or served.

Decision 9: the hop into a thread and back is paid once for many blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from datd.errors import BlockMissing, ForkError, HashesLost, IntegrityError
from datd.feed.feed import Feed, Proofs
from datd.feed.merkle import Proof
from datd.wire import messages


class Stored(NamedTuple):
    """What came of a batch of blocks.

    Attributes:
        here: Blocks of the batch that are here now, those that were before included.
        size: Bytes of the new ones.
        present_bytes: Bytes of all blocks held.
        digests: What is held above each of the blocks to ask for next.
        error: Why the batch was cut short, if it was.
        kept: If that was another history: length, root hash and signature of the one held here.
        hashes: Blocks whose hashes came alone, and neighbours whose hashes came along.
    """

    here: list[int]
    size: int
    present_bytes: int
    digests: list[int]
    error: IntegrityError | HashesLost | None
    kept: tuple[int, bytes, bytes] | None = None
    hashes: Sequence[int] = ()


@dataclass(slots=True)
class Served:
    """Answers to a batch of requests.

    Attributes:
        frames: The answers, encoded.
        size: Bytes of the blocks in them.
        lost: Blocks that turned out not to be here.
        left: Requests that this batch had no room for.
    """

    frames: bytes = b""
    size: int = 0
    lost: list[int] = field(default_factory=list)
    left: Sequence[messages.Request] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """Blocks that came from elsewhere on this machine.

    Attributes:
        blocks: Their numbers and bytes.
        proofs: Of those whose own hash may not be known here; see `Feed.put_known`.
    """

    blocks: Sequence[tuple[int, bytes]]
    proofs: Proofs = field(default_factory=dict)

    def store(self, feed: Feed) -> Stored:
        """Write those that are proven.

        Raises:
            StorageError: The disk refused; some may be written.
        """
        new = {index: len(value) for index, value in self.blocks if not feed.has(index)}
        here = feed.put_known(self.blocks, self.proofs)
        size = sum(new.get(index, 0) for index in here)
        return Stored(here, size, feed.present_bytes, [], None)


def store_batch(feed: Feed, blocks: Sequence[messages.Data], ask: Sequence[int]) -> Stored:
    """Verify and write blocks of a peer; then say what is held above those to ask for next.

    Raises:
        StorageError: The disk refused. Nothing counts as written.
    """
    error: IntegrityError | HashesLost | None = None
    try:
        indexes = feed.put_many(
            [(data.index, data.value, Proof(data.nodes, data.signature)) for data in blocks]
        )
    except IntegrityError as raised:
        error = raised
        indexes = raised.stored
        if not isinstance(raised, ForkError) and feed.damaged_above(raised.index):
            # It was made for somebody who has hashes that are gone here since.
            error = HashesLost(f"hashes above block {raised.index} are damaged on this disk")
    new = set(indexes)
    size = sum(len(data.value or b"") for data in blocks if data.index in new)
    # A connection may have been cut off after its last batch was stored, and before anybody heard
    # of it: then a block comes again, and is here already.
    here, hashes = [], []
    for data in blocks:
        if data.value is None:
            hashes.append(data.index)
        elif data.index in new or feed.has(data.index):
            here.append(data.index)
    kept = feed.signed_roots() if isinstance(error, ForkError) else None
    return Stored(
        here,
        size,
        feed.present_bytes,
        digests(feed, ask),
        error,
        kept,
        _with_neighbours(feed, hashes, whole=error is None) if hashes else (),
    )


def _with_neighbours(feed: Feed, hashes: Sequence[int], *, whole: bool) -> list[int]:
    # A hash may be proven and not kept (its size is not bound, and memory for such is full): nobody
    # shall wait for it any longer. Only behind a bad answer the others were not looked at.
    known = [one for i in hashes for one in (i, i ^ 1) if feed.leaf_hash(one) is not None]
    return [*dict.fromkeys([*hashes, *known] if whole else known)]


class Cleared(NamedTuple):
    """What came of dropping blocks.

    Attributes:
        gone: Those that were here.
        size: Their bytes.
        present_bytes: Bytes of all blocks held.
    """

    gone: list[int]
    size: int
    present_bytes: int


def clear_batch(feed: Feed, ranges: Sequence[tuple[int, int]]) -> Cleared:
    """Drop blocks; see `Feed.clear`."""
    before = feed.present_bytes
    gone = feed.clear(ranges)
    return Cleared(gone, before - feed.present_bytes, feed.present_bytes)


def digests(feed: Feed, ask: Sequence[int]) -> list[int]:
    """What is held above each of some blocks, for the requests that ask for them.

    Of the first one beyond our end nothing is said: its whole proof tells whether the peer has a
    longer history or another one. A proof that builds on our roots would only fail (T-22).
    """
    found = feed.digests(ask)
    beyond = next((at for at, index in enumerate(ask) if index >= feed.length > 0), None)
    if beyond is not None:
        found[beyond] = 0
    return found


def hash_digests(feed: Feed, ask: Sequence[int]) -> list[int | None]:
    """What is held above each of some blocks; None where the hash is known already."""
    found = zip(ask, feed.digests(ask), strict=True)
    return [digest if feed.leaf_hash(index) is None else None for index, digest in found]


def found(feed: Feed, positions: Sequence[int]) -> list[int]:
    """Those bytes of which it is known which block they are in."""
    return [position for position in positions if feed.resolve_bytes(position) is not None]


def serve_batch(
    feed: Feed,
    channel: int,
    requests: Sequence[messages.Request],
    remote_nodes: set[int] | None,
    max_bytes: int,
) -> Served:
    """Read, prove and encode the answers to some requests.

    Args:
        feed: The feed.
        channel: Its number on the connection.
        requests: What the peer wants.
        remote_nodes: What a peer has that keeps every hash; only the lane touches it.
        max_bytes: Stop behind the block that exceeds it.

    Raises:
        StorageError: The disk is at fault.
    """
    served = Served()
    frames: list[bytes] = []
    for position, request in enumerate(requests):
        if served.size >= max_bytes:
            served.left = requests[position:]
            break
        index, digest = request.index, request.nodes
        resolved = None
        if request.bytes:
            resolved = feed.resolve_bytes(request.bytes)
            if resolved is not None:
                index, digest = resolved, 0
        try:
            # Who seeks a byte whose block is not here is told where it is all the same.
            if request.hash or (resolved is not None and not feed.has(resolved)):
                value = None
                proof = feed.proof(index, digest=digest, hash_only=True, remote=remote_nodes)
            else:
                value, proof = feed.serve(index, digest, remote_nodes)
        except BlockMissing:
            served.lost.append(index)
            continue
        frames.append(
            messages.encode(channel, messages.Data(index, value, proof.nodes, proof.signature))
        )
        served.size += len(value or b"")
    served.frames = b"".join(frames)
    return served
