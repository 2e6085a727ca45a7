import random

import pytest
from bitarray import bitarray
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.exchanges import ExchangePair, Replica, advance, deliver

from datd.errors import HashesLost, IntegrityError, ProtocolError
from datd.feed import rle
from datd.replication.block_map import REGION
from datd.replication.exchange import FeedExchange, Send, Store
from datd.replication.picker import BlockPicker
from datd.types import Node
from datd.wire.messages import (
    Cancel,
    Data,
    Have,
    Info,
    Message,
    Request,
    Unhave,
    Unwant,
    Want,
)

TRUTH = {index: b"block %d" % index for index in range(600)}


def reader(now: float = 0.0, have: str = "") -> FeedExchange:
    picker = BlockPicker(bitarray(have), len(have), choose=lambda _: 0)
    picker.want_all()
    exchange = FeedExchange(picker, now=now)
    exchange.start()
    return exchange


def sent(exchange: FeedExchange, message: Message, now: float = 0.0) -> list[Message]:
    return [a.message for a in exchange.receive(message, now) if isinstance(a, Send)]


def test_a_mirror_fetches_a_whole_feed():
    seeder, mirror = Replica(TRUTH, TRUTH), Replica(TRUTH)
    mirror.picker.want_all()
    pair = ExchangePair(seeder, mirror, left_downloads=False).start().deliver()
    assert mirror.blocks == TRUTH
    assert sorted(pair.right.asked) == list(range(600))
    assert mirror.picker.idle


def test_nothing_is_asked_before_start():
    picker = BlockPicker(bitarray(), 0, choose=lambda _: 0)
    picker.want_all()
    exchange = FeedExchange(picker, now=0.0)
    exchange.receive(Have(0, 10), 0.0)
    assert exchange.next_requests(0.0) == []
    assert exchange.start() == [Want(0, REGION)]
    assert exchange.next_requests(0.0) == list(range(10))


def test_new_blocks_are_announced_fetched_and_passed_on():
    writer, middle, far = Replica(TRUTH, range(3)), Replica(TRUTH), Replica(TRUTH)
    writer.truth = {i: TRUTH[i] for i in range(5)}
    middle.truth = far.truth = writer.truth
    for replica in (middle, far):
        replica.picker.want_all()
    pairs = [
        ExchangePair(writer, middle, left_downloads=False).start(),
        ExchangePair(middle, far).start(),
    ]
    deliver(pairs)
    writer.append(2)
    deliver(pairs)
    assert far.blocks == writer.truth
    assert Have(3, 2) in pairs[0].left.announced
    # Nobody is told what it told us.
    assert not pairs[0].right.announced[1:]


def test_three_seeders_with_a_third_each():
    mirror = Replica(TRUTH)
    mirror.picker.want_all()
    pairs = [
        ExchangePair(Replica(TRUTH, range(k * 200, k * 200 + 200), length=600), mirror).start()
        for k in range(3)
    ]
    deliver(pairs)
    assert mirror.blocks == TRUTH
    for k, pair in enumerate(pairs):
        assert sorted(pair.right.asked) == list(range(k * 200, k * 200 + 200))


def test_three_full_seeders_share_the_work():
    mirror = Replica(TRUTH, choose=random.Random(5).randrange)
    mirror.picker.want_all()
    pairs = [ExchangePair(Replica(TRUTH, TRUTH), mirror).start() for _ in range(3)]
    deliver(pairs)
    assert mirror.blocks == TRUTH
    asked = [index for pair in pairs for index in pair.right.asked]
    assert len(asked) == len(set(asked)) == 600
    assert all(len(pair.right.asked) > 100 for pair in pairs)


def test_a_far_region_of_a_long_feed():
    truth = dict.fromkeys((0, 1, REGION + 5, 3 * REGION + 1), b"x")
    mirror = Replica(truth)
    mirror.picker.want_all()
    pair = ExchangePair(Replica(truth, truth), mirror, left_downloads=False).start().deliver()
    assert mirror.blocks == truth
    assert [m.start for m in pair.right.sent if isinstance(m, Want)] == [
        0,
        REGION,
        2 * REGION,
        3 * REGION,
    ]


def test_cleared_blocks_are_not_asked_for():
    seeder, mirror = Replica(TRUTH, TRUTH), Replica(TRUTH)
    pair = ExchangePair(seeder, mirror, left_downloads=False).start().deliver()
    seeder.clear(range(4, 9))
    mirror.picker.want([(2, 10)])
    pair.deliver()
    assert pair.right.asked == [2, 3, 9]
    assert mirror.picker.unavailable() == 5


