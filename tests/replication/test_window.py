from datd.replication.window import RequestWindow


def test_l13_begins_with_sixteen_and_ends_with_512():
    window = RequestWindow()
    assert window.room(0, 1000) == 16
    for _ in range(1000):
        window.answered(0.05, window.size)
    assert window.room(0, 1000) == 512


def test_at_most_four_mebibytes_are_expected():
    window = RequestWindow()
    for _ in range(1000):
        window.answered(0.05, window.size)
    assert window.room(0, 65536) == 64
    assert window.room(64, 65536) == 0
    assert window.room(0, 8 * 2**20) == 2


def test_falls_after_a_miss_but_not_below_sixteen():
    window = RequestWindow()
    for _ in range(48):
        window.answered(0.05, window.size)
    window.missed()
    assert window.size == 32
    window.missed()
    window.missed()
    assert window.size == 16


def test_does_not_grow_when_answers_are_late_or_the_window_is_not_used():
    window = RequestWindow()
    window.answered(3.0, 16)
    window.answered(0.05, 2)
    assert window.size == 16


def test_a_wide_window_is_refilled_by_batches_unless_somebody_waits():
    window = RequestWindow()
    for _ in range(1000):
        window.answered(0.05, window.size)
    assert window.room(490, 1000) == 0
    assert window.room(490, 1000, urgent=True) == 22
    assert window.room(480, 1000) == 32


def test_fewer_bytes_may_be_under_way_where_little_may_be_read():
    window = RequestWindow()
    assert window.room(0, 64 * 1024) == 16
    window.bytes_in_flight = 5 * 64 * 1024
    assert window.room(0, 64 * 1024) == 5
    # A block that is larger than all of that comes all the same.
    window.bytes_in_flight = 1
    assert window.room(0, 64 * 1024) == 2
