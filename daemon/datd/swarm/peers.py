"""Every known peer of every joined archive, what they did, and whom to dial next.

Pure: no socket, no clock, no chance; they come in as arguments. Peers are judged by what the swarm
reports here; nothing else remembers them.

Source: discovery.md section 10 for the retry times, section 14 for the limits.
"""

from collections.abc import Callable, Hashable, Iterable

from datd.swarm import retries
from datd.swarm.archive_peers import ArchivePeers, caller_marks
from datd.swarm.candidates import Candidates
from datd.swarm.dialling import DialQueue
from datd.swarm.gate import Gate
from datd.swarm.limits import LONG_GONE, SETTLED, SwarmLimits
from datd.swarm.outage import Outage
from datd.swarm.peer import INBOUND, MANUAL, KnownPeer, Mark, Peer, PeerView, State
from datd.swarm.places import Places
from datd.swarm.rotation import Rotation
from datd.swarm.rules import AddressRules
from datd.types import Address

# An error of somebody else's making is shown up to this many characters.
_MAX_REASON = 200


class PeerTable:
    """Peers by archive. Names are discovery keys of 32 bytes.

    A peer goes around: waiting → connecting → connected → waiting, until it is forgotten; or
    banned → waiting. Callers appear connected and are gone afterwards.

    Attributes:
        gate: Who may be dialled, and who may call at all.
    """

    def __init__(
        self,
        *,
        choose: Callable[[int], int],
        limits: SwarmLimits,
        rules: AddressRules | None = None,
        own_hosts: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self.gate = Gate(rules or AddressRules(), limits.allow_networks, own_hosts)
        self._limits = limits
        self._archives: dict[bytes, ArchivePeers] = {}
        self._queue = DialQueue(choose=choose, dials_per_second=limits.dials_per_second)
        self._outage = Outage()
        self._places = Places(limits)
        self._candidates = Candidates(
            self._archives, gate=self.gate, queue=self._queue, outage=self._outage, limits=limits
        )
        self._rotation = Rotation(
            self._archives, queue=self._queue, places=self._places, limits=limits, choose=choose
        )
        self._changed: set[bytes] = set()

    # ---- archives

    def join(
        self, name: bytes, known: Iterable[KnownPeer] = (), now: float = 0.0, urgent: bool = False
    ) -> None:
        """Take peers of an archive in, those first that were good in an earlier life.

        If it is urgent they go before others, and do not wait for the end of an outage.
        """
        archive = self._archives.get(name)
        if archive is None:
            archive = self._archives[name] = ArchivePeers(self._limits)
        for peer in archive.recollect(name, known, self.gate, now):
            peer.urgent = urgent
            self._queue.put(peer, now)

    def leave(self, name: bytes) -> None:
        """Forget an archive and all of its peers. Its connections are over from here on."""
        archive = self._archives.pop(name, None)
        if archive is None:
            return
        self._rotation.forget(name)
        for peer in (*archive.known.values(), *archive.callers):
            self._queue.discard(peer)
            self._outage.forget(peer)
            self._places.move(peer, State.GONE, archive)

    def joined(self, name: bytes) -> bool:
        """Whether an archive was joined."""
        return name in self._archives

    def hungry(self, name: bytes, hungry: bool) -> None:
        """Whether an archive misses blocks: its peers come first while it has no connection."""
        if name in self._archives and self._archives[name].hungry is not hungry:
            self._archives[name].hungry = hungry
            self._rotation.starves(name)

    def is_hungry(self, name: bytes) -> bool:
        """Whether a joined archive misses blocks."""
        return self._archives[name].hungry

    def full(self, name: bytes) -> bool:
        """Whether an archive, or all of them together, have as many callers as they may."""
        return self._places.no_call_about(self._archives[name])

    def views(self, name: bytes, now: float) -> list[PeerView]:
        """Show the peers of an archive: connected ones, candidates, and the last dropped ones."""
        return self._archives[name].views(now) if name in self._archives else []

    def talking(self, name: bytes) -> int:
        """Peers of an archive that are connected and shook hands."""
        return self._archives[name].talking if name in self._archives else 0

    def take_changed(self) -> set[bytes]:
        """The archives for which `talking` may have changed since this was asked last."""
        changed, self._changed = self._changed, set()
        return changed

    def known_good(self, name: bytes) -> list[KnownPeer]:
        """Who was good, best first; to be given back to `join` after a restart."""
        return self._archives[name].known_good() if name in self._archives else []

    # ---- candidates

    def found(
        self, name: bytes, address: Address, source: str, told_by: Address, now: float
    ) -> bool:
        """A discovery network named a peer; whether that is news and worth a dial."""
        self._at_once(self._outage.life(told_by.host, now), now)
        archive = self._archives.get(name)
        first = archive is not None and not archive.known
        news = self._candidates.found(name, address, source, told_by, now)
        if news and first:
            self._rotation.starves(name)
        return news

    def add(self, name: bytes, address: Address, now: float) -> None:
        """Somebody gave a peer by hand: it is dialled at once, and never forgotten while joined.

        That word also ends a ban. An address that nobody can have, or that the rules keep out, is
        kept with the reason. Nothing happens if the archive is not joined.
        """
        self._candidates.add(name, address, now)

    def next_dial(self, now: float) -> Peer | None:
        """Choose whom to dial now; one that is connected is silent, and gets another connection."""
        if (probe := self._outage.probe(now)) is not None:
            probe.urgent, probe.probed_at = True, now
            self._queue.put(probe, now)
        while not self._places.no_dial() and self._queue.may_dial(now):
            peer = self._rotation.next(now)
            if peer is None:
                break
            archive = self._archives[peer.name]
            urgent, peer.urgent = peer.urgent or peer.source == MANUAL, False
            if not urgent and self._outage.keeps(peer, now):
                continue
            if peer.state is not State.CONNECTED:
                if self._places.no_dial_about(archive):
                    peer.state = State.WAITING
                    archive.parked.append(peer)
                    continue
                self._places.move(peer, State.CONNECTING, archive)
            self._queue.dialled(peer, now)
            peer.marks[Mark.DIALS] += 1
            return peer
        return None

    def next_time(self, now: float) -> float | None:
        """When `next_dial` should be asked again; None: when something else has changed."""
        if self._places.no_dial():
            return None
        times = (self._rotation.next_time(now), self._outage.next_time(now))
        return min((time for time in times if time is not None), default=None)

    def wants_room(self, now: float) -> bool:
        """Whether connections may have to end for others, see `make_room`."""
        return self._rotation.wanted(now) and not self._outage.active(now)

    def make_room(self, idle: list[Peer], now: float) -> list[Peer]:
        """All places are taken: whose connections end, so that archives without any get one.

        Their peers are dialled again when all who wait have had their turn.

        Args:
            idle: Peers that we dialled, with connections that are of no use at the moment.
            now: Seconds.
        """
        leavers = self._rotation.leavers(idle, now)
        for peer in leavers:
            self._take_turns(self._end(peer, self._archives[peer.name], now), now)
        return leavers

    # ---- connections

    def connected(self, peer: Peer, connection: Hashable, kind: str, now: float) -> None:
        """A dial was answered. A silent connection that it had before is over."""
        peer.initiator = True
        peer.worked = kind
        self._end_talk(peer, self._archives[peer.name])
        self._connect(peer, connection, kind, now)
        self._at_once(self._outage.reached(peer, now), now)

    def called(
        self, name: bytes, address: Address, connection: Hashable, kind: str, now: float
    ) -> Peer:
        """Somebody called about an archive."""
        peer = Peer(name, address, INBOUND, initiator=False, first_seen=now, last_seen=now)
        self._archives[name].callers[peer] = None
        self._connect(peer, connection, kind, now)
        self._at_once(self._outage.life(address.host, now), now)
        return peer

    def handshaken(self, peer: Peer, remote_id: bytes, now: float) -> None:
        """Hands were shaken: this peer speaks Dat."""
        archive = self._archives[peer.name]
        archive.talking += peer.handshaken_at is None
        self._changed.add(peer.name)
        peer.remote_id = remote_id
        peer.handshaken_at = peer.last_seen = now
        peer.marks[Mark.HANDSHAKES] += 1
        if peer.source == INBOUND:
            archive.recall(peer)
            return
        self._queue.prove(peer.address)
        archive.praise(peer, now)

    def superseded(self, loser: Peer, winner: Peer) -> None:
        """Two connections with one peer: `loser` ends without a redial while `winner` lives."""
        archive = self._archives.get(loser.name)
        if archive is None:
            return
        winner.marks[Mark.DUPLICATES] += 1
        self._queue.discard(loser)  # it was silent, and to be probed
        self._release(loser, archive, State.COVERED)
        if loser.source == INBOUND:
            archive.callers.pop(loser, None)
        else:
            winner.covers.append(loser)
            self._outage.forget(loser)
        winner.covers += loser.covers
        loser.covers = []
        winner.distrusted |= loser.distrusted
        loser.distrusted = winner.distrusted

    def good_blocks(self, peer: Peer, count: int, size: int = 0) -> None:
        """It sent blocks that verify; their bytes are counted, too."""
        peer.marks[Mark.GOOD_BLOCKS] += count
        if size:
            peer.marks[Mark.GOOD_BYTES] += size
        for one in (peer, *peer.covers):
            one.useful |= count > 0

    def pulse(self, talking: Iterable[Peer], silent: Iterable[Peer], now: float) -> None:
        """Tell who of those that are connected talks and who is silent, every second or so."""
        for peer in silent:
            self._outage.silent(peer.address.host, now)
            if peer.source != INBOUND and peer.good(now):
                self._outage.missing(peer)
        self._at_once(self._outage.pulse(talking, now), now)

    # ---- ends

    def dial_failed(self, peer: Peer, why: str, now: float, *, refused: bool = False) -> None:
        """Nobody answered, or, if `refused`, a host did where no peer is."""
        peer.marks[Mark.FAILED_DIALS] += 1
        if not refused:
            peer.marks[Mark.TIMEOUTS] += 1
        if peer.failures >= LONG_GONE:
            self._queue.doubt(peer.address)
        self._lost(peer, why, now, unheard=not refused)

    def lost(self, peer: Peer, why: str | None, now: float, *, silent: bool = False) -> None:
        """A connection ended, and nobody is to blame; `silent`: nothing came for some time."""
        if silent and peer.busy:
            peer.marks[Mark.TIMEOUTS] += 1
            self._outage.silent(peer.address.host, now)
        self._lost(peer, why, now, unheard=silent)

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
        self._banned(peer, "it is this daemon itself", self.gate.met_self(peer.address, now), now)

    # ---- the gate

    def obey(self, rules: AddressRules, now: float) -> None:
        """Other rules: candidates that they keep out are forgotten. Connections stay."""
        self._candidates.obey(rules, now)

    def own_address(self, host: str | None, port: int | None) -> None:
        """Where others see this daemon, as far as it is known: it is no candidate."""
        self._candidates.own_address(host, port)

    # ---- inside

    def _at_once(self, peers: Iterable[Peer], now: float) -> None:
        """The network is back: dial who is waited for, before all others if blocks are missing."""
        for peer in peers:
            archive = self._archives.get(peer.name)
            if archive is None or peer.state is not State.WAITING:
                continue
            if peer.marks[Mark.HANDSHAKES]:
                peer.failures = 0
            peer.urgent = archive.hungry
            self._queue.put(peer, now)

    def _connect(self, peer: Peer, connection: Hashable, kind: str, now: float) -> None:
        peer.connection = connection
        peer.kind = kind
        peer.connected_at = now
        self._queue.discard(peer)
        self._places.move(peer, State.CONNECTED, self._archives[peer.name])

    def _lost(self, peer: Peer, why: str | None, now: float, *, unheard: bool) -> None:
        archive = self._archives.get(peer.name)
        if archive is None or not peer.busy:
            return
        settled = peer.handshaken_at is not None and now - peer.handshaken_at >= SETTLED
        refused = why is None and peer.initiator and peer.handshaken_at is None
        again = self._end(peer, archive, now)
        peer.last_error = why
        if refused:
            self._rotation.turned_away(peer, now)
        if settled and why is None and self._places.crowded:
            self._rotation.freed(now)
            self._take_turns(again, now)
            return
        for one in again:
            if settled:
                one.failures = one.faults = 0
            self._retry(one, archive, now, unheard=unheard)

    def _take_turns(self, peers: list[Peer], now: float) -> None:
        """Whoever made room for others, here or there, waits until they had their turn."""
        for peer in peers:
            peer.failures = peer.faults = 0
            refusal = self.gate.refusal(peer.address.host)
            if refusal is None:
                self._outage.forget(peer)
                self._queue.put_in_turn(peer)
            else:
                self._retry(peer, self._archives[peer.name], now, unheard=False)

    def _retry(self, peer: Peer, archive: ArchivePeers, now: float, *, unheard: bool) -> None:
        refusal, pause = self.gate.refusal(peer.address.host), retries.after_failure(peer, now)
        if refusal is not None and peer.source == MANUAL:
            peer.state, peer.last_error = State.GONE, refusal
            return
        if refusal is not None or pause is None:
            self._candidates.forget(peer)
            return
        if not unheard:
            self._outage.forget(peer)
        elif peer.good(now):
            self._outage.missing(peer)
        if peer.source == MANUAL or not self._outage.holds(peer, now):
            self._queue.put(peer, now + pause)
        peer.failures += 1

    def _fault(self, peer: Peer, reason: str, now: float) -> None:
        archive = self._archives.get(peer.name)
        if archive is None or not peer.busy:
            return
        for one in self._end(peer, archive, now, reason):
            self._queue.put(one, now + retries.after_fault(one))
            one.faults += 1

    def _banned(self, peer: Peer, reason: str, until: float, now: float) -> None:
        archive = self._archives.get(peer.name)
        if archive is None or not peer.busy:
            return
        twins = [one for one in archive.twins(peer) if not one.busy]
        for one in {*twins, *self._end(peer, archive, now, reason)}:
            one.state = State.BANNED
            one.last_success = None
            self._outage.forget(one)
            self._queue.put(one, until)

    def _end(
        self, peer: Peer, archive: ArchivePeers, now: float, dropped: str | None = None
    ) -> list[Peer]:
        """A dial or connection is over: free its place, and wake who waited for that.

        Returns:
            The addresses of this peer that can be dialled; they are waiting, but not queued yet.
        """
        again, peer.covers = peer.covers, []
        had_turn = peer.handshaken_at is not None and now - peer.handshaken_at >= SETTLED
        if peer.source == INBOUND:
            archive.callers.pop(peer, None)
        else:
            again.append(peer)
        if peer.handshaken_at is not None and dropped is None:
            for one in again:
                archive.praise(one, now)
        self._release(peer, archive, State.GONE if peer.source == INBOUND else State.WAITING)
        if dropped is not None:
            for one in (peer, *again):
                one.dropped = one.last_error = dropped[:_MAX_REASON]
        if not again:
            archive.remember(peer)
        for one in again:
            one.state = State.WAITING
        if not archive.busy:
            self._rotation.bare(archive, now, had_turn=had_turn)
        parked, archive.parked = archive.parked, []
        for other in parked:
            if other.state is State.WAITING and not other.ticket:
                self._queue.put(other, now)
        return again

    def _release(self, peer: Peer, archive: ArchivePeers, state: State) -> None:
        self._places.move(peer, state, archive)
        self._end_talk(peer, archive)
        peer.connection = peer.kind = peer.initiator = peer.connected_at = None

    def _end_talk(self, peer: Peer, archive: ArchivePeers) -> None:
        archive.talking -= peer.handshaken_at is not None
        self._changed.add(peer.name)
        peer.handshaken_at = None
