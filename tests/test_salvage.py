import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from datd.catalogue import Catalogue
from datd.keys import Key, KnownName
from datd.records import Record
from datd.salvage import salvage
from datd.types import Address

COUNT = 400


async def whole(path: Path) -> None:
    """A catalogue of many pages."""
    catalogue = Catalogue(path)
    await catalogue.open()
    await catalogue.save(
        Record(key_of(n), added_at=float(n), name=f"name {n}", tags=["x" * 200],
               peers=[Address("10.0.0.1", n + 1)], version_tags={"first": 1})
        for n in range(COUNT)
    )  # fmt: skip
    await catalogue.save_name(KnownName("a.example", key_of(0), 100.0))
    await catalogue.close()


def key_of(number: int) -> Key:
    return Key(number.to_bytes(4, "big") * 8)


async def salvaged(damaged: Path) -> tuple[list[Record], dict[str, int], list[KnownName]]:
    fresh = damaged.with_name("fresh")
    catalogue = Catalogue(fresh)
    await catalogue.open()
    taken = await catalogue.together(lambda database: salvage(damaged, database))
    names = await catalogue.names()
    await catalogue.close()
    catalogue = Catalogue(fresh)
    records = await catalogue.open()
    await catalogue.close()
    return records, taken, names


def pages(path: Path, table: str) -> list[int]:
    """Numbers of the leaves of a table, in its order."""
    database = sqlite3.connect(path)
    query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path"
    try:
        found = [number for (number,) in database.execute(query, (table,))]
    except sqlite3.OperationalError:
        pytest.skip("this SQLite does not tell where pages lie")
    finally:
        database.close()
    return found


def spoil(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)


async def test_c19_a_whole_file_comes_over_whole(tmp_path):
    path = tmp_path / "c.sqlite3"
    await whole(path)
    before = path.read_bytes()
    records, taken, names = await salvaged(path)
    assert (len(records), taken["archives"], taken["peers"]) == (COUNT, COUNT, COUNT)
    assert records[7].peers == [Address("10.0.0.1", 8)]
    assert records[7].version_tags == {"first": 1}
    assert names == [KnownName("a.example", key_of(0), 100.0)]
    assert path.read_bytes() == before


async def test_c19_of_a_damaged_leaf_only_its_rows_are_lost(tmp_path):
    path = tmp_path / "c.sqlite3"
    await whole(path)
    leaves = pages(path, "archives")
    assert len(leaves) > 20
    spoil(path, leaves[len(leaves) // 2])
    records, taken, names = await salvaged(path)
    assert COUNT - 20 < len(records) < COUNT
    assert {records[0].key, records[-1].key} == {key_of(0), key_of(COUNT - 1)}
    # What belongs to a row that is lost is not kept without it.
    assert taken["peers"] == len(records)
    assert len(names) == 1


def not_json(database: sqlite3.Connection) -> None:
    database.execute("UPDATE archives SET tags = '[' WHERE name = 'name 3'")


def no_key(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA foreign_keys = OFF")
    database.execute("UPDATE archives SET key = 'zz' WHERE name = 'name 3'")


@pytest.mark.parametrize("harm", [not_json, no_key])
async def test_c19_a_row_that_makes_no_sense_is_left_out(
    tmp_path: Path, harm: Callable[[sqlite3.Connection], None]
):
    path = tmp_path / "c.sqlite3"
    await whole(path)
    with sqlite3.connect(path) as database:
        harm(database)
    database.close()
    records, taken, _ = await salvaged(path)
    assert len(records) == taken["archives"] == COUNT - 1
    assert "name 3" not in {record.name for record in records}


@pytest.mark.parametrize("content", [b"", b"x" * 5_000, b"SQLite format 3\0" + b"\xff" * 9_000])
async def test_c19_of_what_is_no_database_nothing_comes_over(tmp_path, content):
    (tmp_path / "c.sqlite3").write_bytes(content)
    records, taken, names = await salvaged(tmp_path / "c.sqlite3")
    assert (records, names, sum(taken.values())) == ([], [], 0)


async def test_c19_a_letter_that_turned_costs_that_letter(tmp_path):
    path = tmp_path / "c.sqlite3"
    await whole(path)
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE archives SET name = CAST(x'6e61ff65' AS TEXT) WHERE name = 'name 3'"
        )
    database.close()
    records, _, _ = await salvaged(path)
    assert len(records) == COUNT
    assert "na\ufffde" in {record.name for record in records}


async def test_c19_numbers_that_were_given_stay_given(tmp_path):
    path = tmp_path / "c.sqlite3"
    await whole(path)
    with sqlite3.connect(path) as database:
        for number in (7, 8):
            database.execute("INSERT INTO events VALUES (?, 0.0, 'x', NULL, '{}')", (number,))
        database.execute("DELETE FROM events")
    database.close()
    _, taken, _ = await salvaged(path)
    assert taken["sqlite_sequence"] == 1
    fresh = sqlite3.connect(tmp_path / "fresh")
    fresh.execute("INSERT INTO events (at, kind, fields) VALUES (0.0, 'y', '{}')")
    assert fresh.execute("SELECT id FROM events").fetchall() == [(9,)]
    fresh.close()


async def test_c19_rows_that_no_book_can_read_stay_behind(tmp_path):
    path = tmp_path / "c.sqlite3"
    await whole(path)
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO webhooks VALUES ('a', 'no json', '{}'), ('b', '{}', '{}')")
        for name, archives in (("all", None), ("some", '["00"]'), ("bad", '["00')):
            values = (name, name, name, "read", archives)
            database.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, 0.0, NULL, NULL)", values)
        for name, answer in (("under way", None), ("given", "{}"), ("bad", "{")):
            statement = "INSERT INTO answers (name, asked, answer) VALUES (?, 'x', ?)"
            database.execute(statement, (name, answer))
    database.close()
    _, taken, _ = await salvaged(path)
    assert (taken["webhooks"], taken["tokens"], taken["answers"]) == (1, 2, 2)
    fresh = sqlite3.connect(tmp_path / "fresh")
    assert fresh.execute("SELECT id FROM tokens ORDER BY id").fetchall() == [("all",), ("some",)]
    names = fresh.execute("SELECT name FROM answers ORDER BY number").fetchall()
    assert names == [("under way",), ("given",)]
    fresh.close()
