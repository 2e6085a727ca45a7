from datd.discovery.budget import Budget


def test_a_burst_is_allowed_and_then_the_rate():
    budget = Budget(rate=10, burst=3)
    assert [budget.take(5.0) for _ in range(4)] == [True, True, True, False]
    assert budget.ready_at(5.0) == 5.1
    assert not budget.take(5.05)
    assert budget.take(5.1)


def test_what_is_not_used_does_not_pile_up():
    budget = Budget(rate=10, burst=3)
    assert budget.available(0.0) == 3
    assert budget.available(1000.0) == 3


def test_a_clock_that_stands_still_gives_nothing():
    budget = Budget(rate=10, burst=1)
    assert budget.take(7.0)
    assert not any(budget.take(7.0) for _ in range(100))


def test_waking_up_when_told_is_early_enough():
    budget = Budget(rate=3, burst=1)
    now = 1000.0
    for _ in range(1000):
        assert budget.take(now)
        now = budget.ready_at(now)
    assert 1332 < now < 1334
