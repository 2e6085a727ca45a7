"""What one side receives: packets put in order, kept until they are read. Pure.

Source: transports.md sections 3.3 and 3.4.
"""

from datd.transport.utp.packet import SELECTIVE_ACK_SIZE, SEQUENCE

# What may lie here, in order or not (T-37).
WINDOW = 2**20
# Numbers further ahead are not this connection's.
MAX_AHEAD = 1023
# More pieces are joined: a window of tiny packets would else cost thirty times its size.
MAX_PIECES = 2048
# Below half of it the peer may have stopped, and is told when there is room again.
_LOW_WINDOW = WINDOW // 2


class Incoming:
    """One direction of a connection, at its receiving end.

    Attributes:
        next: Number that is expected next; everything before it is here.
        unread: Bytes that are here in order.
        behind: Packets that wait for a missing one, by number.
        ended: Whether the end came, and everything before it.
        told: The window as the peer last heard of it.
    """

    __slots__ = ("_behind_bytes", "_discarding", "_fin", "behind", "ended", "next", "pieces",
                 "told", "unread")  # fmt: skip

    def __init__(self, first: int) -> None:
        """`first` is the number of the first packet to come."""
        self.next = first
        self.unread = 0
        self.pieces: list[bytes] = []
        self.behind: dict[int, bytes] = {}
        self.ended = False
        self.told = WINDOW
        self._behind_bytes = 0
        self._fin: int | None = None
        self._discarding = False

    @property
    def window(self) -> int:
        """Bytes that may still come."""
        return max(0, WINDOW - self.unread - self._behind_bytes)

    @property
    def plain(self) -> bool:
        """Whether a packet in order that has room needs nothing but to be put into `pieces`."""
        return not self.behind and self._fin is None and not self._discarding

    def is_old(self, seq: int) -> bool:
        """Whether a number came before what is expected; the peer missed our answer."""
        return (seq - self.next & SEQUENCE) >= SEQUENCE - MAX_AHEAD

    def take(self, seq: int, payload: bytes, *, fin: bool = False) -> None:
        """Take a packet; one that is here already, or that has no room, is dropped."""
        ahead = seq - self.next & SEQUENCE
        if ahead > MAX_AHEAD or self.ended:
            return
        if self._fin is not None and (self._fin - seq & SEQUENCE) > SEQUENCE // 2:
            return  # nothing comes after the end
        if fin and self._fin is None:
            self._fin = seq
            self._forget_after_end()
        if ahead:
            room = WINDOW - self.unread - self._behind_bytes
            if seq not in self.behind and len(payload) <= room:
                self.behind[seq] = payload
                self._behind_bytes += len(payload)
            return
        if self.unread > WINDOW:
            return
        self._append(payload)
        while self.behind and not self.ended:
            following = self.behind.pop(self.next, None)
            if following is None:
                break
            self._behind_bytes -= len(following)
            self._append(following)

    def _append(self, payload: bytes) -> None:
        """The next packet in order."""
        if self.next == self._fin:
            self.ended = True
        elif payload and not self._discarding:
            self.pieces.append(payload)
            self.unread += len(payload)
        self.next = self.next + 1 & SEQUENCE

    def _forget_after_end(self) -> None:
        assert self._fin is not None
        for seq in list(self.behind):
            if (self._fin - seq & SEQUENCE) > SEQUENCE // 2:
                self._behind_bytes -= len(self.behind.pop(seq))

    def selective(self) -> bytes:
        """Bits of the packets behind the hole, a multiple of four bytes; empty without a hole.

        Behind a hole longer than the bits reach none of them is set, which tells as much.
        """
        if not self.behind:
            return b""
        bits = 0
        for seq in self.behind:
            place = seq - self.next - 1 & SEQUENCE
            if place < SELECTIVE_ACK_SIZE * 8:
                bits |= 1 << place
        size = (max(bits.bit_length() - 1, 0) // 32 + 1) * 4
        return bits.to_bytes(size, "little")

    def read(self, limit: int) -> bytes:
        """Take out what is here in order, at most `limit` bytes."""
        pieces = self.pieces
        if self.unread <= limit:
            data = b"".join(pieces)
            pieces.clear()
            self.unread = 0
            return data
        size = count = 0
        for piece in pieces:
            if size + len(piece) > limit:
                break
            size += len(piece)
            count += 1
        if not count:  # one datagram of up to 64 KiB, larger than what is asked for
            data, pieces[0] = pieces[0][:limit], pieces[0][limit:]
            self.unread -= len(data)
            return data
        data = b"".join(pieces[:count])
        del pieces[:count]
        self.unread -= size
        return data

    def join(self) -> None:
        """Make one piece of all."""
        self.pieces = [b"".join(self.pieces)]

    def discard(self) -> None:
        """Nobody reads any more: what comes is acknowledged and forgotten."""
        self._discarding = True
        self.pieces.clear()
        self.unread = 0

    @property
    def news(self) -> bool:
        """Whether the peer should hear that there is room again."""
        return self.told < _LOW_WINDOW and self.window >= _LOW_WINDOW
