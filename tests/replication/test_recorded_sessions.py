"""Our exchange in the place of either end of conversations that the original programs had."""

from collections.abc import Iterable
from typing import Any

import pytest
from bitarray import bitarray
from tests.helpers.sessions import recording

from datd.replication.block_map import REGION
from datd.replication.exchange import FeedExchange, Send, Store
from datd.replication.picker import BlockPicker
from datd.wire.messages import Data, Have, Info, Message, Request, Unhave, Want

ONE_SHOT = [
    "annotated-trace",
    "feed-small-full",
    "feed-empty-blocks",
    "feed-big-block",
    "feed-300-pipelined",
]


class Stage:
    """One end of a recording is ours; the other says what it said.

    Blocks come out of the recording; `held` are those we have, `said` is what we say.
    """

    def __init__(self, name: str, ours: str, *, feed: str = "feed") -> None:
        session = recording(name)
        end, other = session.ends[ours], session.ends["b" if ours == "a" else "a"]
        named = zip(session.frames, session.facts["messages"], strict=True)
        self.script = [
            (frame.sender, frame.message)
            for frame, record in named
            if record.get("feed") == feed and frame.kind not in (0, 1, 15)
        ]
        self.ours = ours
        self.theirs = [message for sender, message in self.script if sender != ours]
        self.expected = [message for sender, message in self.script if sender == ours]
        self.blocks = {m.index: m for m in self.theirs if isinstance(m, Data)}
        self.live, self.ack = end.live, other.ack
        self.said: list[Message] = []
        self.stored: list[int] = []
        self.result: dict[str, Any] = session.facts["result"]

    def open(self, ranges: Iterable[tuple[int, int]], *, download: bool) -> FeedExchange:
        held = [i for start, stop in ranges for i in range(start, stop)]
        length = max(held, default=-1) + 1
        bits = bitarray(length, endian="big")
        for index in held:
            bits[index] = 1
        self.picker = BlockPicker(bits, length, choose=lambda _: 0)
        if download:
            self.picker.want_all()
        self.exchange = FeedExchange(
            self.picker, now=0.0, download=download, live=self.live, ack=self.ack
        )
        self.said += self.exchange.start()
        return self.exchange

    def hear(self, messages: Iterable[Message]) -> None:
        for message in messages:
            for action in self.exchange.receive(message, 0.0):
                if isinstance(action, Send):
                    self.said.append(action.message)
                elif isinstance(action, Store):
                    self.keep([action.data.index])

    def keep(self, indexes: list[int]) -> None:
        self.stored += indexes
        self.picker.stored(indexes, max(indexes) + 1)
        self.said += self.exchange.stored(indexes)

    def fetch(self) -> None:
        """Ask, and get the recorded answers, until there is nothing more to ask."""
        while asked := self.exchange.next_requests(0.0):
            self.said += [self.exchange.request(index, 0) for index in asked]
            self.hear(self.blocks[index] for index in asked)

    def said_of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.said if isinstance(message, kind)]

    def expected_of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.expected if isinstance(message, kind)]


@pytest.mark.parametrize("name", ONE_SHOT)
def test_seeding_to_the_original(name):
    stage = Stage(name, "a")
    exchange = stage.open(stage.result["a"]["feed"]["have_ranges"], download=False)
    stage.hear(m for m in stage.theirs if not isinstance(m, Info))
    # What it is told, byte for byte, and what it gets, in its order.
    assert stage.said == stage.expected_of(Have)
    assert not exchange.finished
    taken = exchange.take_requests(1000, 2**30)
    assert taken == [m for m in stage.theirs if isinstance(m, Request)]
    assert exchange.queued == 0
    stage.hear(m for m in stage.theirs if isinstance(m, Info))
    assert stage.said_of(Info) == stage.expected_of(Info)
    assert exchange.finished


@pytest.mark.parametrize("name", ONE_SHOT)
def test_fetching_from_the_original(name):
    stage = Stage(name, "b")
    exchange = stage.open([], download=True)
    stage.hear(m for m in stage.theirs if isinstance(m, Have))
    stage.fetch()
    length = stage.result["a"]["feed"]["length"]
    assert stage.stored == list(range(length))
    assert stage.said_of(Want) == stage.expected_of(Want) == [Want(0, REGION)]
    assert stage.said[-1:] == stage.expected[-1:] == [Info(uploading=True, downloading=False)]
    assert not exchange.finished
    stage.hear(m for m in stage.theirs if isinstance(m, Info))
    assert exchange.finished


def test_a_mirror_with_holes_tells_them_as_the_original_does():
    stage = Stage("feed-partial-bitfield", "a")
    stage.open(stage.result["a_ranges"], download=False)
    stage.hear(m for m in stage.theirs if isinstance(m, Want))
    assert stage.said == stage.expected_of(Have)


def test_only_what_a_mirror_with_holes_has_is_asked_for():
    stage = Stage("feed-partial-bitfield", "b")
    stage.open([], download=True)
    stage.hear(m for m in stage.theirs if isinstance(m, Have))
    stage.fetch()
    asked = [m.index for m in stage.said if isinstance(m, Request)]
    assert asked == sorted(m.index for m in stage.expected if isinstance(m, Request))
    assert stage.picker.idle
    assert stage.picker.missing_count == stage.picker.unavailable() == 9000 - 693


