import shutil
import sqlite3
from pathlib import Path

import pytest

from datd.catalogue import Catalogue
from datd.errors import DamagedCatalogue
from datd.keys import Key
from datd.records import Record
from datd.soundness import is_damage, require_sense, require_sound


@pytest.fixture
async def sound(tmp_path: Path) -> Path:
    path = tmp_path / "c.sqlite3"
    catalogue = Catalogue(path)
    await catalogue.open()
    await catalogue.save(Record(Key(bytes([n]) * 32), added_at=0.0) for n in range(200))
    await catalogue.close()
    return path


async def test_a_sound_catalogue_is_only_looked_at(sound):
    before = sound.read_bytes()
    require_sound(sound)
    assert sound.read_bytes() == before


async def test_c19_what_kill_9_leaves_behind_is_no_damage(sound, tmp_path):
    writer = sqlite3.connect(sound, isolation_level=None)
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("UPDATE archives SET tags = ?", (f'["{"x" * 500}"]',))
    killed = tmp_path / "killed"
    killed.mkdir()
    for ending in ("", "-wal", "-shm"):
        shutil.copy(f"{sound}{ending}", killed / f"c.sqlite3{ending}")
    writer.close()
    # The last write was torn: of a transaction that was not complete nobody was told.
    with (killed / "c.sqlite3-wal").open("ab") as file:
        file.write(b"\xa5" * 3_000)
    require_sound(killed / "c.sqlite3")
    catalogue = Catalogue(killed / "c.sqlite3")
    records = await catalogue.open()
    await catalogue.close()
    assert {len(record.tags[0]) for record in records} == {500}


async def test_c19_a_page_that_turned_and_a_file_that_was_cut_are_noticed(sound):
    whole = sound.read_bytes()
    for harmed in (
        whole[:8192] + b"\xa5" * 4096 + whole[12288:],
        whole[: len(whole) // 2],
        b"no database" * 1_000,
    ):
        sound.write_bytes(harmed)
        with pytest.raises(DamagedCatalogue):
            require_sound(sound)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("ALTER TABLE archives DROP COLUMN web_sources", "archives has no column web_sources"),
        ("DROP TABLE pins", "pins has no column account"),
        ("INSERT INTO settings VALUES ('a', 'no json')", "settings makes no sense"),
        ("INSERT INTO events (at, kind, fields) VALUES (0, 'x', '{')", "events makes no sense"),
        ("INSERT INTO webhooks VALUES ('a', '{}', '}')", "webhooks makes no sense"),
        (
            "INSERT INTO tokens VALUES ('a', 'b', 'c', 'read', '[', 0, NULL, NULL)",
            "tokens makes no sense",
        ),
        ("INSERT INTO answers VALUES (1, 'a', 'b', NULL, '{')", "answers makes no sense"),
    ],
)
async def test_c19_a_missing_column_and_a_text_that_is_none_are_noticed(sound, harm, said):
    database = sqlite3.connect(sound, isolation_level=None)
    require_sense(database)
    database.execute(harm)
    with pytest.raises(DamagedCatalogue, match=said):
        require_sense(database)
    database.close()


async def test_what_may_be_absent_is_no_damage(sound):
    database = sqlite3.connect(sound, isolation_level=None)
    database.execute("INSERT INTO tokens VALUES ('a', 'b', 'c', 'read', NULL, 0, NULL, NULL)")
    database.execute("INSERT INTO answers VALUES (1, 'a', 'b', NULL, NULL)")
    require_sense(database)
    database.close()


async def test_c19_letters_that_turned_count_as_damage_and_a_locked_file_does_not(sound):
    database = sqlite3.connect(sound, isolation_level=None)
    database.execute("UPDATE archives SET mode = CAST(x'61ff' AS TEXT)")
    with pytest.raises(sqlite3.Error) as caught:
        database.execute("SELECT mode FROM archives").fetchall()
    assert is_damage(caught.value)
    other = sqlite3.connect(sound, isolation_level=None, timeout=0)
    database.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.Error) as caught:
        other.execute("BEGIN IMMEDIATE")
    assert not is_damage(caught.value)
    other.close()
    database.close()
