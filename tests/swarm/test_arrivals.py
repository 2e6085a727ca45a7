from datd.swarm.arrivals import MAX_TELLERS, MEMORY, Arrivals


def flood(arrivals: Arrivals, network: str, teller: str, now: float, count: int = 1000) -> int:
    return sum(arrivals.take(network, teller, now) for _ in range(count))


def test_l20_who_is_alone_has_it_all():
    arrivals = Arrivals(10)
    assert [flood(arrivals, "dns", "server", float(now)) for now in range(5)] == [10] * 5


def test_a_loud_network_leaves_room_for_the_others():
    arrivals = Arrivals(10)
    flood(arrivals, "dns", "server", 0.0)
    flood(arrivals, "mdns", "host", 0.0)
    for now in range(1, 60):
        assert flood(arrivals, "dns", "server", float(now)) == 5
    assert flood(arrivals, "mdns", "host", 59.5, 5) == 5


def test_a_loud_server_leaves_half_of_the_room_to_other_servers():
    arrivals = Arrivals(10)
    flood(arrivals, "dns", "honest", 0.0, 1)
    assert flood(arrivals, "dns", "loud", 1.0) == 5
    assert flood(arrivals, "dns", "honest", 1.5, 5) == 5


def test_a_thousand_tellers_of_one_network_do_not_get_more_than_it():
    arrivals = Arrivals(10)
    flood(arrivals, "dns", "server", 0.0)
    taken = sum(arrivals.take("dht", f"node {n}", 1.0) for n in range(1000))
    assert taken == 5
    assert flood(arrivals, "dns", "server", 1.5, 5) == 5
    assert len(arrivals._heard["dht"]) == MAX_TELLERS


def test_a_share_is_kept_for_those_only_who_spoke_lately():
    arrivals = Arrivals(10)
    flood(arrivals, "dht", "node", 0.0, 1)
    assert flood(arrivals, "dns", "server", MEMORY) == 5
    assert flood(arrivals, "dns", "server", MEMORY + 1.1) == 10
