import random
from collections import Counter

from datd.swarm.fair_pool import FairPool, draw
from datd.swarm.peer import Peer
from datd.types import Address

_tickets = iter(range(1, 10**9))


def add(pool: FairPool, source: str, teller: str, count: int = 1) -> list[Peer]:
    peers = []
    for number in range(count):
        peer = Peer(b"n", Address("203.0.113.1", number + 1), source, teller)
        peer.ticket = next(_tickets)
        pool.add((peer.ticket, peer))
        peers.append(peer)
    return peers


def test_everybody_comes_out_once():
    pool = FairPool()
    peers = add(pool, "dns", "a", 20) + add(pool, "dns", "b", 5) + add(pool, "dht", "c", 7)
    assert len(pool) == 32
    drawn = [pool.draw(random.Random(1).randrange)[1] for _ in range(32)]
    assert sorted(map(id, drawn)) == sorted(map(id, peers))
    assert not pool


def test_t32_ten_thousand_of_one_source_do_not_hold_up_the_others():
    pool = FairPool()
    add(pool, "dht", "hostile", 10_000)
    add(pool, "dht", "honest", 5)
    add(pool, "mdns", "neighbour", 5)
    first = [pool.draw(random.Random(1).randrange)[1].told_by for _ in range(20)]
    assert Counter(first) == {"neighbour": 5, "honest": 5, "hostile": 10}


def test_chance_decides_within_a_source():
    pool = FairPool()
    peers = add(pool, "dns", "a", 4)
    assert [pool.draw(lambda count: count - 1)[1] for _ in range(4)] == peers[::-1]


def test_sweeping_leaves_out_what_counts_no_more():
    pool = FairPool()
    peers = add(pool, "dns", "a", 10) + add(pool, "dht", "b", 10)
    for peer in peers[::2]:
        peer.ticket = 0
    pool.sweep()
    assert len(pool) == 10
    assert {pool.draw(lambda count: 0)[1].ticket for _ in range(10)} == {
        peer.ticket for peer in peers[1::2]
    }


def test_drawing_from_a_list_takes_one_out():
    peer = Peer(b"n", Address("203.0.113.1", 1), "dns")
    entries = [(1, peer), (2, peer), (3, peer)]
    assert draw(entries, lambda count: 0) == (1, peer)
    assert sorted(ticket for ticket, _ in entries) == [2, 3]
