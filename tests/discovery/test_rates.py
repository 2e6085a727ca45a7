from datd.discovery.rates import MAX_STRANGERS, Window


def test_so_many_events_in_a_window():
    window = Window(limit=3, seconds=60.0)
    assert [window.count("a", 5.0 + n) for n in range(5)] == [True] * 3 + [False] * 2
    assert window.exhausted("a", 64.9)
    assert not window.exhausted("a", 65.0)
    assert window.count("a", 65.0)


def test_strangers_do_not_pay_for_each_other():
    window = Window(limit=1, seconds=1.0)
    assert window.count("a", 0.0)
    assert window.count("b", 0.0)
    assert not window.exhausted("c", 0.0)


def test_a_clock_that_goes_back_shuts_nobody_out():
    window = Window(limit=1, seconds=1.0)
    assert window.count("a", 100.0)
    assert not window.exhausted("a", 1.0)
    assert window.count("a", 1.0)
    assert not window.count("a", 1.5)


def test_t3_t33_memory_is_bounded_and_newcomers_wait():
    for window, most in (
        (Window(limit=2, seconds=1.0), MAX_STRANGERS),
        (Window(limit=2, seconds=1.0, most=5), 5),
    ):
        assert all(window.count(str(number), 0.0) for number in range(most))
        assert not window.count("one more", 0.5)
        assert window.count("0", 0.5)  # who is known already goes on
        assert window.count("one more", 1.0)
