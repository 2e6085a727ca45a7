"""Writes `datctl/sync_methods.pyi`: the methods of the asynchronous client, as they are in `sync`.

Run `python -m tests.helpers.sync_methods` when a method of the client was added or changed.
"""

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import datctl.sync
from datctl.client import Client
from datctl.sync import method_names

STUB = Path(datctl.sync.__file__).with_name("sync_methods.pyi")

_HEAD = '''"""Methods of `sync.Client`, written by `python -m tests.helpers.sync_methods`."""

'''
_WIDEST = 100
# How types of the asynchronous client are called where nothing is awaited.
_ITERATED = {"AsyncIterator", "AsyncGenerator", "AsyncIterable"}


def written() -> str:
    """The text of the stub, as it should be."""
    dat = Client("http://127.0.0.1:1", token="none", env={})
    imports: dict[str, str] = {}
    body = [_method(name, getattr(dat, name), imports) for name in method_names(dat)]
    lines = [_HEAD]
    lines += [
        f"from {module} import {name}\n" if module else f"import {name}\n"
        for name, module in imports.items()
    ]
    lines += ["\nclass Methods:\n", '    """What `Client` has beside `open` and `close`."""\n\n']
    return _formatted("".join(lines + body))


def _method(name: str, member: Any, imports: dict[str, str]) -> str:
    if not callable(member):
        kind = type(member)
        imports[kind.__name__] = kind.__module__
        return f"    {name}: {kind.__name__}\n"
    function: Callable[..., Any] = inspect.unwrap(member.__func__)
    module = inspect.getmodule(function)
    assert module is not None
    source = inspect.getsource(function)
    tree = ast.parse(_dedented(source))
    definition = tree.body[0]
    assert isinstance(definition, ast.AsyncFunctionDef), f"Client.{name} does not await"
    definition.returns = _returned(definition, imports)
    arguments = definition.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if argument.annotation is not None:
            argument.annotation = _Fed(imports).visit(argument.annotation)
    # The members' own names, such as `list`, must not hide the types of others.
    for part in (arguments, definition.returns):
        for node in ast.walk(part):
            if isinstance(node, ast.Name):
                _note(node, module, imports)
    summary = (inspect.getdoc(function) or "").split("\n\n")[0]
    signature = ast.unparse(arguments)
    raw = "r" if "\\" in summary else ""
    doc = f'        {raw}"""{summary}"""'
    if len(doc) > _WIDEST:
        doc += "  # noqa: E501"
    return f"    def {name}({signature}) -> {ast.unparse(definition.returns)}:\n{doc}\n\n"


def _dedented(source: str) -> str:
    margin = len(source) - len(source.lstrip())
    return "\n".join(line[margin:] for line in source.splitlines())


def _returned(definition: ast.AsyncFunctionDef, imports: dict[str, str]) -> ast.expr:
    found = definition.returns
    assert found is not None
    decorators = [ast.unparse(decorator) for decorator in definition.decorator_list]
    if decorators == ["asynccontextmanager"]:
        assert isinstance(found, ast.Subscript)
        imports["AbstractContextManager"] = "contextlib"
        inside = _iterated(found.slice, imports)
        return ast.parse(f"AbstractContextManager[{ast.unparse(inside)}]", mode="eval").body
    assert not decorators, f"{definition.name} is decorated"
    return _iterated(found, imports)


def _iterated(found: ast.expr, imports: dict[str, str]) -> ast.expr:
    outer = found.value if isinstance(found, ast.Subscript) else None
    if isinstance(found, ast.Subscript) and isinstance(outer, ast.Name) and outer.id in _ITERATED:
        imports["Iterator"] = "collections.abc"
        return ast.parse(f"Iterator[{ast.unparse(found.slice)}]", mode="eval").body
    return found


class _Fed(ast.NodeTransformer):
    """Bytes that come asynchronously there come from an iterator or a file here."""

    def __init__(self, imports: dict[str, str]) -> None:
        self._imports = imports

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id in _ITERATED:
            self._imports |= {"Iterator": "collections.abc", "IO": "typing"}
            inside = ast.unparse(node.slice)
            return ast.parse(f"Iterator[{inside}] | IO[{inside}]", mode="eval").body
        return node


def _note(node: ast.Name, module: ModuleType, imports: dict[str, str]) -> None:
    """Take down where a name comes from, and rename it where a method hides it."""
    name = node.id
    if name in imports and imports[name] != module.__name__:
        return
    if not hasattr(module, name):
        if hasattr(Client, name) or name == "list":
            imports["builtins"] = ""
            node.id = f"builtins.{name}"
        return
    imports[name] = _home(name, module)


def _home(name: str, module: ModuleType) -> str:
    """The module that a name is imported from."""
    for statement in ast.parse(inspect.getsource(module)).body:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    assert statement.module is not None
                    return statement.module
    return module.__name__


def _formatted(text: str) -> str:
    ruff = str(Path(sys.executable).with_name("ruff"))
    name = ["--stdin-filename", str(STUB), "-"]
    for words in (["check", "--fix", "--quiet", "--select", "I", *name], ["format", *name]):
        done = subprocess.run([ruff, *words], input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        text = done.stdout
    return text


if __name__ == "__main__":
    STUB.write_text(written())
