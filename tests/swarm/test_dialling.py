import random

from datd.swarm.dialling import MAX_PROVEN, MAX_RECENT, DialQueue
from datd.swarm.limits import LONG_GONE
from datd.swarm.peer import MANUAL, Peer
from datd.types import Address


def peer(host: str = "198.51.100.1", source: str = "mdns", name: bytes = b"n") -> Peer:
    return Peer(name, Address(host, 3282), source)


def queue(choose=lambda count: 0, rate=20) -> DialQueue:
    return DialQueue(choose=choose, dials_per_second=rate)


def test_a_peer_is_taken_when_its_time_has_come():
    made, a = queue(), peer()
    made.put(a, 5.0)
    assert made.take(4.9) is None
    assert made.next_time(4.9) == 5.0
    assert made.take(5.0) is a
    assert made.take(5.0) is None
    assert made.next_time(5.0) is None


def test_by_hand_first_then_the_good_ones_then_the_rest():
    made = queue()
    rest, good, manual = peer("198.51.100.1"), peer("198.51.100.2"), peer("198.51.100.3", MANUAL)
    made.prove(good.address)
    for one in (rest, good, manual):
        made.put(one, 0.0)
    assert [made.take(0.0) for _ in range(3)] == [manual, good, rest]


def test_among_equals_chance_decides():
    made = queue(choose=lambda count: count - 1)
    peers = [peer(f"198.51.100.{n}") for n in range(4)]
    for one in peers:
        made.put(one, 0.0)
    assert [made.take(0.0) for _ in range(4)] == peers[::-1]


def test_a_new_plan_takes_the_place_of_the_old_one():
    made, a = queue(), peer()
    made.put(a, 1.0)
    made.put(a, 9.0)
    assert made.take(5.0) is None
    assert made.take(9.0) is a
    assert made.take(9.0) is None


def test_t32_one_unknown_address_under_many_names_is_dialled_every_5_seconds():
    made = queue()
    for number in range(50):
        made.put(peer(name=bytes([number])), 0.0)
    dialled = []
    for tenth in range(300):
        now = tenth / 10
        while (one := made.take(now)) is not None:
            made.dialled(one, now)
            dialled.append(now)
    assert dialled == [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]


def all_dials(made: DialQueue, seconds: float, start: float = 0.0) -> list[tuple[float, Peer]]:
    """Dial whenever it is time."""
    dialled = []
    now: float | None = start
    while now is not None and now <= seconds:
        while made.may_dial(now) and (one := made.take(now)) is not None:
            made.dialled(one, now)
            dialled.append((now, one))
        now = made.next_time(now)
    return dialled


def test_t32_a_victim_under_all_ports_and_many_names_is_dialled_every_5_seconds():
    made = queue(random.Random(1).randrange)
    for name in range(5):
        for port in range(1, 65536, 13):
            made.put(Peer(bytes([name]), Address("198.51.100.1", port), "dht", "liar"), 0.0)
    dialled = all_dials(made, 300.0)
    assert [at for at, _ in dialled] == [5.0 * number for number in range(61)]


def test_t32_a_victim_with_a_whole_ipv6_network_is_one_victim():
    made = queue()
    for number in range(100):
        made.put(peer(f"2001:db8::{number + 1:x}"), 0.0)
    assert len(all_dials(made, 20.0)) == 5


def test_the_true_port_of_a_host_is_not_hidden_behind_invented_ones():
    made = queue(random.Random(1).randrange)
    for port in range(1, 10_000):
        made.put(Peer(b"n", Address("198.51.100.1", port), "dht", "liar"), 0.0)
    true = Peer(b"n", Address("198.51.100.1", 50_000), "dns", "server")
    made.put(true, 0.0)
    assert true in [one for _, one in all_dials(made, 10.0)]


