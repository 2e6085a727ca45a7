"""How much may be under way (LEDBAT, which gives way to others), and the round trip. Pure.

Source: transports.md section 3.5, after libutp and RFC 6817.
"""

from datd.transport.utp.packet import MICROSECONDS, PAYLOAD

# A queue that delays packets by more than this is left to others. libutp's 100 ms do not give way
# to those who keep queues short: of a wire of 20 Mbit/s TCP kept 47 % (BBR) and 79 % (CUBIC) beside
# such a stream, and 97 % beside one that aims at 25 ms. RFC 6817 allows any target up to 100 ms.
TARGET = 25_000  # microseconds
# Growth in bytes while the window goes round once, with no delay at all.
GAIN = 3000
# Share of the window given up while it goes round once, at most (LEDBAT++). libutp gives up 3,000
# bytes, far too few to leave a queue that it filled alone before others came: CUBIC kept 58 %.
_MAX_DECREASE = 0.5
MIN_WINDOW = 10
MAX_WINDOW = 2**20
# One drop of a queue loses many packets; they count as one event.
DECAY_INTERVAL = 0.1
# A window that nobody filled says nothing about the path, and does not grow.
FULL_INTERVAL = 1.0

# Lowest delay of the last 13 minutes: long enough to have seen the path idle, short enough to
# forget a clock that was set or a path that has changed.
_SLOTS = 13
_SLOT = 60.0
_SAMPLES = 3

MIN_TIMEOUT = 1.0
FIRST_TIMEOUT = 3.0
# Doubled over and over while a peer with a closed window is probed.
MAX_TIMEOUT = 60.0


def _lower(one: int, other: int) -> bool:
    return one != other and (other - one) & MICROSECONDS < 1 << 31


class Delays:
    """One-way delays above the lowest one seen: how full the queues on the way are.

    The two clocks have nothing in common, so only differences of samples mean anything, and those
    modulo 2^32 microseconds.

    Attributes:
        base: Lowest sample of the last 13 minutes, microseconds modulo 2^32.
    """

    __slots__ = ("_at", "_recent", "_slots", "_turn", "base")

    def __init__(self) -> None:
        self.base = 0
        self._slots: list[int] = []
        self._at = 0.0
        self._recent = [0] * _SAMPLES
        self._turn = 0

    @property
    def known(self) -> bool:
        """Whether a sample was taken."""
        return bool(self._slots)

    @property
    def value(self) -> int:
        """Microseconds above the base: the lowest of the last three samples."""
        return min(self._recent)

    def add(self, sample: int, now: float) -> None:
        """Take a sample, in microseconds modulo 2^32."""
        slots = self._slots
        if not slots:
            slots.append(sample)
            self.base = sample
            self._at = now
        elif now - self._at >= _SLOT:
            # After a long silence the old slots still stand for the time they were measured in.
            self._at = now
            slots.append(sample)
            del slots[:-_SLOTS]
            self._find_base()
        elif _lower(sample, slots[-1]):
            slots[-1] = sample
            if _lower(sample, self.base):
                self.base = sample
        self._recent[self._turn] = (sample - self.base) & MICROSECONDS
        self._turn = (self._turn + 1) % _SAMPLES

    def shift(self, offset: int) -> None:
        """Move the base up: the clocks drift, or the base was too low to be true."""
        self._slots = [(slot + offset) & MICROSECONDS for slot in self._slots]
        self.base = (self.base + offset) & MICROSECONDS
        self._recent = [max(0, one - offset) for one in self._recent]

    def _find_base(self) -> None:
        self.base = self._slots[0]
        for slot in self._slots:
            if _lower(slot, self.base):
                self.base = slot


class Congestion:
    """The congestion window.

    Attributes:
        window: Bytes that may be under way.
        delays: Of our packets, as the peer reports them.
        slow_start: Whether the window still grows until something happens.
    """

    __slots__ = ("_full_at", "_halved_at", "_threshold", "delays", "slow_start", "window")

    def __init__(self, now: float) -> None:
        self.window = float(PAYLOAD)
        self.delays = Delays()
        self.slow_start = True
        self._threshold = float(MAX_WINDOW)
        self._halved_at = now - DECAY_INTERVAL
        self._full_at = now

    def full(self, now: float) -> None:
        """Something could not be sent because of the window."""
        self._full_at = now

    def acknowledged(self, count: int, round_trip: float, now: float) -> None:
        """Grow or shrink by what an acknowledgement tells.

        Args:
            count: Bytes that it covers.
            round_trip: Seconds since the latest of its packets was sent; no queue can delay more.
            now: Seconds.
        """
        delays = self.delays
        if not delays.known:
            return
        delay = delays.value
        limit = int(round_trip * 1e6)
        if delay > limit:
            delays.shift(delay - limit)
            delay = limit
        window = self.window
        factor = count / window if count < window else window / count
        gain = GAIN * factor * (TARGET - delay) / TARGET
        if delay > TARGET:
            gain = min(gain, -count * min(delay / TARGET - 1, _MAX_DECREASE))
        if gain > 0 and now - self._full_at > FULL_INTERVAL:
            gain = 0.0
        if self.slow_start:
            slow = window + factor * PAYLOAD
            if slow > self._threshold:
                self.slow_start = False
            elif delay > TARGET * 0.9:
                self.slow_start = False
                self._threshold = window
            else:
                gain = max(gain, slow - window)
        self.window = min(max(window + gain, MIN_WINDOW), MAX_WINDOW)

    def lost(self, now: float) -> None:
        """Packets were lost: half the window, once for all that one full queue dropped."""
        if now - self._halved_at < DECAY_INTERVAL:
            return
        self._halved_at = now
        self.window = max(self.window * 0.5, MIN_WINDOW)
        self.slow_start = False
        self._threshold = self.window

    def timed_out(self) -> None:
        """Nothing came back at all: begin again with one packet."""
        self.window = float(PAYLOAD)
        self.slow_start = True


class RoundTrip:
    """How long an answer takes, and when to stop waiting for it.

    Attributes:
        mean: Seconds, smoothed; 0 before the first sample.
        deviation: Seconds, smoothed.
        timeout: Seconds until everything under way counts as lost.
    """

    __slots__ = ("deviation", "mean", "timeout")

    def __init__(self) -> None:
        self.mean = 0.0
        self.deviation = 0.0
        self.timeout = FIRST_TIMEOUT

    def add(self, sample: float) -> None:
        """Take a sample, in seconds, of a packet that was sent once."""
        if self.mean:
            self.deviation += (abs(self.mean - sample) - self.deviation) / 4
            self.mean += (sample - self.mean) / 8
        else:
            self.mean = max(sample, 1e-6)
            self.deviation = sample / 2
        self.settle()

    def settle(self) -> None:
        """Something came back: no doubled timeout any more."""
        if self.mean:
            self.timeout = max(self.mean + 4 * self.deviation, MIN_TIMEOUT)

    def back_off(self) -> None:
        """Nothing came back: wait twice as long."""
        self.timeout = min(self.timeout * 2, MAX_TIMEOUT)
