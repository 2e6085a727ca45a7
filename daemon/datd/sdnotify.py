"""Tells systemd how the daemon is doing: ready, alive, ending. Does nothing elsewhere.

Source: sd_notify(3).
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from typing import Final

# Between two attempts while the manager has no room for more: it keeps ten messages by default, of
# all services, and does not read while it is busy.
AGAIN_SECONDS: Final = 0.2


class Manager:
    """The service manager that started us, if one did.

    It is never waited for: a daemon that stood still because of it could neither serve nor end.
    """

    def __init__(self) -> None:
        """Nothing is told before `keep_told` runs."""
        self._states: deque[str] = deque()
        self._news = asyncio.Event()

    def tell(self, state: str) -> None:
        """Have a state told, such as `READY=1`, behind those before it."""
        if not os.environ.get("NOTIFY_SOCKET"):
            return
        self._states.append(state)
        self._news.set()

    def end(self) -> None:
        """Tell that we stop, if there is room for it: it changes only what people are shown."""
        _send("STOPPING=1")

    async def keep_told(self) -> None:
        """Send what is to be told, and between that `WATCHDOG=1`, until cancelled.

        If the event loop hangs nothing is sent, and we are started anew.
        """
        if not os.environ.get("NOTIFY_SOCKET"):
            return
        seconds = watchdog_seconds()
        while True:
            while self._states:
                if _send(self._states[0]):
                    self._states.popleft()
                else:
                    await asyncio.sleep(AGAIN_SECONDS)
            if seconds is not None:
                _send("WATCHDOG=1")  # without room for it another one comes soon
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()


def watchdog_seconds() -> float | None:
    """How often to send `WATCHDOG=1`: half of what is allowed; None if nobody watches."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    owner = os.environ.get("WATCHDOG_PID", "")
    if not allowed.isdigit() or (owner and owner != str(os.getpid())):
        return None
    return int(allowed) / 2_000_000


def _send(state: str) -> bool:
    """Whether the manager needs to hear it no more: it did, or it is gone, or there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return True
    if address.startswith("@"):
        address = "\0" + address[1:]
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_UNIX, kind) as sender:
        try:
            sender.connect(address)
            sender.send(state.encode())
        except BlockingIOError:
            return False
        except OSError:
            # A manager that went away is no reason to stop seeding.
            return True
    return True
