"""Everything that the client raises on purpose.

DatdError
├── UsageError              the caller asked for something that makes no sense
├── NoDaemon                nobody answers at the address
├── ApiError                the daemon answered with a problem; kind, status and detail say which
│   ├── Unauthorized        no token, a wrong one, or too many wrong ones
│   ├── NotFound            no such archive, version, file, folder or job, or nothing behind a name
│   ├── Conflict            hosted already otherwise, or the archive is in the wrong state
│   ├── Gone                an old version whose bytes are not kept any more
│   ├── NoPeers             no peer gave the bytes in time
│   └── NoAnswer            nobody who could say what a name means was to be had
├── TimedOut                we waited as long as we were asked to
├── TransferError           the bytes of a file ended early or changed while they were read
└── WriteError              a file or folder of this host cannot be written
"""

from collections.abc import Sequence
from typing import Any


class DatdError(Exception):
    """Base of all errors that the client raises on purpose."""


class UsageError(DatdError):
    """The caller asked for something that makes no sense."""


class NoDaemon(DatdError):
    """Nobody answers at the address."""


class TimedOut(DatdError):
    """We waited as long as we were asked to."""


class TransferError(DatdError):
    """The bytes of a file ended early, or it changed while it was read."""


class WriteError(DatdError):
    """A file or folder of this host cannot be written."""


class ApiError(DatdError):
    """The daemon answered with a problem.

    Attributes:
        status: HTTP status.
        kind: Last part of the problem's type, such as `bad_link`; stable.
        detail: A sentence for people.
        fields: Fields of the request that are wrong: (pointer, sentence).
    """

    def __init__(
        self, status: int, kind: str, detail: str, fields: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.fields = list(fields)


class Unauthorized(ApiError):
    """No token, a wrong one, or too many wrong ones."""


class NotFound(ApiError):
    """No such archive, version, file, folder or job, or no archive behind a name."""


class Conflict(ApiError):
    """Hosted already with other settings, or the archive is in a state that does not allow it."""


class Gone(ApiError):
    """An old version whose bytes are not kept: the archive's mode is another than `archive`."""


class NoPeers(ApiError):
    """No peer gave the bytes in time."""


class NoAnswer(ApiError):
    """Nobody who could say what a name means was to be had."""


_BY_KIND: dict[str, type[ApiError]] = {
    "unauthorized": Unauthorized,
    "too_many": Unauthorized,
    "unknown_archive": NotFound,
    "no_such_file": NotFound,
    "no_such_version": NotFound,
    "no_such_job": NotFound,
    "no_such_webhook": NotFound,
    "no_such_token": NotFound,
    "no_such_account": NotFound,
    "unknown_name": NotFound,
    "exists": Conflict,
    "conflict": Conflict,
    "behind": Conflict,
    "gone": Gone,
    "no_peers": NoPeers,
    "name_unreachable": NoAnswer,
}


_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    410: Gone,
    504: NoPeers,
}


# Busy; and what a proxy in front of a daemon says while that is away, as 502 does.
_PASSING = frozenset({502, 503, 504})


def passes(error: DatdError) -> bool:
    """Whether a later try may succeed: the daemon or a peer is away, or has no room just now."""
    if isinstance(error, ApiError):
        return error.status in _PASSING
    return isinstance(error, NoDaemon | TimedOut | TransferError)


def api_error(status: int, document: Any) -> ApiError:
    """Turn an error answer into its exception. The document may be anything: proxies answer too."""
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        text = f"the answer is HTTP {status}, without a reason"
        return _BY_STATUS.get(status, ApiError)(status, "", text)
    kind = document["type"].rsplit("/", 1)[-1]
    detail = str(document.get("detail") or document.get("title") or f"HTTP {status}")
    listed = document.get("errors")
    fields = [
        (str(item.get("pointer", "")), str(item.get("detail", "")))
        for item in (listed if isinstance(listed, list) else ())
        if isinstance(item, dict)
    ]
    return _BY_KIND.get(kind, ApiError)(status, kind, detail, fields)