def test_ever_new_invented_ports_do_not_take_the_turns_of_the_true_one():
    made, chance = queue(choose=random.Random(3).randrange), random.Random(4)
    honest = Peer(b"n", Address("198.51.100.1", 3282), "dht", told_by="192.0.2.1")
    dialled = None
    for second in range(60):
        for _ in range(10):
            port = chance.randrange(1024, 65536)
            fake = Peer(b"n", Address("198.51.100.1", port), "dht", told_by="192.0.2.66")
            made.put(fake, float(second))
        if second == 3:
            made.put(honest, 3.0)
        while (one := made.take(float(second))) is not None:
            made.dialled(one, float(second))
            if one is honest:
                dialled = second
    assert dialled is not None
    assert dialled <= 15


def test_others_do_not_wait_for_a_host_that_rests():
    made = queue()
    for number in range(50):
        made.put(peer(name=bytes([number])), 0.0)
    others = [peer(f"198.51.100.{number}") for number in range(2, 12)]
    for other in others:
        made.put(other, 0.0)
    assert set(others) <= {one for at, one in all_dials(made, 1.0)}


def test_t32_ten_thousand_invented_peers_do_not_hold_up_other_sources():
    made = queue(random.Random(1).randrange)
    for number in range(10_000):
        host = f"203.{number >> 8}.{number & 255}.1"
        made.put(Peer(b"n", Address(host, 3282), "dht", "liar"), 0.0)
    true = [Peer(b"n", Address(f"198.51.100.{n}", 3282), "mdns", "neighbour") for n in range(5)]
    for one in true:
        made.put(one, 1.0)
    late = [at for at, one in all_dials(made, 10.0) if one in true]
    assert len(late) == 5
    assert max(late) <= 2.0


def test_good_ones_do_not_shut_out_new_ones_nor_new_ones_them():
    made = queue(random.Random(1).randrange)
    good = [peer(f"198.51.{n >> 8}.{n & 255}") for n in range(1000)]
    for one in good:
        one.last_success = 0.0
    new = [peer(f"203.0.{n >> 8}.{n & 255}") for n in range(1000)]
    for one in good + new:
        made.put(one, 0.0)
    first = [one for _, one in all_dials(made, 19.0)][:400]
    assert sum(one in good for one in first) == 300


def test_a_good_peer_that_failed_often_goes_before_others_no_more():
    made = queue()
    gone, new, good = peer("198.51.100.1"), peer("198.51.100.2"), peer("198.51.100.3")
    gone.last_success = good.last_success = 0.0
    gone.failures = LONG_GONE
    for one in (gone, new, good):
        made.put(one, 0.0)
    assert made.take(0.0) is good


def test_the_urgent_ones_go_first():
    made = queue()
    good, urgent = peer("198.51.100.1"), peer("198.51.100.2")
    good.last_success = 0.0
    urgent.urgent = True
    made.put(good, 0.0)
    made.put(urgent, 0.0)
    assert made.take(0.0) is urgent


def test_an_address_that_spoke_dat_is_dialled_for_all_names_at_once():
    made = queue()
    made.prove(peer().address)
    for number in range(50):
        made.put(peer(name=bytes([number])), 0.0)
    taken = []
    while (one := made.take(0.0)) is not None:
        made.dialled(one, 0.0)
        taken.append(one)
    assert len(taken) == 50


def test_who_waits_for_an_address_goes_on_as_soon_as_it_spoke_dat():
    made = queue()
    waiting = [peer(name=bytes([number])) for number in range(100)]
    other = Peer(b"n", Address("198.51.100.1", 9), "mdns")
    made.put(waiting[0], 0.0)
    first = waiting[0]
    assert made.take(0.0) is first
    made.dialled(first, 0.0)
    for one in [*waiting[1:], other]:
        made.put(one, 0.0)
    assert made.take(0.1) is None
    made.prove(first.address)
    dialled = all_dials(made, 6.0, 0.2)
    early = [one for at, one in dialled if at < 5.0]
    assert set(early) == set(waiting) - {first}
    assert dialled[-1] == (5.0, other)  # another port may be anybody


