"""Where this node is, as others see it: what most of them agree on. Pure.

Source: BEP 42 "Bootstrapping": several nodes must say the same before it is believed.
"""

from collections import Counter, OrderedDict

from datd.discovery.dht.contacts import crowded, network_of, packed

# Networks (/24) whose word is kept, the latest.
_VOTERS = 16
# So many must have spoken, and so large a part of them must agree.
_ENOUGH = 6
_MAJORITY = 2 / 3


class OwnAddress:
    """One vote for each network, so that no single owner decides what our id shall be."""

    def __init__(self) -> None:
        """Nobody has spoken."""
        self._votes: OrderedDict[bytes, str] = OrderedDict()

    def said(self, host: str, told_by: str) -> str | None:
        """A node says that it sees us at `host`.

        Returns:
            What is believed now: an outer IPv4 address, or None.
        """
        data = packed(host)
        if data is None or len(data) != 4 or crowded(host) or crowded(told_by):
            return None
        voter = network_of(told_by)
        self._votes[voter] = host
        self._votes.move_to_end(voter)
        if len(self._votes) > _VOTERS:
            self._votes.popitem(last=False)
        leader, votes = Counter(self._votes.values()).most_common(1)[0]
        enough = len(self._votes) >= _ENOUGH and votes >= _MAJORITY * len(self._votes)
        return leader if enough else None
