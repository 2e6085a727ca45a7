from datd.swarm.rates import MAX_STRANGERS, Window


def test_so_many_events_in_a_window():
    window = Window(limit=3, seconds=60.0)
    assert [window.count("a", 5.0) for _ in range(4)] == [True, True, True, False]
    assert window.exhausted("a", 64.9)
    assert not window.exhausted("a", 65.0)
    assert window.count("a", 65.0)


def test_strangers_do_not_pay_for_each_other():
    window = Window(limit=1, seconds=1.0)
    assert window.count("a", 0.0)
    assert window.count("b", 0.0)
    assert not window.exhausted("c", 0.0)


def test_memory_is_bounded_and_newcomers_wait():
    window = Window(limit=1, seconds=1.0)
    for number in range(MAX_STRANGERS):
        assert window.count(str(number), 0.0)
    assert not window.count("one more", 0.0)
    assert window.count("one more", 1.0)
