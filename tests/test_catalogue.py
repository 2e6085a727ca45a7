import sqlite3

import pytest

from datd.catalogue import Catalogue, Conflict, Record, Signed, Summary
from datd.errors import StorageError
from datd.keys import Key
from datd.types import Address

ONE, TWO = Key(bytes([1]) * 32), Key(bytes([2]) * 32)


async def reopened(path):
    catalogue = Catalogue(path)
    records = await catalogue.open()
    await catalogue.close()
    return records


async def test_what_was_added_is_there_after_a_restart(tmp_path):
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    assert await catalogue.open() == []
    record = Record(
        ONE,
        added_at=1500000000.25,
        name="maps",
        tags=["a", "b"],
        paused=True,
        pinned=12,
        downloaded=2**53,
        summary=Summary(title="Ω", version=7, complete=True),
        conflict=Conflict("ab", Signed(3, "01", "02"), Signed(4, "03", "04")),
        peers=[Address("10.0.0.1", 3282), Address("::1", 1)],
    )
    await catalogue.add(record)
    await catalogue.add(Record(TWO, added_at=1500000001.0))
    await catalogue.close()
    first, second = await reopened(tmp_path / "c.sqlite3")
    assert sorted(first.peers) == sorted(record.peers)
    first.peers = record.peers
    assert first == record
    assert second.key == TWO


async def test_the_dirty_mark_is_not_undone_by_a_save_prepared_earlier(tmp_path):
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    await catalogue.open()
    record = Record(ONE, added_at=1.0)
    await catalogue.add(record)
    await catalogue.set_dirty(ONE, True)
    await catalogue.save([record])
    await catalogue.close()
    (found,) = await reopened(tmp_path / "c.sqlite3")
    assert found.dirty


async def test_a_removed_archive_is_forgotten_with_its_peers(tmp_path):
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    await catalogue.open()
    await catalogue.add(Record(ONE, added_at=1.0, peers=[Address("10.0.0.1", 1)]))
    await catalogue.remove(ONE)
    await catalogue.close()
    assert await reopened(tmp_path / "c.sqlite3") == []
    rows = sqlite3.connect(tmp_path / "c.sqlite3").execute("SELECT count(*) FROM peers")
    assert rows.fetchone() == (0,)


async def test_two_archives_cannot_have_one_name(tmp_path):
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    await catalogue.open()
    await catalogue.add(Record(ONE, added_at=1.0, name="x"))
    with pytest.raises(StorageError):
        await catalogue.add(Record(TWO, added_at=1.0, name="x"))
    await catalogue.close()
    assert len(await reopened(tmp_path / "c.sqlite3")) == 1


async def test_c20_a_newer_catalogue_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "c.sqlite3"
    await reopened(path)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    catalogue = Catalogue(path)
    with pytest.raises(StorageError, match="newer datd"):
        await catalogue.open()
    await catalogue.close()


async def test_something_else_in_its_place_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "c.sqlite3"
    path.write_bytes(b"this is no database" * 100)
    catalogue = Catalogue(path)
    with pytest.raises(StorageError, match="sqlite3: file is not a database"):
        await catalogue.open()
    await catalogue.close()
