import pytest

from datd.swarm.archive_peers import ArchivePeers
from datd.swarm.limits import SwarmLimits
from datd.swarm.peer import INBOUND, Peer, State
from datd.swarm.places import Places
from datd.types import Address

LIMITS = SwarmLimits(per_archive=16, connections=32, open_dials=4)


def take(
    places: Places, archive: ArchivePeers, state: State, count: int, source: str = "dns"
) -> list[Peer]:
    peers = [Peer(b"n", Address("203.0.113.1", port + 1), source) for port in range(count)]
    for peer in peers:
        places.move(peer, state, archive)
    return peers


def test_places_are_taken_and_given_back():
    places, archive = Places(LIMITS), ArchivePeers(LIMITS)
    peers = take(places, archive, State.CONNECTING, 4)
    assert (places.busy, places.dialling, archive.busy) == (4, 4, 4)
    assert places.no_dial()
    for peer in peers:
        places.move(peer, State.CONNECTED, archive)
    assert (places.busy, places.dialling, archive.busy) == (4, 0, 4)
    assert not places.no_dial()
    for peer, state in zip(
        peers, (State.WAITING, State.BANNED, State.COVERED, State.GONE), strict=True
    ):
        places.move(peer, state, archive)
        places.move(peer, state, archive)
    assert (places.busy, places.dialling, archive.busy) == (0, 0, 0)


def test_l18_so_many_about_an_archive_and_in_all():
    places, archives = Places(LIMITS), [ArchivePeers(LIMITS) for _ in range(2)]
    take(places, archives[0], State.CONNECTED, 16)
    assert places.no_dial_about(archives[0])
    assert not places.no_dial_about(archives[1])
    assert not places.no_dial()
    take(places, archives[1], State.CONNECTED, 16)
    assert places.no_dial()


@pytest.mark.parametrize(("limit", "callers"), [(16, 14), (64, 56), (2, 2), (1, 1)])
def test_t32_callers_leave_some_places_to_those_whom_we_dial(limit, callers):
    limits = SwarmLimits(per_archive=limit)
    places, archive = Places(limits), ArchivePeers(limits)
    while not places.no_call_about(archive):
        take(places, archive, State.CONNECTED, 1, INBOUND)
    assert archive.busy == callers
    assert places.no_dial_about(archive) == (callers == limit)


def test_those_whom_we_dial_leave_all_other_places_to_callers():
    places, archives = Places(LIMITS), [ArchivePeers(LIMITS) for _ in range(3)]
    take(places, archives[0], State.CONNECTED, 15)
    assert not places.no_call_about(archives[0])
    (caller,) = take(places, archives[0], State.CONNECTED, 1, INBOUND)
    assert places.no_call_about(archives[0])
    places.move(caller, State.GONE, archives[0])
    assert (places.calls, archives[0].calls) == (0, 0)
    take(places, archives[1], State.CONNECTED, 16)
    assert not places.no_call_about(archives[2])
    take(places, archives[2], State.CONNECTED, 1, INBOUND)
    assert places.no_call_about(archives[2])


def test_t32_callers_leave_some_places_of_all_archives_to_those_whom_we_dial():
    places, archives = Places(LIMITS), [ArchivePeers(LIMITS) for _ in range(3)]
    for archive in archives[:2]:
        take(places, archive, State.CONNECTED, 14, INBOUND)
    assert places.no_call_about(archives[2])
    assert not places.no_dial()


def test_the_number_of_connections_may_change_and_nobody_is_thrown_out():
    limits = SwarmLimits(per_archive=64, connections=4)
    places, archive = Places(limits), ArchivePeers(limits)
    take(places, archive, State.CONNECTED, 4)
    assert places.no_dial()
    limits.connections = 10
    assert (places.free, places.no_dial()) == (6, False)
    limits.connections = 2
    assert (places.busy, places.free) == (4, 0)
    assert places.no_call_about(archive)
