"""The OpenAPI 3.1 document, made of the operations and their models; nothing is written by hand.

Pure. The document is the same for everybody and tells nothing of the daemon that gives it.
"""

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from datctl.models import ProblemDetails
from datd.http.operation import Model, Operation
from datd.http.problems import KINDS, TYPE_PREFIX

Json = dict[str, Any]

ABOUT = """\
The control interface of datd, a daemon that keeps Dat archives alive.

**Who may.** Over TCP each request carries `Authorization: Bearer TOKEN`; the text of the file
`api.token` in the daemon's data folder is such a token. The Unix socket needs none. What a token
must allow stands beside each operation: `read`, `control` or `admin`.

**Units.** Bytes, bytes per second, seconds; times are RFC 3339 in UTC; keys are 64 lower-case
hexadecimal digits. Fields may be added to answers: ignore those you do not know. Requests with
fields or parameters that are not known are refused.

**Archives.** `{key}` takes a key, a link, a name, or the beginning of a key of at least six digits.

**Pages.** Long lists come in pages of `limit`. As long as `next_cursor` is not null, ask again
with the same parameters and `cursor` set to it. Pages neither lose nor repeat what was there all
the time.

**Errors** are `application/problem+json` (RFC 9457). Compare the part of `type` behind the last
slash, which is stable; `detail` says to people what is wrong and what to do; `errors` names the
fields, if it was some. With 429 and 503, `Retry-After` says when to ask again.

**HEAD** is answered wherever GET is, and **OPTIONS** everywhere.
"""

_COMMON = ("bad_request", "timeout", "uri_too_long", "wrong_host", "headers", "internal", "busy")
_GUARDED = ("unauthorized", "forbidden", "too_many")
_WITH_JSON = ("too_large", "media_type")
# Where no schema says so, any text is meant.
_TEXT: Json = {"type": "string"}
_KEY = "The archive: its key, link or name, or the beginning of its key."
_PATH = "Names of folders and of the file, with slashes between them."
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def document(operations: Iterable[Operation]) -> Json:
    """The document.

    Args:
        operations: All that can be asked.
    """
    asked = list(operations)
    schemas, references = _schemas(asked)
    paths: dict[str, Json] = defaultdict(dict)
    for operation in asked:
        paths[operation.path][operation.method.lower()] = _described(operation, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "datd",
            # Of the interface: which software answers is told to those with a token only.
            "version": "1",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in asked)],
        "paths": dict(paths),
        "components": {
            "schemas": schemas,
            "responses": {kind: _problem([kind]) for kind in _COMMON + _GUARDED + _WITH_JSON},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Scopes: `read`, `control` (and `read`), `admin` (all).",
                }
            },
        },
    }


def errors_of(operation: Operation) -> tuple[str, ...]:
    """All kinds of problems that an operation may answer with, its own ones first."""
    common = (
        *_COMMON,
        *(_GUARDED if operation.scope != "public" else ()),
        *(_WITH_JSON if operation.bodies else ()),
    )
    return tuple(dict.fromkeys(operation.errors + common))


# ---- schemas

_Direction = Literal["validation", "serialization"]
_References = Mapping[tuple[Model, _Direction], Json]


def _schemas(operations: Sequence[Operation]) -> tuple[Json, _References]:
    """Schemas of all models in one pass, and how each is referred to."""
    wanted: list[tuple[Model, _Direction, TypeAdapter[Any]]] = [
        (model, direction, TypeAdapter(model))
        for model, direction in dict.fromkeys(
            (model, direction) for one in operations for model, direction in _models(one)
        )
    ]
    given, found = TypeAdapter.json_schemas(
        [*wanted, (ProblemDetails, "serialization", TypeAdapter(ProblemDetails))],
        ref_template="#/components/schemas/{model}",
    )
    references = {(model, way): given[model, way] for model, way, _ in wanted}
    models = {model.__name__: model for model, _, _ in wanted}
    schemas = {name: _readable(schema, models.get(name)) for name, schema in found["$defs"].items()}
    return schemas, references


def _models(operation: Operation) -> Iterable[tuple[Model, _Direction]]:
    for body in operation.bodies:
        yield body, "validation"
    for answer in operation.answers.values():
        for model in _several(answer):
            yield model, "serialization"


def _several(models: Model | tuple[Model, ...] | None) -> tuple[Model, ...]:
    return models if isinstance(models, tuple) else () if models is None else (models,)


