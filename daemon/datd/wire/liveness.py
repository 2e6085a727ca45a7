"""The clocks of one connection: how long a peer may be silent or slow, and we silent.

Nothing here reads a clock; times are seconds from whatever clock the caller uses.

Source: wire.md section 9. The reference ends a connection after 7.5 s without a byte, but waits for
ever for a peer that drips; here only what says something counts.
"""

from datd.errors import ProtocolError

# L-1, absolute from the start, whatever arrives. discovery-swarm gives the handshake 5 s too.
HANDSHAKE_TIMEOUT = 5.0

# L-3 [7.5 s]. The reference's keep-alives come every 5 s.
SILENCE_TIMEOUT = 20.0

# L-4: a frame under way must go on at this pace, below that of a bad telephone line.
PROGRESS_TIMEOUT = 10.0
PROGRESS_SIZE = 16 * 2**10

# L-3. The reference drops us after 7.5 s, and a slow line may take its share of that.
KEEP_ALIVE_INTERVAL = 3.0


class Liveness:
    """Judges by what it is told: bytes received and sent, and the time.

    Attributes:
        now: The latest time it was told.
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self._handshake_deadline: float | None = now + HANDSHAKE_TIMEOUT
        self._progress_at = now
        self._progress_size = 0
        self._inside_frame = False
        self._paused = False
        self._sent_at: float | None = None

    def handshaken(self) -> None:
        """The peer has shaken hands in time."""
        self._handshake_deadline = None

    def keyed(self) -> None:
        """From now on the peer can read keep-alives."""
        self._sent_at = self.now

    def sent(self) -> None:
        """Something was handed out for sending.

        The time of it is not told; the latest known one is earlier, so that a keep-alive may come
        too early and never too late.
        """
        if self._sent_at is not None:
            self._sent_at = self.now

    def received(self, size: int, *, completed: bool, inside_frame: bool) -> None:
        """Bytes came at `now`: did they complete a frame, and did they end inside one?"""
        self._progress_size += size
        begun = inside_frame and not self._inside_frame
        if completed or begun or self._progress_size >= PROGRESS_SIZE:
            self._progress_at = self.now
            self._progress_size = 0
        self._inside_frame = inside_frame

    def pause(self) -> None:
        """The caller stops reading: silence proves nothing about the peer."""
        self._paused = True

    def resume(self) -> None:
        """The caller reads again; the peer gets its full time."""
        self._paused = False
        self._progress_at = self.now
        self._progress_size = 0

    def deadline(self) -> float | None:
        """When something must happen next, or None while nothing is waited for."""
        candidates = [
            when
            for when in (self._handshake_deadline, self._silence_deadline(), self._speak_at())
            if when is not None
        ]
        return min(candidates, default=None)

    def check(self) -> None:
        """Judge the peer.

        Raises:
            ProtocolError: Its time is over.
        """
        if self._handshake_deadline is not None and self.now >= self._handshake_deadline:
            raise ProtocolError(f"no handshake within {HANDSHAKE_TIMEOUT:.0f} s")
        silence = self._silence_deadline()
        if silence is not None and self.now >= silence:
            if self._inside_frame:
                raise ProtocolError(
                    f"less than {PROGRESS_SIZE} bytes of a frame in {PROGRESS_TIMEOUT:.0f} s"
                )
            raise ProtocolError(f"silent for {SILENCE_TIMEOUT:.0f} s")

    def must_speak(self) -> bool:
        """Whether we were silent for so long that a keep-alive is due; asking restarts the wait."""
        due = self._speak_at()
        if due is None or self.now < due:
            return False
        self._sent_at = self.now
        return True

    def _silence_deadline(self) -> float | None:
        if self._paused:
            return None
        return self._progress_at + (PROGRESS_TIMEOUT if self._inside_frame else SILENCE_TIMEOUT)

    def _speak_at(self) -> float | None:
        return None if self._sent_at is None else self._sent_at + KEEP_ALIVE_INTERVAL
