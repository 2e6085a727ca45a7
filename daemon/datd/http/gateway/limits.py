"""How much strangers may ask at a time. Pure but for the count it keeps; time is given.

Whoever comes from this host is not counted by address: it may be a proxy before many people.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from datd.http.listener import network_of
from datd.http.problems import Problem

# L-25: requests at once. Films that are watched count as long as they are sent.
MAX_REQUESTS = 64
# A quarter of it: no one host shuts the others out. A browser opens six connections a site.
MAX_REQUESTS_OF_ONE = 16
# L-25: what no peer gave by then is not waited for.
FIRST_BYTE_SECONDS = 30.0
# L-22's number: listeners of new versions, which cost a connection and nothing else.
MAX_STREAMS = 32
MAX_STREAMS_OF_ONE = 8
# A reader who takes nothing for so long loses the connection; browsers ask for the rest later.
STALLED_SECONDS = 60.0
# A page with 200 pictures loads at once; what goes on asking gets 50 answers a second.
BURST, RATE = 300.0, 50.0
# Addresses remembered; the longest silent one is forgotten first (rule 4).
MAX_ADDRESSES = 4_096


class Doors:
    """Counts who is in."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Nobody is in. `clock` gives seconds, monotonic."""
        self._clock = clock
        self._requests: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        # Of each address: how much it may still ask at once, and when that was so.
        self._allowances: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @contextmanager
    def request(self, address: str) -> Iterator[None]:
        """Let a request in for the time of a `with`.

        Raises:
            Problem: There is no room, or this address asks too often.
        """
        who = network_of(address)
        self._count(who)
        with _entered(self._requests, who, MAX_REQUESTS, MAX_REQUESTS_OF_ONE, "requests"):
            yield

    @contextmanager
    def stream(self, address: str) -> Iterator[None]:
        """Let a listener in.

        Raises:
            Problem: There are too many.
        """
        who = network_of(address)
        with _entered(self._streams, who, MAX_STREAMS, MAX_STREAMS_OF_ONE, "listeners"):
            yield

    def _count(self, who: str) -> None:
        if not who:
            return
        now = self._clock()
        left, since = self._allowances.get(who, (BURST, now))
        left = min(BURST, left + (now - since) * RATE)
        self._allowances[who] = (max(0.0, left - 1), now)
        self._allowances.move_to_end(who)
        if len(self._allowances) > MAX_ADDRESSES:
            self._allowances.popitem(last=False)
        if left < 1:
            raise Problem(
                "too_many",
                f"More than {RATE:.0f} requests a second come from this address.",
                headers={"Retry-After": "1"},
            )


@contextmanager
def _entered(
    inside: Counter[str], who: str, most: int, most_of_one: int, what: str
) -> Iterator[None]:
    if inside.total() >= most or (who and inside[who] >= most_of_one):
        raise Problem(
            "busy",
            f"All {most} {what} that the gateway takes at a time are under way, or "
            f"{most_of_one} from this address.",
            headers={"Retry-After": "2"},
        )
    inside[who] += 1
    try:
        yield
    finally:
        inside[who] -= 1
        if not inside[who]:
            del inside[who]
