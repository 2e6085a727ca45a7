"""The nodes that recent searches ended at: the next search for the same name begins there. Pure.

Source: discovery.md section 6: the reference keeps 1,000 names for five minutes.
"""

from collections import OrderedDict

from datd.discovery.dht import tokens
from datd.discovery.dht.contacts import Contact

MAX_NAMES = 1000
# A little longer than the time between two rounds, so that most of them need no walk.
LIFETIME = 1200.0
# Not to the last second: the announcement may wait for its turn.
TOKEN_LIFETIME = tokens.LIFETIME - 30.0

_Ends = list[tuple[Contact, bytes | None]]


class RecentSearches:
    """By family and name."""

    def __init__(self) -> None:
        """Nothing was searched yet."""
        self._ends: OrderedDict[tuple[int, bytes], tuple[float, _Ends]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ends)

    def ended(self, family: int, name: bytes, ends: _Ends, now: float) -> None:
        """Keep where a search ended."""
        self._ends[family, name] = now, ends
        self._ends.move_to_end((family, name))
        if len(self._ends) > MAX_NAMES:
            self._ends.popitem(last=False)

    def contacts(self, family: int, name: bytes, now: float) -> list[Contact]:
        """Nodes that were closest."""
        since, ends = self._ends.get((family, name), (0.0, []))
        return [contact for contact, _ in ends] if now - since < LIFETIME else []

    def tokens(self, family: int, name: bytes, now: float) -> list[tuple[Contact, bytes]]:
        """Those of them whose tokens are still good."""
        since, ends = self._ends.get((family, name), (0.0, []))
        if now - since >= TOKEN_LIFETIME:
            return []
        return [(contact, token) for contact, token in ends if token is not None]

    def forget(self, name: bytes) -> None:
        """Keep nothing of a name."""
        for family in (4, 6):
            self._ends.pop((family, name), None)
