"""What one side sends: bytes cut into numbered packets, kept until they are acknowledged. Pure.

It knows numbers, windows and losses, and nothing of headers or of the other direction.

Source: transports.md section 3.5.
"""

import math
from collections import deque
from itertools import islice

from datd.transport.utp.congestion import Congestion, RoundTrip
from datd.transport.utp.packet import DATA, FIN, NARROW_PAYLOAD, PAYLOAD, SEQUENCE
from datd.transport.utp.under_way import Sent, marked, overtaken

# Packets in one go. More of them overflow the peer's socket buffer, of 208 KiB by default, long
# before the delay says anything.
RUN = 32
MAX_PACKETS = 1023
# An acknowledgement may be this much older than the newest one; anything else is not the peer's.
_OLD_ACKS = 3
# Lost packets that are sent again at once, whatever the window, by an answer that tells of them.
_FILLINGS = 4
# Packets of the same time may pass each other by this part of a round trip.
_DISORDER = 4
# At the end of a burst nothing above a lost packet comes back. libutp waits out its timeout of a
# second; asking again after three round trips took sending to it from 4 to 20 MB/s and more.
_TAIL = 3
MIN_TAIL = 0.03
# Before anything was measured (RFC 6298).
_FIRST_TAIL = 1.0
_TAIL_RESENDS = 4
MAX_TIMEOUTS = 5
_NARROW_AFTER = 2
# How long to leave a closed window alone.
ZERO_WINDOW = 15.0


