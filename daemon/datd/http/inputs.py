"""What clients send, read and checked: bodies, query strings, addresses of peers."""

import asyncio
import ipaddress
import json
import socket
from collections.abc import Mapping
from typing import Any, TypeVar, get_origin

from aiohttp import web
from aiohttp.abc import AbstractResolver
from pydantic import BaseModel, ConfigDict, ValidationError

from datd.http.access import Access
from datd.http.problems import Problem
from datd.naming.destinations import public
from datd.types import Address

# L-22: the largest body of the API is a list of addresses.
MAX_BODY = 2**20
# L-22: a megabyte at a modem's speed is not what this API is for.
BODY_SECONDS = 10.0
# A name server that is silent must not hold a request.
RESOLVE_SECONDS = 10.0

M = TypeVar("M", bound=BaseModel)


class Query(BaseModel):
    """Base of what stands behind the question mark; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


async def read_body(request: web.Request, model: type[M]) -> M:
    """The JSON body of a request. An absent body reads as an empty object.

    Raises:
        Problem: Not JSON by its header or its content, too slow, or fields are wrong or unknown.
    """
    return _validated(await _read(request), model)


async def read_bytes(request: web.Request) -> bytes:
    """The body of a request, whatever it is; it can be read again.

    Raises:
        Problem: It is too slow.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise Problem(
            "timeout", f"The body did not arrive within {BODY_SECONDS:.0f} seconds."
        ) from None


async def _read(request: web.Request) -> bytes:
    body = await read_bytes(request)
    if body and request.content_type != "application/json":
        raise Problem("media_type", "Send the body as JSON, with Content-Type: application/json.")
    return body


def _validated(body: bytes, model: type[M]) -> M:
    try:
        return model.model_validate_json(body or b"{}", strict=True)
    except ValidationError as error:
        raise _invalid(error, "the body") from error


async def read_one_of(request: web.Request, models: Mapping[str, type[BaseModel]]) -> BaseModel:
    """The JSON body of a request that may be one of several things.

    Args:
        request: The request.
        models: By the field that only this one has; the first is meant if none is there.

    Raises:
        Problem: As `read_body`, or fields of several are there.
    """
    body = await _read(request)
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        found = None  # the model says it better
    named = [field for field in models if isinstance(found, dict) and field in found]
    if len(named) > 1:
        raise Problem("bad_request", f"In the body: give one of {', '.join(named)}, not several.")
    return _validated(body, models[named[0] if named else next(iter(models))])


def read_query(request: web.Request, model: type[M]) -> M:
    """The query string of a request.

    Raises:
        Problem: A name is unknown, given twice, or has a value that is not possible.
    """
    values: dict[str, Any] = {}
    for name in request.query:
        given = request.query.getall(name)
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is list:
            values[name] = given
        elif len(given) > 1:
            raise Problem("bad_request", f"{shown(name)} is given more than once.")
        else:
            values[name] = given[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _invalid(error, "the query") from error


def _invalid(error: ValidationError, where: str) -> Problem:
    fields = []
    for found in error.errors(include_url=False, include_context=False, include_input=False)[:20]:
        pointer = "".join(f"/{_token(part)}" for part in found["loc"])
        fields.append((pointer, _explained(found["type"], found["msg"])))
    first, text = fields[0]
    subject = shown(first.lstrip("/")) if first else where
    return Problem("bad_request", f"In {where}: {subject}: {text}.", fields=fields)


def _token(part: str | int) -> str:
    return str(part)[:80].replace("~", "~0").replace("/", "~1")  # RFC 6901, 3


def _explained(kind: str, text: str) -> str:
    """Pydantic's sentence, or a better one where it speaks of Python."""
    if kind == "extra_forbidden":
        return "there is no such field"
    if kind == "missing":
        return "is needed"
    if kind == "model_type":
        return "expected a JSON object"
    text = text.removesuffix(".")
    return text[:1].lower() + text[1:]


async def read_address(text: str, lookup: AbstractResolver, access: Access) -> Address:
    """Where a peer listens, from `host:port`; a name is looked up.

    Args:
        text: As somebody wrote it.
        lookup: Turns names into addresses.
        access: Who asks. Only an administrator has the daemon dial its own host and network: others
            could knock at any door in there, and read in the list of peers who opened (T-49).

    Raises:
        Problem: It is no address, the name is not known, or it must not be dialled for who asks.
    """
    address = await _address(text, lookup)
    if not access.allows("admin") and not public(address.host):
        raise Problem(
            "forbidden",
            f"{shown(text)} is an address of the daemon's own host or network: to have it dialled "
            f"needs the scope admin, and this is {access.scope}.",
        )
    return address


async def _address(text: str, lookup: AbstractResolver) -> Address:
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or not _is_port(port) or (":" in host and not bracketed):
        raise Problem(
            "bad_request",
            f"{shown(text)} is not an address: expected HOST:PORT, as in 192.0.2.7:3282 or "
            "[2001:db8::7]:3282.",
        )
    host = host[1:-1] if bracketed else host
    try:
        return Address(str(ipaddress.ip_address(host)), int(port))
    except ValueError:
        return Address(await _resolve(host, lookup), int(port))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65_536


async def _resolve(host: str, lookup: AbstractResolver) -> str:
    unknown = Problem("bad_request", f"No address is known for the host {shown(host)}.")
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await lookup.resolve(host, family=socket.AF_UNSPEC)
    except (OSError, UnicodeError, TimeoutError) as error:
        raise unknown from error
    if not found:
        raise unknown
    return found[0]["host"]


def shown(text: str) -> str:
    """A stranger's text for a message: quoted, escaped, cut."""
    return json.dumps(text if len(text) <= 80 else text[:79] + "…")
