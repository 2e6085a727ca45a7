"""Counts events of many strangers, each within a window of time. Pure; time is given."""

# T-3, T-4: more addresses than this in one window are an attack, and newcomers wait.
MAX_STRANGERS = 4096


class Window:
    """Allows each stranger so many events in a window; all counts start anew with the next one."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._start = float("-inf")
        self._counts: dict[str, int] = {}

    def count(self, who: str, now: float) -> bool:
        """Count an event; whether it is within the limit."""
        self._turn(now)
        if who not in self._counts and len(self._counts) >= MAX_STRANGERS:
            return False
        self._counts[who] = self._counts.get(who, 0) + 1
        return self._counts[who] <= self._limit

    def exhausted(self, who: str, now: float) -> bool:
        """Whether somebody has no event left in this window."""
        self._turn(now)
        return self._counts.get(who, 0) >= self._limit

    def _turn(self, now: float) -> None:
        if now - self._start >= self._seconds:
            self._start = now
            self._counts.clear()
