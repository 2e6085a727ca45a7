"""What a test needs and a machine may lack: skipped with the reason, failed where all must run."""

import os
import socket
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """End the test: a piece is missing. `./dev test --ci` makes that a failure."""
    if os.environ.get("DATD_CI") == "1":
        pytest.fail(f"missing: {reason}", pytrace=False)
    pytest.skip(reason)


def has_ipv6() -> bool:
    """Whether loopback has an IPv6 address."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True