def test_a_block_taken_back_while_asked_for_is_free_at_once():
    exchange = reader()
    exchange.receive(Have(0, 3), 0.0)
    assert exchange.next_requests(0.0) == [0, 1, 2]
    exchange.receive(Unhave(1), 0.1)
    assert exchange.in_flight == 2
    exchange.receive(Have(1), 0.2)
    assert exchange.next_requests(0.2) == [1]


def test_receipts_for_a_peer_that_asked_for_them():
    seeder, mirror = Replica(TRUTH, range(4)), Replica({i: TRUTH[i] for i in range(4)})
    mirror.picker.want_all()
    pair = ExchangePair(seeder, mirror, left_downloads=False, ack=True).start().deliver()
    assert [m for m in pair.right.sent if isinstance(m, Have)] == [
        Have(i, ack=True) for i in range(4)
    ]


# Answers


def test_t18_l15_unasked_blocks_are_dropped_and_end_it_above_a_hundred():
    exchange = reader()
    exchange.receive(Have(0, 3), 0.0)
    exchange.next_requests(0.0)
    for index in range(50):
        assert exchange.receive(Data(1000 + index, b"x"), 0.0) == []
        assert exchange.receive(Data(2000 + index, None, [Node(4000, bytes(32), 5)]), 0.0) == []
    with pytest.raises(ProtocolError, match="nobody asked for"):
        exchange.receive(Data(7, b"x"), 0.0)


def test_asked_blocks_are_worth_storing_once():
    exchange = reader()
    exchange.receive(Have(0, 3), 0.0)
    exchange.next_requests(0.0)
    data = Data(1, b"x")
    assert exchange.receive(data, 0.0) == [Store(data)]
    assert exchange.receive(data, 0.0) == []
    assert exchange.in_flight == 2


def test_an_empty_block_is_a_block():
    exchange = reader()
    exchange.receive(Have(0), 0.0)
    exchange.next_requests(0.0)
    assert exchange.receive(Data(0, b""), 0.0) == [Store(Data(0, b""))]


def test_an_answer_without_its_block_goes_to_somebody_else():
    mirror = Replica(TRUTH)
    mirror.picker.want_all()
    hollow = ExchangePair(Replica(TRUTH, TRUTH), mirror)
    hollow.left.tamper = lambda m: Data(m.index) if isinstance(m, Data) else m
    hollow.start().deliver()
    assert mirror.blocks == {}
    deliver([hollow, ExchangePair(Replica(TRUTH, TRUTH), mirror).start()])
    assert mirror.blocks == TRUTH
    assert len(hollow.right.asked) == len(set(hollow.right.asked))


def test_t21_a_bad_block_is_never_asked_of_that_peer_again():
    mirror = Replica(TRUTH)
    mirror.picker.want_all()
    pair = ExchangePair(Replica(TRUTH, TRUTH), mirror)
    pair.left.tamper = lambda m: Data(3, b"wrong") if m == Data(3, TRUTH[3]) else m
    pair.start()
    with pytest.raises(IntegrityError):
        pair.deliver()
    assert 3 not in mirror.blocks
    again = ExchangePair(Replica(TRUTH, TRUTH), mirror)
    again.right.exchange.failed(3)
    again.start().deliver()
    assert 3 not in again.right.asked
    assert sorted(set(TRUTH) - set(mirror.blocks)) == [3]
    assert mirror.picker.unavailable() == 1


def test_a_block_that_could_not_be_stored_is_asked_for_again():
    exchange = reader()
    exchange.receive(Have(0), 0.0)
    exchange.next_requests(0.0)
    exchange.receive(Data(0, b"x"), 0.0)
    assert exchange.next_requests(0.0) == []
    exchange.not_stored([Data(0, b"zero")])
    assert exchange.next_requests(0.0) == [0]
    exchange.withdraw([0])  # the message was never sent
    assert (exchange.in_flight, exchange.next_requests(0.0)) == (0, [0])


def test_a_dropped_answer_whose_hashes_the_peer_counts_on_ends_the_talk_without_blame():
    exchange = reader()
    exchange.keeps_hashes = True
    exchange.receive(Have(0), 0.0)
    exchange.next_requests(0.0)
    exchange.receive(Data(0, b"x"), 0.0)
    exchange.not_stored([Data(0, None)])  # nobody counts on answers to requests for hashes
    with pytest.raises(HashesLost):
        exchange.not_stored([Data(0, b"zero")])
    assert exchange.next_requests(0.0) == [0]  # it is free, for others too