class Outgoing:
    """One direction of a connection, at its sending end.

    Attributes:
        acked: Last number that the peer acknowledged with everything before it.
        waiting: Bytes written and not sent yet.
        more: Whether the last go ended at `RUN`, and another may follow at once.
        ended: Whether the end was sent and acknowledged, with everything before it.
        failed: Whether the peer was given up.
        window: Bytes that the peer can take.
    """

    __slots__ = (
        "_arrived_at",
        "_chunk",
        "_chunks",
        "_closed",
        "_ending",
        "_fillings",
        "_finished",
        "_flight",
        "_lost",
        "_offset",
        "_packets",
        "_payload",
        "_probed_at",
        "_seq",
        "_tail_at",
        "_tail_wait",
        "_timeout_at",
        "_timeouts",
        "_zero_at",
        "acked",
        "congestion",
        "ended",
        "failed",
        "more",
        "round_trip",
        "waiting",
        "window",
    )

    def __init__(self, seq: int, window: int, now: float) -> None:
        """`seq` is the number of the first packet, `window` what the peer says it can take."""
        self.acked = (seq - 1) & SEQUENCE
        self.waiting = 0
        self.more = False
        self.ended = False
        self.failed = False
        self.window = window
        self.congestion = Congestion(now)
        self.round_trip = RoundTrip()
        self._seq = seq
        self._payload = PAYLOAD
        self._packets: deque[Sent] = deque()  # all after `acked`, oldest first
        self._flight = 0  # bytes sent and neither acknowledged nor counted as lost
        self._lost = 0  # packets to be sent again when the window has room
        self._fillings = 0  # how many of them are sent at once
        self._chunk = b""  # what is cut next, from `_offset` on; then the others
        self._offset = 0
        self._chunks: deque[bytes] = deque()
        self._ending = False
        self._finished = False  # FIN has its number
        self._arrived_at = now  # of what was acknowledged and sent once: the latest sending
        self._timeouts = 0
        self._timeout_at: float | None = None
        self._tail_at: float | None = None
        self._tail_wait = 0.0
        self._probed_at: float | None = None  # of a tail resend that nobody answered yet
        self._zero_at: float | None = None
        self._closed = False  # the peer said so

    @property
    def next_seq(self) -> int:
        """Number of the next new packet."""
        return self._seq

    @property
    def unacked(self) -> int:
        """Packets under way."""
        return len(self._packets)

    @property
    def narrow(self) -> bool:
        """Whether full-size packets did not get through."""
        return self._payload != PAYLOAD

    def narrow_down(self) -> None:
        """Send packets that pass any path. Those that have a number keep their size."""
        self._payload = NARROW_PAYLOAD

    # ---- what the owner wants sent

    def write(self, data: bytes) -> None:
        """Send bytes, in packets as full as the moment allows."""
        if data:
            self._chunks.append(data)
            self.waiting += len(data)

    def end(self) -> None:
        """Send the end after everything written."""
        self._ending = True

    def drop(self) -> None:
        """Forget everything: nothing is sent any more."""
        self._chunk = b""
        self._chunks.clear()
        self._packets.clear()
        self.waiting = self._flight = self._lost = 0
        self._timeout_at = self._tail_at = self._zero_at = None
        self.more = False

    # ---- packets to send

    def due(self, now: float) -> list[Sent]:
        """Packets for the wire: the lost ones first, then new ones, while there is room."""
        self.more = False
        run: list[Sent] = []
        if self._lost and not self._resend(run, now):
            return run
        self._fillings = 0
        if self.waiting or (self._ending and not self._finished):
            self._send_new(run, now)
        if run and self._timeout_at is None:
            self._set_timers(now)
        return run

    def _resend(self, run: list[Sent], now: float) -> bool:
        """Add what was lost. Gives whether anything new may follow."""
        # The peer's window does not matter: it has kept room for what it once allowed.
        window = self.congestion.window
        for packet in self._packets:
            if not packet.lost:
                continue
            if len(run) >= RUN:
                self.more = True
                return False
            size = len(packet.payload)
            if self._fillings:
                self._fillings -= 1
            elif self._flight and self._flight + size > window:
                self.congestion.full(now)
                return False
            packet.lost = False
            packet.times += 1
            packet.at = now
            self._flight += size
            self._lost -= 1
            run.append(packet)
            if not self._lost:
                break
        return True

    def _send_new(self, run: list[Sent], now: float) -> None:
        packets = self._packets
        allowed = self.window
        window = self.congestion.window
        while len(packets) < MAX_PACKETS:
            size = self._payload
            if self.waiting < size:
                size = self.waiting
                if not size:
                    if self._ending and not self._finished and len(run) < RUN:
                        self._finished = True
                        self._number(FIN, b"", run, now)
                    return
                if packets and not self._ending:
                    return  # Nagle: it may be filled while others are under way
            flight = self._flight + size
            if flight > allowed:
                if not packets and self._zero_at is None:
                    self._zero_at = now + ZERO_WINDOW
                return
            if flight > window and self._flight:
                self.congestion.full(now)
                return
            if len(run) >= RUN:
                self.more = True
                return
            end = self._offset + size
            if end <= len(self._chunk):
                payload = self._chunk[self._offset : end]
                self._offset = end
            else:
                payload = self._cut(size)
            self.waiting -= size
            self._flight = flight
            self._number(DATA, payload, run, now)

    def _number(self, kind: int, payload: bytes, run: list[Sent], now: float) -> None:
        packet = Sent(self._seq, kind, payload, now)
        self._seq = self._seq + 1 & SEQUENCE
        self._packets.append(packet)
        run.append(packet)

    def _cut(self, size: int) -> bytes:
        """The next bytes, across the borders of what was written."""
        pieces = [self._chunk[self._offset :]]
        missing = size - len(pieces[0])
        while missing:
            self._chunk = self._chunks.popleft()
            self._offset = min(missing, len(self._chunk))
            pieces.append(self._chunk[: self._offset])
            missing -= self._offset
        return b"".join(pieces)

    # ---- what the peer says

    def plausible(self, ack: int) -> bool:
        """Whether this peer can have said it: nothing unsent, and nothing long past (T-37)."""
        return (ack - self.acked + _OLD_ACKS & SEQUENCE) <= len(self._packets) + _OLD_ACKS

    def acknowledge(self, ack: int, selective: bytes, window: int, now: float) -> None:
        """Take an acknowledgement.

        Args:
            ack: A plausible number; an old one tells nothing.
            selective: Bits of the packets above the hole, `ack + 2` first.
            window: Bytes that the peer can take.
            now: Seconds.
        """
        packets = self._packets
        count = ack - self.acked & SEQUENCE
        if count > len(packets):
            return
        self.see_window(window)
        if not packets:
            return
        acked_bytes = acked = 0
        newest: Sent | None = None
        once = True
        for _ in range(count):
            packet = packets.popleft()
            if packet.acked:
                continue
            packet.acked = True
            newest = packet
            once = once and packet.times == 1
            if packet.lost:
                self._lost -= 1
            else:
                self._flight -= len(packet.payload)
            acked_bytes += len(packet.payload)
            acked += 1
        self.acked = ack
        if selective and packets:
            above = self._take_marked(selective)
            acked += len(above)
            for packet in above:
                acked_bytes += len(packet.payload)
                packet.payload = b""
                newest = packet
                once = once and packet.times == 1
        if newest is not None:
            # An answer to a resend may also cover what came long before, when that answer was lost
            # or had no bit for it; the time since then is no round trip.
            if once:
                self._arrived_at = max(self._arrived_at, newest.at)
                self.round_trip.add(now - newest.at)
            else:
                self.round_trip.settle()
            self._progress(newest, acked_bytes, now)
        if selective and packets:
            self._find_holes(acked, now)

    def see_window(self, window: int) -> None:
        """Learn how much the peer can take."""
        self.window = window
        if not window:
            self._timeouts = 0  # it lives, and only its reader does not
            self._closed = True
            return
        self._zero_at = None
        if self._closed:
            # What probed the closed window was dropped, and its timeout doubled over and over.
            self._closed = False
            self._count_as_lost()
            self.round_trip.settle()
            self._timeout_at = None

    def _take_marked(self, selective: bytes) -> list[Sent]:
        """Packets that the bits tell of for the first time; they are under way no more."""
        fresh = marked(self._packets, selective)
        for packet in fresh:
            packet.acked = True
            if packet.lost:
                packet.lost = False
                self._lost -= 1
            else:
                self._flight -= len(packet.payload)
        return fresh

    def _progress(self, newest: Sent, acked_bytes: int, now: float) -> None:
        """Something got through for the first time."""
        round_trip = now - newest.at if newest.times == 1 else None
        self.congestion.acknowledged(acked_bytes, round_trip, now)
        self._timeouts = 0
        if self._probed_at is not None and newest.at >= self._probed_at:
            # The resend has arrived: so would have what was sent before it.
            self._count_as_lost(self._probed_at)
            self._probed_at = None
        if self._packets:
            self._set_timers(now)
        else:
            self._timeout_at = self._tail_at = None
            self.ended = self._finished

    def _find_holes(self, acked: int, now: float) -> None:
        """Count as lost what later packets overtook, and send as much again as arrived.

        The window does not matter for that: what left the path makes room. It matters for the
        rest; but what lies beyond the bits counts as under way, be it there or lost, and a window
        that seems full for that reason would stay full.
        """
        found = 0
        patience = self._patience()
        # Something sent so much later than a filling has arrived: the filling is lost as well.
        before = self._arrived_at - self.round_trip.mean / _DISORDER
        for packet in islice(self._packets, overtaken(self._packets)):
            if packet.acked or packet.lost:
                continue
            if packet.times > 1 and packet.at >= before and now - packet.at < patience:
                continue
            self._lose(packet)
            found += 1
        self._fillings = acked
        if found:
            self._fillings = max(acked, _FILLINGS, found // 2)
            self.congestion.lost(found, self.round_trip.mean, now)

    def _count_as_lost(self, before: float = math.inf) -> None:
        """What was sent before some moment, and is still missing, is lost."""
        for packet in self._packets:
            if not packet.acked and not packet.lost and packet.at < before:
                self._lose(packet)

    def _lose(self, packet: Sent) -> None:
        """Send it again when the window has room."""
        packet.lost = True
        self._lost += 1
        self._flight -= len(packet.payload)

    # ---- time

    def _patience(self) -> float:
        """Seconds until an answer is late."""
        if not self.round_trip.mean:
            return _FIRST_TAIL
        return max(_TAIL * self.round_trip.mean, MIN_TAIL)

    def _set_timers(self, now: float) -> None:
        self._timeout_at = now + self.round_trip.timeout
        self._tail_wait = self._patience()
        self._tail_at = now + self._tail_wait

    def next_timer(self) -> float | None:
        """When `handle_timer` has something to do."""
        times = [at for at in (self._timeout_at, self._tail_at, self._zero_at) if at is not None]
        return min(times) if times else None

    def handle_timer(self, now: float) -> None:
        """Find out what is lost; `due` then gives what is to be sent."""
        if self._zero_at is not None and now >= self._zero_at:
            self._zero_at = None
            self.window = self._payload  # one packet, to hear whether the window is still closed
        if self._timeout_at is not None and now >= self._timeout_at:
            self._time_out(now)
        elif self._tail_at is not None and now >= self._tail_at:
            self._ask_again(now)

    def _time_out(self, now: float) -> None:
        """Everything under way is lost."""
        self._timeouts += 1
        if self._timeouts >= MAX_TIMEOUTS:
            self.failed = True
            return
        if self._timeouts >= _NARROW_AFTER and len(self._packets[0].payload) > NARROW_PAYLOAD:
            self.narrow_down()
        self._probed_at = None
        self._fillings = 0
        self._count_as_lost()
        self.congestion.timed_out()
        self.round_trip.back_off()
        self._timeout_at = now + self.round_trip.timeout
        self._tail_at = None

    def _ask_again(self, now: float) -> None:
        """No answer for a while: send the first packets again, and wait longer for the next."""
        self.congestion.lost(1, self.round_trip.mean, now)
        missing = (packet for packet in self._packets if not packet.acked)
        for packet in islice(missing, _TAIL_RESENDS):
            if not packet.lost:
                self._lose(packet)
            self._fillings += 1
        self._probed_at = now
        self._tail_wait *= 2
        self._tail_at = now + self._tail_wait
