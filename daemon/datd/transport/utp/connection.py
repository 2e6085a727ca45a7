"""One uTP connection as a machine: datagrams and time in, datagrams and bytes out. Pure.

It has no socket and no clock, and never waits. Who may connect at all is decided elsewhere; here a
connection exists from our SYN on, or from the first DATA of somebody who called.

Source: transports.md sections 3.2 to 3.5.
"""

import struct
from collections.abc import Sequence
from enum import Enum

from datd.transport.utp.congestion import Delays
from datd.transport.utp.packet import (
    DATA,
    FIN,
    FIRST_BYTE,
    HEADER,
    HEADER_SIZE,
    MICROSECONDS,
    RESET,
    SEQUENCE,
    STATE,
    SYN,
    Packet,
    encode,
    extensions,
)
from datd.transport.utp.receiving import MAX_AHEAD, MAX_PIECES, WINDOW, Incoming
from datd.transport.utp.sending import Outgoing

# libutp repeats its SYN after 3 s only, when the caller has given up; one lost packet would cost
# the dial.
SYN_TIMES = (1.0, 2.0)
SYN_TIMEOUT = 5.0
# NATs forget a silent mapping after 30 s.
KEEP_ALIVE = 29.0
# A closed connection whose peer takes nothing any more is ended; and one that takes a byte now and
# then, to keep our memory, after a while as well.
CLOSE_GRACE = 5.0
CLOSE_LIMIT = 30.0

_PLAIN_DATA = FIRST_BYTE[DATA]
# A base that falls by more than this is news of the path, not drift of a clock.
_MAX_DRIFT = 10_000  # microseconds
# The part of a header that all packets of one run share, and the rest.
_SHARED = struct.Struct(">BBHIII")
_NUMBERS = struct.Struct(">HH")


class State(Enum):
    """Where a connection is."""

    CALLING = "calling"  # SYN sent
    CONNECTED = "connected"
    GONE = "gone"  # nothing is sent or taken any more; what arrived can still be read


