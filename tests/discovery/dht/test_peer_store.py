import random

from datd.discovery.dht.peer_store import LIFETIME, MAX_PEERS_OF_A_NAME, MAX_PORTS, PeerStore

NAME, OTHER = b"n" * 20, b"o" * 20


def peer(host: int, port: int = 3282) -> bytes:
    return host.to_bytes(4, "big") + port.to_bytes(2, "big")


def all_of(store: PeerStore, name: bytes = NAME) -> set[bytes]:
    return set(store.sample(name, 100, random.Random(1).randrange))


def test_peers_are_kept_by_name_and_ports_apart():
    store = PeerStore()
    store.add(NAME, peer(1), 0)
    store.add(NAME, peer(1, 3283), 0)
    store.add(OTHER, peer(2), 0)
    assert all_of(store) == {peer(1), peer(1, 3283)}
    assert all_of(store, OTHER) == {peer(2)}
    assert all_of(store, b"x" * 20) == set()


def test_peers_are_forgotten_after_45_minutes_without_repetition():
    store = PeerStore()
    store.add(NAME, peer(1), 0)
    store.add(NAME, peer(2), 0)
    store.add(NAME, peer(1), 2000)
    store.expire(LIFETIME)
    assert all_of(store) == {peer(1)}
    store.expire(2000 + LIFETIME)
    assert len(store) == store.names == 0


def test_t35_200_of_a_name_the_oldest_goes():
    store = PeerStore()
    for host in range(MAX_PEERS_OF_A_NAME + 50):
        store.add(NAME, peer(host), host / 100)
    assert len(store) == MAX_PEERS_OF_A_NAME
    assert peer(0) not in set(store.sample(NAME, 200, random.Random(1).randrange))


def test_t35_one_address_has_a_few_ports_under_a_name():
    store = PeerStore()
    store.add(NAME, peer(2), 0)
    for port in range(1, 300):
        store.add(NAME, peer(1, port), port)
    assert all_of(store) == {peer(2), *(peer(1, port) for port in range(300 - MAX_PORTS, 300))}


def test_t35_whoever_fills_the_store_pushes_out_his_own():
    store = PeerStore(max_peers=1000)
    names = [number.to_bytes(20, "big") for number in range(3000)]
    for number, name in enumerate(names[:100]):
        store.add(name, peer(number), 0)
    for name in names:
        store.add(name, peer(999), 1)
    assert len(store) == 1000
    assert all(peer(number) in all_of(store, name) for number, name in enumerate(names[:100]))
    # A newcomer finds a place all the same.
    store.add(NAME, peer(1000), 2)
    assert len(store) == 1000
    assert all_of(store) == {peer(1000)}


def test_samples_are_at_random_and_without_repetition():
    store = PeerStore()
    for host in range(150):
        store.add(NAME, peer(host), 0)
    chance = random.Random(1)
    assert len(set(store.sample(NAME, 1000, chance.randrange))) == 100
    assert len({tuple(store.sample(NAME, 5, chance.randrange)) for _ in range(20)}) > 10
    assert {one for _ in range(200) for one in store.sample(NAME, 5, chance.randrange)} == {
        peer(host) for host in range(150)
    }
    assert store.sample(NAME, 0, chance.randrange) == []


def test_a_store_agrees_with_itself_whatever_happens():
    chance = random.Random(7)
    store = PeerStore(max_peers=60)
    now = 0.0
    for _ in range(3000):
        now += chance.random() * 100
        name = chance.randbytes(1) * 20
        store.add(name, peer(chance.randrange(9), chance.randrange(1, 20)), now)
        assert len(store) <= 60
    kept = sum(len(all_of(store, bytes([one]) * 20)) for one in range(256))
    assert kept == len(store)
