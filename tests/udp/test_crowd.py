from datd.udp.crowd import (
    MOST_SPOKEN_TO,
    MOST_STEPS,
    PAUSE,
    STEP,
    THINNING_STEPS,
    Crowd,
)


def fall_behind(crowd: Crowd, now: float) -> float:
    """Never come to the end of what waits, until that counts; gives the time then."""
    end = now + 10
    while now < end:
        now += 0.01
        if crowd.took(64, all_of_it=False, now=now):
            return now
    return now


def test_a_burst_that_is_over_soon_shuts_nobody_out():
    crowd = Crowd()
    for number in range(1000):
        assert not crowd.took(64, all_of_it=number % 20 == 19, now=number / 100)
    assert crowd.steps == 0
    assert crowd.share == 1


def test_waiting_for_the_processor_is_not_falling_behind():
    crowd = Crowd()
    assert not any(crowd.took(4, all_of_it=False, now=second) for second in range(100))


def test_who_never_comes_to_the_end_hears_fewer_and_fewer_strangers():
    crowd, now = Crowd(), 0.0
    shares = []
    for _ in range(MOST_STEPS):
        now = fall_behind(crowd, now)
        shares.append(crowd.share)
    assert now < 2
    assert shares == [STEP, STEP**2, STEP**3, STEP**THINNING_STEPS]
    assert crowd.short
    before = crowd.steps
    fall_behind(crowd, now)
    assert crowd.steps == before


def test_everybody_is_heard_again_step_by_step():
    crowd = Crowd()
    now = fall_behind(crowd, fall_behind(crowd, 0))
    assert not crowd.relax(now + PAUSE - 0.1)
    assert crowd.relax(now + PAUSE)
    assert not crowd.relax(now + PAUSE + 0.1)
    assert crowd.relax(now + 2 * PAUSE + 0.1)
    assert crowd.steps == 0
    assert not crowd.relax(now + 100)


def test_a_flood_that_goes_on_puts_the_end_off():
    crowd = Crowd()
    now = 0.0
    for _ in range(MOST_STEPS + 3):
        now = fall_behind(crowd, now)
    # The last ones tell of nothing new, and count all the same, to a quarter of a second.
    assert not crowd.relax(now + PAUSE - 0.5)
    assert crowd.relax(now + PAUSE)


def test_whom_we_spoke_to_lately_is_known_and_there_are_not_many_of_them():
    crowd = Crowd()
    assert crowd.spoke_to("10.0.0.1")
    assert not crowd.spoke_to("10.0.0.1")
    for number in range(10 * MOST_SPOKEN_TO):
        crowd.spoke_to(f"10.1.{number // 250}.{number % 250}")
        if number % MOST_SPOKEN_TO == 0:
            crowd.spoke_to("10.0.0.2")
        assert len(crowd.known) <= 2 * MOST_SPOKEN_TO
        assert f"10.1.{number // 250}.{number % 250}" in crowd.known
    assert "10.0.0.2" in crowd.known
    assert "10.0.0.1" not in crowd.known
    assert crowd.spoke_to("10.0.0.1")
