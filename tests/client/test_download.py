import asyncio
import hashlib
import os
import re
from contextlib import asynccontextmanager

import pytest
from tests.helpers.ports import free_port

from datctl import download
from datctl.client import Client
from datctl.disk import DestinationFolder
from datctl.download import LASTING_SIZE, Download, Snapshot, find_entry
from datctl.errors import NoDaemon
from datctl.models import Entry

LINK = "dat://" + "a" * 64


async def test_get_copies_a_whole_archive(shell, api, tmp_path):
    hosted = await api.host("archival-nested", name="n")
    dest = tmp_path / "copy"
    await shell.text("get", "n", str(dest))
    puts = {row[2]: row for row in hosted.expected["history"] if row[1] == "put"}
    for path, (_, _, _, stat, digest) in puts.items():
        local = dest / path.lstrip("/")
        if stat["mode"] & 0o40000:
            assert local.is_dir()
            continue
        assert hashlib.sha256(local.read_bytes()).hexdigest() == digest, path
        assert int(local.stat().st_mtime) == stat["mtime"] // 1000
    changed = dest / "a.txt"
    changed.write_text("edited")
    before = (dest / "dat.json").stat().st_ino
    await shell.text("get", "n", str(dest))
    assert (dest / "dat.json").stat().st_ino == before, "what was here already was kept"
    assert changed.read_text() != "edited"
    assert not [name for name in os.listdir(dest) if name.startswith(".datctl")]


async def test_get_copies_a_folder_and_a_file(shell, api, tmp_path):
    await api.host("archival-nested", name="n")
    await shell.text("get", "n/a/b/c", str(tmp_path / "c"))
    assert (tmp_path / "c/x.bin").stat().st_size == 1000
    await shell.text("get", "n/a/b/c/x.bin", str(tmp_path / "renamed"))
    assert (tmp_path / "renamed").stat().st_size == 1000
    await shell.text("get", "n/a/b/c/x.bin", str(tmp_path))
    assert (tmp_path / "x.bin").stat().st_size == 1000
    await shell.text("get", "n/zero", str(tmp_path / "zero"))
    assert (tmp_path / "zero").read_bytes() == b""
    await shell.text("get", "n/nothing", str(tmp_path / "nothing"), status=4)
    assert not (tmp_path / "nothing").exists()


async def test_get_writes_nothing_outside_nor_over_keys(shell, api, tmp_path):
    await api.host("archival-hostile-names", name="h")
    dest = tmp_path / "in" / "dest"
    await shell.text("get", "h", str(dest))
    assert os.listdir(tmp_path / "in") == ["dest"]
    assert not [name for name in os.listdir(dest) if name.lower() in (".dat", ".datd")]
    assert "skipped" in shell.err
    assert all(byte >= 0x20 or byte == 0x0A for byte in shell.err.encode())


async def test_get_follows_no_link_that_lies_there(shell, api, tmp_path):
    await api.host("archival-nested", name="n")
    outside, dest = tmp_path / "outside", tmp_path / "dest"
    outside.mkdir()
    dest.mkdir()
    (outside / "a.txt").write_text("mine")
    (dest / "a.txt").symlink_to(outside / "a.txt")
    (dest / "a").symlink_to(outside)
    await shell.text("get", "n", str(dest))
    assert (outside / "a.txt").read_text() == "mine"
    assert os.listdir(outside) == ["a.txt"]
    assert (dest / "dat.json").exists()
    assert "a link" in shell.err
    await shell.text("get", "n/a.txt", str(dest), status=1)
    assert "was not written: a link lies there" in shell.err


async def test_get_brings_what_is_here_and_names_what_is_missing(shell, api, tmp_path):
    hosted = await api.host("archival-nested", name="n")
    data = api.library.find(hosted.key.hex).folder / "content.data"
    whole = bytearray(data.read_bytes())
    whole[0] ^= 1
    data.write_bytes(whole)
    await shell.text("get", "n", str(tmp_path / "copy"), "--wait", "0.1", status=5)
    assert shell.err.count("missing /") == 1
    assert (tmp_path / "copy/dat.json").exists()


async def test_get_says_when_the_disk_refuses(shell, api, tmp_path):
    await api.host("archival-nested", name="n")
    (tmp_path / "file").write_text("")
    await shell.text("get", "n", str(tmp_path / "file"), status=1)
    assert "cannot be used as a folder" in shell.err


async def test_a_large_file_goes_on_where_an_earlier_run_was_cut_short(dat, tmp_path):
    body = os.urandom(LASTING_SIZE + 1_000_000)
    await dat.create(name="mine")
    await dat.put("mine", "/big", body)
    snapshot, entry = await find_entry(dat, "mine", "/big", version=None, wait=5)
    assert entry is not None

    def cut(report):
        if report.size > LASTING_SIZE / 2:
            raise KeyboardInterrupt

    with DestinationFolder(tmp_path) as folder:
        with pytest.raises(KeyboardInterrupt):
            await Download(dat, snapshot, folder, wait=5, changed=cut).file(entry, "big")
        assert not (tmp_path / "big").exists()
        again = Download(dat, snapshot, folder, wait=5, changed=lambda report: None)
        await again.file(entry, "big")
    assert (tmp_path / "big").read_bytes() == body
    assert again.report.size < len(body) * 0.6


class Away(Client):
    """One whose daemon ends in the middle of an answer, and is back at the third question."""

    def __init__(self, data, port):
        super().__init__(f"http://127.0.0.1:{port}", token="x", env={})
        self.data, self.port, self.asked = data, port, 0

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader, writer):
        start = re.search(r"bytes=(\d+)-", (await reader.readuntil(b"\r\n\r\n")).decode())
        body = self.data[int(start[1]) if start else 0 :]
        head = "206 x" if start else "200 x"
        writer.write(
            f'HTTP/1.1 {head}\r\nETag: "x"\r\nContent-Length: {len(body)}\r\n\r\n'.encode()
        )
        if not start:
            body = body[:1000]
            self.server.close()
        writer.write(body)
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def stream(self, *arguments, **options):
        self.asked += 1
        if self.asked == 3:
            await self.start()
        async with super().stream(*arguments, **options) as pieces:
            yield pieces


async def test_a_daemon_that_is_started_again_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "RETRY_SECONDS", 0.01)
    body = os.urandom(100_000)
    entry = Entry.model_construct(path="/a", kind="file", size=len(body), mode=0o644, mtime=None)
    async with Away(body, free_port()) as dat:
        await dat.start()
        with DestinationFolder(tmp_path) as folder:
            found = Download(dat, Snapshot("n", 1), folder, wait=1, changed=lambda report: None)
            await found.file(entry, "a")
            dat.server.close()
            with pytest.raises(NoDaemon):
                await found.file(entry, "b")
    assert (tmp_path / "a").read_bytes() == body
    assert dat.asked == 3 + download.ATTEMPTS
