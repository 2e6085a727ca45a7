"""How many dials and connections there are, and how many there may be. Pure."""

from datd.swarm.archive_peers import ArchivePeers
from datd.swarm.limits import RESERVED, SwarmLimits
from datd.swarm.peer import INBOUND, Peer, State


class Places:
    """Counts of all archives together; those of one are in its `ArchivePeers`.

    Attributes:
        busy: Dials and connections.
        calls: Those of them that others began.
        dialling: Dials that were not answered yet.
    """

    def __init__(self, limits: SwarmLimits) -> None:
        self._limits = limits
        self.busy = self.calls = 0
        self.dialling = 0

    def no_dial(self) -> bool:
        """Whether nobody may be dialled until somebody else is done."""
        return not (self.free and self.dials_left)

    @property
    def free(self) -> int:
        """Places that nobody has."""
        return max(0, self._limits.connections - self.busy)

    @property
    def crowded(self) -> bool:
        """Whether so few are free that archives without any connection go first.

        That is before an end with as many places has none for callers any more.
        """
        limit = self._limits.connections
        return self.busy >= limit - 2 * (limit // RESERVED)

    @property
    def dials_left(self) -> int:
        """Dials that may be under way besides those that are."""
        return max(0, self._limits.open_dials - self.dialling)

    def no_dial_about(self, archive: ArchivePeers) -> bool:
        """Whether an archive has as many connections as it may."""
        return archive.busy >= self._limits.per_archive

    def no_call_about(self, archive: ArchivePeers) -> bool:
        """Whether callers find no place: some are kept for those whom we dial."""
        limits = self._limits
        return (
            self.no_dial_about(archive)
            or self.busy >= limits.connections
            or archive.calls >= _open_to_callers(limits.per_archive)
            or self.calls >= _open_to_callers(limits.connections)
        )

    def move(self, peer: Peer, state: State, archive: ArchivePeers) -> None:
        """The only way for a peer from state to state where places are taken or given back."""
        old, was_busy = peer.state, peer.busy
        peer.state = state
        self.dialling += (state is State.CONNECTING) - (old is State.CONNECTING)
        change = peer.busy - was_busy
        archive.busy += change
        self.busy += change
        if peer.source == INBOUND:
            archive.calls += change
            self.calls += change


def _open_to_callers(limit: int) -> int:
    return limit - limit // RESERVED
