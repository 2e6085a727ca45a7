import asyncio
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path

import fsspec
import pytest
from fsspec.tests import abstract
from tests.helpers.daemon import running_daemon

from datctl.fs import DatFileSystem
from datctl.sync import Client

# Two thousand small files are written here, each a version that reaches the disk: a busy one takes
# minutes for that, and what is tested is not the disk.
MEMORY = "/dev/shm"
# In containers there is little of it, which browsers take as well.
ROOM = 2**30


@pytest.fixture(scope="module")
def daemon():
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    place = MEMORY if roomy else None
    with (
        tempfile.TemporaryDirectory(prefix="datd-fs-", dir=place) as folder,
        running_daemon(Path(folder) / "datd") as running,
    ):
        yield running


@pytest.fixture(scope="module")
def dat(daemon):
    with Client(daemon.api, token=daemon.token, env={}) as client:
        yield client


@pytest.fixture(scope="module")
def options(daemon):
    """What programs pass on as `storage_options`."""
    return {"api": daemon.api, "token": daemon.token}


@pytest.fixture(scope="module", autouse=True)
def registered():
    """As the entry points of the installed package do."""
    for protocol in ("dat", "hyper"):
        fsspec.register_implementation(protocol, DatFileSystem, clobber=True)


@pytest.fixture
def key(dat):
    """An archive of ours, new for each test."""
    key = dat.create().key
    yield key
    dat.remove(key, force=True, delete_key=True)


class Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]
    @pytest.fixture
    def fs(self, options):
        return fsspec.filesystem("dat", **options)

    @pytest.fixture
    def fs_path(self, key):
        return key


class TestCopy(abstract.AbstractCopyTests, Fixtures):  # type: ignore[misc]
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):  # type: ignore[misc]
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):  # type: ignore[misc]
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):  # type: ignore[misc]
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):  # type: ignore[misc]
    pass


@pytest.fixture
def fs(options):
    return fsspec.filesystem("dat", **options)


@pytest.fixture
def site(dat, key):
    """An archive with some files, and one of them changed."""
    dat.put(key, "/a.txt", b"old")
    dat.put(key, "/b/c.csv", b"0123456789")
    dat.put(key, "/b/d/e.csv", b"e")
    dat.mkdir(key, "/empty")
    dat.put(key, "/a.txt", b"newer")
    dat.change(key, version_tags={"v1": 1})
    return key


def test_the_package_names_it_to_fsspec():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for protocol, place in project["entry-points"]["fsspec.specs"].items():
        assert EntryPoint(protocol, place, "fsspec.specs").load() is DatFileSystem
        assert protocol in DatFileSystem.protocol


def test_urls_name_archives_versions_and_files(options, dat, site):
    dat.change(site, name="my site")
    for url, text in (
        (f"dat://{site}/a.txt", "newer"),
        (f"hyper://{site}/a.txt", "newer"),
        (f"dat://{site}+1/a.txt", "old"),
        (f"dat://{site}+v1/a.txt", "old"),
        (f"dat://{site[:10]}/a.txt", "newer"),
        ("dat://my site/a.txt", "newer"),
        (f"simplecache::dat://{site}/a.txt", "newer"),
    ):
        chained = {"dat": options} if "::" in url else options
        with fsspec.open(url, "rt", **chained) as file:
            assert file.read() == text
    for version in (1, "v1", dat.history(site, limit=1).changes[0].mtime):
        with fsspec.open(f"dat://{site}/a.txt", version=version, **options) as file:
            assert file.read() == b"old"


def test_what_is_there_is_found(fs, dat, site):
    assert [info["name"] for info in fs.ls("") if info["name"] == site] == [site]
    assert fs.ls("dat://", detail=False) == [site]
    assert sorted(fs.ls(site, detail=False)) == [
        f"{site}/a.txt", f"{site}/b", f"{site}/empty",
    ]  # fmt: skip
    assert fs.find(site) == [f"{site}/a.txt", f"{site}/b/c.csv", f"{site}/b/d/e.csv"]
    assert fs.find(site, withdirs=True) == [
        site, f"{site}/a.txt", f"{site}/b", f"{site}/b/c.csv", f"{site}/b/d",
        f"{site}/b/d/e.csv", f"{site}/empty",
    ]  # fmt: skip
    assert fs.find(site, maxdepth=2) == [f"{site}/a.txt", f"{site}/b/c.csv"]
    assert fs.find(f"{site}/a.txt") == [f"{site}/a.txt"]
    assert fs.find(f"{site}/nothing") == []
    assert fs.glob(f"dat://{site}/**/*.csv") == [f"{site}/b/c.csv", f"{site}/b/d/e.csv"]
    assert fs.du(site) == 16
    assert [folder for folder, _, _ in fs.walk(site)] == [
        site, f"{site}/b", f"{site}/b/d", f"{site}/empty",
    ]  # fmt: skip
    assert fs.ls(f"{site}/a.txt", detail=False) == [f"{site}/a.txt"]
    info = fs.info(f"{site}/a.txt")
    assert (info["size"], info["type"]) == (5, "file")
    assert fs.info(f"{site}/b")["type"] == "directory"
    assert (fs.isdir(site), fs.isfile(f"{site}/a.txt"), fs.exists(f"{site}/x")) == (
        True, True, False,
    )  # fmt: skip


