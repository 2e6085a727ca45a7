import asyncio
import signal
import sys

import pytest
from tests.helpers.adopted import foreign
from tests.helpers.api import TOKEN, running_api

from datctl.client import Client
from datctl.commands import publishing

LINK = "dat://" + "a" * 64


class Watched:
    """Standard error of a person."""

    def __init__(self, stream):
        self._stream = stream

    def isatty(self):
        return True

    def __getattr__(self, name):
        return getattr(self._stream, name)


async def test_a_folder_is_shared_and_its_link_told_at_once(shell, site):
    (site / "nowhere").symlink_to("/nowhere")
    told = await shell.text("share", str(site), "--name", "s", "--title", "Soups", "--wait")
    assert "left out /nowhere: " in shell.err
    found = await shell.json("show", "s")
    assert told == f"{found['link']}\n"
    assert (found["source"], found["files"], found["title"]) == (str(site), 3, "Soups")
    assert (await shell.text("cat", "s/soups/leek.md")) == "# Leek"


async def test_sharing_again_keeps_the_link(shell, site):
    first = await shell.text("share", str(site), "--wait")
    (site / "more").write_text("x")
    again = await shell.text("share", str(site), "--wait", "--name", "s")
    assert again == first
    assert (await shell.json("show", "s"))["files"] == 3
    await shell.text("share", str(site), "--title", "x", status=2)
    assert "dat.json" in shell.err
    other = await shell.json("share", str(site), "--new", "--wait")
    assert other["link"] != first.strip()
    assert len(await shell.json("list")) == 2


async def test_what_of_a_folder_is_published_can_be_chosen(shell, site):
    (site / ".hidden").write_text("x")
    (site / "link").symlink_to(site / "index.html")
    rules = ("--no-ignore-hidden", "--follow-links", "none", "--no-delete")
    await shell.text("share", str(site), "--name", "s", "--wait", *rules)
    assert ".hidden" in await shell.text("ls", "s")
    assert "link\n" not in await shell.text("ls", "s")
    assert "hidden published, vanished kept" in await shell.text("show", "s")
    (site / "index.html").unlink()
    await shell.run("rescan", "s", "--wait")
    assert "index.html" in await shell.text("ls", "s")
    await shell.run("set", "s", "--delete", "--follow-links", "inside")
    await shell.run("share", str(site), "--wait")
    assert "index.html" not in await shell.text("ls", "s")


async def test_progress_and_what_was_left_out_is_shown_to_a_person(shell, site, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Watched(sys.stderr))
    (site / "nowhere").symlink_to("/nowhere")
    await shell.text("share", str(site))
    assert "left out" in shell.err
    assert "2 added" in shell.err


async def test_a_watched_folder_tells_each_change_until_somebody_has_enough(
    shell, started, site, api
):
    process = await started("share", str(site), "--watch")
    link = (await process.stdout.readline()).decode().strip()
    async with asyncio.timeout(180):
        while b"watching" not in await process.stderr.readline():
            pass
        # Complete when it appears: a new file that is still empty would be a version, too.
        (site.parent / "new.txt").write_text("new")
        (site.parent / "new.txt").rename(site / "new.txt")
        told = (await process.stdout.readline()).decode().split()
        assert (told[3], told[-1]) == ("put", "/new.txt")
        (site / "new.txt").unlink()
        told = (await process.stdout.readline()).decode().split()
        assert (told[2], told[-1]) == ("delete", "/new.txt")
    process.send_signal(signal.SIGINT)
    _, rest = await process.communicate()
    assert (process.returncode, rest) == (130, b"")
    assert (await shell.json("show", link))["watch"] is True
    await shell.run("set", link, "--no-watch")
    assert (await shell.json("show", link))["watch"] is False


async def test_what_cannot_be_published_is_refused_in_one_line(shell, tmp_path):
    await shell.text("share", "/etc", status=1)
    assert "import_roots" in shell.err
    await shell.text("share", str(tmp_path / "nothing"), status=1)
    assert await shell.json("list") == []


async def test_an_archive_is_made_and_forked(shell):
    link = (await shell.text("create", "--title", "Mine", "--name", "mine", "--tag", "x")).strip()
    await shell.json("create", "--chunking", "content")
    await shell.run("tag", "mine", "v1")
    fork = (await shell.text("fork", f"{link}+v1", "--name", "copy", "--wait")).strip()
    assert fork != link
    assert (await shell.text("ls", "copy")) == "dat.json\n"
    assert (await shell.json("fork", "mine", "--version", "1", "--wait"))["writable"] is True
    await shell.text("fork", "nobody", status=4)
    await shell.text("fork", "mine", "--version", "v9", status=4)


