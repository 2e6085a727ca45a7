"""What the API can be asked: one `Operation` a route, from which routes and OpenAPI are made.

A handler alone does not say what it takes and gives. Beside it stands the operation that does, so
that the document, the guard and the tests speak of the same thing as the code.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web
from pydantic import BaseModel

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Model = type[BaseModel]

# What a token must allow: nothing; looking; changing archives; tokens, keys, settings of all.
Scope = Literal["public", "read", "control", "admin"]


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
        bodies: Models of the JSON body: one of them, or none is taken.
        takes: Media type of a body that is not JSON, such as "application/octet-stream".
        answers: Status → model of the JSON answer; None: it has no body, or is not JSON.
        gives: Media type of answers that are not JSON.
        errors: Problem types it may answer beside those that every operation may.
        description: More for people, in Markdown.
        slashes: Whether its last name takes slashes, which OpenAPI cannot express (decision 23).
    """

    method: str
    path: str
    handler: Handler
    name: str
    summary: str
    scope: Scope
    tag: str
    query: Model | None = None
    bodies: tuple[Model, ...] = ()
    takes: str | None = None
    answers: Mapping[int, Model | None] = field(default_factory=dict)
    gives: str | None = None
    errors: tuple[str, ...] = ()
    description: str = ""
    slashes: bool = False
