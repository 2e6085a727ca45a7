from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.transport.utp.congestion import (
    BURST,
    BURST_ROUNDS,
    DECAY_INTERVAL,
    FIRST_TIMEOUT,
    GAIN,
    MAX_TIMEOUT,
    MAX_WINDOW,
    MIN_TIMEOUT,
    MIN_WINDOW,
    RISE,
    SHORT_ROUND,
    TARGET,
    Congestion,
    Delays,
    RoundTrip,
)
from datd.transport.utp.packet import PAYLOAD

ROUND_TRIP = 1.0  # more than any delay here


def delays_of(*samples: int) -> Delays:
    delays = Delays()
    for sample in samples:
        delays.add(sample, 0.0)
    return delays


def steady(delay: int, window: float, *, slow_start: bool = False) -> Congestion:
    """A window on a path whose queue delays packets by so many microseconds."""
    congestion = Congestion(0.0)
    for sample in [5000] + [5000 + delay] * 3:
        congestion.delays.add(sample, 0.0)
    congestion.window = window
    congestion.slow_start = slow_start
    congestion.full(0.0)
    return congestion


def go_round(congestion: Congestion, now: float = 0.0) -> float:
    """Acknowledge one window in packets. Gives how much it grew."""
    before = congestion.window
    for _ in range(int(before // PAYLOAD)):
        congestion.acknowledged(PAYLOAD, ROUND_TRIP, now)
    return congestion.window - before


def test_a_delay_is_what_exceeds_the_lowest_and_the_lowest_of_three():
    assert delays_of(5000, 9000, 8000, 7000).value == 2000
    assert delays_of(5000, 9000, 8000, 7000, 9000, 9000).value == 2000 + 0
    assert delays_of(5000, 9000, 9000, 9000).value == 4000


def test_a_lower_sample_becomes_the_base():
    assert delays_of(5000, 3000).base == 3000


def test_clocks_that_wrap_around_change_nothing():
    start = 2**32 - 1000
    delays = delays_of(start, (start + 4000) % 2**32, (start + 5000) % 2**32, start + 6000 - 2**32)
    assert delays.base == start
    assert delays.value == 4000


def test_the_lowest_delay_is_forgotten_after_13_minutes():
    delays = delays_of(1000)
    for minute in range(1, 13):
        delays.add(9000, minute * 60.0)
        assert delays.base == 1000
    delays.add(9000, 13 * 60.0)
    assert delays.base == 9000


def test_a_drift_of_clocks_moves_the_base():
    delays = delays_of(5000, 9000, 9000, 9000)
    delays.shift(3000)
    assert delays.base == 8000
    assert delays.value == 1000


def test_without_a_sample_of_the_delay_the_window_stays():
    congestion = Congestion(0.0)
    congestion.acknowledged(PAYLOAD, ROUND_TRIP, 0.0)
    assert congestion.window == PAYLOAD


def test_on_an_empty_path_the_window_grows_by_the_gain_a_round():
    grown = go_round(steady(0, 100 * PAYLOAD))
    assert 0.9 * GAIN < grown < GAIN


def test_half_the_target_delay_halves_the_growth():
    grown = go_round(steady(TARGET // 2, 100 * PAYLOAD))
    assert 0.45 * GAIN < grown < 0.5 * GAIN


def test_at_the_target_the_window_stays():
    assert abs(go_round(steady(TARGET, 100 * PAYLOAD))) < 1


def test_a_queue_of_others_takes_the_window_down_quickly():
    congestion = steady(3 * TARGET, 100 * PAYLOAD)
    for _ in range(12):
        go_round(congestion)
    assert congestion.window < 3 * PAYLOAD


def test_no_window_shrinks_to_less_than_a_few_bytes():
    congestion = steady(10 * TARGET, 2 * PAYLOAD)
    for _ in range(100):
        congestion.acknowledged(PAYLOAD, ROUND_TRIP, 0.0)
    assert congestion.window == MIN_WINDOW


def test_a_window_that_nobody_fills_does_not_grow():
    congestion = steady(0, 100 * PAYLOAD)
    assert go_round(congestion, now=1.5) == 0
    congestion.full(1.5)
    assert go_round(congestion, now=1.6) > 0


def test_the_window_ends_at_a_mebibyte():
    congestion = steady(0, MAX_WINDOW - 10.0)
    go_round(congestion)
    assert congestion.window == MAX_WINDOW


def test_slow_start_ends_before_the_target_delay():
    congestion = steady(int(TARGET * 0.95), 50 * PAYLOAD, slow_start=True)
    congestion.acknowledged(PAYLOAD, ROUND_TRIP, 0.0)
    assert not congestion.slow_start


def test_slow_start_ends_where_packets_were_lost_before():
    congestion = steady(0, 50 * PAYLOAD, slow_start=True)
    congestion.lost(1, ROUND_TRIP, 1.0)
    assert congestion.window == 25 * PAYLOAD
    congestion.timed_out()
    assert congestion.slow_start
    assert congestion.window == PAYLOAD
    congestion.window = 25.5 * PAYLOAD
    congestion.acknowledged(20 * PAYLOAD, ROUND_TRIP, 1.0)
    assert not congestion.slow_start


def test_losses_close_together_halve_the_window_once():
    congestion = steady(0, 64 * PAYLOAD)
    congestion.lost(1, ROUND_TRIP, 1.0)
    congestion.lost(1, ROUND_TRIP, 1.0 + DECAY_INTERVAL / 2)
    assert congestion.window == 32 * PAYLOAD
    congestion.lost(1, ROUND_TRIP, 1.0 + DECAY_INTERVAL)
    assert congestion.window == 16 * PAYLOAD


def test_bursts_on_a_short_way_halve_the_window_every_few_rounds():
    congestion = steady(0, 64 * PAYLOAD)
    way = 0.001
    congestion.lost(BURST, way, 1.0)
    congestion.lost(BURST, way, 1.0 + way)
    assert congestion.window == 32 * PAYLOAD
    congestion.lost(BURST - 1, way, 1.0 + BURST_ROUNDS * way)
    assert congestion.window == 32 * PAYLOAD
    congestion.lost(BURST, way, 1.0 + BURST_ROUNDS * way)
    assert congestion.window == 16 * PAYLOAD


def test_on_a_long_way_a_burst_is_one_event_like_any_other():
    congestion = steady(0, 64 * PAYLOAD)
    congestion.lost(BURST, ROUND_TRIP, 1.0)
    congestion.lost(BURST, ROUND_TRIP, 1.0 + DECAY_INTERVAL / 2)
    assert congestion.window == 32 * PAYLOAD


@pytest.mark.parametrize(("count", "slower"), [(BURST, 10), (1, 1)])
def test_after_a_burst_a_short_way_is_tried_further_with_time_and_not_with_rounds(
    count: int, slower: int
):
    congestion = steady(0, 100 * PAYLOAD)
    way = SHORT_ROUND / 10
    congestion.lost(count, way, 1.0)
    congestion.full(1.0)
    before = congestion.window
    rounds = 0
    while congestion.window < before + GAIN:
        for _ in range(int(before // PAYLOAD)):
            congestion.acknowledged(PAYLOAD, way, 1.0)
        rounds += 1
    assert slower <= rounds <= slower + 2


def test_no_queue_can_delay_more_than_the_whole_way_took():
    congestion = steady(5 * TARGET, 100 * PAYLOAD)
    congestion.acknowledged(PAYLOAD, TARGET / 2e6, 0.0)
    assert congestion.window > 100 * PAYLOAD  # the base was wrong, say, because a clock was set
    assert congestion.delays.value == TARGET // 2


def test_an_answer_to_what_was_sent_twice_says_nothing_about_the_way():
    congestion = steady(TARGET // 2, 100 * PAYLOAD)
    congestion.acknowledged(PAYLOAD, None, 0.0)
    assert congestion.delays.value == TARGET // 2
    assert congestion.window > 100 * PAYLOAD


# ---- whose queue it is

WAY = 0.05


class Rounds:
    """A full window on a way of 50 ms, round after round."""

    def __init__(self, way: float = WAY) -> None:
        self.congestion = Congestion(0.0)
        self.congestion.window = 50.0 * PAYLOAD
        self.way = way
        self.now = 0.0

    def pass_by(self, delay: int, rounds: int = 1) -> float:
        """Rounds with so many microseconds of delay; gives the window at their end."""
        for _ in range(rounds * 10):
            self.now += self.way / 10
            self.congestion.full(self.now)
            self.congestion.delays.add(100_000 + delay, self.now)
            self.congestion.acknowledged(PAYLOAD, self.way, self.now)
        return self.congestion.window


def look(way: float = WAY, delay: int = 4 * RISE) -> tuple[Rounds, float]:
    """A window that grew until the delay rose; and how large it was."""
    rounds = Rounds(way)
    before = rounds.pass_by(0, 2)
    rounds.pass_by(delay, 2)
    return rounds, before


def test_when_the_delay_rises_the_window_gives_up_as_much():
    rounds, before = look()
    assert 0.4 * before < rounds.congestion.window < 0.9 * before


def test_a_queue_that_goes_with_our_packets_is_ours_and_the_window_comes_back():
    rounds, before = look()
    assert rounds.pass_by(0, 4) > before


def test_beside_others_two_packets_are_left_which_grow_slowly():
    rounds, _ = look()
    windows = [rounds.pass_by(4 * RISE) for _ in range(8)]
    small = windows.index(min(windows))
    assert windows[small] < 3.5 * PAYLOAD
    assert windows[-1] < windows[small] * 1.8 ** (8 - small)
    assert rounds.pass_by(4 * RISE, 10) > windows[-1]  # the delay rises no more: there is room


def test_where_the_queue_was_ours_before_it_takes_two_looks_to_give_way():
    rounds, before = look()
    rounds.pass_by(0, 4)
    windows = [rounds.congestion.window]
    while windows[-1] > 3.5 * PAYLOAD:
        windows.append(rounds.pass_by(4 * RISE))
        assert len(windows) < 20
    falls = [after < 0.9 * before for before, after in pairwise(windows)]
    assert falls.count(True) == 3  # its part of the queue, that again, and all but two packets
    assert windows[-2] > 0.4 * before


def test_rises_of_less_than_clocks_can_tell_change_nothing():
    rounds, before = look(delay=RISE - 100)
    assert rounds.congestion.window > before


def test_on_a_short_way_it_is_not_asked_whose_queue_it_is():
    rounds, before = look(way=SHORT_ROUND / 2, delay=RISE + 500)
    assert rounds.congestion.window > before


def test_a_lower_base_is_no_rise():
    rounds = Rounds()
    before = rounds.pass_by(0, 3)
    rounds.congestion.delays.add(100_000 - 4 * RISE, rounds.now)  # the others paused
    rounds.pass_by(0, 3)
    assert rounds.congestion.delays.value == 4 * RISE
    assert rounds.congestion.window > before


def test_a_loss_while_the_window_is_lowered_halves_what_it_was():
    rounds, before = look()
    rounds.congestion.lost(1, ROUND_TRIP, rounds.now)
    assert 0.5 * before < rounds.congestion.window < 1.5 * before
    assert rounds.pass_by(0, 3) > 0.5 * before


samples = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(1, 2**20),
    st.floats(0, 10),
    st.floats(0, 2) | st.none(),
)


@given(st.lists(samples, max_size=60))
def test_t37_whatever_a_peer_reports_the_window_stays_within_bounds(reports):
    congestion = Congestion(0.0)
    now = 0.0
    for sample, count, passed, round_trip in reports:
        now += passed
        congestion.delays.add(sample, now)
        congestion.full(now)
        congestion.acknowledged(count, round_trip, now)
        assert MIN_WINDOW <= congestion.window <= MAX_WINDOW
        assert 0 <= congestion.delays.value < 2**32


def test_the_timeout_follows_the_round_trip_and_is_never_below_a_second():
    round_trip = RoundTrip()
    assert round_trip.timeout == FIRST_TIMEOUT
    round_trip.add(0.04)
    assert round_trip.timeout == MIN_TIMEOUT
    far = RoundTrip()
    far.add(2.0)
    assert far.timeout == 2.0 + 4 * 1.0


def test_the_round_trip_is_smoothed_by_an_eighth_and_its_deviation_by_a_quarter():
    round_trip = RoundTrip()
    round_trip.add(0.8)
    round_trip.add(1.6)
    assert round_trip.mean == 0.8 + 0.8 / 8
    assert round_trip.deviation == 0.4 + (0.8 - 0.4) / 4


def test_timeouts_double_until_something_comes_back():
    round_trip = RoundTrip()
    round_trip.add(0.1)
    waits = []
    for _ in range(8):
        round_trip.back_off()
        waits.append(round_trip.timeout)
    assert waits == [2, 4, 8, 16, 32, 60, 60, MAX_TIMEOUT]
    round_trip.settle()
    assert round_trip.timeout == MIN_TIMEOUT
