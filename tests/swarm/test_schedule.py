import random
from itertools import pairwise

from datd.swarm.schedule import LookupSchedule

NEVER = float("-inf")


def schedule(*names: bytes, seed: int = 1) -> LookupSchedule:
    made = LookupSchedule(choose=random.Random(seed).randrange)
    for name in names:
        made.add(name)
    return made


def run(made: LookupSchedule, until: float, per_second: int) -> dict[bytes, list[float]]:
    """Live through some time with so many lookups a second."""
    done: dict[bytes, list[float]] = {}
    for second in range(int(until)):
        for name in made.due(float(second), per_second):
            done.setdefault(name, []).append(float(second))
    return done


def test_a_joined_name_is_due_at_once_and_then_every_60_to_70_seconds():
    made = schedule(b"a")
    assert made.next_time() == NEVER
    assert made.due(100.0, 10) == [b"a"]
    for _ in range(20):
        due = made.next_time()
        assert due is not None
        assert 60.0 <= due - 100.0 < 70.0 or due > 170.0
        assert made.due(due - 0.001, 10) == []
        assert made.due(due, 10) == [b"a"]


def test_rounds_of_many_names_spread_out():
    names = [bytes([n]) for n in range(200)]
    done = run(schedule(*names), 600, 200)
    late = [time for times in done.values() for time in times if time > 60]
    assert max(map(late.count, set(late))) < 60


def test_the_newest_name_goes_first_and_before_all_rounds():
    made = schedule(*[bytes([n]) for n in range(100)])
    made.due(0.0, 50)
    made.add(b"new")
    assert made.due(1000.0, 1) == [b"new"]


def test_over_budget_all_names_get_their_turn_alike():
    names = [n.to_bytes(2, "big") for n in range(1000)]
    done = run(schedule(*names), 1000, 10)
    assert len(done) == 1000
    assert {len(times) for times in done.values()} <= {9, 10, 11}
    assert all(b - a >= 60 for times in done.values() for a, b in pairwise(times))


def test_a_name_that_was_left_is_not_looked_up():
    made = schedule(b"a", b"b")
    made.due(0.0, 1)
    made.remove(b"a")
    made.remove(b"b")
    made.remove(b"never joined")
    assert made.due(1000.0, 10) == []
    assert len(made) == 0


def test_joining_again_makes_it_due_at_once():
    made = schedule(b"a")
    made.due(0.0, 1)
    made.add(b"a")
    assert made.due(1.0, 5) == [b"a"]
    assert made.due(65.0, 5) == []


def test_ten_thousand_names_come_and_go_without_a_trace():
    names = [n.to_bytes(2, "big") for n in range(10_000)]
    made = schedule(*names)
    assert len(made.due(0.0, 10_000)) == 10_000
    for name in names:
        made.remove(name)
    assert len(made) == 0
    assert len(made._rounds) + len(made._fresh) <= 64
