from datd.replication.pending import PendingRequests


def nobody(_: int) -> bool:
    return False


def everybody(_: int) -> bool:
    return True


def pending(*indexes: int) -> PendingRequests:
    book = PendingRequests(0.0)
    book.add(indexes, 0.0)
    return book


def test_l16_twenty_seconds_alone_and_five_with_others():
    book = pending(1, 2)
    assert book.overdue(4.9, everybody) == ([], [])
    assert book.overdue(5.0, nobody) == ([], [])
    assert book.overdue(20.0, nobody) == ([1, 2], [])
    assert pending(1, 2).overdue(5.0, everybody) == ([], [1, 2])


def test_what_waits_behind_a_delivered_block_is_not_late():
    book = pending(1, 2)
    assert book.answered(1, 15.0, delivered=True)
    assert book.overdue(20.0, nobody) == ([], [])
    assert book.overdue(35.0, nobody) == ([2], [])


def test_dripping_does_not_hold_blocks_that_others_have():
    book = pending(*range(30))
    for second in range(0, 20, 4):
        book.answered(second, float(second), delivered=True)
    assert book.overdue(20.0, everybody)[1] == sorted(set(range(30)) - {0, 4, 8, 12, 16})


def test_t23_hopeless_after_three_misses_in_a_row():
    book = pending()
    for round_number in range(3):
        assert not book.hopeless
        now = 20.0 * round_number
        book.add([7], now)
        assert book.overdue(now + 20.0, nobody) == ([7], [])
        book.give_up([7])
    assert book.hopeless
    assert book.answered(7, 61.0, delivered=True)
    assert not book.hopeless


def test_a_late_answer_counts_once():
    book = pending(7)
    book.give_up([7])
    assert book.answered(7, 1.0, delivered=True)
    assert not book.answered(7, 1.0, delivered=True)
    assert not book.answered(8, 1.0, delivered=False)


def test_the_next_time_to_look():
    book = pending()
    assert book.next_timer() is None
    book.add([1], 2.0)
    assert book.next_timer() == 7.0
    book.overdue(7.0, nobody)
    assert book.next_timer() == 12.0


def test_what_waits_behind_something_else_is_not_late():
    book = pending(7)
    book.progressed(4.0)
    assert book.overdue(8.9, everybody) == ([], [])
    assert book.overdue(14.0, everybody) == ([], [7])


def test_what_was_not_sent_is_not_waited_for():
    book = pending(7, 8)
    book.withdraw([7, 9])
    assert 7 not in book
    assert not book.answered(7, 1.0, delivered=True)
    assert len(book) == 1
