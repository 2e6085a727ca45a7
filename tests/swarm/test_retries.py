from datd.swarm import retries
from datd.swarm.limits import GOOD_FOR
from datd.swarm.peer import MANUAL, Peer
from datd.types import Address


def waits(source: str, last_success: float | None = None, now: float = 0.0) -> list[float | None]:
    peer = Peer(b"n", Address("203.0.113.1", 3282), source, last_success=last_success)
    found = []
    for failures in range(13):
        peer.failures = failures
        found.append(retries.after_failure(peer, now))
    return found


def test_a_stranger_is_dialled_five_times():
    assert waits("dns") == [1, 1, 5, 15, *[None] * 9]


def test_a_peer_by_hand_again_and_again():
    assert waits(MANUAL) == [1, 1, 5, 15, 30, 60, 120, *[300] * 6]


def test_a_good_peer_for_a_month():
    assert waits("dns", 0.0) == [1, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 3600, 3600]
    assert waits("dns", 0.0, GOOD_FOR)[4:] == [None] * 9


def test_after_a_fault_the_pause_is_longer():
    peer = Peer(b"n", Address("203.0.113.1", 3282), "dns")
    pauses = []
    for faults in range(6):
        peer.faults = faults
        pauses.append(retries.after_fault(peer))
    assert pauses == [5, 15, 60, 300, 300, 300]
