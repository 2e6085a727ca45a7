"""Extension messages: which of the peer's numbers mean which of our names, and how many may come.

Source: wire.md section 10.
"""

from collections.abc import Iterable

from datd.errors import ProtocolError
from datd.wire.framing import MAX_EXTENSION_PAYLOAD
from datd.wire.messages import (
    EXTENSION,
    MAX_EXTENSION_NAME,
    MAX_EXTENSIONS,
    Extension,
    MalformedMessage,
    decode,
)

# L-7. Beaker sends its session data at most every 5 s.
MAX_EXTENSIONS_A_SECOND = 50

# What Beaker sends on every metadata channel: no sign of a bad peer, even if we have no use for it.
_KNOWN_NAMES = frozenset({"ephemeral", "session-data"})


class ExtensionTable:
    """Both sides' lists of names.

    Attributes:
        names: Our own, in the order in which they are listed and numbered.
    """

    def __init__(self, names: Iterable[str]) -> None:
        # Sorted: the reference matches the two lists in one merging pass.
        self.names = tuple(sorted(set(names)))
        longest = max((len(name.encode()) for name in self.names), default=0)
        if len(self.names) > MAX_EXTENSIONS or longest > MAX_EXTENSION_NAME:
            raise ValueError(
                f"{len(self.names)} extensions with names of up to {longest} bytes: "
                f"at most {MAX_EXTENSIONS} of {MAX_EXTENSION_NAME}"
            )
        self._remote_names: tuple[str, ...] = ()
        self._second_began = float("-inf")
        self._count = 0

    def learn(self, remote_names: Iterable[str]) -> None:
        """Take the peer's list from its handshake."""
        self._remote_names = tuple(remote_names)

    def receive(self, body: memoryview, now: float) -> Extension | None:
        """Read the body of an extension frame.

        Returns:
            The message, numbered as in our own list; None if it is one that Dat programs send and
            we do not use.

        Raises:
            MalformedMessage: It is cut short, or the peer has listed no such name that we know.
            ProtocolError: It is too large, or too many come.
        """
        self._count_one(now)
        message = decode(EXTENSION, body)
        assert isinstance(message, Extension)
        if len(message.payload) > MAX_EXTENSION_PAYLOAD:
            raise ProtocolError(
                f"an extension message of {len(message.payload)} bytes: "
                f"at most {MAX_EXTENSION_PAYLOAD} are taken"
            )
        if message.id >= len(self._remote_names):
            raise MalformedMessage(f"extension {message.id} was not listed")
        name = self._remote_names[message.id]
        if name in self.names:
            return Extension(self.names.index(name), message.payload)
        if name in _KNOWN_NAMES:
            return None
        raise MalformedMessage("an extension that is unknown here")

    def _count_one(self, now: float) -> None:
        if now - self._second_began >= 1:
            self._second_began = now
            self._count = 0
        self._count += 1
        if self._count > MAX_EXTENSIONS_A_SECOND:
            raise ProtocolError(f"over {MAX_EXTENSIONS_A_SECOND} extension messages in a second")
