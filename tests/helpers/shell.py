"""Runs `datctl` in the process of a test, against the API of that test."""

import asyncio
import json
from typing import Any

import pytest

from datctl import cli
from tests.helpers.api import TOKEN, RunningApi


class Shell:
    """Runs command lines against the API of a test, as a terminal would."""

    def __init__(self, api: RunningApi, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self.api = api
        self.capture = capfdbinary

    async def run(self, *arguments: str, status: int = 0) -> bytes:
        """Give what went to standard output; the exit status must be as said."""
        self.capture.readouterr()
        line = ["--api", self.api.url, "--token", TOKEN, *arguments]
        found = await asyncio.to_thread(cli.main, line)
        out, err = self.capture.readouterr()
        self.err = err.decode()
        assert found == status, (found, out, self.err)
        assert "Traceback" not in self.err
        if status:
            assert "datctl: " in self.err.splitlines()[-1]
        return out

    async def text(self, *arguments: str, status: int = 0) -> str:
        return (await self.run(*arguments, status=status)).decode()

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.run(*arguments, "--json"))
