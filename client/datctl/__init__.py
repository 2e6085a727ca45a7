"""Client library and command line of datd.

    async with Client() as dat:
        for archive in (await dat.archives()).archives:
            print(archive.key, archive.state)

Everything is loaded when it is first used: `import datctl` alone is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.errors import (
        ApiError,
        Conflict,
        DatdError,
        Gone,
        NoAnswer,
        NoDaemon,
        NoPeers,
        NotFound,
        TimedOut,
        TransferError,
        Unauthorized,
        UsageError,
    )
    from datctl.remote_file import RemoteFile

_HOMES = {
    "Client": "datctl.client",
    "RemoteFile": "datctl.remote_file",
}

__all__ = [
    "ApiError",
    "Client",
    "Conflict",
    "DatdError",
    "Gone",
    "NoAnswer",
    "NoDaemon",
    "NoPeers",
    "NotFound",
    "RemoteFile",
    "TimedOut",
    "TransferError",
    "Unauthorized",
    "UsageError",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'datctl' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "datctl.errors")), name)
