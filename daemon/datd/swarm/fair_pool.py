"""Peers whose time has come, drawn so that no source of peers gets ahead of the others. Pure."""

from collections.abc import Callable, Iterator

from datd.swarm.peer import Peer

Entry = tuple[int, Peer]
"""A peer with its ticket; the entry counts only while the peer has the same one."""


class FairPool:
    """Networks take turns; within a network, the hosts that told of peers; there, chance decides.

    So ten thousand invented peers of one source cost the others one turn in two (T-32).
    """

    def __init__(self) -> None:
        self._turns: dict[str, dict[str, list[Entry]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Entry]:
        for tellers in self._turns.values():
            for entries in tellers.values():
                yield from entries

    def add(self, entry: Entry) -> None:
        """Put a peer in."""
        peer = entry[1]
        tellers = self._turns.setdefault(peer.source, {})
        tellers.setdefault(peer.told_by, []).append(entry)
        self._size += 1

    def draw(self, choose: Callable[[int], int]) -> Entry:
        """Take one out. There must be one."""
        network = next(iter(self._turns))
        tellers = self._turns.pop(network)
        teller = next(iter(tellers))
        entries = tellers.pop(teller)
        entry = draw(entries, choose)
        self._size -= 1
        if entries:
            tellers[teller] = entries  # at the end: the others come first now
        if tellers:
            self._turns[network] = tellers
        return entry

    def sweep(self) -> None:
        """Leave out entries that count no more."""
        kept = [entry for entry in self if entry[1].ticket == entry[0]]
        self._turns.clear()
        self._size = 0
        for entry in kept:
            self.add(entry)


def draw(entries: list[Entry], choose: Callable[[int], int]) -> Entry:
    """Take one of a list out, at random and without moving the others up."""
    place = choose(len(entries))
    entries[place], entries[-1] = entries[-1], entries[place]
    return entries.pop()
