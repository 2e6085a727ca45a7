"""What is appended to feeds of our own: sealed, and only then told and served."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.helpers.feeds import feed_of

from datd.errors import NoRoom, StorageError
from datd.feed.feed import Feed
from datd.hosting.own.growing import MOST_UNSEALED, Growing, Growth


class Play:
    """A feed that grows, and the lengths that were noted as let out."""

    def __init__(self, *blocks: bytes) -> None:
        self.feed = feed_of(blocks)
        self.feed.flush()
        self.marked: list[int] = []
        self.growing = Growing(lambda: [self.feed], lambda: self.marked.append(self.feed.length))

    def append(self, *blocks: bytes, commit: bool) -> Any:
        def call() -> str:
            self.feed.append(blocks)
            if commit:
                self.feed.flush()
            return "done"

        return self.growing.grow(call)


def raises(error: Exception, first: Callable[[], object] = lambda: None) -> Callable[[], None]:
    def call() -> None:
        first()
        raise error

    return call


def growths(*feeds: Feed, call: Callable[[], object]) -> list[Growth]:
    return Growing(lambda: feeds, lambda: None).grow(call).feeds


def test_each_feed_tells_what_it_has_more():
    first, second = feed_of([b"a"]), feed_of([b"b", b"bb"])

    def call() -> None:
        second.append([b"ccc", b"d"])
        first.flush()
        second.flush()

    assert growths(first, second, call=call) == [Growth(range(1, 1), 1), Growth(range(2, 4), 7)]


def test_d2_what_is_not_committed_is_told_once_it_is():
    play = Play(b"a")
    grown = play.append(b"b", commit=False)
    assert (grown.result, grown.error) == ("done", None)
    assert grown.feeds == [Growth(range(2, 2), 2)]
    assert play.growing.waits
    assert not play.marked
    assert play.append(b"c", commit=True).feeds == [Growth(range(1, 3), 3)]
    assert play.marked == [3]
    assert not play.growing.waits


def test_d2_before_anything_is_served_all_is_sealed():
    play = Play(b"a")
    play.append(b"b", commit=False)
    play.growing.seal()
    assert play.marked == [2]
    assert not play.feed.dirty
    # Who hears of it is told with the next call.
    assert play.append(b"c", commit=True).feeds == [Growth(range(1, 3), 3)]


def test_sealing_costs_nothing_where_nothing_was_appended():
    play = Play(b"a")
    play.growing.seal()
    assert not play.marked
    play.append(commit=True)
    play.append(commit=True)
    assert len(play.marked) == 1


def test_who_never_commits_is_sealed_after_so_much():
    play, block = Play(), bytes(2**20)
    waited = 0
    while not play.marked:
        play.append(*[block] * 8, commit=False)
        waited += 8 * len(block)
    assert MOST_UNSEALED <= waited <= MOST_UNSEALED + 8 * len(block)


def test_what_was_committed_before_an_error_is_told_too():
    play = Play(b"a")

    def first() -> None:
        play.feed.append([b"b"])
        play.feed.flush()

    grown = play.growing.grow(raises(NoRoom("no more"), first))
    assert isinstance(grown.error, NoRoom)
    assert grown.feeds == [Growth(range(1, 2), 2)]


def test_what_others_brought_meanwhile_is_not_told_again():
    play = Play(b"a")
    play.append(b"b", commit=True)
    play.feed.append([b"c"])
    play.feed.flush()
    assert play.append(b"d", commit=True).feeds == [Growth(range(3, 4), 4)]


def test_d4_after_a_fault_of_the_disk_nothing_is_written_any_more():
    play = Play(b"a")
    with pytest.raises(StorageError):
        play.growing.grow(raises(StorageError("gone")))
    with pytest.raises(StorageError, match="open it anew"):
        play.append(b"b", commit=True)
    assert play.feed.length == 1


def test_d4_a_flush_that_failed_is_not_tried_again_for_the_next_peer():
    class Failing(Play):
        def mark(self) -> None:
            if not self.marked:
                self.marked.append(0)
                raise StorageError("gone")

    play = Failing(b"a")
    growing = Growing(lambda: [play.feed], play.mark)
    growing.grow(lambda: play.feed.append([b"b"]))
    with pytest.raises(StorageError, match="gone"):
        growing.seal()
    with pytest.raises(StorageError, match="open it anew"):
        growing.seal()
    assert growing.waits
