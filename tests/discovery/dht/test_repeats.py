from datd.discovery.dht.repeats import FIRST_PAUSE, LAST_PAUSE, SPACING, Repeats

NAME, OTHER = b"n" * 20, b"o" * 20


def test_the_pause_doubles_and_each_time_is_told_once():
    repeats, now = Repeats(), 0.0
    for pause in (10, 20, 40, 80, 160, 300, 300):
        repeats.failed(NAME, now)
        assert repeats.next_time() == now + pause
        assert repeats.due(now + pause - 1) is None
        now += pause
        assert repeats.due(now) == NAME
        assert repeats.due(now + 1) is None
        assert repeats.next_time() == float("inf")


def test_after_a_success_it_begins_anew():
    repeats = Repeats()
    repeats.failed(NAME, 0)
    repeats.failed(NAME, 50)
    repeats.forget(NAME)
    assert repeats.due(1000) is None
    repeats.failed(NAME, 2000)
    assert repeats.next_time() == 2000 + FIRST_PAUSE


def test_all_are_due_when_there_are_nodes_again_and_one_after_another():
    repeats = Repeats()
    for name in (NAME, OTHER):
        repeats.failed(name, 0)
    repeats.soon(1)
    first = repeats.due(1)
    assert repeats.due(1) is None
    assert repeats.next_time() == 1 + SPACING
    assert {first, repeats.due(1 + SPACING)} == {NAME, OTHER}
    repeats.soon(3)  # both are being searched
    assert repeats.due(3) is None


def test_thousands_that_fail_and_are_forgotten_leave_nothing():
    repeats = Repeats()
    for number in range(10_000):
        repeats.failed(b"%d" % number, number)
        repeats.soon(number)
        repeats.failed(NAME, number)
        repeats.forget(b"%d" % number)
    assert len(repeats) == 1
    assert len(repeats._queue) <= 70
    assert repeats.next_time() <= 10_000 + LAST_PAUSE
