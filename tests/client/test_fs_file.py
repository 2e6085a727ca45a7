import pickle
import subprocess
import sys
import zipfile

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from tests.helpers.daemon import VERB_SECONDS, running_daemon

from datctl.fs import DatFileSystem
from datctl.fs_file import AdaptiveCache
from datctl.sync import Client
from datctl.windows import LEAST

LINES = b"".join(b"%d,%d\n" % (number, number * number) for number in range(100_000))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with running_daemon(tmp_path_factory.mktemp("fs-file") / "datd") as running:
        yield running


@pytest.fixture(scope="module")
def dat(daemon):
    with Client(daemon.api, token=daemon.token, env={}) as client:
        yield client


@pytest.fixture(scope="module")
def fs(daemon):
    fsspec.register_implementation("dat", DatFileSystem, clobber=True)
    return fsspec.filesystem("dat", api=daemon.api, token=daemon.token)


@pytest.fixture(scope="module")
def key(dat):
    made = dat.create().key
    dat.put(made, "/lines.csv", LINES)
    return made


def test_the_cache_fetches_what_is_asked_for_and_a_block_at_least():
    asked = []

    def fetch(start, stop):
        asked.append((start, stop))
        return bytes(stop - start)

    cache = AdaptiveCache(5 * 2**20, fetch, 100 * 2**20)
    assert len(cache._fetch(100 * 2**20 - 8, None)) == 8
    assert len(cache._fetch(None, 10)) == 10
    assert len(cache._fetch(10, 20)) == 10
    assert len(cache._fetch(50_000_000, 60_000_000)) == 10_000_000
    assert cache._fetch(200 * 2**20, 200 * 2**20 + 1) == b""
    assert asked == [
        (100 * 2**20 - 8, 100 * 2**20), (0, LEAST), (50_000_000, 60_000_000),
    ]  # fmt: skip
    assert (cache.hit_count, cache.miss_count) == (1, 3)


def test_a_file_is_read_as_one_of_this_host(fs, key, tmp_path):
    (tmp_path / "lines.csv").write_bytes(LINES)
    with (
        fs.open(f"{key}/lines.csv") as file,
        LocalFileSystem().open(str(tmp_path / "lines.csv")) as model,
    ):
        assert file.size == len(LINES)
        for whence, offset, size in ((0, 10, 5), (1, 70_000, 200_000), (2, -7, 100), (0, 0, 0)):
            assert file.seek(offset, whence) == model.seek(offset, whence)
            assert file.read(size) == model.read(size)
        assert file.seek(0) == 0
        assert list(file) == LINES.splitlines(keepends=True)
    with fs.open(f"{key}/lines.csv", "rt", newline="") as text:
        assert text.readline() == "0,0\n"
    for cache in ("readahead", "none", "bytes", "background"):
        with fs.open(f"{key}/lines.csv", cache_type=cache) as file:
            assert file.read() == LINES


def test_an_open_file_is_never_a_mixture(fs, dat):
    key = dat.create().key
    dat.put(key, "/a", b"old" * 200_000)
    with fs.open(f"{key}/a") as file:
        assert file.read(3) == b"old"
        saved = pickle.dumps(file)
        dat.put(key, "/a", b"new" * 200_000)
        with pytest.raises(OSError, match="changed"):
            file.read()
    with pytest.raises(OSError, match="changed"):
        pickle.loads(saved).read()
    assert fs.cat_file(f"{key}+1/a")[:3] == b"old"


def test_a_file_of_a_kept_listing_is_no_mixture_either(daemon, dat):
    fs = DatFileSystem(daemon.api, token=daemon.token, listings_expiry_time=600)
    key = dat.create().key
    dat.put(key, "/a", b"old" * 200_000)
    assert [info["size"] for info in fs.ls(key)] == [600_000]
    with fs.open(f"{key}/a") as file:
        assert file.read(3) == b"old"
        dat.put(key, "/a", b"new" * 200_000)
        with pytest.raises(OSError, match="changed"):
            file.read()
    dat.put(key, "/a", b"longer")
    with fs.open(f"{key}/a") as file:
        assert file.read() == b"longer"
    assert [info["size"] for info in fs.ls(key)] == [600_000]


def test_a_pickled_file_goes_on_where_it_stood(fs, key):
    with fs.open(f"{key}/lines.csv") as file:
        file.seek(12_345)
        copy = pickle.loads(pickle.dumps(file))
    with copy:
        assert copy.read(10) == LINES[12_345:12_355]


