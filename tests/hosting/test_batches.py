from dataclasses import replace

import pytest
from tests.helpers.feeds import feed_of, fetch, sparse_copy
from tests.helpers.small_feeds import PAIR, FullDisk

from datd.errors import HashesLost, IntegrityError, StorageError
from datd.feed.feed import Feed
from datd.hosting.batches import serve_batch, store_batch
from datd.storage.memory import memory_feed_storage
from datd.wire import messages
from datd.wire.framing import FrameDecoder
from datd.wire.messages import Data, Request

BLOCKS = [b"%03d" % n * 100 for n in range(20)]


def served(feed: Feed, *requests: Request, max_bytes: int = 10**6, channel: int = 3):
    batch = serve_batch(feed, channel, requests, None, max_bytes)
    frames = FrameDecoder().frames(bytearray(batch.frames))
    answers = [(at, messages.decode(kind, body)) for at, kind, body in frames]
    assert all(at == channel for at, _ in answers)
    return batch, [message for _, message in answers]


def test_what_one_end_serves_the_other_stores():
    source, copy = feed_of(BLOCKS), sparse_copy(feed_of(BLOCKS))
    ask = range(20)
    batch, answers = served(source, *[Request(n) for n in ask])
    assert (batch.size, batch.lost, batch.left) == (6000, [], ())
    stored = store_batch(copy, [a for a in answers if isinstance(a, Data)], [5, 6])
    assert stored.here == list(ask)
    assert stored.size == stored.present_bytes == 6000
    assert stored.error is None
    assert stored.digests == [copy.digest(5), copy.digest(6)]
    assert [copy.get(n) for n in ask] == BLOCKS


def test_a_batch_stops_at_its_size_and_tells_what_is_left():
    batch, answers = served(feed_of(BLOCKS), *[Request(n) for n in range(20)], max_bytes=1000)
    assert len(answers) == 4
    assert [request.index for request in batch.left] == list(range(4, 20))


def test_what_is_not_here_is_told_and_the_rest_served():
    copy = sparse_copy(feed_of(BLOCKS), [2, 5])
    batch, answers = served(copy, Request(2), Request(3), Request(5), Request(10**9))
    assert [a.index for a in answers] == [2, 5]
    assert batch.lost == [3, 10**9]


def test_bytes_and_hashes_can_be_asked_for():
    _, answers = served(feed_of(BLOCKS), Request(0, bytes=650), Request(7, hash=True))
    assert [(a.index, a.value) for a in answers] == [(2, BLOCKS[2]), (7, None)]


def test_good_blocks_before_a_bad_one_are_kept_and_the_bad_one_is_named():
    source, copy = feed_of(BLOCKS), sparse_copy(feed_of(BLOCKS))
    _, answers = served(source, *[Request(n) for n in range(3)])
    answers[1] = Data(1, b"wrong", answers[1].nodes, answers[1].signature)
    stored = store_batch(copy, answers, [])
    assert stored.here == [0]
    assert isinstance(stored.error, IntegrityError)
    assert stored.error.index == 1
    assert not copy.has(1)


def test_a_block_that_comes_twice_is_here_and_counted_once():
    source, copy = feed_of(BLOCKS), sparse_copy(feed_of(BLOCKS))
    _, answers = served(source, Request(4))
    assert store_batch(copy, answers, []).size == 300
    again = store_batch(copy, answers, [])
    assert (again.here, again.size, again.present_bytes) == ([4], 0, 300)


def test_c8_a_full_disk_stores_nothing_and_the_feed_is_as_before():
    source = Feed.create(memory_feed_storage(), PAIR)
    source.append(BLOCKS)
    data = FullDisk()
    storage = memory_feed_storage()
    copy = Feed.open(replace(storage, data=data), source.key)
    _, answers = served(source, *[Request(n) for n in range(6)])
    store_batch(copy, answers[:3], [])
    data.full = True
    with pytest.raises(StorageError):
        store_batch(copy, answers[3:], [])
    assert list(copy.have.search(1)) == [0, 1, 2]
    data.full = False
    assert store_batch(copy, answers[3:], []).here == [3, 4, 5]
    assert [copy.get(n) for n in range(6)] == BLOCKS[:6]


def test_who_builds_on_hashes_that_were_damaged_here_is_not_to_blame():
    source = feed_of(BLOCKS)
    storage = memory_feed_storage()
    copy = Feed.open(storage, source.key)
    fetch(copy, source, [0])
    value, proof = source.serve(2, copy.digest(2))
    assert [node.index for node in proof.nodes] == [6]  # all that leads up is there
    copy.flush()
    for node in (1, 5):
        storage.tree.write(32 + 40 * node, bytes(40))
    again = Feed.open(storage, source.key)
    stored = store_batch(again, [Data(2, value, proof.nodes, proof.signature)], [])
    assert isinstance(stored.error, HashesLost)
    assert stored.here == []
    whole = source.serve(2, again.digest(2))
    assert store_batch(again, [Data(2, whole[0], whole[1].nodes)], []).here == [2]
