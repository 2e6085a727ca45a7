"""A thousand archives live through hours of a clock that is only a number."""

import random
import tracemalloc
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datd.swarm.rounds import RING_SHARE_BESIDE_EXTRAS, Pace
from datd.swarm.schedule import Schedule

MDNS = Pace("mdns", 60.0, 10.0)
DNS = Pace("dns", 70.0, 10.0)
DHT = Pace("dht", 900.0, 10.0)
HOUR = 3600.0
DAY = 24 * HOUR


class Life:
    """A schedule, the clock it is asked by, and all rounds there were."""

    def __init__(self, *paces: Pace, seed: int = 1) -> None:
        self.chance = random.Random(seed)
        self.schedule = Schedule(paces, self.chance.randrange)
        self.now = 1000.0
        self.rounds: list[tuple[float, str, bytes]] = []

    def until(self, end: float) -> None:
        while (time := self.schedule.next_time(self.now)) is not None and time <= end:
            self.now = max(self.now, time)
            self.look()
        self.now = end

    def after(self, seconds: float) -> None:
        self.until(self.now + seconds)

    def look(self) -> list[tuple[str, bytes]]:
        found = self.schedule.due(self.now)
        self.rounds += [(self.now, network, name) for network, name in found]
        return found

    def times(self, network: str, name: bytes | None = None) -> list[float]:
        return [
            time for time, where, who in self.rounds if where == network and name in (None, who)
        ]

    def per_name(self, network: str) -> dict[bytes, list[float]]:
        found = defaultdict(list)
        for time, where, name in self.rounds:
            if where == network:
                found[name].append(time)
        return found


def names(count: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(count)]


def restored(life: Life, count: int, need: Callable[[bytes], tuple[bool, int]]) -> list[bytes]:
    made = names(count)
    for name in made:
        life.schedule.add(name, None, False)
        life.schedule.set_need(name, *need(name))
    return made


def calm(_: bytes) -> tuple[bool, int]:
    return False, 3


def in_windows(times: list[float], length: float, start: float, end: float) -> list[int]:
    """How many events each window of a length has, the windows beginning at every half second."""
    counts, at = [], start
    while at + length <= end:
        counts.append(bisect_left(times, at + length) - bisect_left(times, at))
        at += 0.5
    return counts


def assert_budget_holds(times: list[float], per_second: float) -> None:
    most = int(per_second)
    for first, beyond in zip(times, times[most:], strict=False):
        assert beyond - first >= 1.0 - 1e-6


def longest_wait(times: list[float], start: float, end: float) -> float:
    return max(b - a for a, b in pairwise([start, *times, end]))


@pytest.mark.parametrize("mood", ["calm", "mixed", "in need"])
def test_a_thousand_archives_on_three_networks_are_announced_evenly_for_hours(mood: str) -> None:
    life = Life(MDNS, DNS, DHT)

    def need(name: bytes) -> tuple[bool, int]:
        if mood == "mixed":
            return life.chance.random() < 0.3, life.chance.choice([0, 0, 2])
        return (False, 3) if mood == "calm" else (True, 0)

    archives = restored(life, 1000, need)
    start, end = life.now, life.now + 2 * HOUR
    while life.now < end:
        life.after(5.0)
        name = life.chance.choice(archives)
        life.schedule.set_need(name, *need(name))

    for pace in (MDNS, DNS, DHT):
        times = life.times(pace.name)
        mean = 10 * len(times) / (end - start)
        counts = in_windows(times, 10.0, start, end)
        assert max(counts) <= 2 * mean
        assert min(counts) >= mean / 2
        assert_budget_holds(times, pace.per_second)
        # 1,000 names at 10 a second: the interval is stretched, and more beside extra rounds.
        interval = max(pace.interval, 1000 / (RING_SHARE_BESIDE_EXTRAS * pace.per_second))
        rounds = life.per_name(pace.name)
        assert set(rounds) == set(archives)
        assert max(longest_wait(times, start, end) for times in rounds.values()) <= interval + 1


