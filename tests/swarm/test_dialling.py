from datd.swarm.dialling import MAX_PROVEN, MAX_RECENT, DialQueue
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
        made.prove(address)
        made.dialled(Peer(b"n", address, "mdns"), 0.0)
    assert len(made._proven) == MAX_PROVEN
    assert len(made._recent) == MAX_RECENT
    for number in range(5000):
        one = peer(name=number.to_bytes(2, "big"))
        made.put(one, 1e9)
        made.discard(one)
    assert len(made._later) < 200
