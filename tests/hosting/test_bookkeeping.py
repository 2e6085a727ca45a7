import asyncio

import pytest
from tests.helpers.libraries import story

from datd.catalogue import Catalogue
from datd.errors import StorageError
from datd.hosting.bookkeeping import Bookkeeping
from datd.hosting.changes import Changes
from datd.keys import Key
from datd.records import Record


@pytest.fixture
async def catalogue(tmp_path):
    made = Catalogue(tmp_path / "catalogue.sqlite3")
    await made.open()
    yield made
    await made.close()


async def kept(tmp_path):
    other = Catalogue(tmp_path / "catalogue.sqlite3")
    (record,) = await other.open()
    await other.close()
    return record


async def test_changes_are_on_record_at_once(catalogue, tmp_path):
    record = Record(Key(bytes(32)), added_at=1.0)
    book = Bookkeeping(record, catalogue)
    await book.change(Changes({"name": "mine", "watch": True}))
    found = await kept(tmp_path)
    assert (found.name, found.watch) == (record.name, record.watch) == ("mine", True)


async def test_what_cannot_be_written_down_is_not_changed(catalogue):
    first, second = (Record(Key(bytes([n]) * 32), added_at=1.0) for n in (1, 2))
    await Bookkeeping(first, catalogue).change(Changes({"name": "mine"}))
    with pytest.raises(StorageError):
        await Bookkeeping(second, catalogue).change(Changes({"name": "mine"}))
    assert second.name is None


def test_c4_files_are_on_record_as_being_written_also_behind_a_closing_that_was_cut_off(tmp_path):
    async def of():
        catalogue = Catalogue(tmp_path / "catalogue.sqlite3")
        await catalogue.open()
        record = Record(Key(bytes(32)), added_at=1.0)
        book = Bookkeeping(record, catalogue)
        await book.save()
        for turns in range(6):
            await book.soil()
            async with asyncio.TaskGroup() as group:
                cleaning = group.create_task(book.clean())
                for _ in range(turns):
                    await asyncio.sleep(0)
                cleaning.cancel()
            await book.soil()
            assert (await kept(tmp_path)).dirty
        await catalogue.close()

    story(of())


async def test_files_are_on_record_as_being_written_until_they_are_clean(catalogue, tmp_path):
    record = Record(Key(bytes(32)), added_at=1.0)
    book = Bookkeeping(record, catalogue)
    await book.save()
    await book.soil()
    await book.soil()
    assert (await kept(tmp_path)).dirty
    await book.clean()
    assert not record.dirty
    assert not (await kept(tmp_path)).dirty