def test_so_does_an_answer_that_came_when_it_was_forgotten_that_it_was_asked_for():
    exchange = reader()
    exchange.keeps_hashes = True
    with pytest.raises(HashesLost):
        exchange.receive(Data(7, b"late"), 0.0)


# Time


def test_l16_t23_a_silent_peer_is_given_twenty_seconds():
    exchange = reader()
    exchange.receive(Have(0, 3), 0.0)
    assert exchange.next_requests(0.0) == [0, 1, 2]
    assert exchange.next_timer() == 5.0
    assert exchange.handle_timer(5.0) == []
    assert exchange.handle_timer(10.0) == []
    assert exchange.handle_timer(20.0) == [Cancel(0), Cancel(1), Cancel(2)]
    assert exchange.next_requests(20.0) == [0, 1, 2]


def test_l16_t23_five_seconds_if_another_peer_has_the_block():
    mirror = Replica(TRUTH)
    mirror.picker.want_all()
    silent = ExchangePair(Replica(TRUTH, TRUTH), mirror, left_downloads=False)
    silent.left.serve = False
    silent.start().deliver()
    assert silent.right.asked == list(range(16))
    good = ExchangePair(Replica(TRUTH, TRUTH), mirror, left_downloads=False).start()
    deliver([silent, good])
    assert len(mirror.blocks) == 600 - 16
    advance([silent, good], 5.0)
    assert mirror.blocks == TRUTH
    assert silent.right.cancelled == list(range(16))


def test_t23_after_three_misses_claims_count_for_nothing_until_it_delivers():
    exchange = reader()
    picker = exchange._picker
    exchange.receive(Have(0, 3), 0.0)
    exchange.receive(Have(0, REGION, b"\x02\xe0"), 0.0)
    for now in (0.0, 20.0, 40.0):
        assert exchange.next_requests(now) == [0, 1, 2]
        exchange.handle_timer(now + 20.0)
    assert exchange.next_requests(60.0) == []
    assert not picker.offered(0)
    assert (picker.known_length, picker.idle) == (0, True)
    late = Data(1, b"x")
    assert exchange.receive(late, 61.0) == [Store(late)]
    assert exchange.next_requests(61.0) == [0, 2]


def test_a_slow_peer_that_goes_on_delivering_keeps_its_requests():
    exchange = reader()
    exchange.receive(Have(0, 16), 0.0)
    assert len(exchange.next_requests(0.0)) == 16
    for index in range(16):
        now = 13.0 * (index + 1)
        while (timer := exchange.next_timer()) is not None and timer < now:
            assert exchange.handle_timer(timer) == []
        assert exchange.receive(Data(index, b"x"), now) == [Store(Data(index, b"x"))]


def test_a_late_answer_is_welcome_while_the_block_is_missing():
    exchange = reader()
    picker = exchange._picker
    exchange.receive(Have(0, 2), 0.0)
    exchange.next_requests(0.0)
    exchange.handle_timer(20.0)
    assert exchange.receive(Data(0, b"x"), 21.0) == [Store(Data(0, b"x"))]
    assert exchange.next_requests(21.0) == [1]
    picker.stored([1], 2)
    assert exchange.stored([1]) == [Cancel(1)]
    assert exchange.receive(Data(1, b"x"), 22.0) == []


def test_t24_fifty_liars_and_one_honest_peer():
    mirror = Replica(TRUTH, choose=random.Random(24).randrange)
    mirror.picker.want_all()
    pairs = []
    for number in range(51):
        pair = ExchangePair(Replica(TRUTH, TRUTH), mirror, left_downloads=False)
        pair.left.serve = number == 50
        pairs.append(pair.start())
        deliver([pair])
    advance(pairs, 60.0)
    assert mirror.blocks == TRUTH


def test_lost_messages_are_made_up_for():
    mirror = Replica(TRUTH)
    mirror.picker.want_all()
    pair = ExchangePair(Replica(TRUTH, TRUTH), mirror, left_downloads=False)
    chance = random.Random(7)
    pair.left.tamper = lambda m: None if isinstance(m, Data) and chance.random() < 0.05 else m
    pair.left.delay = 0.3
    pair.start()
    advance([pair], 300.0)
    assert mirror.blocks == TRUTH


def test_a_want_without_answer_counts_as_nothing_after_a_while():
    exchange = reader(have="1")
    exchange._picker.stored([], 5)
    assert exchange._picker.unavailable() == 0
    assert exchange.next_timer() == 20.0
    exchange.handle_timer(20.0)
    assert exchange._picker.unavailable() == 4
    assert exchange.next_timer() is None


