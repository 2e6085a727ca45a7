from collections.abc import Callable

from datd.hosting.web.schedule import Agenda, first_poll, next_poll, next_retry


def test_who_is_due_comes_once_and_in_order():
    agenda: Agenda[str] = Agenda()
    agenda.put("late", 20)
    agenda.put("soon", 10)
    assert agenda.next_time() == 10
    assert agenda.due(5) == []
    assert agenda.due(30) == ["soon", "late"]
    assert agenda.due(30) == []
    assert agenda.next_time() is None


def test_a_new_time_replaces_the_old_one():
    agenda: Agenda[str] = Agenda()
    agenda.put("one", 10)
    agenda.put("one", 50)
    assert agenda.due(20) == []
    agenda.put("one", 5)
    assert agenda.due(20) == ["one"]
    assert agenda.due(60) == []


def test_who_was_removed_is_not_due():
    agenda: Agenda[str] = Agenda()
    agenda.put("one", 10)
    agenda.remove("one")
    assert agenda.next_time() is None
    assert agenda.due(20) == []


def test_polls_spread_out():
    def drawing(number: int) -> Callable[[int], int]:
        return lambda below: number % below

    times = [next_poll(1000, 300, drawing(number)) for number in (0, 500, 999)]
    assert times[0] == 1270
    assert 1299 <= times[1] <= 1301
    assert times[2] < 1330
    assert first_poll(1000, 300, lambda _: 0) == 1000
    assert first_poll(1000, 300, lambda n: n - 1) < 1300


def test_retries_grow_up_to_the_interval():
    middle = [next_retry(0, n, 300, lambda below: below // 2) for n in (1, 2, 3, 9, 1000)]
    assert middle == [10, 20, 40, 300, 300]
    assert next_retry(0, 1, 300, lambda _: 0) == 9
