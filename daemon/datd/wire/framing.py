"""Cuts decrypted bytes into frames. Knows sizes and headers, no cipher and no message.

Source: wire.md section 1.
"""

from collections.abc import Iterator

from datd.errors import ProtocolError
from datd.wire.messages import EXTENSION, FEED, HANDSHAKE, MAX_CHANNELS, MAX_FRAME, MAX_HANDSHAKE

# A length above 2^28 is refused anyway. The reference reads four bytes too, padded ones included.
MAX_LENGTH_BYTES = 4

# L-2 [the reference takes 8 MiB]: a Feed has 62 bytes, and comes from people we know nothing of.
MAX_FEED = 2**10

# T-8: keep-alives before the first Feed. Those of five seconds, as long as it may take (L-1), are a
# few; looking at a quarter of a million of them in one read holds everybody up for 120 ms.
MAX_EARLY_FRAMES = 64

# L-7 [8 MiB]. Beaker cuts its `session-data` at 256 bytes.
MAX_EXTENSION_PAYLOAD = 64 * 2**10

# Frame lengths beyond which a type is refused, where it is not MAX_FRAME: an extension's payload
# comes with its number, and every type with a header.
_LIMITS = {
    FEED: MAX_FEED,
    HANDSHAKE: MAX_HANDSHAKE,
    EXTENSION: MAX_EXTENSION_PAYLOAD + 5,
}
_SMALLEST_LIMIT = min(_LIMITS.values())

_FIRST_HEADER = 0  # channel 0, type Feed


class FrameDecoder:
    """Takes bytes in any cuts and gives whole frames.

    It holds at most one unfinished frame, and of that only what has arrived. After an error it is
    of no more use.

    Attributes:
        completed: Frames seen, keep-alives included.
        pending: Bytes held that belong to an unfinished frame.
    """

    def __init__(self) -> None:
        self.completed = 0
        self._buffer = bytearray()
        self._wanted = 0

    @property
    def pending(self) -> int:
        return len(self._buffer)

    def first(self, data: bytes | bytearray | memoryview) -> memoryview | None:
        """Look for the first frame of a direction, which is plain; call again until it is here.

        What follows it is encrypted, and kept for `take`.

        Returns:
            The body of the Feed, or None if it has not arrived whole.

        Raises:
            ProtocolError: The frame is too long, or no Feed of channel 0, or long in coming.
        """
        self._buffer += data
        position = 0
        while (found := self._length(self._buffer, position)) is not None:
            length, start = found
            if length > MAX_FEED:
                raise ProtocolError(f"first frame of {length} bytes: at most {MAX_FEED} are taken")
            if start + length > len(self._buffer):
                break
            self.completed += 1
            if self.completed > MAX_EARLY_FRAMES:
                raise ProtocolError(f"no Feed among the first {MAX_EARLY_FRAMES} frames")
            position = start + length
            if length:  # else a keep-alive, legal also before the first Feed
                view = memoryview(self._buffer)
                self._buffer = bytearray(view[position:])
                if view[start] != _FIRST_HEADER:
                    raise ProtocolError("the first frame is no Feed of channel 0")
                return view[start + 1 : position]
        del self._buffer[:position]
        return None

    def take(self) -> bytearray:
        """Hand out what is held, for decryption."""
        held, self._buffer = self._buffer, bytearray()
        return held

    def frames(self, data: bytearray) -> Iterator[tuple[int, int, memoryview]]:
        """Add decrypted bytes and go through the frames that are complete now.

        Run it to its end: what is left over is kept then.

        Args:
            data: The next bytes of the direction. They become ours; do not change them afterwards.

        Yields:
            Channel, type, and body; the body keeps the whole read in memory while it is kept.

        Raises:
            ProtocolError: A length or a header is not allowed.
        """
        buffer = self._buffer
        if buffer:
            buffer += data
        else:
            buffer = self._buffer = data
        end = len(buffer)
        if end < self._wanted:
            return  # inside a large frame: looking again would make its arrival quadratic
        view = memoryview(buffer)
        position = self._wanted = 0
        while position < end:
            length = buffer[position]
            start = position + 1
            if length >= 0x80:
                found = self._length(buffer, position)
                if found is None:
                    break
                length, start = found
            stop = start + length
            if length <= 1:
                # A keep-alive, or a header without a body, which says nothing: the reference
                # ignores it too.
                if stop > end:
                    break
                self.completed += 1
                position = stop
                continue
            if start == end:
                break  # some types are refused by their header, before the body is waited for
            if length > _SMALLEST_LIMIT:
                self._check_length(length, buffer[start])
            if stop > end:
                self._wanted = stop - position
                break
            header = buffer[start]
            start += 1
            if header >= 0x80:
                more = buffer[start]
                start += 1
                header = header & 0x7F | more << 7
                if header >= MAX_CHANNELS << 4:
                    raise ProtocolError(f"header {header}: channels end at {MAX_CHANNELS - 1}")
            self.completed += 1
            yield header >> 4, header & 0x0F, view[start:stop]
            position = stop
        if position:
            # Once a read, and a copy rather than a deletion: bodies may still be looked at.
            self._buffer = bytearray(view[position:])

    @staticmethod
    def _length(buffer: bytearray, position: int) -> tuple[int, int] | None:
        """Read a length: its value and the offset behind it, or None if it has not arrived."""
        length = 0
        for count in range(MAX_LENGTH_BYTES):
            if position + count >= len(buffer):
                return None
            byte = buffer[position + count]
            length |= (byte & 0x7F) << 7 * count
            if byte < 0x80:
                if length > MAX_FRAME:
                    raise ProtocolError(f"a frame of {length} bytes: at most {MAX_FRAME} are taken")
                return length, position + count + 1
        raise ProtocolError(f"the length of a frame takes over {MAX_LENGTH_BYTES} bytes")

    @staticmethod
    def _check_length(length: int, header: int) -> None:
        limit = _LIMITS.get(header & 0x0F, MAX_FRAME)
        if length > limit:
            raise ProtocolError(
                f"a frame of {length} bytes for message type {header & 0x0F}: "
                f"at most {limit} are taken"
            )
