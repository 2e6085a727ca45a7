"""How often something may happen for each of many strangers. Pure; time is given."""

# More strangers than this in one window are an attack (T-3, T-4), and newcomers wait.
MAX_STRANGERS = 4096
# As many as a server of one process can hear of in a second; a flood of forged addresses ends here.
MAX_ASKERS = 20_000


class Window:
    """Allows each stranger so many events in a window; all counts start anew with the next one."""

    __slots__ = ("_counts", "_limit", "_most", "_seconds", "_start")

    def __init__(self, limit: int, seconds: float, most: int = MAX_STRANGERS) -> None:
        """Nobody was counted yet.

        Args:
            limit: Events of one stranger in a window.
            seconds: Length of a window; the first event after it begins the next.
            most: Strangers remembered at once; for others nothing may happen in this window.
        """
        self._limit = limit
        self._seconds = seconds
        self._most = most
        self._start = float("-inf")
        self._counts: dict[str, int] = {}

    def count(self, who: str, now: float) -> bool:
        """Whether an event is within the limit; if so, it is counted."""
        self._turn(now)
        count = self._counts.get(who, 0)
        if count >= self._limit or (not count and len(self._counts) >= self._most):
            return False
        self._counts[who] = count + 1
        return True

    def exhausted(self, who: str, now: float) -> bool:
        """Whether somebody has no event left in this window."""
        self._turn(now)
        return self._counts.get(who, 0) >= self._limit

    def _turn(self, now: float) -> None:
        # A clock that goes back must not shut anybody out until it has caught up.
        if not 0 <= now - self._start < self._seconds:
            self._start = now
            self._counts.clear()
