"""How much may be under way (LEDBAT, which gives way to others), and the round trip. Pure.

Delays are known only above the lowest one seen. Who comes late may never see the path without the
queue of those who are there: BBR keeps one for ten seconds on end. LEDBAT++ therefore goes down to
two packets for two rounds after its slow start, and again after nine times as long as it took to
come back; that costs up to a tenth of the rate, and where others hold the queue it shows nothing.
Here the window gives up, for a round, what should be its own part of the queue. Alone, the delay
falls back to what it was before the window grew, and the path stays full. If less than half of the
rise goes, others share the queue; then the window begins anew with two packets and grows slowly.
Beside BBR (20 Mbit/s, 20 ms, TCP first) that leaves TCP 94 % instead of 65 to 85 %.

Source: transports.md section 3.5, after libutp, RFC 6817 and draft-irtf-iccrg-ledbat-plus-plus.
"""

import math
from typing import NamedTuple

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
# Share of itself by which the window grows in a round of slow start: until the delay rises for the
# first time, and from then on. LEDBAT++ also grows more slowly than TCP, by up to 16 times.
_GROWTH = 1.0
_SHY_GROWTH = 0.125
# Microseconds that the mean delay of a round must rise before the window looks whose queue it is:
# clocks tick in milliseconds. On shorter ways the delays are those of the programs at both ends.
RISE = 3000
SHORT_ROUND = 0.01  # seconds
# Part of the rise that goes if the queue is ours: alone 0.8 and more, beside BBR seldom 0.4.
_OURS = 0.5
# Rounds from one look to the next: if the queue was ours, that in slow start, and if it was not.
_BETWEEN = 8
_BETWEEN_STARTING = 4
_BETWEEN_SHY = 2
# For the errors of measuring, a little more than the queue is given up; then the window comes back
# to at most this part of the target delay.
_DEEPER = 0.9
_REFILL = 0.75
# One drop of a queue loses many packets; they count as one event.
DECAY_INTERVAL = 0.1
# So many lost at once are no accident: something is too short for the window, on a short way most
# likely the peer's socket buffer of 208 KiB (some 95 packets), which overflows before any delay
# rises. There the interval above would be a hundred rounds that overflow it as well, and growing by
# `GAIN` a round would fill it again within fifty. So the window is halved after a few rounds, and
# from there on takes at least `SHORT_ROUND` for what it otherwise grows in a round: utp-native then
# lost 15 to 180 packets of 14,500 instead of 250 to 1,200.
BURST = 8
BURST_ROUNDS = 4
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


class _Drain(NamedTuple):
    """What was before the window gave up its part of the queue.

    Attributes:
        window: Bytes.
        delay: Mean of the last round, microseconds.
        rise: By how much that is more than without our packets.
        since: Packets sent from then on, in seconds, find the queue without that part.
    """

    window: float
    delay: float
    rise: float
    since: float


