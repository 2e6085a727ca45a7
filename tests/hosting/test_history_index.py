"""Changes of a path found without reading a feed, whatever happens to the index's file."""

import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from itertools import chain
from pathlib import Path

import pytest

from datd.hosting.history_index import DEPTH, HistoryIndex

ONE, TWO = b"1" * 32, b"2" * 32
END = 10**6


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "index" / "history.sqlite3"


@asynccontextmanager
async def index(file: Path) -> AsyncIterator[HistoryIndex]:
    made = HistoryIndex(file)
    try:
        yield made
    finally:
        await made.close()


async def changes(made, archive, names, start=1, stop=END, most=1000):
    found = await made.find(archive, names, start, stop, most)
    return list(chain(*found.stretches))


PATHS = [("a", "x"), ("a", "y"), ("b",), None, ("a", "x"), ("a", "z", "q"), ("b", "c")]


async def test_a_path_and_what_lies_below_it_is_found(file):
    async with index(file) as made:
        assert await made.add(ONE, 1, PATHS) == 7
        assert await made.reach(ONE) == 7
        assert await changes(made, ONE, ("a",)) == [1, 2, 5, 6]
        assert await changes(made, ONE, ("a", "x")) == [1, 5]
        assert await changes(made, ONE, ("b",)) == [3, 7]
        assert await changes(made, ONE, ("a", "z")) == [6]
        assert await changes(made, ONE, ("z",)) == []
        assert await changes(made, TWO, ("a",)) == []


async def test_any_stretch_of_any_history_is_found(file):
    chance = random.Random(5)
    paths = [tuple(chance.choice("ab") for _ in range(chance.randrange(1, 5))) for _ in range(3000)]
    async with index(file) as made:
        for start in range(0, 3000, 700):
            await made.add(ONE, start + 1, paths[start : start + 700])
        for _ in range(200):
            names = tuple(chance.choice("ab") for _ in range(chance.randrange(1, 5)))
            start, stop = sorted(chance.sample(range(1, 3100), 2))
            wanted = [
                seq
                for seq, path in enumerate(paths, 1)
                if path[: len(names)] == names and start <= seq < stop
            ]
            assert await changes(made, ONE, names, start, stop, 3000) == wanted
            found = await made.find(ONE, names, start, stop, 3)
            told = list(chain(*found.stretches))
            assert len(found.stretches) <= 3
            assert told == wanted[: len(told)]


async def test_entries_are_taken_in_order_only(file):
    async with index(file) as made:
        assert await made.add(ONE, 3, PATHS) == 0
        assert await made.add(ONE, 1, PATHS) == 7
        assert await made.add(ONE, 1, PATHS) == 7
        assert await changes(made, ONE, ("b",)) == [3, 7]


async def test_it_is_there_after_a_restart(file):
    async with index(file) as made:
        await made.add(ONE, 1, PATHS)
    async with index(file) as made:
        assert await made.reach(ONE) == 7
        assert await changes(made, ONE, ("b",)) == [3, 7]


async def test_deep_paths_are_found_among_those_of_a_folder_above(file):
    deep = tuple("d" * 1000)
    async with index(file) as made:
        await made.add(ONE, 1, [deep, deep[:-1], ("x",), (*deep[:DEPTH], "e")])
        assert await changes(made, ONE, deep) == [1, 2, 4]
        assert await changes(made, ONE, deep[:DEPTH]) == [1, 2, 4]
    with closing(sqlite3.connect(file)) as database:
        (rows,) = database.execute("SELECT count(*) FROM changes").fetchone()
    assert rows <= 3 * DEPTH


async def test_a_removed_archive_leaves_nothing_behind(file):
    async with index(file) as made:
        await made.add(ONE, 1, PATHS)
        await made.add(TWO, 1, PATHS)
        await made.forget(ONE)
        assert await made.reach(ONE) == 0
        assert await changes(made, ONE, ("a",)) == []
        assert await changes(made, TWO, ("b",)) == [3, 7]
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(DISTINCT archive) FROM changes").fetchone() == (1,)


@pytest.mark.parametrize("then", ["add", "forget"])
async def test_a_sweep_that_a_crash_cut_short_is_made_up_for(file, then):
    async with index(file) as made:
        await made.add(ONE, 1, PATHS)
        await made.add(TWO, 1, PATHS)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE archives SET name = NULL WHERE name = ?", (ONE,))
    async with index(file) as made:
        if then == "add":
            assert await made.add(TWO, 8, [("z",)]) == 8
        else:
            await made.forget(b"never seen".ljust(32))
        assert await made.reach(ONE) == 0
        assert await changes(made, TWO, ("b",)) == [3, 7]
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM archives").fetchone() == (1,)
        assert database.execute("SELECT count(DISTINCT archive) FROM changes").fetchone() == (1,)


async def test_nothing_is_made_before_somebody_asks(file):
    async with index(file) as made:
        await made.forget(ONE)
    assert not file.parent.exists()


@pytest.mark.parametrize("wrong", ["noise", "newer", "torn"])
async def test_a_file_that_cannot_be_read_is_begun_anew(file, wrong):
    async with index(file) as made:
        await made.add(ONE, 1, PATHS)
    if wrong == "newer":
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA user_version = 99")
    else:
        data = file.read_bytes()
        file.write_bytes(b"#" * len(data) if wrong == "noise" else data[:100] + b"\xff" * 9000)
    async with index(file) as made:
        assert await changes(made, ONE, ("a",)) == []
        assert await made.reach(ONE) == 0
        assert await made.add(ONE, 1, PATHS) == 7
        assert await changes(made, ONE, ("a", "x")) == [1, 5]


async def test_where_it_cannot_lie_nothing_is_known_and_nothing_fails(tmp_path):
    (tmp_path / "index").write_text("no folder")
    async with index(tmp_path / "index" / "history.sqlite3") as made:
        assert await made.add(ONE, 1, PATHS) == 0
        assert (await made.find(ONE, ("a",), 1, END, 9)).reach == 0
