"""What names mean, as far as it was asked before: fresh, old, or known to lead nowhere. Pure."""

from collections import OrderedDict
from collections.abc import Iterable

from datd.errors import DatdError
from datd.keys import KnownName
from datd.naming.records import MAX_TTL

# A name and its key are some 200 bytes; a host of ten thousand archives knows most by their keys.
MAX_NAMES = 4_096
# Names that lead nowhere are remembered for this long, and so many of them.
MISS_SECONDS = 60.0
MAX_MISSES = 1_024


class NameCache:
    """Names with their keys; the one that was written longest ago goes when there are too many."""

    def __init__(self, known: Iterable[KnownName] = ()) -> None:
        ordered = sorted(known, key=lambda one: one.expires_at)[-MAX_NAMES:]
        self._known = OrderedDict((one.name, one) for one in ordered)
        self._misses: OrderedDict[str, tuple[float, DatdError]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def fresh(self, name: str, now: float) -> KnownName | None:
        """What a name means, if it need not be asked again yet."""
        known = self._known.get(name)
        # Further away than any ttl: the clock was set back, and nobody knows how old this is.
        return known if known and now < known.expires_at <= now + MAX_TTL else None

    def any_age(self, name: str) -> KnownName | None:
        """What a name meant when it was last known, however long ago."""
        return self._known.get(name)

    def put(self, known: KnownName) -> list[str]:
        """Remember what a name means.

        Returns:
            The names that had to go.
        """
        self._misses.pop(known.name, None)
        self._known[known.name] = known
        self._known.move_to_end(known.name)
        dropped = []
        while len(self._known) > MAX_NAMES:
            dropped.append(self._known.popitem(last=False)[0])
        return dropped

    def put_miss(self, name: str, error: DatdError, now: float) -> None:
        """Remember for a minute that a name leads nowhere, and how that was found out."""
        self._misses[name] = now + MISS_SECONDS, error
        self._misses.move_to_end(name)
        if len(self._misses) > MAX_MISSES:
            self._misses.popitem(last=False)

    def miss(self, name: str, now: float) -> DatdError | None:
        """Why a name led nowhere, less than a minute ago."""
        until, error = self._misses.get(name, (now, None))
        return error if now < until <= now + MISS_SECONDS else None