def _readable(schema: Json, model: Model | None) -> Json:
    """What docstrings say of fields stands beside the fields, also that of the classes above."""
    text, told = _docstring(schema.get("description", ""))
    for base in model.__mro__[1:] if model is not None else ():
        if base is not BaseModel and issubclass(base, BaseModel):
            told = _docstring(inspect.cleandoc(base.__doc__ or ""))[1] | told
    properties = {
        name: {key: value for key, value in one.items() if key != "title"}
        | ({"description": told[name]} if name in told else {})
        for name, one in schema.get("properties", {}).items()
    }
    readable = {key: value for key, value in schema.items() if key != "title"}
    if text:
        readable["description"] = text
    if properties:
        readable["properties"] = properties
    return readable


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """A docstring's text, and what it says of each attribute."""
    text, _, attributes = text.partition("\n\nAttributes:\n")
    told = {found[1]: " ".join(found[2].split()) for found in _ATTRIBUTE.finditer(attributes)}
    return text, told


# ---- operations


def _described(operation: Operation, references: _References) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "responses": _responses(operation, references),
        "security": [] if operation.scope == "public" else [{"token": [operation.scope]}],
    }
    if operation.description:
        described["description"] = operation.description
    body = _body(operation, references)
    if body is not None:
        described["requestBody"] = body
    return described


def _parameters(operation: Operation) -> list[Json]:
    told = {"key": _KEY, "path": _PATH} | dict(operation.names)
    found: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _TEXT if operation.slashes else _TEXT | {"minLength": 1},
            "description": told.get(name, "Its id."),
        }
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    if operation.query is not None:
        found += _query(operation.query)
    found += [
        {"name": name, "in": "header", "schema": _TEXT, "description": text}
        for name, text in operation.headers.items()
    ]
    return found


def _query(model: Model) -> list[Json]:
    schema = TypeAdapter(model).json_schema()
    readable = _readable(schema, model)
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _without_null(
                {key: value for key, value in one.items() if key != "description"}
            ),
        }
        | ({"description": one["description"]} if "description" in one else {})
        for name, one in readable.get("properties", {}).items()
    ]


def _without_null(schema: Json) -> Json:
    """A parameter is there or not; nothing in an address can be null."""
    schema = dict(schema)
    if schema.get("default", ...) is None:
        del schema["default"]
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        return {**kinds[0], **schema}
    return schema


def _body(operation: Operation, references: _References) -> Json | None:
    if operation.takes is not None:
        return {"content": {operation.takes: {"schema": {}}}}
    if not operation.bodies:
        return None
    content: Json = {"schema": _any_of(operation.bodies, "validation", references)}
    if operation.examples:
        content["examples"] = {
            f"{operation.name}_{number}": {"summary": text, "value": dict(value)}
            for number, (text, value) in enumerate(operation.examples.items(), 1)
        }
    needed = not any(_may_be_absent(body) for body in operation.bodies)
    return {"required": needed, "content": {"application/json": content}}


def _any_of(models: Sequence[Model], direction: _Direction, references: _References) -> Json:
    kinds = [references[model, direction] for model in models]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _may_be_absent(model: Model) -> bool:
    """An absent body reads as an empty object."""
    return not any(field.is_required() for field in model.model_fields.values())


def _responses(operation: Operation, references: _References) -> Json:
    found: Json = {}
    for status, models in sorted(operation.answers.items()):
        answer: Json = {"description": HTTPStatus(status).phrase}
        content: Json = {}
        if models is not None:
            schema = _any_of(_several(models), "serialization", references)
            content["application/json"] = {"schema": schema}
        if operation.gives is not None and status not in {204, 304}:
            content[operation.gives] = {}
        if content:
            answer["content"] = content
        if operation.sends and status not in {204}:
            answer["headers"] = {
                name: {"description": text, "schema": _TEXT}
                for name, text in operation.sends.items()
            }
        found[str(status)] = answer
    by_status: dict[int, list[str]] = defaultdict(list)
    for kind in errors_of(operation):
        by_status[KINDS[kind].status].append(kind)
    for error, kinds in sorted(by_status.items()):
        shared = len(kinds) == 1 and kinds[0] in _COMMON + _GUARDED + _WITH_JSON
        if str(error) in found:  # its body tells something else as well
            found[str(error)].setdefault("content", {}).update(_problem(kinds)["content"])
        elif shared:
            found[str(error)] = {"$ref": f"#/components/responses/{kinds[0]}"}
        else:
            found[str(error)] = _problem(kinds)
    return found


def _problem(kinds: Sequence[str]) -> Json:
    told = [f"`{kind}`: {KINDS[kind].title}." for kind in kinds]
    answer: Json = {
        "description": "\n".join(told),
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [{"$ref": "#/components/schemas/ProblemDetails"}],
                    "properties": {"type": {"enum": [TYPE_PREFIX + kind for kind in kinds]}},
                }
            }
        },
    }
    if KINDS[kinds[0]].status in {429, 503}:
        answer["headers"] = {
            "Retry-After": {
                "description": "Seconds after which to ask again.",
                "schema": {"type": "integer", "minimum": 0},
            }
        }
    return answer
