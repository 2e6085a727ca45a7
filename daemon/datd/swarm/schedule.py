"""When to look up which name on which network again: one schedule for all names. Pure.

Each network has its own rounds (`rounds`); here is what a name asks of all of them. Names that are
removed, because an archive is paused or gone, never come up again.
"""

from collections.abc import Callable, Sequence

from datd.swarm.rounds import Need, Pace, Rounds


class Schedule:
    """Names on networks, and whose round comes next.

    There is no task or timer for a name: the owner asks `due` when `next_time` says so.
    """

    def __init__(self, paces: Sequence[Pace], choose: Callable[[int], int]) -> None:
        """No names yet.

        Args:
            paces: What each network bears; their names are those of the networks.
            choose: Gives a random number from 0 to below its argument.
        """
        self._rounds = {pace.name: Rounds(pace, choose) for pace in paces}
        self._needs: dict[bytes, Need] = {}

    def __len__(self) -> int:
        """How many names there are."""
        return len(self._needs)

    def add(self, name: bytes, networks: frozenset[str] | None, at_once: bool) -> None:
        """Take a name in, or change its networks.

        Args:
            name: Until more is said, complete and without peers.
            networks: On which it is looked up; None for all. Unknown ones are no error.
            at_once: Somebody waits for it: its round comes before all others, the latest name
                first. Else its first round is spread out with those of all others.
        """
        need = self._needs.setdefault(name, Need.SOME)
        for network, rounds in self._rounds.items():
            if networks is None or network in networks:
                rounds.add(name, need, at_once)
            else:
                rounds.remove(name)

    def remove(self, name: bytes) -> None:
        """Forget a name: no round follows. A name that is not here is no error."""
        self._needs.pop(name, None)
        for rounds in self._rounds.values():
            rounds.remove(name)

    def set_need(self, name: bytes, hungry: bool, peers: int) -> None:
        """Note what a name lacks; that brings its rounds forward, as long as it helps.

        Args:
            name: Nothing happens if it is not here.
            hungry: Whether blocks are missing.
            peers: How many peers there are to get them from, or to be served.
        """
        need = Need(hungry + (peers == 0))
        if self._needs.get(name, need) is need:
            return
        self._needs[name] = need
        for rounds in self._rounds.values():
            rounds.set_need(name, need)

    def due(self, now: float) -> list[tuple[str, bytes]]:
        """The rounds of now, as network and name. Each is counted, and takes from its budget."""
        return [
            (network, name) for network, rounds in self._rounds.items() for name in rounds.due(now)
        ]

    def next_time(self, now: float) -> float | None:
        """When `due` has something, if nothing changes: `now` if at once, None if never."""
        times = [rounds.next_time(now) for rounds in self._rounds.values()]
        return min((time for time in times if time is not None), default=None)
