from datd.hosting.buffers import Share, Unfinished, Unsent


def test_l17_the_largest_has_to_go_when_all_together_hold_too_much():
    buffers: Unfinished[str] = Unfinished(limit=100)
    assert buffers.report("small", 30) is None
    assert buffers.report("large", 60) is None
    assert buffers.report("small", 40) is None
    assert buffers.report("small", 41) == "large"
    buffers.forget("large")
    assert buffers.report("small", 100) is None
    assert buffers.report("small", 101) == "small"


def test_l17_finished_messages_count_for_nothing():
    buffers: Unfinished[int] = Unfinished(limit=100)
    for connection in range(1000):
        assert buffers.report(connection, 90) is None
        assert buffers.report(connection, 0) is None
    assert buffers.total == 0
    buffers.forget(5)
    assert buffers.total == 0


def test_l12_answers_that_nobody_takes_are_bounded_over_all_connections():
    unsent = Unsent(limit=100)
    deaf, honest = Share(unsent), Share(unsent)
    assert deaf.take(60)
    deaf.made(60)
    assert honest.take(60)
    assert not honest.take(60)
    assert not deaf.take(1)
    honest.made(60)
    honest.sent()
    assert honest.take(60)
    honest.close()
    assert unsent.total == 60
    deaf.close()
    deaf.close()
    assert unsent.total == 0