def test_the_window_grows_while_the_peer_keeps_up():
    exchange = reader()
    exchange.receive(Have(0, 5000), 0.0)
    waiting = exchange.next_requests(0.0)
    assert len(waiting) == 16
    for now in range(1, 100):
        for index in waiting:
            exchange.receive(Data(index, b"small"), now / 10)
        exchange._picker.stored(waiting, 5000)
        exchange.stored(waiting)
        waiting = exchange.next_requests(now / 10)
        if not waiting:
            break
    assert exchange.window == 512


# Serving


def test_requests_are_served_oldest_first_and_can_be_taken_back():
    exchange = reader(have="1111")
    for index in (3, 1, 2):
        exchange.receive(Request(index), 0.0)
    exchange.receive(Cancel(1), 0.0)
    assert exchange.queued == 2
    assert [r.index for r in exchange.take_requests(8, 2**20)] == [3, 2]


def test_requests_for_lost_and_absurd_blocks():
    exchange = reader(have="1101")
    assert sent(exchange, Request(2)) == [Unhave(2)]
    for index in (4, 2**32, 2**53 - 1):
        assert sent(exchange, Request(index)) == []
    assert exchange.queued == 0
    exchange.receive(Request(2, hash=True), 0.0)
    exchange.receive(Request(0, bytes=77), 0.0)
    assert exchange.queued == 2


def test_what_is_lost_meanwhile_is_not_served():
    exchange = reader(have="1111")
    exchange.receive(Want(0, REGION), 0.0)
    exchange.receive(Request(1), 0.0)
    exchange._picker.lost([1])
    assert exchange.lost([1]) == [Unhave(1)]
    assert exchange.take_requests(8, 2**20) == []


def test_t16_l11_too_many_wants_end_the_connection():
    exchange = reader()
    for _ in range(100):
        exchange.receive(Want(0, REGION), 0.0)
    with pytest.raises(ProtocolError):
        exchange.receive(Want(0, REGION), 0.0)


# Any messages at all

_index = st.one_of(st.integers(0, 12), st.integers(0, 2**53 - 1))
_span = st.one_of(st.integers(0, 12), st.sampled_from([8192, REGION, 2**53 - 1]))
_bits = st.one_of(st.none(), st.binary(max_size=6), st.binary(max_size=3).map(rle.encode))
_messages = st.one_of(
    st.builds(Have, _index, _span, _bits, st.booleans()),
    st.builds(Have, st.just(0), st.just(REGION), st.just(b"\x07\x02\xf0")),
    st.builds(Unhave, _index, _span),
    st.builds(Want, st.one_of(st.just(0), _index), _span),
    st.builds(Unwant, _index, _span),
    st.builds(Request, _index, _span, st.booleans(), _index),
    st.builds(Cancel, _index, _span, st.booleans()),
    st.builds(Info, st.booleans(), st.booleans()),
    st.integers(0, 11).map(lambda index: Data(index, TRUTH[index])),
    st.builds(Data, _index, st.one_of(st.none(), st.binary(max_size=4))),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(_messages, st.sampled_from([0.0, 0.1, 6.0, 21.0])), max_size=40))
def test_any_messages_give_our_error_or_the_truth(conversation):
    truth = {index: TRUTH[index] for index in range(12)}
    replica = Replica(truth, [3, 4], length=12)
    replica.picker.want_all()
    stranger, honest = (
        ExchangePair(replica, Replica(truth, truth), right_downloads=False) for _ in range(2)
    )
    stranger.left.send(stranger.left.exchange.start())
    asked: set[int] = set()
    try:
        for message, seconds in conversation:
            stranger.left.now += seconds
            for action in stranger.left.exchange.receive(message, stranger.left.now):
                if isinstance(action, Store):
                    assert action.data.index in asked
                    replica.put(action.data)
                else:
                    assert not isinstance(action.message, Data)
            stranger.left.pump()
            asked |= set(stranger.left.asked)
            assert stranger.left.exchange.in_flight <= 512
    except (ProtocolError, IntegrityError):
        pass
    stranger.left.close()
    assert all(replica.blocks[index] == truth[index] for index in replica.blocks)
    # Whatever was said, an honest peer completes the feed.
    honest.start().deliver()
    assert replica.blocks == truth
    assert replica.picker.missing_count == 0
    assert replica.picker.in_flight_count == 0
