from datd.replication.request_queue import QUEUE_LIMIT, RequestQueue
from datd.wire.messages import Cancel, Request


def test_oldest_first():
    queue = RequestQueue()
    for index in (5, 1, 9):
        queue.add(Request(index))
    assert [r.index for r in queue.take(2, 2**20, 1000)] == [5, 1]
    assert [r.index for r in queue.take(2, 2**20, 1000)] == [9]
    assert queue.take(2, 2**20, 1000) == []


def test_cancel_takes_back_exactly_that_request():
    queue = RequestQueue()
    queue.add(Request(1))
    queue.add(Request(1, hash=True))
    queue.add(Request(2))
    queue.cancel(Cancel(1, hash=True))
    queue.cancel(Cancel(7))
    assert queue.take(9, 2**20, 1000) == [Request(1), Request(2)]


def test_repeated_while_waiting_is_answered_once_with_what_the_asker_has_by_now():
    queue = RequestQueue()
    queue.add(Request(1, nodes=0))
    queue.add(Request(2))
    queue.add(Request(1, nodes=5))
    assert queue.take(9, 2**20, 1000) == [Request(1, nodes=5), Request(2)]
    queue.add(Request(1))
    assert len(queue) == 1


def test_a_budget_of_bytes_gives_at_least_one():
    queue = RequestQueue()
    for index in range(10):
        queue.add(Request(index))
    assert len(queue.take(10, 3 * 65536, 65536)) == 3
    assert len(queue.take(10, 10, 65536)) == 1


def test_t17_l12_a_flood_within_one_read_stays_bounded():
    queue = RequestQueue()
    for index in range(100_000):
        queue.add(Request(index))
    assert QUEUE_LIMIT == 512
    assert len(queue) == 4 * QUEUE_LIMIT


def test_l9_absurd_numbers_are_ignored():
    queue = RequestQueue()
    for index in (2**32, 2**53 - 1):
        queue.add(Request(index))
    assert len(queue) == 0


def test_lost_blocks_are_not_answered():
    queue = RequestQueue()
    for index in range(6):
        queue.add(Request(index))
    queue.add(Request(3, hash=True))
    queue.forget_blocks(2, 5)
    assert queue.take(9, 2**20, 10) == [Request(0), Request(1), Request(5), Request(3, hash=True)]
