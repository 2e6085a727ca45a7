"""How many new candidates are taken in, and from whom: a loud source does not silence the others.

Pure; time is given. Source: L-20, discovery.md section 14.
"""

from collections import Counter

# Who was heard within this time has its share kept free: the slowest rounds come so often.
MEMORY = 900.0
# Rule 4 of the limits: hosts that tell of peers, a network.
MAX_TELLERS = 16
_WINDOW = 1.0


class Arrivals:
    """So many a second, in equal shares for the networks that tell of any.

    In a network, no host that tells gets more than half of the share while there are others.
    """

    __slots__ = ("_counts", "_heard", "_limit", "_start")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._start = float("-inf")
        self._heard: dict[str, dict[str, float]] = {}
        self._counts: Counter[str | tuple[str, str]] = Counter()

    def take(self, network: str, teller: str, now: float) -> bool:
        """Whether a candidate may come in; if so, it is counted.

        Args:
            network: Name of the discovery network, one of few.
            teller: The host that told.
            now: Seconds.
        """
        if now - self._start >= _WINDOW:
            self._turn(now)
        tellers = self._heard.setdefault(network, {})
        tellers.pop(teller, None)
        tellers[teller] = now
        if len(tellers) > MAX_TELLERS:
            del tellers[next(iter(tellers))]
        share = max(1, self._limit // len(self._heard))
        own = share if len(tellers) == 1 else max(1, share // 2)
        if self._counts[network] >= share or self._counts[network, teller] >= own:
            return False
        self._counts[network] += 1
        self._counts[network, teller] += 1
        return True

    def _turn(self, now: float) -> None:
        self._start = now
        self._counts.clear()
        for network, tellers in list(self._heard.items()):
            for teller in [one for one, heard in tellers.items() if now - heard > MEMORY]:
                del tellers[teller]
            if not tellers:
                del self._heard[network]
