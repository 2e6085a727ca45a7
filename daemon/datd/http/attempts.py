"""Failed attempts to get in, counted by who made them. Pure: time is given."""

import ipaddress
from collections import OrderedDict, deque

# T-42: people mistype a few times, programs that guess try thousands.
MAX_FAILURES = 20
FAILURE_SECONDS = 60.0
# Rule 4: a map keyed by strangers' addresses has an end; the longest silent one goes first.
MAX_ADDRESSES = 1_024


class FailedAttempts:
    """Counts failures by address, or by any other name, over the last minute."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, address: str, now: float) -> float:
        """Count one more failure.

        Returns:
            Seconds the address should wait before the next attempt; 0 while it is below the limit.
        """
        name = _network(address)
        times = self._times.setdefault(name, deque(maxlen=MAX_FAILURES + 1))
        self._times.move_to_end(name)
        if len(self._times) > MAX_ADDRESSES:
            self._times.popitem(last=False)
        _forget_old(times, now)
        times.append(now)
        return times[0] + FAILURE_SECONDS - now if len(times) > MAX_FAILURES else 0.0

    def wait(self, address: str, now: float) -> float:
        """Seconds to wait before an attempt is looked at; 0 if it is at once.

        For passwords, which can be guessed: a right one after too many wrong ones waits as well.
        """
        times = self._times.get(_network(address))
        if times is None:
            return 0.0
        _forget_old(times, now)
        return times[0] + FAILURE_SECONDS - now if len(times) >= MAX_FAILURES else 0.0

    def take_back(self, address: str) -> None:
        """The attempt that was counted last was none.

        Earlier ones count on, or who has an account of his own could guess at others for ever.
        """
        times = self._times.get(_network(address))
        if times:
            times.pop()

    def forget(self, address: str) -> None:
        """Somebody there knew the password: what was mistyped before counts no more."""
        self._times.pop(_network(address), None)


def _forget_old(times: deque[float], now: float) -> None:
    while times and times[0] <= now - FAILURE_SECONDS:
        times.popleft()


def _network(address: str) -> str:
    """IPv6 hosts own a /64, so its addresses are one guesser."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(parsed) if parsed.version == 4 else parsed.exploded[:19]
