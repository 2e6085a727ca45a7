import pytest
from tests.suites.random_access import RandomAccessSuite

from datd.storage.memory import MemoryFile, memory_feed_storage


class TestMemoryFile(RandomAccessSuite):
    @pytest.fixture
    def file(self):
        return MemoryFile()


def test_a_feed_in_memory_begins_with_six_empty_files():
    storage = memory_feed_storage()
    storage.tree.write(0, b"x")
    assert storage.tree.size() == 1
    assert storage.data.size() == storage.key.size() == storage.bitfield.size() == 0
    storage.close()
