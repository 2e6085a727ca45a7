"""`GET /openapi.json` and `GET /docs`: the document for programs, and the same as a page to read.

The page is made here from the document: no script, no font, no file of anybody else, so that it
opens offline, in any browser, for screen readers and on paper. Both are the same on every daemon
and tell nothing of this one, so they need no token, which a browser could not send.
"""

import base64
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from html import escape
from typing import Any

from aiohttp import web

from datd.http.inputs import read_query
from datd.http.openapi import document
from datd.http.operation import OPERATIONS, PREFIX, Operation
from datd.http.problems import KINDS, SAFE_HEADERS
from datd.http.stats import NoQuery

Json = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --quiet: #888; --back: #8881; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; font: 1rem/1.5 system-ui, sans-serif; }
nav { columns: 16rem; font-size: .9rem; }
nav h2 { font-size: 1rem; margin: 0; break-after: avoid; }
nav ul { margin: 0 0 1rem; padding: 0; list-style: none; }
h2 { border-bottom: 1px solid var(--line); margin-top: 3rem; }
nav h2, nav + h2 { border: 0; }
section.operation, section.schema { margin: 1.5rem 0; padding: .1rem 1rem; border-radius: .5rem;
  border: 1px solid var(--line); }
code, pre { font: .9em/1.5 ui-monospace, monospace; }
code, pre { background: var(--back); border-radius: .2rem; }
code { padding: .1em .3em; overflow-wrap: anywhere; }
pre { padding: .6rem; overflow-x: auto; }
pre code, h3 code { padding: 0; background: none; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
.quiet { color: var(--quiet); }
:target { outline: 2px solid currentColor; }
@media print { nav { display: none; } section { break-inside: avoid; } }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = SAFE_HEADERS | {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
}


class DocsRoutes:
    """Handlers of the documentation."""

    def __init__(self) -> None:
        # Made when somebody asks first: most daemons are never asked.
        self._document: bytes | None = None
        self._page: bytes | None = None

    def operations(self) -> list[Operation]:
        """What can be asked of the documentation."""
        return [
            Operation(
                "GET",
                f"{PREFIX}/openapi.json",
                self.openapi,
                name="get_openapi",
                summary="This interface, as OpenAPI 3.1",
                scope="public",
                tag="Documentation",
                answers={200: None},
                gives="application/json",
            ),
            Operation(
                "GET",
                f"{PREFIX}/docs",
                self.docs,
                name="get_docs",
                summary="This interface, as a page to read",
                scope="public",
                tag="Documentation",
                answers={200: None},
                gives="text/html",
            ),
        ]

    async def openapi(self, request: web.Request) -> web.Response:
        """`GET /openapi.json`."""
        read_query(request, NoQuery)
        if self._document is None:
            self._document = json.dumps(_document_of(request)).encode()
        return web.Response(
            body=self._document, content_type="application/json", headers=SAFE_HEADERS
        )

    async def docs(self, request: web.Request) -> web.Response:
        """`GET /docs`."""
        read_query(request, NoQuery)
        if self._page is None:
            self._page = page(_document_of(request)).encode()
        return web.Response(
            body=self._page, content_type="text/html", charset="utf-8", headers=_HEADERS
        )


def _document_of(request: web.Request) -> Json:
    # GET and HEAD are one operation.
    operations = {one.name: one for one in request.app[OPERATIONS].values()}
    return document(operations.values())


def page(described: Json) -> str:
    """An OpenAPI document as HTML.

    Args:
        described: As `openapi.document` makes it: this is no reader of just any document.
    """
    by_tag: dict[str, list[tuple[str, str, Json]]] = defaultdict(list)
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append((method.upper(), path, operation))
    schemas = described["components"]["schemas"]
    contents = "".join(
        f"<h2>{escape(tag)}</h2><ul>"
        + "".join(
            f'<li><a href="#{one["operationId"]}">{_address(method, path)}</a></li>'
            for method, path, one in operations
        )
        + "</ul>"
        for tag, operations in by_tag.items()
    )
    chapters = "".join(
        f"<h2>{escape(tag)}</h2>"
        + "".join(_operation(method, path, one) for method, path, one in operations)
        for tag, operations in by_tag.items()
    )
    values = "".join(_schema(name, schema) for name, schema in sorted(schemas.items()))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>datd: the interface</title><style>{_STYLE}</style></head><body>"
        f"<h1>datd: the interface</h1>{_text(described['info']['description'])}"
        f'<p><a href="openapi.json">openapi.json</a> says the same to programs.</p>'
        f"<nav>{contents}</nav><main>{chapters}"
        f'<h2 id="problems">Problems</h2>{_problems()}<h2>Values</h2>{values}</main></body></html>'
    )


