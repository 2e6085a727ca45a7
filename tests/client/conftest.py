import asyncio
import os
import sys

import pytest
from tests.helpers.api import TOKEN, running_api
from tests.helpers.shell import Shell


@pytest.fixture
async def api(tmp_path):
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture
async def dat(api):
    async with api.client() as client:
        yield client


@pytest.fixture
def shell(api, capfdbinary):
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
