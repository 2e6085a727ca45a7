"""How long a peer is left alone before the next dial. Pure.

Source: discovery.md section 10.
"""

from collections.abc import Sequence

from datd.swarm.limits import (
    FAULT_DELAYS,
    GOOD_RETRY_DELAYS,
    HASTE_PAUSE,
    MANUAL_RETRY_DELAYS,
    RETRY_DELAYS,
)
from datd.swarm.peer import MANUAL, Peer


def hasten(peer: Peer, now: float) -> bool:
    """A network names a peer that waits for its next dial: whether that is brought forward.

    If nothing good were known of it, it would be forgotten by now, and be dialled as a new one. So
    it is dialled, but once: who is gone and still named must not cost the dials of others.
    """
    if not _exhausted(peer):
        return False
    if peer.hastened_at is not None and now - peer.hastened_at < HASTE_PAUSE:
        return False
    peer.hastened_at = now
    return True


def after_failure(peer: Peer, now: float) -> float | None:
    """Seconds to wait after a dial or connection that came to nothing; None: forget the peer."""
    if peer.good(now):
        return _step(GOOD_RETRY_DELAYS, peer.failures)
    if peer.source == MANUAL:
        return _step(MANUAL_RETRY_DELAYS, peer.failures)
    return None if _exhausted(peer) else RETRY_DELAYS[peer.failures]


def after_fault(peer: Peer) -> float:
    """Seconds to wait after a connection that ended through its fault."""
    return _step(FAULT_DELAYS, peer.faults)


def _exhausted(peer: Peer) -> bool:
    """Whether it failed as often as a peer of which nothing good is known may."""
    return peer.failures >= len(RETRY_DELAYS)


def _step(delays: Sequence[float], count: int) -> float:
    return delays[min(count, len(delays) - 1)]
