"""What happens is told, over restarts and crashes of the daemon: none is lost, none invented."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from tests.helpers.daemon import RunningDaemon, eventually, running_daemon
from tests.helpers.ports import free_port
from tests.helpers.receivers import Receiver, receiver

from datctl.client import Client
from datctl.errors import DatdError
from datctl.models_events import ArchiveVersion, Event

LOOPBACK = {"DATD_WEBHOOKS__ALLOW_NETWORKS": "127.0.0.0/8"}
KINDS = ["archive.*", "file.*"]
CHANGES = ("archive.added", "archive.paused", "archive.changed")


# Nobody has it, so that nothing comes of it.
QUIET = "ab" * 32


@contextlib.asynccontextmanager
async def daemon(folder: Path, port: int) -> AsyncIterator[tuple[RunningDaemon, Client]]:
    """A daemon whose API keeps its port over restarts, as it does for users."""
    started = running_daemon(folder, "--api-port", str(port), environment=LOOPBACK)
    running = await asyncio.to_thread(started.__enter__)
    try:
        async with client_of(running) as dat:
            yield running, dat
    finally:
        await asyncio.to_thread(started.__exit__, None, None, None)


def client_of(running: RunningDaemon) -> Client:
    return Client(running.api, token=running.token, env={})


async def end(running: RunningDaemon, how: str) -> None:
    await asyncio.to_thread(running.kill if how == "crash" else running.stop)


async def follow(dat: Client, seen: list[Event]) -> None:
    async with dat:
        async for event in dat.events(since=0, kinds=["archive.*"]):
            seen.append(event)


async def kept(dat: Client, *kinds: str) -> list[Event]:
    """All events of some kinds; of all of them, if none is named."""
    found: list[Event] = []
    since = "0"
    while (page := await dat.event_page(since=since, kinds=kinds)).events:
        found += page.events
        since = page.next
    return found


async def told_to_all(
    dat: Client, seen: list[Event], hook: Receiver, secret: str | None
) -> list[Event]:
    """What is kept, once both the stream and the webhook have all of it, in order, and no more.

    Something may be told still while this looks: then it looks again.
    """
    told: list[Event] = []

    async def all_heard() -> bool:
        nonlocal told
        told = await kept(dat, "archive.*")
        wanted = [event.id for event in told]
        return [event.id for event in seen] == wanted == received(hook, secret)

    await eventually(all_heard, what="the stream and the webhook")
    return told


def received(hook: Receiver, secret: str | None) -> list[str]:
    """The events that a receiver has, each once, in order; all of them signed."""
    assert secret is not None
    assert all(delivery.is_signed_with(secret) for delivery in hook.taken)
    return list({delivery.id: str(delivery.event["id"]) for delivery in hook.taken}.values())


@pytest.mark.parametrize("how", ["stop", "crash"])
async def test_a_restart_between_two_events_loses_none(tmp_path, how):
    port, folder = free_port(), tmp_path / "data"
    seen: list[Event] = []
    done: list[tuple[str, str | None]] = [("archive.added", QUIET)]
    published: list[str] = []
    async with receiver() as hook, asyncio.TaskGroup() as group:
        async with daemon(folder, port) as (running, dat):
            secret = (await dat.add_webhook(hook.url, kinds=KINDS)).secret
            listening = group.create_task(follow(client_of(running), seen))
            await dat.add(QUIET, paused=True)
            await eventually(lambda: seen, what="the stream")
            await end(running, how)
        for turn in range(2):
            async with daemon(folder, port) as (running, dat):
                made = await dat.create(title=f"archive {turn}")
                await dat.put(made.key, "/a.txt", b"hello")
                await dat.pause(made.key)
                await dat.change(made.key, name=f"name-{turn}")
                done += [(kind, made.key) for kind in CHANGES]
                published.append(made.key)
                # What was acknowledged is there, however the daemon ends in this very moment.
                await end(running, how)
        async with daemon(folder, port) as (_, dat):

            async def told_of_versions():
                told = await kept(dat, "archive.*")
                newest = {e.archive: e.version for e in told if isinstance(e, ArchiveVersion)}
                return newest == dict.fromkeys(published, 2)

            await eventually(told_of_versions, what="the versions")
            told = await told_to_all(dat, seen, hook, secret)
        listening.cancel()

    assert [(e.kind, e.archive) for e in told if e.kind in CHANGES] == done
    for key in published:
        versions = [e for e in told if isinstance(e, ArchiveVersion) and e.archive == key]
        # Each version follows the one told before, over every crash.
        assert [e.previous for e in versions] == [0, *(e.version for e in versions[:-1])]
        assert versions[-1].version == 2


def _reached(found: list[tuple[str | None, str]], count: int) -> bool:
    return len(found) >= count


async def test_crashes_in_the_middle_of_many_changes(tmp_path):
    port, folder = free_port(), tmp_path / "data"
    acknowledged: list[tuple[str | None, str]] = []
    seen: list[Event] = []

    async def add(dat: Client, turn: int) -> None:
        with contextlib.suppress(DatdError):
            for number in range(1_000):
                key = f"{turn:02x}{number:06x}" * 8
                await dat.add(key, paused=True)
                acknowledged.append((key, "archive.added"))
                await dat.resume(key)
                acknowledged.append((key, "archive.resumed"))

    async with receiver() as hook, asyncio.TaskGroup() as group:
        async with daemon(folder, port) as (running, dat):
            secret = (await dat.add_webhook(hook.url, kinds=["archive.*"])).secret
            listening = group.create_task(follow(client_of(running), seen))
            await dat.add(QUIET, paused=True)
            await eventually(lambda: seen, what="the stream")
        for turn in range(3):
            async with daemon(folder, port) as (running, dat):
                enough = len(acknowledged) + 40
                adding = group.create_task(add(dat, turn))
                await eventually(partial(_reached, acknowledged, enough))
                await end(running, "crash")
                await adding
        async with daemon(folder, port) as (_, dat):
            hosted = {archive.key async for archive in dat.all_archives()}
            told = await told_to_all(dat, seen, hook, secret)
            ids = [event.id for event in await kept(dat)]
        listening.cancel()

    assert ids == [str(number) for number in range(1, len(ids) + 1)]
    # All that was acknowledged is told, in its order; and no archive without its event, or without
    # being there.
    found = [(event.archive, event.kind) for event in told]
    assert [one for one in found if one in set(acknowledged)] == acknowledged
    assert {key for key, kind in found if kind == "archive.added"} == hosted