class Congestion:
    """The congestion window.

    Attributes:
        window: Bytes that may be under way.
        delays: Of our packets, as the peer reports them.
        slow_start: Whether the window still grows until something happens.
    """

    __slots__ = ("_base", "_brim", "_count", "_drain", "_floor", "_full_at", "_halved_at",
                 "_look_at", "_pace", "_shy", "_sum", "_threshold", "_trusted", "_turn",
                 "_window_then", "delays", "slow_start", "window")  # fmt: skip

    def __init__(self, now: float) -> None:
        self.window = float(PAYLOAD)
        self.delays = Delays()
        self.slow_start = True
        self._threshold = float(MAX_WINDOW)
        self._shy = False  # the delay has risen before: grow slowly
        self._halved_at = now - DECAY_INTERVAL
        self._full_at = now
        # A round ends when a packet is acknowledged that was sent after it began.
        self._pace = 1.0  # part of the growth of a round, that round being short
        self._brim = math.inf  # the window from which on that matters
        self._turn = now
        self._sum = 0
        self._count = 0
        self._window_then = self.window  # when the round began
        self._base = 0  # that the figures below are above
        self._floor: float | None = None  # the lowest mean delay since the window was small
        self._drain: _Drain | None = None
        self._look_at = now
        self._trusted = False  # whether the queue was ours when last looked at

    def full(self, now: float) -> None:
        """Something could not be sent because of the window."""
        self._full_at = now

    def acknowledged(self, count: int, round_trip: float | None, now: float) -> None:
        """Grow or shrink by what an acknowledgement tells.

        Args:
            count: Bytes that it covers.
            round_trip: Seconds since the latest of its packets was sent; no queue can delay more.
                None if that was sent again, and which of the two arrived is not known.
            now: Seconds.
        """
        delays = self.delays
        if not delays.known:
            return
        delay = delays.value
        if round_trip is not None:
            limit = int(round_trip * 1e6)
            if delay > limit:
                delays.shift(delay - limit)
                delay = limit
            self._measure(delay, round_trip, now)
            self._pace = min(round_trip / SHORT_ROUND, 1.0)
        if self._drain is not None:
            return
        window = self.window
        factor = count / window if count < window else window / count
        gain = GAIN * factor * (TARGET - delay) / TARGET
        if gain > 0 and window >= self._brim:
            gain *= self._pace
        if delay > TARGET:
            gain = min(gain, -count * min(delay / TARGET - 1, _MAX_DECREASE))
        if gain > 0 and now - self._full_at > FULL_INTERVAL:
            gain = 0.0
        if self.slow_start:
            more = min(count, window) * (_SHY_GROWTH if self._shy else _GROWTH)
            if window + more > self._threshold:
                self.slow_start = False
            elif delay > TARGET * 0.9:
                self.slow_start = False
                self._threshold = window
            elif gain > 0:
                gain = more if self._shy else max(gain, more)
        self.window = min(max(window + gain, MIN_WINDOW), MAX_WINDOW)

    def lost(self, count: int, round_trip: float, now: float) -> None:
        """Packets were lost: half the window, once for all that one full queue dropped.

        Args:
            count: How many, as one answer told.
            round_trip: Seconds that an answer takes, smoothed.
            now: Seconds.
        """
        interval = DECAY_INTERVAL
        burst = count >= BURST
        if burst:
            interval = min(interval, BURST_ROUNDS * round_trip)
        if now - self._halved_at < interval:
            return
        self._halved_at = now
        window = self._drain.window if self._drain is not None else self.window
        self._drain = None
        self.window = max(window * 0.5, MIN_WINDOW)
        if burst:
            self._brim = self.window
        self.slow_start = False
        self._threshold = self.window

    def timed_out(self) -> None:
        """Nothing came back at all: begin again with one packet."""
        self.window = float(PAYLOAD)
        self.slow_start = True
        self._shy = False
        self._brim = math.inf
        self._drain = None

    # ---- whose queue it is

    def _measure(self, delay: int, round_trip: float, now: float) -> None:
        """Take the delay of a packet into the mean of its round."""
        if self.delays.base != self._base:
            self._follow_base()
        sent = now - round_trip
        if self._drain is not None:
            if sent < self._drain.since:
                return
            if not self._count:
                self._turn = now
        self._sum += delay
        self._count += 1
        if sent < self._turn:
            return
        mean = self._sum / self._count
        self._sum = self._count = 0
        self._turn = now
        then, self._window_then = self._window_then, self.window
        if self._drain is not None:
            self._judge(self._drain, mean, round_trip, now)
            return
        self._floor = mean if self._floor is None else min(self._floor, mean)
        rise = mean - self._floor
        looks = now >= self._look_at and round_trip >= SHORT_ROUND
        if rise >= RISE and looks and now - self._full_at <= FULL_INTERVAL:
            self._give_up(mean, rise, then, round_trip, now)

    def _give_up(
        self, delay: float, rise: float, then: float, round_trip: float, now: float
    ) -> None:
        """Take our part out of the queue, if the whole rise is ours.

        The packets that met this delay were sent a round ago, when the window had the size `then`.
        """
        part = min(rise / 1e6 / round_trip, 0.9)
        drained = max(min(then, self.window) * (1 - part) * _DEEPER, MIN_WINDOW)
        # Nothing is sent until so much is acknowledged, at the rate of that round.
        pause = min((self.window - drained) / then, 2.0) * round_trip
        self._drain = _Drain(self.window, delay, rise, now + pause)
        self._sum = self._count = 0
        self.window = drained

    def _judge(self, drain: _Drain, mean: float, round_trip: float, now: float) -> None:
        """Compare the delay of the round without our part of the queue with the one before."""
        self._drain = None
        # A rise may come of our own bursts, long before the path is full, or of very few packets.
        self._shy = True
        if drain.delay - mean >= _OURS * drain.rise:
            self._trusted = True
            rounds = _BETWEEN_STARTING if self.slow_start else _BETWEEN
            self._look_at = now + rounds * round_trip
            self.window += (drain.window - self.window) * min(1.0, _REFILL * TARGET / drain.rise)
            return
        self._look_at = now + _BETWEEN_SHY * round_trip
        if self._trusted:
            # A busy moment of either end looks the same; what was given up is gone, all else stays.
            self._trusted = False
            return
        self.window = 2.0 * PAYLOAD
        self.slow_start = True
        self._threshold = float(MAX_WINDOW)
        self._floor = None

    def _follow_base(self) -> None:
        """Keep what was measured above the base as high as it was."""
        moved = (self._base - self.delays.base + (1 << 31) & MICROSECONDS) - (1 << 31)
        self._base = self.delays.base
        self._sum += moved * self._count
        if self._floor is not None:
            self._floor = max(0.0, self._floor + moved)
        if self._drain is not None:
            self._drain = self._drain._replace(delay=self._drain.delay + moved)


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
