"""How often something may happen for each of many strangers. Pure; time is given."""

# As many hosts as one process can hear of in a second; a flood of forged addresses ends here.
MAX_HOSTS = 20_000
_WINDOW = 1.0


class HostRates:
    """So many events for each host, in each second by the clock on the wall of this object."""

    __slots__ = ("_counts", "_limit", "_start")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._start = float("-inf")
        self._counts: dict[str, int] = {}

    def take(self, host: str, now: float) -> bool:
        """Whether an event may happen for a host now; if so, it is counted."""
        if not 0 <= now - self._start < _WINDOW:
            self._start = now
            self._counts.clear()
        count = self._counts.get(host, 0)
        if count >= self._limit or (not count and len(self._counts) >= MAX_HOSTS):
            return False
        self._counts[host] = count + 1
        return True