class Connection:
    """One connection, either side.

    Attributes:
        receive_id: What the peer's packets carry.
        send_id: What ours carry.
        state: See `State`.
        ack_due: Whether an acknowledgement waits to be sent.
        error: Why it broke; None while it did not.
        incoming: What the peer sends.
        outgoing: What we send.
    """

    __slots__ = ("_begun", "_called", "_close_by", "_closed_at", "_difference", "_keep_alive",
                 "_quiet_since", "_refusal", "_theirs", "ack_due", "error", "incoming", "outgoing",
                 "receive_id", "send_id", "state")  # fmt: skip

    def __init__(
        self,
        state: State,
        receive_id: int,
        send_id: int,
        outgoing: Outgoing,
        incoming: Incoming,
        now: float,
    ) -> None:
        """Use `calling` and `called`."""
        self.state = state
        self.receive_id = receive_id
        self.send_id = send_id
        self.outgoing = outgoing
        self.incoming = incoming
        self.error: OSError | None = None
        self._begun = now
        self._called = 0  # SYNs sent
        self._difference = 0  # what we tell the peer about the delay of its packets
        self._theirs = Delays()
        self.ack_due = False
        self._quiet_since = now  # since we sent last
        self._keep_alive = False
        self._closed_at: float | None = None
        self._close_by = 0.0
        self._refusal = False

    @classmethod
    def calling(cls, receive_id: int, seq: int, now: float) -> "Connection":
        """Call somebody.

        Args:
            receive_id: 0 to 65534, chosen by chance.
            seq: Number of the SYN, chosen by chance.
            now: Seconds.
        """
        outgoing = Outgoing(seq + 1 & SEQUENCE, WINDOW, now)
        return cls(State.CALLING, receive_id, receive_id + 1, outgoing, Incoming(0), now)

    @classmethod
    def called(cls, call: Packet, seq: int, now: float) -> "Connection":
        """Be called: the SYN was answered, and the first DATA is here.

        Args:
            call: The SYN.
            seq: Number that the answer to it carried.
            now: Seconds.
        """
        outgoing = Outgoing(seq, call.window, now)
        incoming = Incoming(call.seq + 1 & SEQUENCE)
        receive_id = call.id + 1 & SEQUENCE
        return cls(State.CONNECTED, receive_id, call.id, outgoing, incoming, now)

    # ---- for the owner

    @property
    def broken_off(self) -> bool:
        """Whether nothing can be written any more."""
        return self.state is State.GONE or self._closed_at is not None

    def write(self, data: bytes) -> None:
        """Send bytes; before the connection is up they wait."""
        self.outgoing.write(data)

    def read(self, limit: int) -> bytes:
        """Take what arrived in order, at most `limit` bytes."""
        data = self.incoming.read(limit)
        if self.incoming.news and self.state is State.CONNECTED:
            self.ack_due = True
        return data

    def close(self, now: float) -> None:
        """End in order: what was written is still sent, what comes is not looked at."""
        if self.broken_off:
            return
        if self.state is State.CALLING:
            self._end(None)
            return
        self._closed_at = now
        self._close_by = now + CLOSE_LIMIT
        self.incoming.discard()
        self.outgoing.end()

    def abort(self) -> None:
        """End at once, with a RESET if there is somebody to hear it."""
        if self.state is State.CONNECTED:
            self._refusal = True
        self.incoming.discard()
        self._end(None)

    def farewell(self, now: float) -> bytes:
        """The last acknowledgement, for a peer that missed it."""
        return self._packet(STATE, now)

    @property
    def finished(self) -> bool:
        """Whether both ends were said and heard."""
        return self.outgoing.ended and self.incoming.ended

    def _end(self, error: OSError | None) -> None:
        self.state = State.GONE
        self.error = self.error or error
        self.outgoing.drop()
        self.ack_due = False

    # ---- datagrams in

    def receive(self, datagrams: Sequence[bytes], now: float) -> None:
        """Take datagrams with our id from the peer's address; nothing in them can raise (T-31)."""
        incoming = self.incoming
        outgoing = self.outgoing
        acked = outgoing.acked
        unpack = HEADER.unpack_from
        plain = incoming.plain and self.state is State.CONNECTED
        stamp = None
        for datagram in datagrams:
            first, extension, _, sent, _, window, seq, ack = unpack(datagram)
            # Bulk data in order, which is nearly all there ever is, has a way of its own.
            if (
                plain
                and first == _PLAIN_DATA
                and seq == incoming.next
                and ack == acked
                and not extension
                and incoming.unread < WINDOW
                and len(datagram) > HEADER_SIZE
            ):
                payload = datagram[HEADER_SIZE:]
                incoming.pieces.append(payload)
                incoming.unread += len(payload)
                incoming.next = seq + 1 & SEQUENCE
                if window != outgoing.window:
                    outgoing.see_window(window)
                self.ack_due = True
                stamp = sent
                continue
            if self._receive(datagram, now):
                stamp = sent
            acked = outgoing.acked
            plain = incoming.plain and self.state is State.CONNECTED
        if len(incoming.pieces) > MAX_PIECES:
            incoming.join()
        if stamp is not None:
            self._measure(stamp, now)

    def _receive(self, datagram: bytes, now: float) -> bool:
        """Take one datagram. Gives whether it was worth anything."""
        if self.state is State.GONE:
            return False
        first, extension, _, _, difference, window, seq, ack = HEADER.unpack_from(datagram)
        kind = first >> 4
        if kind == RESET:
            self._end(ConnectionResetError("the other side reset the connection"))
            return False
        body = extensions(datagram, extension) if extension else (b"", HEADER_SIZE)
        if body is None or kind == SYN:
            return False
        if self.state is State.CALLING:
            return kind == STATE and self._answered(window, seq, ack, now)
        outgoing, incoming = self.outgoing, self.incoming
        if not outgoing.plausible(ack):
            return False
        if kind != STATE and incoming.is_old(seq):
            self.ack_due = True
            return False
        if (seq - incoming.next & SEQUENCE) > MAX_AHEAD and not incoming.is_old(seq):
            return False
        self._see_acknowledgement(ack, body[0], window, difference, now)
        if kind == STATE:
            # One less than we know is how a keep-alive looks.
            if ack == outgoing.acked - 1 & SEQUENCE and not outgoing.unacked:
                self.ack_due = True
        else:
            incoming.take(seq, datagram[body[1] :], fin=kind == FIN)
            self.ack_due = True
        if self.finished:
            self.state = State.GONE
        return True

    def _answered(self, window: int, seq: int, ack: int, now: float) -> bool:
        """Our call is answered; if it is ours."""
        outgoing = self.outgoing
        if ack != outgoing.acked:
            return False
        self.state = State.CONNECTED
        self.incoming.next = seq
        outgoing.window = window
        if self._called == 1:
            outgoing.round_trip.add(now - self._begun)
        return True

    def _see_acknowledgement(
        self, ack: int, selective: bytes, window: int, difference: int, now: float
    ) -> None:
        outgoing = self.outgoing
        if difference:
            outgoing.congestion.delays.add(difference, now)
        before = outgoing.acked
        outgoing.acknowledge(ack, selective, window, now)
        if self._closed_at is not None and outgoing.acked != before:
            self._closed_at = now

    def _measure(self, stamp: int, now: float) -> None:
        """The delay of the peer's packets, by its clock and ours."""
        theirs = self._theirs
        before, known = theirs.base, theirs.known
        self._difference = int(now * 1e6) - stamp & MICROSECONDS
        theirs.add(self._difference, now)
        fallen = before - theirs.base & MICROSECONDS
        # Their clock runs slower than ours, or so it looks; then our delays seem to grow as much.
        if known and 0 < fallen <= _MAX_DRIFT:
            self.outgoing.congestion.delays.shift(fallen)

    # ---- datagrams out

    @property
    def more(self) -> bool:
        """Whether `datagrams_to_send` would give more at once."""
        return self.outgoing.more

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """What is due now: at most a run of packets, and an acknowledgement if none carries it."""
        if self.state is not State.CONNECTED:
            return self._beside_connected(now)
        run = self.outgoing.due(now)
        incoming = self.incoming
        if run:
            self._quiet_since = now
            incoming.told = window = incoming.window
            stamp = int(now * 1e6) & MICROSECONDS
            head = _SHARED.pack(_PLAIN_DATA, 0, self.send_id, stamp, self._difference, window)
            ack = incoming.next - 1 & SEQUENCE
            numbers = _NUMBERS.pack
            datagrams = [head + numbers(sent.seq, ack) + sent.payload for sent in run]
            if run[-1].kind == FIN:
                datagrams[-1] = self._packet(FIN, now, seq=run[-1].seq)
            # DATA carries no selective acknowledgement in libutp, nor here.
            if not incoming.behind:
                self.ack_due = False
        else:
            datagrams = []
        if self.ack_due:
            datagrams.append(self._acknowledgement(now))
        elif self._keep_alive and not datagrams:
            # One number less than the truth, so that the peer answers.
            self._quiet_since = now
            ack = self.incoming.next - 2 & SEQUENCE
            datagrams.append(encode(self._fields(STATE, now, ack=ack)))
        self._keep_alive = False
        return datagrams

    def _beside_connected(self, now: float) -> list[bytes]:
        if self.state is State.CALLING:
            if self._called > len(SYN_TIMES) or now < self._next_call():
                return []
            self._called += 1
            seq = self.outgoing.acked
            return [encode(self._fields(SYN, now, id_=self.receive_id, seq=seq, ack=0))]
        if self._refusal:
            self._refusal = False
            return [self._packet(RESET, now)]
        return [self._acknowledgement(now)] if self.ack_due else []

    def _next_call(self) -> float:
        return self._begun + (0.0, *SYN_TIMES)[self._called]

    def _acknowledgement(self, now: float) -> bytes:
        self.ack_due = False
        self._quiet_since = now
        self.incoming.told = self.incoming.window
        selective = self.incoming.selective()
        return encode(self._fields(STATE, now)._replace(selective=selective))

    def _packet(self, kind: int, now: float, seq: int | None = None) -> bytes:
        return encode(self._fields(kind, now, seq=seq))

    def _fields(
        self,
        kind: int,
        now: float,
        *,
        id_: int | None = None,
        seq: int | None = None,
        ack: int | None = None,
    ) -> Packet:
        return Packet(
            kind,
            self.send_id if id_ is None else id_,
            int(now * 1e6) & MICROSECONDS,
            self._difference,
            self.incoming.window,
            self.outgoing.next_seq if seq is None else seq,
            self.incoming.next - 1 & SEQUENCE if ack is None else ack,
        )

    # ---- time

    def next_timer(self) -> float | None:
        """When to call `handle_timer`, if nothing happens before; None: never."""
        if self.state is State.GONE:
            return None
        if self.state is State.CALLING:
            if self._called <= len(SYN_TIMES):
                return self._next_call()
            return self._begun + SYN_TIMEOUT
        soonest = self._quiet_since + KEEP_ALIVE
        sending = self.outgoing.next_timer()
        if sending is not None and sending < soonest:
            soonest = sending
        if self._closed_at is not None:
            soonest = min(soonest, self._closed_at + CLOSE_GRACE, self._close_by)
        return soonest

    def handle_timer(self, now: float) -> None:
        """Do what time demands; then ask for the datagrams."""
        if self.state is State.CALLING:
            if now >= self._begun + SYN_TIMEOUT:
                self._end(TimeoutError("nobody answers"))
            return
        if self.state is State.GONE:
            return
        self.outgoing.handle_timer(now)
        if self.outgoing.failed:
            self._end(TimeoutError("the other side does not answer any more"))
        elif self._closed_at is not None and (
            now >= self._closed_at + CLOSE_GRACE or now >= self._close_by
        ):
            self.abort()
        elif now >= self._quiet_since + KEEP_ALIVE:
            self._keep_alive = True
            # Also while the system takes nothing: what is due must not stay due.
            self._quiet_since = now
