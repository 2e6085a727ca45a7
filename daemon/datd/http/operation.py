"""What the API can be asked: one `Operation` a route, from which routes and OpenAPI are made.

A handler alone does not say what it takes and gives. Beside it stands the operation that does, so
that the document, the guard and the tests speak of the same thing as the code.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import HttpVersion11, web
from pydantic import BaseModel

from datd.http.problems import SAFE_HEADERS, Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Model = type[BaseModel]

# What a token must allow: nothing; looking; changing archives; tokens, keys, settings of all.
# Beside them: what people with a pinning account may, with a session of theirs.
Scope = Literal["public", "read", "control", "admin", "account"]

PREFIX = "/api/v1"
ARCHIVES = f"{PREFIX}/archives"
ARCHIVE = f"{ARCHIVES}/{{key}}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address.

    Attributes:
        method: "GET" (which answers HEAD too), "POST", …
        path: With `{names}`, from the root, such as "/api/v1/archives/{key}/pause".
        handler: Answers it.
        name: The operationId: unique, snake_case, such as "pause_archive".
        summary: One line for people.
        scope: Who may.
        tag: The heading it stands under in the documentation.
        query: Model of the query string; None: none is taken.
        headers: Headers that mean something here, with a line for people each.
        names: What is meant by the names in the path, for people; `key` need not be told.
        bodies: Models of the JSON body: one of them, or none is taken.
        examples: Bodies that make sense, by a few words on each.
        takes: Media type of a body that is not JSON, such as "application/octet-stream".
        answers: Status → model of the JSON answer, or several of which it is one; None: it has no
            body, or is not JSON.
        gives: Media type of answers that are not JSON.
        sends: Headers of answers, with a line for people each.
        errors: Problem types it may answer beside those that every operation may.
        description: More for people, in Markdown.
        slashes: Whether its last name takes slashes, which OpenAPI cannot express (decision 23).
        selective: Whether it leaves out by itself what `Access.may_see` says no to. Others without
            an archive in their path are refused to tokens that are for some archives only.
    """

    method: str
    path: str
    handler: Handler
    name: str
    summary: str
    scope: Scope
    tag: str
    query: Model | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    bodies: tuple[Model, ...] = ()
    examples: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    takes: str | None = None
    answers: Mapping[int, Model | tuple[Model, ...] | None] = field(default_factory=dict)
    gives: str | None = None
    sends: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    description: str = ""
    slashes: bool = False
    selective: bool = False

    @property
    def pattern(self) -> str:
        """The path as the router has it: names take no slash, but for the last one perhaps."""
        one, rest = "{{{}:[^/]+}}", "{{{}:[\\s\\S]*}}"
        parts = self.path.split("/")
        last = len(parts) - 1
        return "/".join(
            (rest if self.slashes and number == last else one).format(part[1:-1])
            if part.startswith("{")
            else part
            for number, part in enumerate(parts)
        )


# Which operation a route is of; the guard asks, before the handler runs.
OPERATIONS = web.AppKey("operations", dict[web.AbstractRoute, Operation])


def add_operations(app: web.Application, operations: Iterable[Operation]) -> None:
    """Make the routes of an application.

    Raises:
        ValueError: Two operations have the same name.
    """
    app[OPERATIONS] = {}
    names: set[str] = set()
    for operation in operations:
        if operation.name in names:
            raise ValueError(f"two operations are called {operation.name}")
        names.add(operation.name)
        methods = ("GET", "HEAD") if operation.method == "GET" else (operation.method,)
        for method in methods:
            route = app.router.add_route(
                method, operation.pattern, operation.handler, expect_handler=_expect
            )
            app[OPERATIONS][route] = operation


async def _expect(request: web.Request) -> web.StreamResponse | None:
    """RFC 9110, 10.1.1. Of what may be expected there is one thing only."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        return Problem("expectation", "Nothing but 100-continue can be expected.").response()
    if request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # Nothing of the answer itself has been sent by that.
        request.writer.output_size = 0
    return None


@web.middleware
async def answer_options(request: web.Request, handler: Handler) -> web.StreamResponse:
    """`OPTIONS`: what is possible at an address; to stand behind the guard."""
    missed = request.match_info.http_exception
    if request.method == "OPTIONS" and isinstance(missed, web.HTTPMethodNotAllowed):
        allowed = sorted({*missed.allowed_methods, "OPTIONS"})
        return web.Response(status=204, headers=SAFE_HEADERS | {"Allow": ", ".join(allowed)})
    return await handler(request)


def operation_of(request: web.Request) -> Operation | None:
    """What a request asks; None if nothing stands at its address, or not by this method."""
    return request.app[OPERATIONS].get(request.match_info.route)