async def test_a_folder_is_looked_through_again(shell, site):
    await shell.run("share", str(site), "--name", "s", "--wait")
    (site / "more").write_text("x")
    assert "job" in await shell.text("rescan", "s", "--wait")
    assert "1 added" in shell.err
    assert "more" in await shell.text("ls", "s")
    await shell.run("create", "--name", "empty")
    await shell.text("rescan", "empty", status=1)


async def test_files_that_are_here_fill_an_archive(shell, site):
    await shell.run("share", str(site), "--name", "s", "--wait")
    assert "job" in await shell.text("adopt", str(site), "--into", "s", "--wait")
    [job] = await shell.json("adopt", str(site), "--into", "s", "--wait")
    assert (job["kind"], job["state"]) == ("adopt", "done")
    await shell.text("adopt", str(site), "--into", "nobody", status=4)


async def test_an_archive_is_hosted_to_be_filled(shell, site):
    told = await shell.json("adopt", str(site), "--into", f"{LINK}+3")
    assert f"hosted from now on: {LINK}" in shell.err
    assert told[0]["archive"] == LINK.removeprefix("dat://")


async def test_a_folder_without_an_archive_is_not_published_by_a_slip(shell, site):
    await shell.text("adopt", str(site), status=1)
    assert "datctl share" in shell.err
    assert await shell.json("list") == []


async def test_an_archive_that_lies_in_a_folder_is_taken_over(shell, api, site):
    hosted = await api.host("archival-nested", name="n")
    await shell.run("ls", "n")
    discovery = str(hosted.key.discovery_key)
    store = api.folder / "archives" / discovery[:2] / discovery[2:]
    for file in store.iterdir():
        (site / file.name).write_bytes(file.read_bytes())
    await shell.text("remove", "n", "--yes")
    plain = site / "plain"
    plain.mkdir()
    told = await shell.text("adopt", str(plain), str(site), "--wait", status=1)
    assert hosted.key.link in told
    assert "1 of 2 folders" in shell.err
    assert (await shell.json("show", hosted.key.hex))["version"] == hosted.expected["version"]


async def test_watching_outlives_the_daemon(tmp_path, started, told):
    folder, place = tmp_path / "data", tmp_path / "site"
    folder.mkdir()
    place.mkdir()
    async with asyncio.timeout(180):
        async with running_api(folder) as first:
            address = f"unix://{first.socket_path}"
            process = await started("--api", address, "share", str(place), "--watch")
            await told(process.stderr, b"Ctrl-C", others=b"")
        await told(process.stderr, b"does not answer")
        async with running_api(folder):
            (place / "later.txt").write_text("x")
            await told(process.stdout, b"/later.txt", others=b"")


class Enough(Exception):
    """What was to be seen was seen."""


class Busy(Client):
    """One whose archive gets a new version each time just after somebody has looked."""

    looks = 0

    async def archive_stats(self, archive):
        found = await super().archive_stats(archive)
        self.looks += 1
        if self.looks == 4:
            raise Enough
        if self.looks < 3:
            await self.put(archive, f"/{self.looks}.txt", b"x")
        return found


async def test_a_version_that_comes_while_another_is_told_is_told_once(api, capsys, monkeypatch):
    monkeypatch.setattr(publishing, "WATCH_SECONDS", 0.01)
    async with Busy(api.url, token=TOKEN, env={}) as dat:
        made = await dat.create()
        await dat.put(made.key, "/0.txt", b"x")
        with pytest.raises(Enough):
            await publishing._tell_changes(dat, made.key, 0)
    told = capsys.readouterr().out.splitlines()
    assert [line.rpartition("/")[2] for line in told] == ["0.txt", "1.txt", "2.txt"]


async def test_an_archive_is_copied_as_often_as_one_likes(shell, site):
    made = foreign("cli-clone", site / "dat")
    for _ in range(2):
        told = await shell.text("adopt", str(made.folder), "--copy", "--wait")
        assert made.key.link in told
    [found] = await shell.json("list")
    assert (found["key"], found["location"]) == (made.key.hex, None)


async def test_an_owners_folder_without_its_key_is_told_of(shell, site):
    made = foreign("latest-one", site / "dat")
    await shell.text("adopt", str(made.folder), "--wait")
    assert "datctl keys import FILE" in shell.err
    other = foreign("cli-clone", site / "clone")
    await shell.text("adopt", str(other.folder), "--wait")
    assert "keys import" not in shell.err