def test_a_good_host_that_is_gone_does_not_cost_all_dials():
    made = queue()
    address = peer().address
    made.prove(address)
    archives = [peer(name=bytes([number])) for number in range(50)]
    for one in archives:
        one.last_success, one.failures = 0.0, LONG_GONE
        made.put(one, 0.0)
    made.doubt(address)
    assert [at for at, _ in all_dials(made, 19.0)] == [0.0, 5.0, 10.0, 15.0]
    made.prove(address)  # it is back
    assert len(all_dials(made, 25.0, 19.5)) == 46


def test_peers_given_by_hand_do_not_wait_for_the_spacing():
    made, a, b = queue(), peer(name=b"1"), peer(source=MANUAL, name=b"2")
    made.dialled(a, 0.0)
    made.put(b, 0.1)
    assert made.take(0.1) is b


def test_t32_so_many_dials_a_second():
    made = queue(rate=20)
    now = 100.0
    for number in range(20):
        assert made.may_dial(now)
        made.dialled(peer(f"198.51.100.{number}"), now)
    assert not made.may_dial(now)
    made.put(peer(), now)
    made.take(now - 1)
    made.put(peer("198.51.100.99"), now)
    assert made.may_dial(now + 0.05)


def test_t32_with_no_dial_left_the_next_time_is_when_there_is_one():
    made = queue(rate=1)
    made.dialled(peer(), 100.0)
    made.put(peer("198.51.100.2"), 50.0)  # long due
    assert not made.may_dial(100.0)
    assert made.next_time(100.0) == 101.0


def test_memory_is_bounded():
    made = queue()
    for number in range(3 * MAX_PROVEN):
        address = Address(f"10.{number >> 8}.{number & 255}.1", 1)
        made.dialled(Peer(b"n", address, "mdns"), 0.0)
        made.prove(address)
    assert len(made._proven) == MAX_PROVEN
    assert len(made._recent) == MAX_RECENT
    for number in range(5000):
        one = peer(name=number.to_bytes(2, "big"))
        made.put(one, 1e9)
        made.discard(one)
    assert len(made._later) < 200


def test_who_made_room_waits_behind_all_others_and_one_in_eight_dials_is_theirs():
    made, had, rest = queue(), [], []
    for number in range(8):
        had.append(peer(f"198.51.100.{number}", MANUAL))
        rest.append(peer(f"203.0.113.{number}", MANUAL))
        made.put_in_turn(had[-1])
        made.put(rest[-1], 0.0)
    taken = []
    while (one := made.take(0.0)) is not None:
        made.dialled(one, 0.0)
        taken.append(one)
    assert taken[7] is had[0]
    assert [one for one in taken if one in had] == had  # one after the other
    assert all(one in rest for one in taken[:7])
    assert taken[9:] == had[1:]


def test_whose_turn_it_is_goes_before_all_others_at_every_dial():
    made = queue()
    heirs = [peer(f"198.51.100.{n}") for n in range(6)]
    made.put(peer("203.0.113.1", MANUAL), 0.0)
    for one in heirs:
        made.put_next(one)
    for one in heirs:
        assert made.take(0.0) is one
        made.dialled(one, 0.0)


def test_who_stands_aside_is_taken_only_if_asked_for_and_comes_back_with_a_new_plan():
    made, a, b = queue(), peer("198.51.100.1"), peer("198.51.100.2")
    made.put_aside(a)
    made.put_aside(b)
    assert made.take(0.0) is None
    assert made.next_time(3.0) == 3.0
    made.put(a, 1.0)
    assert made.take_spare(1.0) is b
    assert made.take_spare(1.0) is None
    assert made.take(1.0) is a


def test_all_plans_can_be_dropped_without_a_trace():
    made = queue()
    for plan in (made.put_next, made.put_in_turn, made.put_aside, lambda one: made.put(one, 0.0)):
        for number in range(200):
            one = peer(f"198.51.100.{number}")
            plan(one)
            made.discard(one)
    assert made.take(0.0) is made.take_spare(0.0) is None
    assert made.next_time(0.0) is None
