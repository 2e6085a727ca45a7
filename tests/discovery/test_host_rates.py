from datd.discovery.host_rates import MAX_HOSTS, HostRates


def test_each_host_has_so_many_a_second():
    rates = HostRates(3)
    assert [rates.take("10.0.0.1", 5.0 + n / 10) for n in range(5)] == [True] * 3 + [False] * 2
    assert rates.take("10.0.0.2", 5.5)
    assert rates.take("10.0.0.1", 6.0)


def test_a_clock_that_jumps_back_blocks_nobody():
    rates = HostRates(1)
    assert rates.take("10.0.0.1", 100.0)
    assert rates.take("10.0.0.1", 1.0)


def test_t33_a_flood_of_hosts_is_remembered_up_to_a_limit():
    rates = HostRates(1)
    assert all(rates.take(str(number), 0.0) for number in range(MAX_HOSTS))
    assert not rates.take("one more", 0.5)
    assert rates.take("one more", 1.0)
