"""How many blocks to ask one peer for at a time. Numbers only; the exchange keeps the requests."""

from typing import Final

# Decision 4 (L-13): the reference always has 16 under way; more keeps a long or fast line busy. 512
# is also what we queue of others (L-12), and 4 MiB of blocks bounds what one peer can make us hold.
LEAST_REQUESTS: Final = 16
MOST_REQUESTS: Final = 512
BYTES_IN_FLIGHT: Final = 4 * 2**20

# Blocks larger than 2 MiB still go two at a time, or the line would be quiet between them.
_LEAST_LARGE: Final = 2

# Seconds within which a peer that keeps up answers. Beyond, more requests would only wait longer.
_PROMPT: Final = 1.0


# A wide window is refilled when a sixteenth of it is free: choosing many costs as much as one.
_BATCH: Final = 16


class RequestWindow:
    """The number of unanswered requests that one peer may have.

    Attributes:
        size: Requests, between 16 and 512, before the limit in bytes.
        bytes_in_flight: That limit; lower where little may be read.
    """

    def __init__(self) -> None:
        self.size = LEAST_REQUESTS
        self.bytes_in_flight = BYTES_IN_FLIGHT

    def room(self, in_flight: int, expected_size: int, *, urgent: bool = False) -> int:
        """How many more blocks may be asked for at this moment; 0 if none.

        Args:
            in_flight: Requests without an answer.
            expected_size: Bytes that a block may be expected to have.
            urgent: Whether even a single one is worth a message now.
        """
        limit = max(_LEAST_LARGE, min(self.size, self.bytes_in_flight // expected_size))
        room = limit - in_flight
        return room if room >= (1 if urgent else max(1, limit // _BATCH)) else 0

    def answered(self, seconds: float, in_flight: int) -> None:
        """A request was answered after so long, while `in_flight` others were under way."""
        # Doubles with each round trip as long as answers are prompt and the window was in use.
        if seconds < _PROMPT and in_flight * 2 >= self.size and self.size < MOST_REQUESTS:
            self.size += 1

    def missed(self) -> None:
        """A request was not answered in time."""
        self.size = max(LEAST_REQUESTS, self.size // 2)