def test_ten_thousand_archives_have_their_turn_alike_within_the_budget() -> None:
    life = Life(DNS, DHT)
    archives = restored(life, 10_000, calm)
    start, end = life.now, life.now + 1.5 * HOUR
    life.until(end)
    for pace in (DNS, DHT):
        times = life.times(pace.name)
        assert_budget_holds(times, pace.per_second)
        assert max(in_windows(times, 10.0, start, end)) <= 100
        rounds = life.per_name(pace.name)
        assert set(rounds) == set(archives)
        waits = [longest_wait(mine, start, end) for mine in rounds.values()]
        assert max(waits) < 1.2 * 10_000 / pace.per_second
        counts = [len(mine) for mine in rounds.values()]
        assert max(counts) - min(counts) <= 1


def test_at_a_start_those_in_need_come_first() -> None:
    life = Life(DHT)
    archives = restored(life, 300, lambda name: (name[-1] % 3 == 0, 0))
    life.after(HOUR / 4)
    first = list(life.per_name("dht"))
    needy = [name for name in archives if name[-1] % 3 == 0]
    assert set(first[: len(needy)]) == set(needy)


def test_the_only_archive_does_not_wait_long_after_a_start() -> None:
    life = Life(MDNS, DNS, DHT)
    restored(life, 1, calm)
    life.after(2.0)
    assert {network for _, network, _ in life.rounds} == {"mdns", "dns", "dht"}


def test_what_a_user_adds_is_looked_up_at_once_on_all_its_networks() -> None:
    life = Life(MDNS, DNS, DHT)
    restored(life, 5000, calm)
    life.after(1234.5)
    life.schedule.add(b"mine", frozenset({"dns", "dht"}), True)
    before = life.now
    life.after(1.0)
    mine = {
        (network, time - before < 1.0) for time, network, name in life.rounds if name == b"mine"
    }
    assert mine == {("dns", True), ("dht", True)}


def test_what_a_user_adds_does_not_disturb_the_spread_of_the_others() -> None:
    life = Life(DHT)
    others = restored(life, 1000, calm)
    life.after(900.0)
    start = life.now
    for number in range(100):
        life.schedule.add(b"mine %d" % number, None, True)
    life.after(900.0)
    of_others = [time for time, _, name in life.rounds if name in set(others) and time > start]
    counts = in_windows(of_others, 10.0, start, life.now)
    mean = sum(counts) / len(counts)
    assert max(counts) <= 2 * mean
    assert min(counts) >= mean / 2
    # And the hundred themselves are spread out by their second round.
    mine = [times[1] for name, times in life.per_name("dht").items() if name.startswith(b"mine")]
    assert max(in_windows(sorted(mine), 10.0, start, life.now)) < 25


def test_nor_do_a_thousand_wishes_of_a_user_keep_the_others_from_their_turn() -> None:
    life = Life(DNS)
    others = restored(life, 200, calm)
    life.after(70.0)
    start = life.now
    for number in range(1000):
        life.schedule.add(b"mine %d" % number, None, True)
    life.after(90.0)
    assert_budget_holds(life.times("dns"), DNS.per_second)
    waits = [longest_wait(life.times("dns", name), start, life.now) for name in others]
    assert max(waits) < 90.0


def test_the_latest_wish_is_heard_first() -> None:
    life = Life(DNS)
    for number in range(50):
        life.schedule.add(b"%d" % number, None, True)
    assert (life.schedule.next_time(life.now) or 0) <= life.now
    assert life.look()[0] == ("dns", b"49")


def test_one_archive_alone_comes_every_60_to_70_seconds_like_the_reference() -> None:
    life = Life(DNS)
    life.schedule.add(b"a", None, True)
    life.schedule.set_need(b"a", False, 1)
    life.after(HOUR)
    gaps = [b - a for a, b in pairwise(life.times("dns"))]
    assert 57.0 <= min(gaps) <= max(gaps) <= 70.0
    assert len({round(gap, 3) for gap in gaps}) > 10


@pytest.mark.parametrize(
    ("hungry", "peers", "earlier"), [(True, 0, 18), (True, 1, 36), (False, 0, 36)]
)
def test_who_lacks_something_comes_sooner_than_its_turn(
    hungry: bool, peers: int, earlier: float
) -> None:
    life = Life(DNS)
    restored(life, 10, calm)
    life.after(HOUR / 2)
    name = names(1)[0]
    life.schedule.set_need(name, hungry, peers)
    start = life.now
    life.after(71.0)
    gaps = [b - a for a, b in pairwise(t for t in life.times("dns", name) if t > start)]
    assert gaps
    assert min(gaps) <= earlier


