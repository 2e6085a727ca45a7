"""Tells systemd how the daemon is doing: ready, alive, ending. Does nothing elsewhere."""

import asyncio
import os
import socket


def notify(state: str) -> None:
    """Send a line such as `READY=1` to the service manager, if one listens.

    Source: sd_notify(3).
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect(address)
            sender.sendall(state.encode())
        except OSError:
            # A manager that went away is no reason to stop seeding.
            return


def watchdog_seconds() -> float | None:
    """How often to send `WATCHDOG=1`: half of what is allowed; None if nobody watches."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    owner = os.environ.get("WATCHDOG_PID", "")
    if not allowed.isdigit() or (owner and owner != str(os.getpid())):
        return None
    return int(allowed) / 2_000_000


async def keep_alive() -> None:
    """Send `WATCHDOG=1` for ever. If the event loop hangs, nothing is sent: we are started anew."""
    seconds = watchdog_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds)
