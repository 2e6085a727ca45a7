import random
import threading

from tests.helpers.own_archives import new_archive, put, read

from datd.archive.writer import CONTENT_BATCH, ArchiveWriter
from datd.crypto import leaf_hash
from datd.importing.hashing import HashingThreads

BLOCKS = [random.Random(3).randbytes(65_536) for _ in range(3 * CONTENT_BATCH // 65_536)]


def test_hashes_come_in_the_order_of_the_blocks():
    hashing = HashingThreads()
    for blocks in (BLOCKS, [b"one", b"two"], []):
        assert list(hashing(blocks)()) == [leaf_hash(block) for block in blocks]
    hashing.close()


def test_a_large_file_is_written_with_its_own_hashes():
    archive, hashing = new_archive(), HashingThreads()
    writer = ArchiveWriter(archive, hashing=hashing)
    put(writer, "/large", *BLOCKS)
    put(writer, "/small", b"one", b"two")
    writer.commit()
    hashing.close()
    # Reading checks every hash.
    assert read(archive, "/large") == b"".join(BLOCKS)
    assert read(archive, "/small") == b"onetwo"


def threads() -> set[threading.Thread]:
    """Those that hash. Others of this process begin and end when they like."""
    return {one for one in threading.enumerate() if one.name.startswith("leaf-hashes")}


def test_small_blocks_start_no_thread_and_large_ones_leave_none():
    hashing, before = HashingThreads(), threads()
    hashing([b"small"] * 1000)
    assert not threads() - before
    wait = hashing(BLOCKS)
    assert threads() - before
    hashing.close()
    assert not threads() - before
    # Whoever could not write them the first time asks again.
    assert list(wait()) == list(wait()) == [leaf_hash(block) for block in BLOCKS]
