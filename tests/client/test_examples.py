"""Examples of the README and of docstrings do what they show, with a real daemon."""

import ast
import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.helpers.daemon import VERB_SECONDS, running_daemon

import datctl
from datctl.sync import Client

README = Path(__file__).parents[2] / "README.md"
MODULES = [
    "datctl", "datctl.sync", "datctl.fs", "datctl.remote_file", "datctl.client", "datctl.files",
    "datctl.versions", "datctl.writing", "datctl.jobs",
]  # fmt: skip
# What programs of several lines begin with, in docstrings.
_CODE = re.compile(r"(import|from|with|async|for|print|\w+ =|await) ?")


class Example(NamedTuple):
    """A piece of code, and where it stands."""

    where: str
    code: str


def blocks_of_readme() -> Iterator[Example]:
    """Blocks of Python in the README."""
    found = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    for number, code in enumerate(found, 1):
        yield Example(f"README {number}", code)


def blocks_of_docstrings() -> Iterator[Example]:
    """Indented paragraphs of docstrings that are code."""
    for name in MODULES:
        module = import_module(name)
        for where, text in docstrings(module):
            for paragraph in re.findall(r"(?:^(?: {4}.*|)\n)+", text + "\n", re.MULTILINE):
                code = textwrap.dedent(paragraph).strip("\n")
                if _CODE.match(code) and "\n" in code:
                    yield Example(f"{name}: {where}", code)


def docstrings(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Names and docstrings of a module, its classes and their methods."""
    yield "the module", inspect.getdoc(module) or ""
    for label, kind in inspect.getmembers(module, inspect.isclass):
        if kind.__module__ == module.__name__:
            yield label, inspect.cleandoc(kind.__doc__ or "")
            for method in filter(inspect.isfunction, vars(kind).values()):
                yield method.__qualname__, inspect.cleandoc(method.__doc__ or "")


EXAMPLES = [*blocks_of_readme(), *blocks_of_docstrings()]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    table = folder / "prices.parquet"
    pq.write_table(pa.table({"price": [1.0, 2.0, 3.0], "of": ["a", "b", "c"]}), table)
    with (
        running_daemon(folder / "datd") as running,
        Client(running.api, token=running.token, env={}) as dat,
    ):
        dat.create(title="Recipes", name="recipes")
        dat.put("recipes", "/soups/leek.md", b"# Leek\n\nCut it.\n")
        dat.change("recipes", version_tags={"first": 2})
        dat.put("recipes", "/soups/leek.md", b"# Leek soup\n\nCut it.\n")
        dat.put("recipes", "/prices.parquet", table.read_bytes())
        yield running


def test_there_are_examples_where_people_look():
    places = {example.where.partition(" ")[0].rstrip(":") for example in EXAMPLES}
    assert {"README", *MODULES} <= places


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.where)
def test_an_example_runs(example: Example, daemon, tmp_path):
    # A program of its own, since it opens whatever it likes; what it awaits stands in a function.
    code = example.code
    head = "import fsspec\nfrom datctl.fs import DatFileSystem\n"
    head += "for name in ('dat', 'hyper'): fsspec.register_implementation(name, DatFileSystem)\n"
    awaits = any(
        isinstance(node, ast.AsyncWith | ast.AsyncFor | ast.Await) for node in ast.walk(_tree(code))
    )
    if awaits:
        head += "import asyncio\nfrom datctl import Client\nasync def example():\n"
        opened = code if "Client()" in code else f"async with Client() as dat:\n{_in(code)}"
        code = f"{_in(opened)}\nasyncio.run(example())\n"
    (tmp_path / "example.py").write_text(head + code)
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env={**os.environ, "DATD_API": daemon.api, "DATD_TOKEN": daemon.token},
        capture_output=True,
        text=True,
        timeout=VERB_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "Unclosed" not in done.stderr


def _tree(code: str) -> ast.AST:
    return ast.parse(f"async def example():\n{_in(code)}")


def _in(code: str) -> str:
    return textwrap.indent(code, "    ")


def test_the_package_is_quick_to_import():
    script = "import sys, datctl; print(any(m in sys.modules for m in ('aiohttp', 'pydantic')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert {"Client", "DatdError", "RemoteFile"} <= set(datctl.__all__)
