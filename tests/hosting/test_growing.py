import pytest
from tests.helpers.feeds import feed_of

from datd.errors import NoRoom, StorageError
from datd.hosting.growing import Growth, grow


def test_each_feed_tells_what_it_has_more():
    first, second = feed_of([b"a"]), feed_of([b"b", b"bb"])

    def call():
        second.append([b"ccc", b"d"])
        return "done"

    grown = grow([first, second], call)
    assert (grown.result, grown.error) == ("done", None)
    assert grown.feeds == [Growth(range(1, 1), 1), Growth(range(2, 4), 7)]


def test_what_was_appended_before_an_error_is_told_too():
    feed = feed_of([b"a"])

    def call():
        feed.append([b"b"])
        raise NoRoom("no more")

    grown = grow([feed], call)
    assert isinstance(grown.error, NoRoom)
    assert grown.feeds == [Growth(range(1, 2), 2)]


def test_after_a_fault_of_the_disk_nothing_is_told():
    def call():
        raise StorageError("gone")

    with pytest.raises(StorageError):
        grow([feed_of([b"a"])], call)
