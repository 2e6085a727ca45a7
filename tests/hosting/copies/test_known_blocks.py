"""Blocks found again by hash, whatever happens to the index's file."""

import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from datd.hosting.copies.known_blocks import KnownBlocks, Place

ONE, TWO, THREE = b"1" * 32, b"2" * 32, b"3" * 32


def hashes(*names: object) -> list[bytes]:
    return [hashlib.blake2b(str(name).encode(), digest_size=32).digest() for name in names]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "index" / "blocks.sqlite3"


@asynccontextmanager
async def index(file: Path) -> AsyncIterator[KnownBlocks]:
    known = KnownBlocks(file)
    await known.open()
    try:
        yield known
    finally:
        await known.close()


async def test_a_block_is_found_by_its_hash_and_a_stranger_is_not(file: Path):
    async with index(file) as known:
        assert await known.find(hashes("c")) == [None]
        await known.note(ONE, 10, hashes("a", "b", "c"))
        assert await known.find(hashes("c", "x", "a")) == [Place(ONE, 12), None, Place(ONE, 10)]
        assert await known.find([]) == []


async def test_what_was_noted_is_there_after_a_restart_and_says_which_blocks_are_noted(file: Path):
    async with index(file) as known:
        await known.note(ONE, 3, [*hashes("a"), None, *hashes("b")])
        assert known.made == 1
    async with index(file) as known:
        assert known.made == 0
        assert not known.empty
        assert await known.find(hashes("b")) == [Place(ONE, 5)]
        noted = await known.noted(ONE)
        assert [at for at, bit in enumerate(noted) if bit] == [3, 5]
        assert not (await known.noted(TWO)).any()
        assert await known.archives() == {ONE}


async def test_the_same_block_in_many_places_is_one_answer(file: Path):
    same = hashes("zeros") * 1000
    async with index(file) as known:
        for archive in (ONE, TWO, THREE):
            await known.note(archive, 0, same)
        found = await known.find(same[:2])
        assert found == [Place(ONE, 0), Place(ONE, 0)]


async def test_a_dropped_block_is_not_found_and_can_be_noted_again(file: Path):
    async with index(file) as known:
        await known.note(ONE, 0, hashes("a", "b"))
        await known.note(TWO, 7, hashes("a"))
        await known.drop(ONE, 0, [*hashes("a"), None])
        assert await known.find(hashes("a", "b")) == [Place(TWO, 7), Place(ONE, 1)]
        assert (await known.noted(ONE))[:2].to01() == "01"
        await known.note(ONE, 0, hashes("a"))
        assert await known.find(hashes("a")) == [Place(ONE, 0)]


async def test_a_removed_archive_is_forgotten_and_its_blocks_are_found_elsewhere(file: Path):
    async with index(file) as known:
        await known.note(ONE, 0, hashes("a", "b"))
        await known.note(TWO, 0, hashes("b"))
        await known.forget(ONE)
        assert await known.find(hashes("a", "b")) == [None, Place(TWO, 0)]
        assert await known.archives() == {TWO}
        await known.note(ONE, 5, hashes("a"))  # it is hosted again
        assert await known.find(hashes("a")) == [Place(ONE, 5)]
        await known.forget(ONE)
        await known.forget(TWO)
        assert known.empty


def rows(file: Path) -> int:
    with closing(sqlite3.connect(file)) as database:
        found: int = database.execute("SELECT count(*) FROM blocks").fetchone()[0]
    return found


async def test_removed_archives_leave_no_rows_behind_for_long(file: Path):
    async with index(file) as known:
        for number in range(12):
            archive = bytes([number]) * 32
            await known.note(archive, 0, hashes(*range(number * 100, number * 100 + 100)))
        for number in range(11):
            await known.forget(bytes([number]) * 32)
        assert await known.find(hashes(1150)) == [Place(bytes([11]) * 32, 50)]
    assert rows(file) <= 150


def damage(file: Path, how: str) -> None:
    if how == "garbage":
        file.write_bytes(b"this is no database " * 1000)
    elif how == "torn":
        data = bytearray(file.read_bytes())
        for page in range(1, len(data) // 4096):
            data[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
        file.write_bytes(data)
    elif how == "later":
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA user_version = 77")
    else:
        file.write_bytes(b"")


@pytest.mark.parametrize("how", ["garbage", "torn", "later", "empty"])
async def test_a_damaged_index_is_begun_anew(file: Path, how: str):
    async with index(file) as known:
        for start in range(0, 4000, 1000):
            await known.note(ONE, start, hashes(*range(start, start + 1000)))
    damage(file, how)
    async with index(file) as known:
        await known.find(hashes(*range(4000)))
        assert known.made == 1
        assert known.empty
        await known.note(TWO, 0, hashes("a"))
        assert await known.find(hashes("a", 17)) == [Place(TWO, 0), None]


async def test_a_folder_that_takes_nothing_only_means_that_nothing_is_known(tmp_path: Path):
    (tmp_path / "index").write_bytes(b"a file stands where the folder should be")
    async with index(tmp_path / "index" / "blocks.sqlite3") as known:
        await known.note(ONE, 0, hashes("a"))
        assert known.empty
        assert await known.find(hashes("a")) == [None]
        assert not (await known.noted(ONE)).any()
        await known.forget(ONE)