def test_folders_are_no_files(fs, key):
    with pytest.raises(IsADirectoryError):
        fs.open(key)


def test_what_is_written_appears_when_it_is_complete(fs, dat):
    key = dat.create().key
    whole = bytes(range(256)) * 100_000
    with fs.open(f"{key}/big", "wb") as file:
        for start in range(0, len(whole), 3_000_000):
            file.write(whole[start : start + 3_000_000])
        assert not fs.exists(f"{key}/big")
    assert fs.cat_file(f"{key}/big") == whole
    with fs.open(f"{key}/z.zip", "wb") as raw, zipfile.ZipFile(raw, "w") as packed:
        packed.writestr("a.txt", "hello")
    with fs.open(f"{key}/z.zip") as raw, zipfile.ZipFile(raw) as packed:
        assert packed.read("a.txt") == b"hello"
    assert dat.archive(key).version == 2


def test_a_file_is_not_appended_to_nor_written_over_by_mistake(fs, dat):
    key = dat.create().key
    with pytest.raises(ValueError, match="append"):
        fs.open(f"{key}/a", "ab")
    with fs.open(f"{key}/a", "xb") as file:
        file.write(b"x")
        assert not fs.exists(f"{key}/a")
    with pytest.raises(FileExistsError):
        fs.open(f"{key}/a", "xb")


def test_a_transaction_writes_all_or_nothing(fs, dat):
    key = dat.create().key

    def write_and_fail():
        with fs.transaction:
            with fs.open(f"{key}/a", "wb") as file:
                file.write(b"x")
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert dat.archive(key).files == 0
    with fs.transaction:
        for name in "ab":
            with fs.open(f"{key}/{name}", "wb") as file:
                file.write(b"x")
        assert fs.ls(key) == []
    assert sorted(info["name"] for info in fs.ls(key)) == [f"{key}/a", f"{key}/b"]


async def test_awaited_reads(daemon, key):
    fs = fsspec.filesystem("dat", api=daemon.api, token=daemon.token, asynchronous=True)
    file = await fs.open_async(f"{key}/lines.csv")
    async with file:
        assert await file.read(3) == LINES[:3]
        file.seek(-4, 2)
        assert await file.read() == LINES[-4:]
    with pytest.raises(IsADirectoryError):
        await fs.open_async(key)
    with pytest.raises(ValueError, match="_pipe_file"):
        await fs.open_async(f"{key}/x", "wb")
    assert (await fs._cat_ranges([f"{key}/lines.csv"] * 2, [0, 10], [2, 15])) == [
        LINES[:2], LINES[10:15],
    ]  # fmt: skip
    await fs.close()


def test_a_filesystem_that_its_own_loop_collects_ends_its_connections(daemon):
    script = f"""
import asyncio, gc
from fsspec.asyn import get_loop
from datctl.fs import DatFileSystem

kept = [DatFileSystem({daemon.api!r}, token={daemon.token!r}, skip_instance_cache=True)]
print(len(kept[0].ls("")) > 0)

async def forget():
    kept.clear()
    gc.collect()

asyncio.run_coroutine_threadsafe(forget(), get_loop()).result()
asyncio.run_coroutine_threadsafe(asyncio.sleep(0), get_loop()).result()
gc.collect()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=VERB_SECONDS)
    assert (done.stdout, done.stderr.decode()) == (b"True\n", "")


def test_a_program_awaits_in_one_loop_after_the_other(daemon, key):
    """fsspec keeps a filesystem for a whole thread, whatever loops run in it."""
    script = f"""
import asyncio, fsspec
from datctl.fs import DatFileSystem
fsspec.register_implementation("dat", DatFileSystem, clobber=True)

async def beginning(closed):
    fs = fsspec.filesystem("dat", api={daemon.api!r}, token={daemon.token!r}, asynchronous=True)
    print((await fs._cat_file("{key}/lines.csv", end=3)).decode().strip())
    if closed:
        await fs.close()

for closed in (True, False, True):
    asyncio.run(beginning(closed))
"""
    # In a process of its own, since whoever does not close leaves sockets behind.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=VERB_SECONDS)
    assert done.stdout.split() == [b"0,0"] * 3, done.stderr.decode()
