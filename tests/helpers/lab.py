"""Throw-away networks for tests, or the reason why this machine has none."""

import functools
import os
import shutil
import sys
from pathlib import Path

from tests.helpers.pieces import missing
from tests.lab.netlab import Lab
from tests.lab.system import LabError

__all__ = ["Lab", "needs_lab"]


@functools.cache
def _why_not() -> str | None:
    if not sys.platform.startswith("linux"):
        return "network namespaces are of Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(tool) is None:
            return f"the lab needs `{tool}`: apt-get install {package}"
    try:
        with Lab.lan(1):
            pass
    except (LabError, OSError) as error:
        return f"this system lets nobody build network namespaces: {error}"
    return None


def needs_lab(*, tun: bool = False) -> None:
    """End the test here if a lab cannot be built.

    Args:
        tun: Whether the test needs `Lab.wire`, which needs /dev/net/tun too.
    """
    if reason := _why_not():
        missing(reason)
    if tun and not Path("/dev/net/tun").exists():
        missing("the lab's cable needs /dev/net/tun")
