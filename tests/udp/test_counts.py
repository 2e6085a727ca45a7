from datd.udp.counts import UdpCounts
from datd.udp.demultiplex import Kind


def test_every_kind_is_counted_from_nothing_and_by_itself():
    counts, others = UdpCounts(), UdpCounts()
    counts.by_kind[Kind.DHT].datagrams_in += 1
    assert set(counts.by_kind) == set(Kind)
    assert counts.by_kind[Kind.UTP].datagrams_in == 0
    assert others.by_kind[Kind.DHT].datagrams_in == 0
