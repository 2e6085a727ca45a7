"""No descriptor is left: who can give some back does so, and one line a minute says it (C-17)."""

import errno
import logging
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

# The process has as many as it may have, or the whole system has.
OUT_OF_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE)
# It is met at each connection and each file: whoever reads the log needs to hear of it once.
LINE_SECONDS: Final = 60.0


class Shortage:
    """Told by everybody who gets no descriptor, in whatever thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Nothing is short yet.

        Args:
            clock: Seconds that only grow.
        """
        self._clock = clock
        self._said = float("-inf")
        self._reliefs: list[Callable[[], None]] = []

    def relieved_by(self, give_back: Callable[[], None]) -> None:
        """Have somebody asked to close what is not needed, whenever there is none left."""
        self._reliefs.append(give_back)

    def met(self, error: OSError, what: str) -> None:
        """Somebody got none.

        Args:
            error: What the system said.
            what: What is held up, for people: "connections to the API wait".
        """
        for give_back in self._reliefs:
            give_back()
        now = self._clock()
        if now < self._said + LINE_SECONDS:
            return
        self._said = now  # two threads at one moment may say it twice, which does no harm
        log.warning(
            "%s (%s): raise the limit, with ulimit -n or LimitNOFILE= in the unit of systemd",
            what,
            error.strerror,
        )
