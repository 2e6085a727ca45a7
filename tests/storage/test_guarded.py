import pytest
from tests.suites.random_access import PositionedBytesSuite

from datd.errors import ReadOnlyError, StorageError
from datd.storage.guarded import GuardedFile
from datd.storage.memory import MemoryFile


class TestGuardedFile(PositionedBytesSuite):
    @pytest.fixture
    def file(self):
        return GuardedFile(MemoryFile())


def test_reads_are_told_before_they_happen_and_can_be_ended():
    told: list[int] = []

    def on_read(size: int) -> None:
        told.append(size)
        if len(told) > 1:
            raise StorageError("enough")

    file = GuardedFile(MemoryFile(b"abc"), on_read=on_read)
    assert file.read(0, 2) == b"ab"
    with pytest.raises(StorageError, match="enough"):
        file.read(2, 1)
    assert told == [2, 1]


def test_what_is_only_read_stays_as_it_is():
    inner = MemoryFile(b"abc")
    file = GuardedFile(inner, writable=False)
    for change in (
        lambda: file.write(0, b"x"),
        lambda: file.write_many([(0, b"x")]),
        lambda: file.truncate(0),
        lambda: file.punch(0, 1),
    ):
        with pytest.raises(ReadOnlyError, match="stays as it is"):
            change()
    file.sync()
    assert (file.read(0, 9), file.size(), inner.read(0, 9)) == (b"abc", 3, b"abc")
