"""How often something may be done: so many times a second, with a burst. Pure; time is given."""


class Budget:
    """Fills at `rate` a second up to `burst`; each event takes one."""

    __slots__ = ("_burst", "_left", "_rate", "_stamp")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._stamp = float("-inf")

    def available(self, now: float) -> int:
        """How many events may happen now."""
        if now > self._stamp:
            self._left = min(self._burst, self._left + (now - self._stamp) * self._rate)
            self._stamp = now
        # Sums of fractions end just below a whole number; a wake-up on time must find its event.
        return int(self._left + 1e-6)

    def take(self, now: float) -> bool:
        """Whether an event may happen now; if so, it is counted."""
        if self.available(now) < 1:
            return False
        self._left -= 1
        return True

    def ready_at(self, now: float) -> float:
        """When the next event may happen; `now` if at once."""
        if self.available(now) >= 1:
            return now
        return now + (1 - self._left) / self._rate
