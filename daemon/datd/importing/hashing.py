"""Hashes content in threads of its own: that takes the processor, writing waits for the disk."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from datd.archive.writer import hash_here
from datd.crypto import leaf_hash

# The hash lets other threads run only while it reads blocks of 2 KiB and more, and each of them is
# a change of threads: a batch of small ones is hashed faster where it is.
WORTH_A_THREAD = 8 * 1024


# Two keep ahead of a disk that takes a gigabyte a second.
_THREADS = 2


class HashingThreads:
    """The `hashing` of an `ArchiveWriter`. Has threads from the first large batch until closed."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    def __call__(self, blocks: Sequence[bytes]) -> Callable[[], Sequence[bytes]]:
        """Begin to hash blocks; what it gives waits for their hashes."""
        if sum(map(len, blocks)) < WORTH_A_THREAD * len(blocks):
            return hash_here(blocks)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, "leaf-hashes")
        middle = len(blocks) // 2
        halves = (blocks[:middle], blocks[middle:])
        begun = [self._threads.submit(_hash_all, half) for half in halves]
        # It may be asked again, after a disk that was full.
        return lambda: [digest for half in begun for digest in half.result()]

    def close(self) -> None:
        """End the threads. What was begun can still be waited for."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None


def _hash_all(blocks: Sequence[bytes]) -> Sequence[bytes]:
    return [leaf_hash(block) for block in blocks]
