from datd.discovery.dht.telling import AT_ONCE, MAX_HELD, MAX_OF_A_TELLER, PACE, Found, Telling
from datd.types import Address

KEY = b"k" * 32
LIAR, HONEST = Address("198.51.100.1", 6881), Address("198.51.100.2", 6881)


def peer(number: int, told_by: Address = LIAR, key: bytes = KEY) -> Found:
    return Found(key, Address(f"203.0.{number // 250}.{number % 250}", 3282), told_by)


def test_few_peers_are_told_at_once_and_nothing_is_left_to_do():
    telling = Telling()
    found = [peer(number) for number in range(AT_ONCE)]
    for one in found:
        telling.add(one, 0)
    assert telling.due(0) == found
    assert telling.due(telling.next_time()) == []
    assert telling.next_time() == float("inf")


def test_l20_the_one_peer_of_an_honest_node_does_not_wait_behind_sixty_of_a_liar():
    telling = Telling()
    for number in range(60):
        telling.add(peer(number), 0)
    assert len(telling.due(0)) == AT_ONCE
    telling.add(peer(100, HONEST), 0.1)
    assert telling.due(0.1) == [peer(100, HONEST)]
    told, turns = 0, 0
    while (now := telling.next_time()) < float("inf"):
        turns += 1
        assert now == turns * PACE
        told += len(telling.due(now))
        assert told <= turns * AT_ONCE
    assert told == 60 - AT_ONCE


def test_a_teller_may_not_add_to_its_share_by_telling_again_within_the_second():
    telling = Telling()
    heard = 0
    for step in range(100):
        telling.add(peer(step), step / 100)
        heard += len(telling.due(step / 100))
    assert heard == AT_ONCE


def test_what_is_held_is_bounded_and_forgotten_with_its_name():
    telling = Telling()
    for number in range(1000):
        telling.add(peer(number), 0)
    assert len(telling.due(0)) == AT_ONCE
    telling.forget(KEY[:20])
    assert telling.due(PACE) == []
    for number in range(1000):
        telling.add(peer(number), 10)
    telling.due(10)
    assert rest(telling) == MAX_OF_A_TELLER
    names = 2 * MAX_HELD // MAX_OF_A_TELLER
    for name in range(names):
        for number in range(MAX_OF_A_TELLER + AT_ONCE):
            telling.add(peer(number, key=name.to_bytes(32, "little")), 200)
    assert len(telling.due(200)) == names * AT_ONCE
    assert rest(telling) == MAX_HELD


def rest(telling: Telling) -> int:
    """How much is told from now on."""
    told = 0
    while (now := telling.next_time()) < float("inf"):
        told += len(telling.due(now))
    return told
