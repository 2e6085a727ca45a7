"""Every error of the API as `application/problem+json` (RFC 9457), and what becomes of exceptions.

The one place that catches: handlers raise what they like, `answer_problems` turns it into answers.
"""

import errno
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from aiohttp import web

from datctl.models import FieldError, ProblemDetails
from datd.errors import (
    ArchiveExists,
    ArchiveFormatError,
    Behind,
    Busy,
    DatdError,
    EntryNotFound,
    FolderNotEmpty,
    FolderRefused,
    Forked,
    Gone,
    KeyFormatError,
    NameNotFound,
    NameUnreachable,
    NoRoom,
    NotWritableError,
    PathRefused,
    QuotaUsedUp,
    ReadOnlyError,
    SecretRefused,
    StorageError,
    Timeout,
    UnknownArchive,
    UnknownJob,
    UnknownWebhook,
    VersionNotFound,
)
from datd.storage.faults import is_short

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# A name, not an address: nothing is to be fetched there. Programs compare what follows the slash.
TYPE_PREFIX = "urn:datd:problem/"

# Clients of the pinning service API (DEP-0003, "Error responses") read `message`.
PINNING_PREFIX = "/v1/"

# What a reader of an answer must not do with it: guess its type, keep it, tell others where it was;
# nor need strangers learn our version of Python, which aiohttp would put into Server.
SAFE_HEADERS = {
    "Server": "datd",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class _Kind(NamedTuple):
    status: int
    title: str


KINDS = {
    "bad_link": _Kind(400, "Not a Dat link"),
    "bad_request": _Kind(400, "Bad request"),
    "unauthorized": _Kind(401, "A token is needed"),
    "forbidden": _Kind(403, "Not allowed"),
    "quota": _Kind(403, "Quota used up"),
    "unknown_archive": _Kind(404, "No such archive"),
    "unknown_name": _Kind(404, "No archive behind this name"),
    "no_such_file": _Kind(404, "No such file or folder"),
    "no_such_job": _Kind(404, "No such job"),
    "no_such_webhook": _Kind(404, "No such webhook"),
    "no_such_token": _Kind(404, "No such token"),
    "no_such_account": _Kind(404, "No such account"),
    "no_secret_key": _Kind(404, "No secret key"),
    "no_such_version": _Kind(404, "No such version"),
    "no_such_route": _Kind(404, "No such address"),
    "method": _Kind(405, "Method not allowed"),
    "not_acceptable": _Kind(406, "Not to be had in that form"),
    "timeout": _Kind(408, "Request too slow"),
    "exists": _Kind(409, "Hosted already"),
    "limit": _Kind(409, "As many as possible"),
    "behind": _Kind(409, "Not all of it is here"),
    "conflict": _Kind(409, "In conflict with what is there"),
    "gone": _Kind(410, "Not kept any more"),
    "precondition": _Kind(412, "Precondition failed"),
    "too_large": _Kind(413, "Request too large"),
    "uri_too_long": _Kind(414, "Address too long"),
    "media_type": _Kind(415, "Unsupported media type"),
    "bad_range": _Kind(416, "Range not satisfiable"),
    "expectation": _Kind(417, "Expectation failed"),
    "wrong_host": _Kind(421, "Wrong host"),
    "too_many": _Kind(429, "Too many attempts"),
    "reused_key": _Kind(422, "Idempotency key used before"),
    "headers": _Kind(431, "Headers too large"),
    "internal": _Kind(500, "Internal error"),
    "damaged": _Kind(500, "Damaged"),
    "busy": _Kind(503, "Busy"),
    "no_peers": _Kind(504, "No peer answered in time"),
    "name_unreachable": _Kind(504, "Nobody could say what this name means"),
    "disk_full": _Kind(507, "Disk full"),
    "read_only": _Kind(507, "Read-only disk"),
}
# What is busy is so for seconds: a write, a start, a full table.
RETRY_SECONDS = 2
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Problem(Exception):
    """Ends a request with an error answer.

    Attributes:
        kind: One of `KINDS`: the stable end of `type`.
        detail: One sentence: what is wrong, what was expected, what to do.
        fields: Fields of the request that are wrong: (JSON pointer, sentence).
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        fields: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.fields = fields
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """HTTP status."""
        return KINDS[self.kind].status

    def document(self, *, message: bool = False) -> bytes:
        """The JSON body; with `message`, what clients of the pinning service API read, too."""
        found = KINDS[self.kind]
        details = ProblemDetails(
            type=TYPE_PREFIX + self.kind,
            title=found.title,
            status=found.status,
            detail=self.detail,
            message=self.detail if message else None,
            errors=[FieldError(pointer=where, detail=what) for where, what in self.fields] or None,
        )
        # ASCII only: names in a detail come from strangers, lone surrogates included.
        return json.dumps(details.model_dump(exclude_none=True)).encode("ascii")

    def response(self, *, message: bool = False) -> web.Response:
        """The answer; for `message` see `document`."""
        return web.Response(
            status=self.status,
            body=self.document(message=message),
            content_type="application/problem+json",
            headers=SAFE_HEADERS | self._advice() | self.headers,
        )

    def _advice(self) -> dict[str, str]:
        # Whoever is told to come later is told when, if nobody knows better.
        return {"Retry-After": str(RETRY_SECONDS)} if self.status in {429, 503} else {}


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a problem; a bug is logged with its traceback."""
    try:
        return await handler(request)
    except ConnectionError:
        raise  # the client has gone: nobody is left to answer to
    except Exception as error:
        problem = _from_exception(error, request)
        if request.writer.output_size > 0:
            # The status is out: only a body that ends early can still tell the client.
            raise ConnectionResetError(problem.detail) from error
        return problem.response(message=request.path.startswith(PINNING_PREFIX))


def _from_exception(error: Exception, request: web.Request) -> Problem:
    match error:
        case Problem():
            return error
        case web.HTTPException():
            return _from_router(error, request)
        case DatdError():
            return from_error(error)
    # The route's pattern, not the path: a path holds the link, which is the right to read.
    resource = request.match_info.route.resource
    pattern = resource.canonical if resource is not None else "no route"
    log.error("%s %s failed", request.method, pattern, exc_info=error)
    return internal_error()


def internal_error() -> Problem:
    """The answer to what should not have happened."""
    return Problem("internal", "The daemon failed at this request. Its log says why.")


def from_error(error: DatdError) -> Problem:
    """The problem that one of our own errors means to a client."""
    kind = _kind_of(error)
    if kind == "internal":
        log.error("an error that no client should see", exc_info=error)
        return internal_error()
    if kind == "damaged":
        log.warning("%s", error)
    return Problem(kind, _sentence(error))


def _kind_of(error: DatdError) -> str:
    match error:
        case KeyFormatError():
            return "bad_link"
        case UnknownArchive():
            return "unknown_archive"
        case NameNotFound():
            return "unknown_name"
        case NameUnreachable():
            return "name_unreachable"
        case ArchiveExists():
            return "exists"
        case EntryNotFound():
            return "no_such_file"
        case VersionNotFound():
            return "no_such_version"
        case Gone():
            return "gone"
        case Timeout():
            return "no_peers"
        case Behind():
            return "behind"
        case Forked() | FolderNotEmpty() | PathRefused():
            return "conflict"
        case NotWritableError():
            return "forbidden"
        case FolderRefused():
            return "forbidden" if error.forbidden else "bad_request"
        case SecretRefused():
            return "bad_request"
        case UnknownJob():
            return "no_such_job"
        case UnknownWebhook():
            return "no_such_webhook"
        case Busy():
            return "busy"
        case QuotaUsedUp():
            return "quota"
        case NoRoom():
            return "disk_full"
        case ReadOnlyError():
            return "read_only"
        case StorageError() if is_short(error):
            return "busy"  # C-17: it is as it was, and can be looked at later
        case StorageError():
            return "disk_full" if _errno(error) in _DISK_FULL else "damaged"
        case ArchiveFormatError():
            return "damaged"
        case _:
            return "internal"


def _errno(error: BaseException) -> int | None:
    cause = error.__cause__
    return cause.errno if isinstance(cause, OSError) else None


def _sentence(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _from_router(error: web.HTTPException, request: web.Request) -> Problem:
    """The errors that aiohttp raises itself."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))
        return Problem(
            "method",
            f"{request.method} is not possible here, only {allowed}.",
            headers={"Allow": allowed},
        )
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Problem("too_large", "The body is larger than the 1 MiB that the API reads.")
    if error.status == 404:
        return Problem(
            "no_such_route", "There is nothing at this address; the API lies under /api/v1/."
        )
    if 400 <= error.status < 500:
        return Problem("bad_request", f"The request was refused: {error.reason}.")
    return internal_error()
