"""What a row of the tables is, and what rows often need."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.helpers.api import THREADS, Answer, RunningApi

V1 = "/api/v1"
ARCHIVES = f"{V1}/archives"
# Nobody's: it is hosted, and nothing of it ever comes.
NOWHERE = "cd" * 32
JSON = "Content-Type: application/json"


class Row(NamedTuple):
    """An answer, and how to get it.

    Attributes:
        operation: Its operationId.
        outcome: The status of an answer that is none of an error, or the kind of a problem.
        ask: Asks a fresh API for it.
    """

    operation: str
    outcome: int | str
    ask: Callable[[RunningApi], Awaitable[Answer]]


async def make(api: RunningApi, **fields: object) -> str:
    """A new archive of ours, called "ours" unless told otherwise; gives its path."""
    made = await api.post(ARCHIVES, {"new": {"title": "Ours"}, "name": "ours"} | fields)
    assert made.status == 201, made
    return f"{ARCHIVES}/{made.json['key']}"


async def put(api: RunningApi, path: str, name: str, data: bytes = b"hello") -> Answer:
    """Write a file."""
    written = await api.ask(f"{path}/files/{name}", method="PUT", body=data)
    assert written.status in (200, 201), written
    return written


async def filled(api: RunningApi) -> str:
    """An archive of ours with two files; gives its path."""
    path = await make(api)
    await put(api, path, "a.txt")
    await put(api, path, "folder/b.txt")
    return path


async def theirs(api: RunningApi) -> str:
    """Somebody else's archive, all of it here; gives its path."""
    return (await api.host("archival-history")).path


async def nowhere(api: RunningApi) -> str:
    """An archive that nobody has; gives its path."""
    added = await api.post(ARCHIVES, {"link": NOWHERE})
    assert added.status == 201, added
    return f"{ARCHIVES}/{NOWHERE}"


async def send(
    api: RunningApi, method: str, target: str, document: object, *headers: str
) -> Answer:
    """A request with a JSON body."""
    body = json.dumps(document).encode()
    return await api.ask(target, JSON, *headers, method=method, body=body)


async def damaged(api: RunningApi, target: str) -> Answer:
    """Ask about somebody's archive of which a file cannot be read."""
    hosted = await api.host("archival-history", paused=True)
    await api.library.find(hosted.key.hex).tidy(close=True)
    (file,) = api.folder.rglob("metadata.tree")
    file.unlink()
    file.mkdir()
    return await api.ask(hosted.path + target)


async def while_under_way(
    api: RunningApi, target: str, document: object, *headers: str
) -> tuple[Answer, Answer]:
    """The same request twice: the answer to the first, and to the one sent before it was there.

    The disk does nothing for the first until the second is answered.
    """
    goes_on = threading.Event()
    for _ in range(THREADS):
        api.library.services.executor.submit(goes_on.wait)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(send(api, "POST", target, document, *headers)) for _ in "12"]
        try:
            (early,), (late,) = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        finally:
            goes_on.set()
    return late.result(), early.result()