def test_a_dead_archive_does_not_cost_more_for_ever_and_a_revived_need_is_heard_again() -> None:
    life = Life(DNS)
    name, *_ = restored(life, 10, calm)
    life.schedule.set_need(name, True, 0)
    life.after(HOUR)
    start = life.now
    life.after(HOUR)
    dead = len([time for time in life.times("dns", name) if time > start])
    calm_one = len([time for time in life.times("dns", names(2)[1]) if time > start])
    assert dead <= calm_one + 1

    life.schedule.set_need(name, False, 2)
    life.after(71.0)
    life.schedule.set_need(name, True, 0)
    start = life.now
    life.after(300.0)
    again = len([time for time in life.times("dns", name) if time > start])
    assert again >= 8


def test_who_came_through_its_need_is_calm_at_once() -> None:
    life = Life(DHT)
    name, *_ = restored(life, 10, calm)
    life.schedule.set_need(name, True, 0)
    life.after(900.0)
    life.schedule.set_need(name, False, 4)
    start = life.now
    life.after(2 * HOUR)
    assert len([time for time in life.times("dht", name) if time > start]) <= 10


def test_a_removed_name_never_comes_up_again() -> None:
    life = Life(MDNS, DNS, DHT)
    archives = restored(life, 100, lambda _: (True, 0))
    life.schedule.add(b"fresh", None, True)
    life.after(30.0)
    gone = {*archives[::2], b"fresh"}
    for name in gone:
        life.schedule.remove(name)
    life.schedule.remove(b"never joined")
    start = life.now
    life.after(HOUR)
    assert not [one for one in life.rounds if one[0] > start and one[2] in gone]
    assert len(life.schedule) == 50


def test_with_nobody_there_is_nothing_to_wait_for() -> None:
    life = Life(MDNS, DNS)
    assert life.schedule.next_time(life.now) is None
    life.schedule.add(b"a", None, True)
    life.look()
    life.schedule.remove(b"a")
    assert life.schedule.next_time(life.now) is None
    assert life.look() == []


def test_networks_of_a_name_are_obeyed_and_can_be_changed() -> None:
    life = Life(MDNS, DNS, DHT)
    life.schedule.add(b"shy", frozenset({"mdns", "carrier pigeon"}), True)
    life.schedule.add(b"silent", frozenset(), True)
    life.after(HOUR)
    assert {(network, name) for _, network, name in life.rounds} == {("mdns", b"shy")}
    life.rounds.clear()
    life.schedule.add(b"shy", frozenset({"dns"}), True)
    assert life.look() == [("dns", b"shy")]
    life.after(HOUR)
    assert {network for _, network, _ in life.rounds} == {"dns"}


def test_after_a_day_of_sleep_there_is_no_storm() -> None:
    life = Life(MDNS, DNS, DHT)
    archives = restored(life, 1000, lambda name: (name[-1] % 2 == 0, name[-1] % 3))
    life.after(HOUR)
    before = {pace.name: len(life.times(pace.name)) / HOUR * 10 for pace in (MDNS, DNS, DHT)}
    life.now += DAY
    life.rounds.clear()
    start = life.now
    life.after(HOUR)
    for pace in (MDNS, DNS, DHT):
        times = life.times(pace.name)
        assert max(in_windows(times, 10.0, start, life.now)) <= 2 * before[pace.name]
        rounds = life.per_name(pace.name)
        # All of it is forgotten out there by now, so the ring turns faster once.
        late = max(rounds[name][0] - start for name in archives)
        assert late <= max(0.72 * pace.interval, 150)


def test_a_clock_that_goes_back_stops_nothing() -> None:
    life = Life(DNS)
    restored(life, 10, calm)
    life.after(100.0)
    assert life.schedule.due(life.now - 50.0) is not None
    life.after(200.0)
    assert len(life.rounds) > 20


