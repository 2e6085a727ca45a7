import random
from ipaddress import ip_network

from datd.swarm.archive_peers import ArchivePeers
from datd.swarm.candidates import Candidates
from datd.swarm.dialling import DialQueue
from datd.swarm.gate import Gate
from datd.swarm.limits import SwarmLimits
from datd.swarm.outage import Outage
from datd.swarm.rules import AddressRules
from datd.types import Address

NAME = b"n" * 32
SERVER = Address("198.51.100.1", 5300)
LIMITS = SwarmLimits(candidates=5)


class Known:
    """Candidates of one archive, and the queue in which they wait."""

    def __init__(self) -> None:
        self.archive = ArchivePeers(LIMITS)
        self.queue = DialQueue(choose=random.Random(1).randrange, dials_per_second=20)
        self.all = Candidates(
            {NAME: self.archive},
            gate=Gate(AddressRules(), []),
            queue=self.queue,
            outage=Outage(),
            limits=LIMITS,
        )

    def hear(self, host: str, now: float = 0.0) -> bool:
        return self.all.found(NAME, Address(host, 3282), "dns", SERVER, now)

    def hosts(self) -> list[str]:
        return [address.host for address in self.archive.known]


def test_l20_so_many_candidates_are_known_and_the_oldest_goes():
    known = Known()
    for number in range(8):
        assert known.hear(f"203.0.113.{number}", float(number))
    assert known.hosts() == [f"203.0.113.{number}" for number in range(3, 8)]


def test_one_given_by_hand_stays_when_others_are_told():
    known = Known()
    known.all.add(NAME, Address("203.0.113.99", 3282), 0.0)
    for number in range(8):
        known.hear(f"203.0.113.{number}", float(number))
    assert "203.0.113.99" in known.hosts()


def test_nothing_is_known_of_archives_that_are_not_here():
    known = Known()
    known.all.add(b"o" * 32, Address("203.0.113.1", 3282), 0.0)
    assert not known.all.found(b"o" * 32, Address("203.0.113.1", 3282), "dns", SERVER, 0.0)
    assert known.queue.next_time(0.0) is None


def test_whom_new_rules_keep_out_is_forgotten_and_one_given_by_hand_waits():
    known = Known()
    known.hear("203.0.113.1")
    known.all.add(NAME, Address("203.0.113.2", 3282), 0.0)
    known.all.obey(AddressRules(block=[ip_network("203.0.113.0/24")]), 1.0)
    assert known.hosts() == ["203.0.113.2"]
    assert known.queue.take(1.0) is None
    known.all.obey(AddressRules(), 2.0)
    peer = known.queue.take(2.0)
    assert peer is not None
    assert peer.address.host == "203.0.113.2"


def test_where_others_see_us_is_no_candidate():
    known = Known()
    known.hear("203.0.113.1")
    known.all.own_address("203.0.113.1", 3282)
    assert known.hosts() == []
    assert not known.hear("203.0.113.1", 1.0)
