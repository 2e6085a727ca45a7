from bitarray import bitarray

from datd.replication.exchange import FeedExchange, Store
from datd.replication.picker import BlockPicker
from datd.wire.messages import Cancel, Data, Have, Request, Unhave

PROOF = Data(4, None)


def asking(*blocks: int) -> tuple[FeedExchange, BlockPicker]:
    """A reader that wants hashes of a feed of 1,000 blocks and nothing else."""
    picker = BlockPicker(bitarray(), 0, choose=lambda _: 0)
    exchange = joined(picker)
    picker.ask_hashes(blocks)
    return exchange, picker


def joined(picker: BlockPicker) -> FeedExchange:
    exchange = FeedExchange(picker, now=0.0)
    exchange.start()
    exchange.receive(Have(0, 1000), 0.0)
    return exchange


def test_hashes_are_asked_for_in_order_and_stored_when_they_come():
    exchange, picker = asking(9, 4, 5, 700)
    assert exchange.next_hashes(0.0) == [4, 9, 700]
    assert exchange.hashes.request(4, 6) == Request(4, hash=True, nodes=6)
    assert exchange.receive(PROOF, 0.1) == [Store(PROOF)]
    assert picker.hashes.settle([4, 5]) == [4, 5]
    assert exchange.next_requests(0.2) == []
    # A block under the same number would have been asked for on its own.
    assert exchange.receive(Data(9, b"value"), 0.3) == []


def test_l13_many_are_under_way_but_no_more_than_a_hundred_and_twenty_eight():
    exchange, picker = asking(*range(1000))
    under_way = exchange.next_hashes(0.0)
    assert len(under_way) == 16
    now = 0.0
    while picker.hashes and under_way:
        now += 0.01
        index = under_way.pop(0)
        assert exchange.receive(Data(index, None), now)
        picker.hashes.settle([index, index + 1])
        under_way += exchange.next_hashes(now)
        assert len(under_way) <= 128
        if len(picker.hashes) == 400:
            assert len(under_way) > 60
    assert not picker.hashes


def test_t23_who_gives_no_hashes_is_not_asked_again_and_nobody_waits_in_vain():
    exchange, picker = asking(4, 5)
    assert exchange.next_hashes(0.0) == [4]
    assert Cancel(4, hash=True) in exchange.handle_timer(20.0)
    assert exchange.hashes.take_lost() == [4, 5]
    assert exchange.hashes.take_lost() == []
    assert exchange.next_hashes(20.0) == []
    other = joined(picker)
    assert other.next_hashes(20.0) == [4]


def test_t23_another_peer_is_asked_sooner():
    exchange, picker = asking(4)
    exchange.next_hashes(0.0)
    other = joined(picker)
    assert other.next_hashes(0.0) == []
    exchange.handle_timer(5.0)
    assert exchange.hashes.take_lost() == []
    assert other.next_hashes(5.0) == [4]


def test_hashes_behind_blocks_that_come_are_not_late():
    exchange, picker = asking(4)
    picker.want([(100, 110)])
    exchange.next_hashes(0.0)
    assert exchange.next_requests(0.0) == list(range(100, 110))
    joined(picker)
    for second in range(8):
        exchange.receive(Data(100 + second, b"x"), float(second))
        assert exchange.handle_timer(second + 0.5) == []


def test_a_peer_that_has_nothing_any_more_is_not_waited_for():
    exchange, picker = asking(4)
    exchange.next_hashes(0.0)
    other = joined(picker)
    exchange.receive(Unhave(0, 10), 0.1)
    assert other.next_hashes(0.1) == [4]
    exchange.close()
    assert other.next_timer() is not None
