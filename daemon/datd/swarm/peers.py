"""Every known peer of every joined archive, what they did, and whom to dial next.

Pure: no socket, no clock, no chance; they come in as arguments. Peers are judged by what the swarm
reports here; nothing else remembers them.

Source: discovery.md section 10 for the retry times, section 14 for the limits.
"""

from collections.abc import Callable, Hashable

from datd.swarm import addresses
from datd.swarm.archive_peers import ArchivePeers, caller_marks
from datd.swarm.dialling import DialQueue
from datd.swarm.limits import (
    FAULT_DELAYS,
    MANUAL_RETRY_DELAYS,
    RETRY_DELAYS,
    SELF_BAN,
    SETTLED,
    SwarmLimits,
)
from datd.swarm.peer import INBOUND, MANUAL, Mark, Peer, PeerView, State
from datd.types import Address

# Rule 4 of the limits: addresses of this daemon itself that are remembered.
_MAX_SELVES = 64
# An error of somebody else's making is shown up to this many characters.
_MAX_REASON = 200


class PeerTable:
    """Peers by archive. Names are discovery keys of 32 bytes.

    A peer goes around: waiting → connecting → connected → waiting, until it is forgotten; or
    banned → waiting. Callers appear connected and are gone afterwards.
    """

    def __init__(self, *, choose: Callable[[int], int], limits: SwarmLimits) -> None:
        self._limits = limits
        self._archives: dict[bytes, ArchivePeers] = {}
        self._queue = DialQueue(choose=choose, dials_per_second=limits.dials_per_second)
        self._selves: dict[Address, float] = {}
        self._busy = 0
        self._dialling = 0

    # ---- archives

    def join(self, name: bytes) -> None:
        """Take peers of an archive in."""
        if name not in self._archives:
            self._archives[name] = ArchivePeers(self._limits)

    def leave(self, name: bytes) -> None:
        """Forget an archive and all of its peers. Its connections are over from here on."""
        archive = self._archives.pop(name, None)
        if archive is None:
            return
        for peer in (*archive.known.values(), *archive.callers.values()):
            self._queue.discard(peer)
            self._move(peer, State.GONE, archive)

    def joined(self, name: bytes) -> bool:
        """Whether an archive was joined."""
        return name in self._archives

    def full(self, name: bytes) -> bool:
        """Whether an archive, or all of them together, have as many connections as they may."""
        archive = self._archives[name]
        return archive.busy >= self._limits.per_archive or self._busy >= self._limits.connections

    def views(self, name: bytes, now: float) -> list[PeerView]:
        """Show the peers of an archive: connected ones, candidates, and the last dropped ones."""
        archive = self._archives.get(name)
        if archive is None:
            return []
        return archive.views(now)

    # ---- candidates

    def found(
        self, name: bytes, address: Address, source: str, told_by: Address, now: float
    ) -> bool:
        """A discovery network named a peer; whether that is news and worth a dial."""
        archive = self._archives.get(name)
        if archive is None or address in archive.known or not self._welcome(address, told_by, now):
            return False
        if archive.bans.until(address) > now or not archive.arrivals.take(now):
            return False
        if len(archive.known) >= self._limits.candidates:
            oldest = archive.expendable()
            if oldest is None:
                return False
            self._forget(oldest, archive)
        peer = archive.known[address] = Peer(name, address, source)
        self._queue.put(peer, now)
        return True

    def add(self, name: bytes, address: Address, now: float) -> None:
        """Somebody gave a peer by hand: it is dialled at once, and never forgotten while joined.

        That word also ends a ban. An address that nobody can have is kept with the reason. Nothing
        happens if the archive is not joined.
        """
        archive = self._archives.get(name)
        if archive is None:
            return
        peer = archive.known.setdefault(address, Peer(name, address, MANUAL))
        peer.source = MANUAL
        if peer.busy or peer.state is State.COVERED:
            return
        peer.last_error = addresses.impossible(address)
        if peer.last_error is not None:
            peer.state = State.GONE
            return
        peer.state = State.WAITING
        peer.failures = peer.faults = 0
        archive.bans.lift(address)
        self._queue.put(peer, now)

    def next_dial(self, now: float) -> Peer | None:
        """Choose whom to dial now, if anybody; it counts as connecting from here on."""
        while self._dialling < self._limits.open_dials and self._queue.may_dial(now):
            if self._busy >= self._limits.connections:
                break
            peer = self._queue.take(now)
            if peer is None:
                break
            archive = self._archives[peer.name]
            if archive.busy >= self._limits.per_archive:
                archive.parked.append(peer)
                continue
            self._queue.dialled(peer, now)
            self._move(peer, State.CONNECTING, archive)
            return peer
        return None

    def next_time(self, now: float) -> float | None:
        """When `next_dial` should be asked again; None: when something else has changed."""
        if self._dialling >= self._limits.open_dials or self._busy >= self._limits.connections:
            return None
        return self._queue.next_time(now)

    # ---- connections

    def connected(self, peer: Peer, connection: Hashable, kind: str, now: float) -> None:
        """A dial was answered."""
        peer.initiator = True
        self._connect(peer, connection, kind, now)

    def called(
        self, name: bytes, address: Address, connection: Hashable, kind: str, now: float
    ) -> Peer:
        """Somebody called about an archive."""
        peer = Peer(name, address, INBOUND, initiator=False)
        self._archives[name].callers[address] = peer
        self._connect(peer, connection, kind, now)
        return peer

    def handshaken(self, peer: Peer, remote_id: bytes, now: float) -> None:
        """Hands were shaken: this peer speaks Dat."""
        peer.remote_id = remote_id
        peer.handshaken_at = now
        peer.marks[Mark.HANDSHAKES] += 1
        if peer.source != INBOUND:
            self._queue.prove(peer.address)
            return
        self._archives[peer.name].recall(peer)

    def superseded(self, loser: Peer, winner: Peer) -> None:
        """Two connections with one peer: `loser` ends without a redial while `winner` lives."""
        archive = self._archives.get(loser.name)
        if archive is None:
            return
        self._release(loser, archive, State.COVERED)
        if loser.source == INBOUND:
            archive.callers.pop(loser.address, None)
        else:
            winner.covers.append(loser)
        winner.covers += loser.covers
        loser.covers = []
        winner.distrusted |= loser.distrusted
        loser.distrusted = winner.distrusted

    def good_blocks(self, peer: Peer, count: int) -> None:
        """It sent blocks that verify."""
        peer.marks[Mark.GOOD_BLOCKS] += count

    # ---- ends

    def dial_failed(self, peer: Peer, why: str, now: float) -> None:
        """Nobody answered."""
        peer.marks[Mark.FAILED_DIALS] += 1
        self.lost(peer, why, now)

    def lost(self, peer: Peer, why: str | None, now: float) -> None:
        """A dial or connection ended, and nobody is to blame."""
        archive = self._archives.get(peer.name)
        if archive is None or not peer.busy:
            return
        settled = peer.handshaken_at is not None and now - peer.handshaken_at >= SETTLED
        for other in self._end(peer, archive, now):
            if other is not peer:
                self._queue.put(other, now + RETRY_DELAYS[0])
        if settled:
            peer.failures = peer.faults = 0
        peer.last_error = why
        if peer.source == INBOUND:
            return
        delays = MANUAL_RETRY_DELAYS if peer.source == MANUAL else RETRY_DELAYS
        if peer.failures >= len(RETRY_DELAYS) and peer.source != MANUAL:
            self._forget(peer, archive)
            return
        self._queue.put(peer, now + delays[min(peer.failures, len(delays) - 1)])
        peer.failures += 1

    def protocol_error(self, peer: Peer, reason: str, now: float) -> None:
        """It said what the protocol does not allow."""
        peer.marks[Mark.PROTOCOL_ERRORS] += 1
        self._fault(peer, reason, now)

    def bad_block(self, peer: Peer, index: int, reason: str, now: float) -> None:
        """It sent a block that does not verify. That can be a bad disk; several are a liar."""
        archive = self._archives.get(peer.name)
        peer.marks[Mark.BAD_BLOCKS] += 1
        good = peer.marks[Mark.GOOD_BLOCKS] > 0
        if archive is None:
            return
        until = archive.bans.bad_block(archive.marks(peer), index, good, now)
        if until is None:
            self._fault(peer, reason, now)
        else:
            self._banned(peer, reason, until, now)

    def bad_signature(self, peer: Peer, reason: str, now: float) -> None:
        """It sent a signature that the author never made. No accident does that."""
        archive = self._archives.get(peer.name)
        peer.marks[Mark.BAD_SIGNATURES] += 1
        if archive is not None:
            self._banned(peer, reason, archive.bans.ban(archive.marks(peer), now), now)

    def banned(self, name: bytes, address: Address, remote_id: bytes, now: float) -> bool:
        """Whether a caller is kept out of an archive; `remote_id` is empty before the handshake."""
        bans = self._archives[name].bans
        return any(bans.until(mark) > now for mark in caller_marks(address, remote_id))

    def is_self(self, peer: Peer, now: float) -> None:
        """The other end is this daemon: not dialled again, under any name."""
        self._selves[peer.address] = now + SELF_BAN
        if len(self._selves) > _MAX_SELVES:
            del self._selves[next(iter(self._selves))]
        self._banned(peer, "it is this daemon itself", now + SELF_BAN, now)

    # ---- inside

    def _welcome(self, address: Address, told_by: Address, now: float) -> bool:
        if self._selves.get(address, now) > now:
            return False
        return addresses.dialable(address, told_by, self._limits.allow_networks)

    def _forget(self, peer: Peer, archive: ArchivePeers) -> None:
        self._queue.discard(peer)
        archive.forget(peer)

    def _connect(self, peer: Peer, connection: Hashable, kind: str, now: float) -> None:
        peer.connection = connection
        peer.kind = kind
        peer.connected_at = now
        self._move(peer, State.CONNECTED, self._archives[peer.name])

    def _fault(self, peer: Peer, reason: str, now: float) -> None:
        archive = self._archives.get(peer.name)
        if archive is None or not peer.busy:
            return
        for one in self._end(peer, archive, now, reason):
            self._queue.put(one, now + FAULT_DELAYS[min(one.faults, len(FAULT_DELAYS) - 1)])
            one.faults += 1

    def _banned(self, peer: Peer, reason: str, until: float, now: float) -> None:
        archive = self._archives.get(peer.name)
        if archive is None or not peer.busy:
            return
        twins = [one for one in archive.twins(peer) if not one.busy]
        for one in {*twins, *self._end(peer, archive, now, reason)}:
            one.state = State.BANNED
            self._queue.put(one, until)

    def _end(
        self, peer: Peer, archive: ArchivePeers, now: float, dropped: str | None = None
    ) -> list[Peer]:
        """A dial or connection is over: free its place, and wake who waited for that.

        Returns:
            The addresses of this peer that can be dialled; they are waiting, but not queued yet.
        """
        again, peer.covers = peer.covers, []
        self._release(peer, archive, State.WAITING)
        if peer.source == INBOUND:
            peer.state = State.GONE
            archive.callers.pop(peer.address, None)
        else:
            again.append(peer)
        if dropped is not None:
            for one in (peer, *again):
                one.dropped = one.last_error = dropped[:_MAX_REASON]
        if not again:
            archive.remember(peer)
        for one in again:
            one.state = State.WAITING
        parked, archive.parked = archive.parked, []
        for other in parked:
            if other.state is State.WAITING and not other.ticket:
                self._queue.put(other, now)
        return again

    def _release(self, peer: Peer, archive: ArchivePeers, state: State) -> None:
        self._move(peer, state, archive)
        peer.connection = peer.kind = peer.initiator = None
        peer.connected_at = peer.handshaken_at = None

    def _move(self, peer: Peer, state: State, archive: ArchivePeers) -> None:
        """The only place where places are taken and given back."""
        old, peer.state = peer.state, state
        self._dialling += (state is State.CONNECTING) - (old is State.CONNECTING)
        taken = peer.busy - (old in (State.CONNECTING, State.CONNECTED))
        archive.busy += taken
        self._busy += taken
