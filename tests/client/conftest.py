import asyncio
import os
import sys

import pytest
from tests.helpers.api import TOKEN, running_api
from tests.helpers.shell import Shell

from datctl import connection


@pytest.fixture
async def api(tmp_path):
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture
async def dat(api):
    async with api.client() as client:
        yield client


@pytest.fixture
def shell(api, capfdbinary, monkeypatch):
    # Tests read all that a verb says. That it waits for a machine that is busy is none of that.
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 600.0)
    return Shell(api, capfdbinary)


@pytest.fixture
def site(tmp_path_factory):
    """A folder of the kind that people publish; it may be published here."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text("hello")
    (folder / "soups").mkdir()
    (folder / "soups/leek.md").write_text("# Leek")
    return folder


@pytest.fixture
def told():
    """Reads lines of a verb up to the one that has a text; gives that.

    Before it may only stand that an answer takes long, on a machine that is busy, or `others`.
    """

    async def read(stream, text, *, others=b"nothing came for"):
        async with asyncio.timeout(180):
            while text not in (line := await stream.readline()):
                assert line, f"ended without {text!r}"
                assert others in line, f"before {text!r}"
        return line

    return read


@pytest.fixture
async def started(api):
    """Starts verbs that stay until somebody has enough; ends those that are left."""
    processes = []

    async def start(*line, stdin=None, stdout=asyncio.subprocess.PIPE, **env):
        env = os.environ | {"DATD_API": api.url, "DATD_TOKEN": TOKEN} | env
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "datctl", *line, env=env,
            stdin=stdin, stdout=stdout, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()