def test_who_stays_keeps_its_interval_when_others_leave() -> None:
    life = Life(DHT)
    archives = restored(life, 1000, calm)
    life.after(1500.0)
    # The worst case for who waits: those behind it leave, and the ring seems to have time.
    half_a_turn_ago = life.now
    life.after(430.0)
    gone = {name for time, _, name in life.rounds if time >= half_a_turn_ago}
    assert 400 < len(gone) < 600
    for name in gone:
        life.schedule.remove(name)
    life.after(2000.0)
    for name in set(archives) - gone:
        assert longest_wait(life.times("dht", name), 1000.0, life.now) <= 901.0


def test_when_all_lose_their_peers_at_once_there_is_no_storm() -> None:
    life = Life(DNS, DHT)
    archives = restored(life, 400, calm)
    start = life.now
    life.after(3 * HOUR)
    for name in archives:
        life.schedule.set_need(name, True, 0)
    life.after(HOUR)
    for pace in (DNS, DHT):
        times = life.times(pace.name)
        mean = 10 * len(times) / (life.now - start)
        assert max(in_windows(times, 10.0, start + 400.0, life.now)) <= 2 * mean


def test_ten_thousand_names_come_and_go_without_a_trace() -> None:
    life = Life(MDNS, DNS, DHT)
    archives = restored(life, 10_000, lambda _: (True, 0))
    life.after(100.0)
    for name in archives:
        life.schedule.remove(name)
    assert len(life.schedule) == 0
    for rounds in life.schedule._rounds.values():
        assert len(rounds) == 0
        assert len(rounds._extras) <= 64


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["add", "restore", "remove", "need", "wait", "sleep"]),
        st.integers(0, 60),
        st.integers(0, 5),
    ),
    max_size=150,
)


@settings(deadline=None, max_examples=60)
@given(changes=CHANGES, seed=st.integers(0, 1000))
def test_whatever_comes_and_goes_budgets_and_intervals_hold(
    changes: list[tuple[str, int, int]], seed: int
) -> None:
    life = Life(Pace("quick", 30.0, 4.0), Pace("slow", 200.0, 0.7), seed=seed)
    here: dict[bytes, float] = {}
    slept = life.now
    for what, number, amount in changes:
        name = b"%d" % number
        match what:
            case "add":
                life.schedule.add(name, None, True)
                here.setdefault(name, life.now)
            case "restore":
                life.schedule.add(name, None, False)
                here.setdefault(name, life.now)
            case "remove":
                life.schedule.remove(name)
                here.pop(name, None)
            case "need":
                life.schedule.set_need(name, amount % 2 == 0, amount // 2)
            case "wait":
                life.after(amount * 10.0 + number / 7)
            case "sleep":
                life.now += amount * HOUR
                slept = life.now
        assert len(life.schedule) == len(here)
    start = life.now
    life.after(600.0)
    for network, per_second, interval in (("quick", 4.0, 30.0), ("slow", 0.7, 200.0)):
        times = life.times(network)
        most = max(1, int(per_second))
        for first, beyond in zip(times, times[most:], strict=False):
            assert beyond - first >= most / per_second - 1e-6
        rounds = life.per_name(network)
        assert all(name in here for t, net, name in life.rounds if t > start and net == network)
        stretched = max(interval, len(here) / (RING_SHARE_BESIDE_EXTRAS * per_second)) + 2
        for name in here:
            # From the second turn on; until then what came before the last change still counts.
            settled = max(start, slept) + stretched
            last = [t for t in rounds[name] if t <= settled]
            late = [t for t in rounds[name] if t > settled]
            assert last
            assert longest_wait(late, last[-1], life.now) <= stretched


def test_a_name_on_three_networks_takes_some_hundred_bytes() -> None:
    tracemalloc.start()
    try:
        life = Life(MDNS, DNS, DHT)
        made = names(10_000)
        before, _ = tracemalloc.get_traced_memory()
        for name in made:
            life.schedule.add(name, None, False)
            life.schedule.set_need(name, True, 0)
        for _ in range(1200):  # until every name had a round on every network
            life.schedule.due(life.now)
            life.now += 1.25
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(made) < 3 * 350