def test_bytes_by_their_numbers(fs, site):
    path = f"{site}/b/c.csv"
    for start, end in ((None, None), (2, 5), (-3, None), (None, -2), (-5, -2), (5, 5), (8, 99)):
        assert fs.cat_file(path, start=start, end=end) == b"0123456789"[start:end]
    assert fs.cat_file(path, start=99) == b""
    assert fs.cat_ranges([path, path], [0, 5], [2, 8]) == [b"01", b"567"]
    assert (fs.head(path, 2), fs.tail(path, 2)) == (b"01", b"89")
    assert fs.read_block(path, 3, 2) == b"34"
    assert fs.cat(f"{site}/b/*.csv") == {path: b"0123456789"}


def test_what_changes_changes_its_name_and_its_time(fs, dat, site):
    path = f"{site}/a.txt"
    before, checksum, then = fs.ukey(path), fs.checksum(path), fs.modified(path)
    assert fs.created(path) == then
    assert fs.ukey(path) == before
    dat.put(site, "/a.txt", b"newest")
    assert fs.ukey(path) != before
    assert fs.checksum(path) != checksum
    assert fs.modified(path) >= then
    assert fs.ukey(f"{site}/b")
    with pytest.raises(FileNotFoundError):
        fs.modified(f"{site}/nothing")


def test_listings_are_kept_where_they_cannot_change(fs, dat, site, options):
    fs.invalidate_cache()  # fsspec keeps one filesystem for all tests
    assert len(fs.ls(site)) == 3
    assert len(fs.ls(f"{site}+1")) == 1
    assert list(fs.dircache) == [f"{site}+1"]
    assert fs.info(f"{site}+1/a.txt")["size"] == 3
    dat.put(site, "/new", b"")
    assert len(fs.ls(site)) == 4
    fs.invalidate_cache()
    assert list(fs.dircache) == []
    patient = DatFileSystem(**options, listings_expiry_time=60)
    assert len(patient.ls(site)) == 4
    dat.delete(site, "/new")
    assert len(patient.ls(site)) == 4
    patient.rm(f"{site}/a.txt")
    assert len(patient.ls(site)) == 2


def test_errors_are_those_of_a_file_system(fs, dat, site, options):
    for call in (
        lambda: fs.cat_file(f"{site}/nothing"),
        lambda: fs.ls(f"{site}/nothing"),
        lambda: fs.info("no-such-archive/a"),
        lambda: fs.rm(f"{site}/nothing"),
    ):
        with pytest.raises(FileNotFoundError):
            call()
    with pytest.raises(FileExistsError):
        fs.mkdir(f"{site}/b")
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{site}/a.txt", b"", mode="create")
    with pytest.raises(NotADirectoryError):
        fs.rmdir(f"{site}/a.txt")
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir(f"{site}/b")
    fs.rmdir(f"{site}/empty")
    for path in (site, f"{site}+1/a.txt"):
        with pytest.raises(PermissionError):
            fs.pipe_file(path, b"x")
        with pytest.raises(PermissionError):
            fs.rm(path, recursive=True)
    with pytest.raises(PermissionError):
        DatFileSystem(**options, version=1).mkdir(f"{site}/x")
    other, _ = dat.add("b" * 64, paused=True)
    with pytest.raises(PermissionError):
        fs.pipe_file(f"{other.key}/a", b"x")
    with pytest.raises(TimeoutError):
        DatFileSystem(**options, wait=0.05).cat_file(f"{other.key}/a")
    dat.remove(other.key)
    with pytest.raises(ConnectionError):
        DatFileSystem("http://127.0.0.1:9", token="x").ls("")
    with pytest.raises(PermissionError):
        DatFileSystem(options["api"], token="wrong").ls("")


def test_threads_and_processes_share_it(fs, site):
    copy = pickle.loads(pickle.dumps(fs))
    assert copy is fs
    path = f"{site}/b/c.csv"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: fs.cat_file(path, start=number % 9), range(64)))
    assert found == [b"0123456789"[number % 9 :] for number in range(64)]
    script = (
        "import pickle, sys\n"
        "fs, path = pickle.loads(sys.stdin.buffer.read())\n"
        "print(fs.cat_file(path).decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps((fs, path)), capture_output=True
    )
    assert (done.stdout, done.stderr) == (b"0123456789\n", b"")


async def test_coroutines_are_awaited_in_the_callers_loop(options, site):
    fs = DatFileSystem(**options, asynchronous=True)
    path = f"{site}/b/c.csv"
    assert await asyncio.gather(*(fs._cat_file(path, n, n + 1) for n in range(10))) == [
        bytes([value]) for value in b"0123456789"
    ]
    assert len(await fs._ls(site)) == 3
    await fs.close()