@pytest.mark.parametrize(("ours", "half"), [("a", (0, 12)), ("b", (12, 24))])
def test_two_mirrors_with_a_half_each(ours, half):
    stage = Stage("feed-two-halves", ours)
    exchange = stage.open([half], download=True)
    stage.picker.stored([], 24)
    stage.hear(m for m in stage.theirs if isinstance(m, (Want, Have)))
    assert stage.said == [
        *stage.expected_of(Want),
        *[m for m in stage.expected if isinstance(m, Have)],
    ]
    stage.hear(m for m in stage.theirs if isinstance(m, Request))
    assert exchange.queued == 12
    stage.fetch()
    assert sorted([*stage.stored, *range(*half)]) == list(range(24))
    assert stage.said_of(Info) == stage.expected_of(Info)
    # Nothing that came from there is announced there.
    assert len(stage.said_of(Have)) == len(stage.expected_of(Have))
    stage.hear(m for m in stage.theirs if isinstance(m, Info))
    assert exchange.finished
    assert stage.said_of(Info) == stage.expected_of(Info)


def test_the_second_of_two_mirrors_to_be_done_ends_it():
    stage = Stage("feed-two-halves", "b")
    exchange = stage.open([(12, 24)], download=True)
    stage.hear(m for m in stage.theirs if isinstance(m, (Want, Have, Info)))
    assert stage.said_of(Info) == []
    stage.fetch()
    assert stage.said_of(Info) == stage.expected_of(Info)
    assert exchange.finished


def test_cleared_blocks():
    stage = Stage("feed-clear-unhave", "b")
    stage.open([], download=True)
    stage.hear(m for m in stage.theirs if isinstance(m, (Have, Unhave)))
    assert stage.exchange.next_requests(0.0) == [0, 1, 2, 3, 9, 10, 11]
    seeder = Stage("feed-clear-unhave", "a")
    seeder.open([(0, 12)], download=False)
    seeder.hear(m for m in seeder.theirs if isinstance(m, Want))
    seeder.picker.lost(range(4, 9))
    seeder.said += seeder.exchange.lost(range(4, 9))
    assert seeder.said == [m for m in seeder.expected if not isinstance(m, Data)]


def test_appended_blocks_are_announced_as_the_original_does():
    stage = Stage("feed-live-append", "a")
    stage.open([(0, 3)], download=False)
    stage.hear(m for m in stage.theirs if isinstance(m, Want))
    for batch in ([3], [4, 5, 6], [7], [8]):
        stage.keep(batch)
    assert stage.said == stage.expected_of(Have)


def test_appended_blocks_are_fetched():
    stage = Stage("feed-live-append", "b")
    stage.open([], download=True)
    for message in stage.theirs:
        if isinstance(message, Have):
            stage.hear([message])
            stage.fetch()
    assert sorted(stage.stored) == list(range(9))
    assert stage.said_of(Have) == []


def test_one_end_live_only():
    live = Stage("live-mismatch", "a")
    live.open([(0, 3)], download=False)
    live.hear(live.theirs)
    assert live.said == live.expected_of(Have)
    assert not live.exchange.finished
    assert not live.exchange.remote_downloading
    other = Stage("live-mismatch", "b")
    other.open([], download=True)
    other.hear(m for m in other.theirs if isinstance(m, Have))
    other.fetch()
    assert other.said[-1] == other.expected[-1] == Info(uploading=True, downloading=False)
    assert not other.exchange.finished


def test_receipts():
    stage = Stage("handshake-extensions-ack", "b")
    stage.open([], download=True)
    stage.hear(m for m in stage.theirs if isinstance(m, Have))
    stage.exchange.next_requests(0.0)
    stage.hear(m for m in stage.theirs if isinstance(m, Data))
    # The original had them on disk in another order than they came.
    assert sorted(m.start for m in stage.said if isinstance(m, Have)) == [0, 1, 2, 3]
    assert all(m in stage.expected for m in stage.said_of(Have))
    seeder = Stage("handshake-extensions-ack", "a")
    seeder.open([(0, 4)], download=False)
    seeder.hear(seeder.theirs)
    assert seeder.said == seeder.expected_of(Have)


def test_a_request_for_a_block_that_does_not_exist_ends_nothing():
    stage = Stage("request-missing", "a")
    exchange = stage.open([(0, 3)], download=False)
    stage.hear(stage.theirs)
    assert stage.said == stage.expected_of(Have)
    assert [r.index for r in exchange.take_requests(9, 2**20)] == [1]


def test_requests_for_hashes_and_bytes_are_handed_on_as_they_are():
    stage = Stage("feed-hash-only", "a")
    exchange = stage.open([(0, 32)], download=False)
    stage.hear(stage.theirs)
    assert exchange.take_requests(1000, 2**30) == [
        m for m in stage.theirs if isinstance(m, Request)
    ]


def test_an_empty_feed_is_complete_with_the_first_have():
    stage = Stage("empty-archive", "b", feed="content")
    exchange = stage.open([], download=True)
    stage.hear(m for m in stage.theirs if isinstance(m, Have))
    assert stage.said == stage.expected
    stage.hear(m for m in stage.theirs if isinstance(m, Info))
    assert exchange.finished
    writer = Stage("empty-archive", "a", feed="content")
    writer.open([], download=False)
    writer.hear(writer.theirs)
    assert writer.said == writer.expected
    assert writer.exchange.finished
