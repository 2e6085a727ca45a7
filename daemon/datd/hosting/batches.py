"""What is done to a feed in one call into its lane: a batch of blocks stored, or of answers made.

Decision 9: the hop into a thread and back is paid once for many blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from datd.errors import BlockMissing, ForkError, IntegrityError
from datd.feed.feed import Feed
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
    """

    here: list[int]
    size: int
    present_bytes: int
    digests: list[int]
    error: IntegrityError | None
    kept: tuple[int, bytes, bytes] | None = None


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


def store_batch(feed: Feed, blocks: Sequence[messages.Data], ask: Sequence[int]) -> Stored:
    """Verify and write blocks of a peer; then say what is held above those to ask for next.

    Raises:
        StorageError: The disk refused. Nothing counts as written.
    """
    error: IntegrityError | None = None
    try:
        indexes = feed.put_many(
            [(data.index, data.value or b"", Proof(data.nodes, data.signature)) for data in blocks]
        )
    except IntegrityError as raised:
        error = raised
        indexes = raised.stored
    new = set(indexes)
    size = sum(len(data.value or b"") for data in blocks if data.index in new)
    # A connection may have been cut off after its last batch was stored, and before anybody heard
    # of it: then a block comes again, and is here already.
    here = [data.index for data in blocks if data.index in new or feed.has(data.index)]
    kept = feed.signed_roots() if isinstance(error, ForkError) else None
    return Stored(here, size, feed.present_bytes, digests(feed, ask), error, kept)


def digests(feed: Feed, ask: Sequence[int]) -> list[int]:
    """What is held above each of some blocks."""
    return [feed.digest(index) for index in ask]


def serve_batch(
    feed: Feed,
    channel: int,
    requests: Sequence[messages.Request],
    remote_nodes: set[int] | None,
    max_bytes: int,
) -> Served:
    """Read, prove and encode the answers to some requests; see `OpenArchive.serve`.

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
        if request.bytes:
            resolved = feed.resolve_bytes(request.bytes)
            if resolved is not None:
                index, digest = resolved, 0
        try:
            if request.hash:
                value, proof = None, feed.proof(index, digest=digest, hash_only=True)
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
