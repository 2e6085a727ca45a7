"""Who may connect, and what is owed to packets of no connection. Pure.

Anybody can send a SYN, with any address as its sender. So a call costs a small record and one
packet no longer than the call, until the caller has shown with its first DATA that it hears us.

Source: transports.md sections 3.2 and 3.6, T-37.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from datd.transport.utp.packet import (
    FIRST_BYTE,
    HEADER,
    MICROSECONDS,
    SEQUENCE,
    STATE,
    Packet,
    encode,
    reset,
)
from datd.transport.utp.receiving import WINDOW
from datd.types import Address

MAX_CONNECTIONS = 3000  # libutp's number
MAX_PER_HOST = 32
CALLS_PER_SECOND = 100
# libutp keeps a call for ever that no DATA follows, and discovery-swarm drops every uTP call that
# TCP overtook without a word: half-open calls are the rule.
HALF_OPEN_TIME = 10.0
# A lost answer must not cost the call, and nobody gains by having it three times.
MAX_ANSWERS = 3
# How long a packet of no connection is refused once only, and how many of them are remembered.
MEMORY_TIME = 10.0
MAX_MEMORIES = 1000

Key = tuple[str, int, int]
"""Host and port of the peer, and the id that its packets carry."""


class Call:
    """A SYN that was answered, before anything followed it."""

    __slots__ = ("answers", "at", "seq", "syn")

    def __init__(self, syn: Packet, seq: int, at: float) -> None:
        self.syn = syn
        self.seq = seq  # of our answer
        self.at = at
        self.answers = 0

    def answer(self, now: float) -> bytes:
        """The STATE that takes the call."""
        stamp = int(now * 1e6) & MICROSECONDS
        difference = stamp - self.syn.stamp & MICROSECONDS
        self.answers += 1
        return encode(Packet(STATE, self.syn.id, stamp, difference, WINDOW, self.seq, self.syn.seq))

    def is_followed_by(self, seq: int, ack: int) -> bool:
        """Whether a packet with these numbers comes from somebody who got the answer."""
        return ack == (self.seq - 1 & SEQUENCE) and seq != self.syn.seq


class Doorkeeper:
    """Counts callers, and keeps their calls until they speak."""

    def __init__(self, choose: Callable[[int], int], now: float) -> None:
        """`choose` gives a random number below its argument."""
        self._choose = choose
        self._calls: dict[Key, Call] = {}  # oldest first
        self._hosts: Counter[str] = Counter()
        self._tokens = float(CALLS_PER_SECOND)
        self._filled_at = now

    @property
    def half_open(self) -> int:
        """Calls that nothing followed yet."""
        return len(self._calls)

    def ring(self, address: Address, syn: Packet, connections: int, now: float) -> bytes | None:
        """Take a SYN for which there is no connection.

        Args:
            address: Who sent it, as it says.
            syn: It.
            connections: How many there are in all.
            now: Seconds.

        Returns:
            The answer; None if the caller is left without one.
        """
        self.expire(now)
        key = (address.host, address.port, syn.id + 1 & SEQUENCE)
        call = self._calls.get(key)
        if call is not None:
            again = call.syn.seq == syn.seq and call.answers < MAX_ANSWERS
            return call.answer(now) if again else None
        if (
            connections + len(self._calls) >= MAX_CONNECTIONS
            or self._hosts[address.host] >= MAX_PER_HOST
            or not self._spend(now)
        ):
            return None
        self._hosts[address.host] += 1
        call = self._calls[key] = Call(syn, self._choose(SEQUENCE + 1), now)
        return call.answer(now)

    def _spend(self, now: float) -> bool:
        gained = max(0.0, now - self._filled_at) * CALLS_PER_SECOND
        self._tokens = min(self._tokens + gained, CALLS_PER_SECOND)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def has(self, key: Key) -> bool:
        """Whether a call waits under this key."""
        return key in self._calls

    def take(self, key: Key, seq: int, ack: int, now: float) -> Call | None:
        """Take out the call that a DATA or FIN with these numbers follows.

        The caller's host stays counted; `left` ends that.
        """
        self.expire(now)
        call = self._calls.get(key)
        if call is None or not call.is_followed_by(seq, ack):
            return None
        return self._calls.pop(key)

    def hang_up(self, key: Key) -> None:
        """The caller took its call back."""
        if self._calls.pop(key, None) is not None:
            self.left(key[0])

    def left(self, host: str) -> None:
        """A connection that came from this host has ended."""
        self._hosts[host] -= 1
        if self._hosts[host] <= 0:
            del self._hosts[host]

    def expire(self, now: float) -> None:
        """Forget calls that nothing followed."""
        while self._calls:
            key, call = next(iter(self._calls.items()))
            if now - call.at < HALF_OPEN_TIME:
                return
            self.hang_up(key)


class _Memory(NamedTuple):
    until: float
    answer: bytes | None


class Memories:
    """What is still known of connections that are gone, and of packets that were refused.

    A peer may have missed our last acknowledgement and repeats its FIN: it is told once more rather
    than being reset after everything went well. One whose call we dropped gets silence, as from the
    original.
    """

    def __init__(self) -> None:
        self._gone: dict[Key, _Memory] = {}
        self._refused: dict[tuple[Key, int], float] = {}

    def remember(self, key: Key, answer: bytes | None, now: float) -> None:
        """Keep what a late packet of this connection is answered with; None: nothing."""
        self._gone.pop(key, None)
        self._gone[key] = _Memory(now + MEMORY_TIME, answer)
        if len(self._gone) > MAX_MEMORIES:
            del self._gone[next(iter(self._gone))]

    def forget(self, key: Key) -> None:
        """A new connection has this key."""
        self._gone.pop(key, None)

    def reply(self, key: Key, datagram: bytes, now: float) -> bytes | None:
        """What to say to a packet (no SYN, no RESET) that belongs to nobody."""
        memory = self._gone.get(key)
        if memory is not None:
            if now < memory.until:
                # Two ends that both remember would otherwise answer one another for ever.
                return None if datagram[0] == FIRST_BYTE[STATE] else memory.answer
            del self._gone[key]
        seq = HEADER.unpack_from(datagram)[6]
        refused_at = self._refused.get((key, seq))
        if refused_at is not None and now - refused_at < MEMORY_TIME:
            return None
        self._refused.pop((key, seq), None)
        self._refused[key, seq] = now
        if len(self._refused) > MAX_MEMORIES:
            del self._refused[next(iter(self._refused))]
        return reset(datagram)
