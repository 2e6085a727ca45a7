"""Hashes content in a thread of its own: that takes the processor, writing waits for the disk."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from datd.archive.writer import hash_here
from datd.crypto import leaf_hash

# The hash lets other threads run only while it reads blocks of 2 KiB and more, and each of them is
# a change of threads: a batch of small ones is hashed faster where it is.
WORTH_A_THREAD = 8 * 1024


class HashingThread:
    """The `hashing` of an `ArchiveWriter`. Has a thread from the first large batch until closed."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    def __call__(self, blocks: Sequence[bytes]) -> Callable[[], Sequence[bytes]]:
        """Begin to hash blocks; what it gives waits for their hashes."""
        if sum(map(len, blocks)) < WORTH_A_THREAD * len(blocks):
            return hash_here(blocks)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "leaf-hashes")
        return self._thread.submit(_hash_all, blocks).result

    def close(self) -> None:
        """End the thread. What was begun can still be waited for."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None


def _hash_all(blocks: Sequence[bytes]) -> Sequence[bytes]:
    return [leaf_hash(block) for block in blocks]
