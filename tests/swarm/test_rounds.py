"""One network. What the rounds of many names are like is told in test_schedule."""

import random

from datd.swarm.rounds import Need, Pace, Rounds


def rounds(interval: float = 60.0, per_second: float = 10.0) -> Rounds:
    return Rounds(Pace("net", interval, per_second), random.Random(3).randrange)


def test_a_name_is_here_until_it_is_removed() -> None:
    made = rounds()
    made.add(b"fresh", Need.SOME, True)
    made.add(b"restored", Need.MUCH, False)
    assert b"fresh" in made
    assert b"restored" in made
    assert len(made) == 2
    made.due(0.0)
    made.remove(b"fresh")
    made.remove(b"fresh")
    assert b"fresh" not in made
    assert len(made) == 1


def test_less_than_one_round_a_second_is_a_budget_too() -> None:
    made = rounds(per_second=0.2)
    for name in (b"a", b"b", b"c"):
        made.add(name, Need.CALM, True)
    assert made.due(100.0) == [b"c"]
    assert made.next_time(100.0) == 105.0
    assert made.due(104.9) == []
    assert made.due(105.0) == [b"b"]


def test_asking_again_for_one_that_is_here_brings_it_forward() -> None:
    made = rounds()
    made.add(b"a", Need.CALM, True)
    made.due(0.0)
    made.add(b"a", Need.CALM, False)
    assert made.due(1.0) == []
    made.add(b"a", Need.CALM, True)
    assert made.due(1.0) == [b"a"]
    assert len(made) == 1


def test_slots_slept_through_for_a_moment_are_made_up_for_and_older_ones_are_lost() -> None:
    made = rounds(interval=100.0)
    for number in range(200):
        made.add(b"%d" % number, Need.CALM, False)
    now = 0.0
    while now < 100.0:
        made.due(now)
        now = made.next_time(now) or 0.0
    assert 2 <= len(made.due(now + 1.0)) <= 4
    assert len(made.due(now + 1000.0)) <= 4


def test_a_need_changed_before_the_first_round_counts() -> None:
    made = rounds()
    for name in (b"a", b"b", b"c"):
        made.add(name, Need.SOME, False)
    made.set_need(b"a", Need.MUCH)
    made.set_need(b"unknown", Need.MUCH)
    made.due(0.0)
    assert made.due(1.0) == [b"a"]
