import asyncio
import contextlib
import json
import time

import pytest
from tests.helpers.api import TOKEN, running_api
from tests.helpers.libraries import until

from datctl.client import Client
from datctl.commands import copying
from datctl.disk import DestinationFolder
from datctl.errors import ApiError, NotFound
from datctl.mirror import STATE_NAME, Mirror

# A machine that stalls makes single changes late, and never all of these.
TRIES = 20


async def test_a_followed_folder_is_up_to_date_within_seconds(dat, shell, started, told, tmp_path):
    await dat.create(name="mine")
    await dat.put("mine", "/a", b"one")
    place = tmp_path / "copy"
    process = await started("get", "mine", str(place), "--follow")
    await told(process.stderr, b"following")
    assert await process.stdout.readline() == b"version 1: 1 written, 0 removed, 3 B\n"
    for version in range(2, 2 + TRIES):
        begun = time.monotonic()
        await dat.put("mine", f"/{version}", b"two")
        await until((place / str(version)).exists)
        took = time.monotonic() - begun
        said = f"version {version}: 1 written, 0 removed, 3 B\n"
        assert await process.stdout.readline() == said.encode()
        if took < 5:
            break
    else:
        pytest.fail("each change is here later than that")
    await dat.delete("mine", "/a")
    said = f"version {version + 1}: 0 written, 1 removed, 0 B\n"
    assert await process.stdout.readline() == said.encode()
    assert not (place / "a").exists()


async def test_following_outlives_the_daemon(tmp_path, started, told):
    place = tmp_path / "copy"
    folder = tmp_path / "data"
    folder.mkdir()
    async with running_api(folder) as first, first.client() as dat:
        made = await dat.create(name="mine")
        await dat.put("mine", "/a", b"one")
        address = f"unix://{first.socket_path}"
        process = await started("--api", address, "get", "mine", str(place), "--follow")
        await process.stdout.readline()
    await told(process.stderr, b"following")
    await told(process.stderr, b"trying again")
    async with running_api(folder) as again, again.client() as dat:
        await dat.put(made.key, "/b", b"two")
        assert b"version 2: 1 written" in await process.stdout.readline()


async def test_only_folders_are_followed(shell, dat, tmp_path):
    await dat.create(name="mine")
    await dat.put("mine", "/a", b"one")
    await shell.text("get", "mine/a", str(tmp_path / "x"), "--follow", status=2)
    assert not (tmp_path / "x").exists()


async def test_a_version_is_exported_as_a_plain_folder(shell, dat, tmp_path):
    await dat.create(name="mine")
    await dat.put("mine", "/a/b", b"one")
    await dat.put("mine", "/a/b", b"two")
    await dat.change("mine", version_tags={"v1": 1})
    place = tmp_path / "out"
    await shell.text("export", "mine", str(place))
    assert (place / "a/b").read_bytes() == b"two"
    await shell.text("export", "mine", str(place), "--version", "v1")
    assert (place / "a/b").read_bytes() == b"one"
    await shell.text("export", "mine/a", str(tmp_path / "inner"))
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["b"]
    await shell.text("export", "mine/a/b", str(tmp_path / "file"), status=2)
    await shell.text("export", "mine", str(place), "--version", "v9", status=4)


async def test_export_deletes_only_when_told_and_then_exactly(shell, dat, tmp_path):
    await dat.create(name="mine")
    await dat.put("mine", "/a/b", b"one")
    place, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    for folder in (".dat", "foreign/deep", "a"):
        (place / folder).mkdir(parents=True)
    for file in ("note", "foreign/deep/file", ".dat/key", STATE_NAME):
        (place / file).write_text("x")
    (place / "link").symlink_to(outside)
    (place / "a/b").symlink_to(outside / "precious")
    await shell.text("export", "mine", str(place))
    assert (place / "note").exists()
    assert "a link lies there" in shell.err
    await shell.text("export", "mine", str(place), "--delete", status=2)
    assert "--yes" in shell.err
    assert (place / "note").exists()
    await shell.text("export", "mine", str(place), "--delete", "--yes")
    left = sorted(str(path.relative_to(place)) for path in place.rglob("*"))
    assert left == [".dat", ".dat/key", "a", "a/b"]
    assert (place / "a/b").read_bytes() == b"one"
    assert not (place / "a/b").is_symlink()
    assert (outside / "precious").read_text() == "x"


