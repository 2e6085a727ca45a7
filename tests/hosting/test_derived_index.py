"""The file below an index: whatever happens to it, nobody gets an error."""

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from datd.hosting import derived_index
from datd.hosting.derived_index import DamagedIndex, DerivedIndex, Form

FORM = Form(
    number=3,
    schema="CREATE TABLE words (word TEXT NOT NULL) STRICT; CREATE INDEX by ON words (word);",
    cache_kib=100,
    lasting=True,
    without="words are missing",
)

LATER = " WHERE word > 'p'"


class Words:
    """An index as small as can be."""

    def __init__(self, file: Path, form: Form = FORM) -> None:
        self.index = DerivedIndex(file, form, self._opened)
        self.at_opening: list[set[str]] = []

    def _opened(self, database: sqlite3.Connection) -> None:
        self.at_opening.append(held(database))

    async def add(self, *words: str) -> bool:
        def write(database: sqlite3.Connection) -> bool:
            database.executemany("INSERT INTO words VALUES (?)", [(word,) for word in words])
            return True

        return await self.index.run(write, False)

    async def all(self) -> set[str] | None:
        return await self.index.run(held, None)


def held(database: sqlite3.Connection) -> set[str]:
    return {word for (word,) in database.execute("SELECT word FROM words")}


@asynccontextmanager
async def opened(file: Path, form: Form = FORM) -> AsyncIterator[Words]:
    words = Words(file, form)
    try:
        yield words
    finally:
        await words.index.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "index" / "words.sqlite3"


async def test_it_is_begun_when_somebody_asks_and_lasts(file: Path):
    async with opened(file) as words:
        assert (words.index.begun, file.parent.exists()) == (False, False)
        assert await words.all() == set()
        assert (words.index.begun, words.index.made) == (True, 1)
        assert await words.add("one", "two")
        assert words.at_opening == [set()]
    async with opened(file) as words:
        assert words.index.begun
        assert await words.all() == {"one", "two"}
        assert (words.index.made, words.at_opening) == (0, [{"one", "two"}])


@pytest.mark.parametrize("lasting", [False, True])
async def test_only_one_that_is_to_last_waits_for_the_disk(file: Path, lasting: bool):
    form = Form(3, FORM.schema, FORM.cache_kib, lasting, FORM.without)
    async with opened(file, form) as words:

        def level(database: sqlite3.Connection) -> int:
            found: int = database.execute("PRAGMA synchronous").fetchone()[0]
            return found

        assert await words.index.run(level, -1) == int(lasting)


def spoil(file: Path, how: str) -> None:
    if how == "noise":
        file.write_bytes(b"this is no database " * 1000)
    elif how == "torn":
        data = file.read_bytes()
        file.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "another format":
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA user_version = 4")
    else:
        with closing(sqlite3.connect(file)) as database:
            database.execute("DROP TABLE words")


@pytest.mark.parametrize("how", ["noise", "torn", "empty", "another format", "no tables"])
async def test_a_file_that_cannot_be_read_is_begun_anew(file: Path, how: str):
    async with opened(file) as words:
        assert await words.add("one")
    spoil(file, how)
    async with opened(file) as words:
        assert not await words.all()
        assert words.index.made == 1
        assert words.at_opening[-1] == set()
        assert await words.add("two")
        assert await words.all() == {"two"}
    async with opened(file) as words:
        assert await words.all() == {"two"}


async def test_tables_that_contradict_each_other_are_begun_anew(file: Path):
    async with opened(file) as words:
        assert await words.add("one", "two", "three")
    with closing(sqlite3.connect(file)) as database, database:
        # The index is filled as if it were to hold the later words only.
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = sql || ? WHERE name = 'by'", (LATER,))
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("REINDEX by")
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = replace(sql, ?, '')", (LATER,))
    async with opened(file) as words:

        def remove(database: sqlite3.Connection) -> str:
            database.execute("DELETE FROM words WHERE +word = 'one'")
            return "done"

        assert await words.index.run(remove, "not known") == "not known"
        assert words.index.made == 1
        assert await words.all() == set()


async def test_what_makes_no_sense_to_a_caller_is_begun_anew(file: Path):
    async with opened(file) as words:
        assert await words.add("one")

        def read(database: sqlite3.Connection) -> str:
            raise DamagedIndex("no word at all")

        assert await words.index.run(read, "not known") == "not known"
        assert words.index.made == 2
        assert await words.all() == set()


async def test_while_the_disk_gives_trouble_nothing_is_known_and_the_log_says_so_once(
    file: Path, caplog: pytest.LogCaptureFixture
):
    file.parent.write_text("a file stands where the folder should be")
    async with opened(file) as words:
        with caplog.at_level(logging.WARNING):
            assert not await words.add("one")
            assert await words.all() is None
        (told,) = (
            record.getMessage()
            for record in caplog.records
            if record.name == derived_index.__name__
        )
        assert told.endswith("; words are missing meanwhile")
        file.parent.unlink()
        assert await words.add("two")
        assert await words.all() == {"two"}


async def test_a_full_disk_takes_nothing_away(file: Path):
    async with opened(file) as words:
        assert await words.add("one")

        def limit(database: sqlite3.Connection) -> None:
            database.execute("PRAGMA max_page_count = 1")

        await words.index.run(limit, None)
        assert not await words.add("x" * 100_000)
        assert await words.all() == {"one"}
        assert words.index.made == 1


async def test_a_mistake_in_a_call_is_no_damage(file: Path):
    async with opened(file) as words:
        assert await words.add("one")

        def wrong(database: sqlite3.Connection) -> None:
            raise ValueError("a mistake of ours")

        with pytest.raises(ValueError, match="a mistake of ours"):
            await words.index.run(wrong, None)
        assert await words.all() == {"one"}


async def test_t50_what_tells_links_is_for_its_owner_only(tmp_path):
    file = tmp_path / "index/words.sqlite3"
    file.parent.mkdir()
    file.touch(0o644)
    index = DerivedIndex(file, FORM, lambda _: None)
    await index.run(lambda database: database.execute("INSERT INTO words VALUES ('a')"), None)
    there = {path.stat().st_mode & 0o777 for path in tmp_path.glob("index/*")}
    assert there == {0o600}
    await index.close()