def _operation(method: str, path: str, operation: Json) -> str:
    scopes = [scope for needed in operation["security"] for scope in needed["token"]]
    needs = f"Scope: {_code(scopes[0])}" if scopes else "No token is needed"
    return (
        f'<section class="operation" id="{operation["operationId"]}">'
        f"<h3>{_address(method, path)}</h3>"
        f"<p>{_line(operation['summary'])}. {needs}. "
        f'<span class="quiet">{operation["operationId"]}</span></p>'
        f"{_text(operation.get('description', ''))}"
        f"{_parameters(operation)}{_body(operation)}{_responses(operation)}"
        f"<pre><code>{escape(_curl(method, path, operation))}</code></pre></section>"
    )


def _parameters(operation: Json) -> str:
    rows = [
        (
            f"{_code(one['name'])} <span class=quiet>{one['in']}</span>",
            _kind(one["schema"]) + (" (needed)" if one.get("required") else ""),
            _line(one.get("description", "")),
        )
        for one in operation["parameters"]
    ]
    return _table(("Parameter", "Value", ""), rows)


def _body(operation: Json) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return "".join(
        f"<p>Body, <code>{escape(kind)}</code>: {_kind(one['schema']) or 'bytes'}</p>"
        for kind, one in content.items()
    )


def _responses(operation: Json) -> str:
    """Answers of its own as a table, those that most operations may give in one line."""
    rows, common = [], []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            common.append(answer["$ref"].rpartition("/")[2])
            continue
        kinds = [
            f"<code>{escape(kind)}</code> {_kind(one.get('schema', {}))}"
            for kind, one in answer.get("content", {}).items()
        ]
        headers = [
            f"{_code(name)}: {_line(one['description'])}"
            for name, one in answer.get("headers", {}).items()
        ]
        problem = int(status) >= 400
        said = "<br>".join(_line(line) for line in answer["description"].splitlines())
        rows.append((status, said, "<br>".join(headers if problem else kinds + headers)))
    told = ", ".join(_code(kind) for kind in common)
    others = f'<p class="quiet">Like most: {told} (<a href="#problems">problems</a>).</p>'
    return _table(("Status", "", ""), rows) + (others if common else "")


def _schema(name: str, schema: Json) -> str:
    needed = schema.get("required", ())
    rows = [
        (
            _code(field),
            _kind(one) + (" (needed)" if field in needed else ""),
            _line(one.get("description", "")),
        )
        for field, one in schema.get("properties", {}).items()
    ]
    return (
        f'<section class="schema" id="{name}"><h3>{name}</h3>'
        f"{_text(schema.get('description', ''))}{_table(('Field', 'Value', ''), rows)}</section>"
    )


def _problems() -> str:
    rows = [(_code(name), str(kind.status), escape(kind.title)) for name, kind in KINDS.items()]
    return _table(("Problem", "Status", ""), rows)


def _kind(schema: Json) -> str:
    """What a value may be, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(_kind(one) for one in schema[several])
    if "enum" in schema or "const" in schema:
        return " or ".join(_code(str(one)) for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    words = {"minimum": "from", "maximum": "to", "minLength": "at least", "maxLength": "at most"}
    limits = [f"{word} {schema[name]}" for name, word in words.items() if name in schema]
    if "default" in schema and schema["default"] is not None:
        limits.append(f"default {json.dumps(schema['default'])}")
    return escape(" ".join([str(schema.get("format", schema.get("type", ""))), *limits]))


def _curl(method: str, path: str, operation: Json) -> str:
    """A command that asks it, run in the daemon's data folder, where the token lies."""
    parts = ["curl"]
    if operation["security"]:
        parts.append('-H "Authorization: Bearer $(cat api.token)"')
    if method != "GET":
        parts.append(f"-X {method}")
    for kind, one in operation.get("requestBody", {}).get("content", {}).items():
        if kind != "application/json":
            parts.append("-T FILE")
            continue
        examples = [example["value"] for example in one.get("examples", {}).values()]
        if examples:
            parts.append(f"-H 'Content-Type: {kind}' -d '{json.dumps(examples[0])}'")
    parts.append(f"http://127.0.0.1:3472{re.sub(r'{(.*?)}', lambda found: found[1].upper(), path)}")
    return " ".join(parts)


def _address(method: str, path: str) -> str:
    return f"<code>{method} {escape(path)}</code>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _table(heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else ""


def _text(markdown: str) -> str:
    """Paragraphs; of Markdown only what our own texts use."""
    paragraphs = [part for part in markdown.strip().split("\n\n") if part]
    return "".join(f"<p>{_line(part)}</p>" for part in paragraphs)


def _line(markdown: str) -> str:
    text = re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(markdown, quote=False))
    return re.sub(r"\*\*([^*]*)\*\*", r"<b>\1</b>", text)