async def test_an_old_version_that_is_not_kept_is_named_as_such(shell, dat, tmp_path):
    await dat.create(name="mine")
    await dat.put("mine", "/a", b"one")
    await dat.put("mine", "/a", b"two")
    await shell.run("mode", "mine", "latest", "--force")

    async def gone():
        with contextlib.suppress(AssertionError):
            await shell.text("cat", "mine/a", "--version", "1", "--wait", "1", status=1)
            return "mode `archive`" in shell.err
        return False

    async with asyncio.timeout(120):
        while not await gone():  # noqa: ASYNC110 - dropped in the background
            await asyncio.sleep(0.1)
    assert len(shell.err.splitlines()) == 1
    await shell.text("get", "mine", str(tmp_path / "old"), "--version", "1", status=5)
    assert "missing /a" in shell.err
    assert await shell.run("cat", "mine/a") == b"two"


async def test_a_folder_is_not_followed_into_where_it_is_published_from(shell, site):
    await shell.text("share", str(site), "--name", "site", "--wait")
    await shell.text("get", "site", str(site), "--follow", status=2)
    assert "published from" in shell.err
    assert not (site / STATE_NAME).exists()


async def test_a_second_run_into_the_same_folder_is_refused(dat, shell, started, tmp_path):
    await dat.create(name="mine")
    await dat.put("mine", "/a", b"one")
    first = await started("get", "mine", str(tmp_path / "copy"), "--follow")
    await first.stdout.readline()
    await shell.text("get", "mine", str(tmp_path / "copy"), "--follow", status=1)
    assert "another datctl follows" in shell.err


async def test_following_waits_for_a_daemon_that_knows_less_than_the_folder(
    dat, started, told, tmp_path
):
    made = await dat.create(name="mine")
    await dat.put("mine", "/a", b"one")
    note = {"archive": made.key, "path": "/", "versions": [2]}
    (tmp_path / STATE_NAME).write_text(json.dumps(note))
    process = await started("get", "mine", str(tmp_path), "--follow")
    await told(process.stderr, b"following")
    await told(process.stderr, b"version 1 only")
    await dat.put("mine", "/a", b"two")
    assert b"version 2: 1 written" in await process.stdout.readline()


async def test_ctrl_c_while_a_folder_is_looked_through_deletes_nothing(tmp_path):
    class Names(dict[tuple[str, ...], bool]):
        """Asked for each name that lies there."""

        def get(self, *_):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # as Ctrl-C does

    for name in ("a", "b"):
        (tmp_path / name).touch()
    with DestinationFolder(tmp_path) as folder:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(copying._deleted(folder, Names(), yes=True))
    assert task.cancelled()
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


class Crowded(Client):
    """One whose daemon has no room for the first question, and hosts the archive no more later."""

    looks = 0

    async def archive_stats(self, archive):
        self.looks += 1
        if self.looks == 1:
            raise ApiError(503, "busy", "All connections are taken")
        if self.looks == 3:
            raise NotFound(404, "unknown_archive", "removed")
        return await super().archive_stats(archive)


async def test_following_goes_on_when_the_daemon_is_busy_for_a_moment(api, tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "FOLLOW_SECONDS", 0)
    async with Crowded(api.url, token=TOKEN, env={}) as dat:
        made = await dat.create()
        await dat.put(made.key, "/a", b"one")
        mirror = Mirror(dat, made.key, "/", tmp_path / "copy", wait=5)
        with pytest.raises(NotFound):
            await copying._keep(dat, made.key, mirror)
    assert (tmp_path / "copy/a").read_bytes() == b"one"
