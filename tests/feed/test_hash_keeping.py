"""Who keeps every hash it is sent, and says so, is sent none twice: also by several, far apart."""

import random

import pytest
from tests.helpers.feeds import feed_of

from datd.feed.feed import Feed
from datd.feed.merkle import Proof
from datd.storage.memory import memory_feed_storage


class Sender:
    """A peer at some length that remembers what it sent, with answers under way."""

    def __init__(self, whole: Feed) -> None:
        self.feed = Feed.open(memory_feed_storage(), whole.key)
        for block in range(whole.length):
            self.feed.put(block, *whole.serve(block, self.feed.digest(block)))
        self.remembers: set[int] = set()
        self.under_way: dict[int, tuple[bytes, Proof]] = {}

    def ask(self, reader: Feed, block: int) -> None:
        digest = 0 if block >= reader.length > 0 else reader.digest(block)
        self.under_way[block] = self.feed.serve(block, digest, self.remembers)

    def deliver(self, reader: Feed) -> None:
        block = next(iter(self.under_way))
        value, proof = self.under_way.pop(block)
        reader.put_many([(block, value, proof)])


@pytest.mark.parametrize("seed", range(60))
def test_answers_of_peers_at_several_lengths_hold_in_whatever_order_they_cross(seed):
    chance = random.Random(seed)
    whole, senders = feed_of([]), []
    for length in sorted({chance.randrange(1, 90) for _ in range(3)}):
        whole.append([b"block %d" % n for n in range(whole.length, length)])
        senders.append(Sender(whole))
    reader = Feed.open(memory_feed_storage(), whole.key)
    while reader.present_blocks < whole.length:
        sender = chance.choice(senders)
        missing = [n for n in range(sender.feed.length) if not reader.has(n)]
        ask = [n for n in missing if n not in sender.under_way]
        if ask and chance.random() < 0.5:
            sender.ask(reader, chance.choice(ask))
        elif sender.under_way:
            sender.deliver(reader)
    assert [reader.get(n) for n in range(whole.length)] == [
        b"block %d" % n for n in range(whole.length)
    ]


def test_a_longer_history_that_comes_along_with_a_known_block_is_learned():
    short, long = feed_of([b"a", b"b"]), feed_of([b"a", b"b"])
    long.append([b"c", b"d", b"e"])
    reader = Feed.open(memory_feed_storage(), short.key)
    early = long.serve(0)
    reader.put(0, *short.serve(0))
    assert reader.length == 2
    assert not reader.put(0, *early)
    assert reader.length == 5
    assert reader.digest(3) == 0b101  # what leads up to it is here now


def test_surplus_that_does_not_hold_is_not_kept_and_harms_nobody():
    short, long = feed_of([b"a", b"b"]), feed_of([b"a", b"b"])
    long.append([b"c", b"d", b"e"])
    reader = Feed.open(memory_feed_storage(), short.key)
    value, proof = long.serve(0)
    reader.put(0, *short.serve(0))
    forged = [*proof.nodes[:-1], proof.nodes[-1]._replace(hash=bytes(32))]
    assert not reader.put(0, value, proof._replace(nodes=forged))
    assert reader.length == 2
    assert not reader.put(0, value, proof._replace(signature=bytes(64)))
    assert reader.length == 2
