import pytest
from bitarray import bitarray

from datd.errors import ProtocolError
from datd.replication.exchange import FeedExchange, Store
from datd.replication.picker import BlockPicker
from datd.types import Seek
from datd.wire.messages import Data, Have, Request


def seeker(*positions: int) -> tuple[FeedExchange, BlockPicker]:
    """A reader that wants nothing of a feed of 100 blocks but to find some bytes."""
    picker = BlockPicker(bitarray(), 0, choose=lambda _: 0)
    exchange = FeedExchange(picker, now=0.0)
    exchange.start()
    exchange.receive(Have(0, 100), 0.0)
    for position in positions:
        picker.seeks.want(Seek(position, position // 10, 0, 100))
    return exchange, picker


def test_the_answer_may_be_another_block_than_the_one_that_was_named():
    exchange, picker = seeker(500)
    assert exchange.next_seeks(0.0) == [Request(50, bytes=500)]
    assert exchange.next_seeks(0.0) == []
    found = Data(61, b"value")
    assert exchange.receive(found, 0.1) == [Store(found)]
    exchange.seeks.stored([61])
    picker.seeks.settle([500])
    assert exchange.seeks.take_over() == []
    assert not exchange.seeks.waiting
    assert picker.in_flight_count == 1


def test_t18_only_as_many_other_blocks_as_bytes_were_asked_for():
    exchange, _ = seeker(500, 700)
    exchange.next_seeks(0.0)
    for index in (1, 2):
        assert exchange.receive(Data(index, b"x"), 0.0) == [Store(Data(index, b"x"))]
    for index in range(3, 103):
        assert exchange.receive(Data(index, b"x"), 0.0) == []
    with pytest.raises(ProtocolError):
        exchange.receive(Data(2, b"x"), 0.0)


def test_what_was_not_found_once_all_answers_are_stored_is_over():
    exchange, picker = seeker(500, 700)
    exchange.next_seeks(0.0)
    exchange.receive(Data(50, b"x"), 0.0)
    exchange.receive(Data(70, b"x"), 0.0)
    exchange.seeks.stored([50])
    picker.seeks.settle([500])
    assert exchange.seeks.take_over() == []  # the other answer is not stored yet
    exchange.seeks.stored([70])
    assert exchange.seeks.take_over() == [700]


def test_t23_a_peer_that_keeps_still_is_not_waited_for():
    exchange, picker = seeker(500)
    exchange.next_seeks(0.0)
    assert exchange.next_timer() == 5.0
    exchange.handle_timer(4.9)
    assert exchange.seeks.take_over() == []
    exchange.handle_timer(5.0)
    assert exchange.seeks.take_over() == [500]
    picker.seeks.settle([500])
    # Late is better than never.
    assert exchange.receive(Data(50, b"x"), 9.0) == [Store(Data(50, b"x"))]


def test_a_byte_asked_of_a_peer_that_left_is_asked_of_another():
    exchange, picker = seeker(500)
    exchange.next_seeks(0.0)
    other = FeedExchange(picker, now=0.0)
    other.start()
    other.receive(Have(0, 100), 0.0)
    assert other.next_seeks(0.0) == []
    exchange.close()
    assert other.next_seeks(0.0) == [Request(50, bytes=500)]
