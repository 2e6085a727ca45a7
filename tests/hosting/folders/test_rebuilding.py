import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers.seeds import Seed, make

from datd import crypto
from datd.books import events as journal
from datd.books.events import Bounds, Draft
from datd.catalogue import Catalogue
from datd.errors import NewerFormat, StorageError
from datd.hosting.folders import rebuilding
from datd.hosting.folders.folder import REPORT, DataFolder
from datd.hosting.folders.rebuilding import open_catalogue
from datd.hosting.own.secrets import Mark, Secrets
from datd.keys import Key
from datd.records import Record, Signed

NOW = 1_600_000_000.0


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A data folder in which a daemon has run."""
    with DataFolder(tmp_path / "data"):
        pass
    return tmp_path / "data"


@pytest.fixture
def folder(used: Path) -> Iterator[DataFolder]:
    with DataFolder(used) as folder:
        yield folder


async def opened(folder: DataFolder) -> tuple[list[Record], list[str]]:
    catalogue, records, lines = await open_catalogue(folder, Secrets(folder.keys), NOW)
    await catalogue.close()
    return records, lines


async def hosting(folder: DataFolder, *keys: Key, **fields: object) -> None:
    """Have the catalogue tell of archives."""
    catalogue, _, _ = await open_catalogue(folder, Secrets(folder.keys), NOW)
    await catalogue.save(Record(key, added_at=NOW, **fields) for key in keys)  # type: ignore[arg-type]
    await catalogue.close()


def spoil(folder: DataFolder) -> None:
    folder.catalogue.write_bytes(b"no database" * 1_000)


def seed_key(seed: Seed) -> Key:
    return Key.parse(seed.key)


async def test_a_new_data_folder_gets_a_catalogue_without_a_word(folder):
    assert await opened(folder) == ([], [])
    assert not (folder.path / REPORT).exists()


async def test_folders_of_archives_in_a_new_data_folder_are_left_to_who_put_them_there(tmp_path):
    make(1, tmp_path / "data")
    with DataFolder(tmp_path / "data") as folder:
        assert await opened(folder) == ([], [])


async def test_c19_archives_are_found_by_their_folders(folder):
    seed = make(1, folder.path)
    records, lines = await opened(folder)
    assert records == [Record(seed_key(seed), added_at=NOW, paused=True, dirty=True)]
    assert "the catalogue was lost" in lines[0]
    assert not any(seed.key in line for line in lines)
    assert seed.key in (folder.path / REPORT).read_text()
    assert await opened(folder) == (records, []), "said once"


async def test_c19_our_own_is_ours_and_its_mark_is_doubted(folder):
    pair = crypto.key_pair(b"\1" * 32)
    key, secrets = Key(pair.public), Secrets(folder.keys)
    secrets.keep(pair.secret)
    mark = Mark(Signed(3, "aa", "bb"))
    secrets.set_mark(key.discovery_key, mark)
    name = str(key.discovery_key)
    (folder.archives / name[:2] / name[2:]).mkdir(parents=True)
    # The secret key tells the public one where its file is gone.
    ((record,), _) = await opened(folder)
    assert (record.key, record.writable, record.paused) == (key, True, True)
    assert secrets.mark(key.discovery_key) == Mark(Signed(3, "aa", "bb"), doubtful=True)


async def test_c19_what_cannot_be_found_again_is_said(folder):
    adopted, nameless = Key(b"\2" * 32), Key(b"\3" * 32)
    for key in (adopted, nameless):
        name = str(key.discovery_key)
        (folder.archives / name[:2] / name[2:]).mkdir(parents=True)
    name = str(adopted.discovery_key)
    seal = [["/srv/maps/.dat/metadata.key", 1, 2, 3]]
    (folder.archives / name[:2] / name[2:] / "seal").write_text(json.dumps(seal))
    lone = crypto.key_pair(b"\4" * 32)
    Secrets(folder.keys).keep(lone.secret)
    records, lines = await opened(folder)
    assert records == []
    said = "\n".join(lines)
    assert "1 archives lie in folders that were taken over: datctl adopt" in said
    assert "of 1 folders the key is not known: datctl add LINK" in said
    assert "of 1 archives only the secret key is here" in said
    assert "conflicts, tokens, accounts" in said
    report = (folder.path / REPORT).read_text()
    assert f"taken over: {name} in /srv/maps" in report
    assert f"discovery key {nameless.discovery_key}" in report
    assert lone.public.hex() in report


@pytest.mark.parametrize("wrong", [b"", b"short", b"\7" * 32])
async def test_c19_d7_a_key_file_of_another_archive_makes_no_archive(folder, wrong):
    seed = make(1, folder.path)
    (seed.folder / "metadata.key").write_bytes(wrong)
    records, lines = await opened(folder)
    assert records == []
    assert any("the key is not known" in line for line in lines)


async def test_c19_a_damaged_file_is_kept_beside_the_new_one_each_time(folder):
    make(1, folder.path)
    await hosting(folder)
    for number in (1, 2):
        spoil(folder)
        harmed = folder.catalogue.read_bytes()
        records, lines = await opened(folder)
        assert len(records) == 1
        assert "was damaged (file is not a database)" in lines[0]
        aside = folder.catalogue.with_name(f"catalogue.sqlite3.damaged-{number}")
        assert str(aside) in lines[0]
        assert aside.read_bytes() == harmed
    reports = (folder.path / REPORT).read_text()
    assert reports.count("the catalogue was") >= 2, "earlier reports are kept"


async def test_c19_what_is_in_the_log_of_the_database_counts_too(folder, tmp_path):
    key = Key(b"\5" * 32)
    await hosting(folder)
    # As kill -9 leaves it: rows in `-wal` only. Then a page of the file turns.
    writer = sqlite3.connect(folder.catalogue, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute(
        "INSERT INTO archives (key, tags, mode, paused, added_at, dirty, downloaded, uploaded, "
        "summary) VALUES (?, '[]', 'latest', 0, 1.0, 0, 0, 0, '{}')",
        (key.hex,),
    )
    place = tmp_path / "killed"
    place.mkdir()
    for ending in ("", "-wal"):
        shutil.copy(f"{folder.catalogue}{ending}", place / f"c{ending}")
    (root,) = writer.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'pins'").fetchone()
    writer.close()
    for ending in ("", "-wal"):
        shutil.copy(place / f"c{ending}", f"{folder.catalogue}{ending}")
    with folder.catalogue.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)
    ((record,), lines) = await opened(folder)
    assert "was damaged" in lines[0]
    assert (record.key, record.mode, record.paused, record.dirty) == (key, "latest", False, True)
    assert folder.catalogue.with_name("catalogue.sqlite3.damaged-1-wal").stat().st_size


async def test_c20_c19_a_newer_catalogue_is_not_taken_for_a_damaged_one(folder):
    await hosting(folder)
    database = sqlite3.connect(folder.catalogue)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(NewerFormat):
        await opened(folder)
    assert not list(folder.path.glob("*.damaged-*"))


_STEPS = ["_keep_aside", "salvage", "find", "_report", "_put_in_place", "_finish"]


class _PowerCut(BaseException):
    pass


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("step", _STEPS)
async def test_c19_d9_cut_short_anywhere_it_comes_to_the_same(folder, monkeypatch, step, behind):
    seed = make(1, folder.path)
    kept = Key(b"\6" * 32)
    await hosting(folder, kept, name="kept")
    database = sqlite3.connect(folder.catalogue)
    (root,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'pins'").fetchone()
    database.execute("DELETE FROM archives WHERE key = ?", (seed.key,))
    database.commit()
    database.close()
    with folder.catalogue.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)
    real, calls = getattr(rebuilding, step), []

    def cut(*arguments):
        calls.append(step)
        # `_finish` is called at the start, too, when there is nothing to be finished yet.
        if step == "_finish" and len(calls) == 1:
            return real(*arguments)
        if behind:
            real(*arguments)
        raise _PowerCut

    with monkeypatch.context() as patched:
        patched.setattr(rebuilding, step, cut)
        with pytest.raises(_PowerCut):
            await opened(folder)
    records, _ = await opened(folder)
    assert {(r.key.hex, r.name, r.paused) for r in records} == {
        (kept.hex, "kept", False),
        (seed.key, None, True),
    }
    assert (folder.path / REPORT).exists()
    assert not list(folder.path.glob("catalogue.sqlite3.part*"))


def spoil_page(folder: DataFolder, table: str) -> None:
    database = sqlite3.connect(folder.catalogue)
    query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    (root,) = database.execute(query, (table,)).fetchone()
    database.close()
    with folder.catalogue.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)


@pytest.mark.parametrize(
    "harm",
    [
        "ALTER TABLE archives DROP COLUMN web_sources",
        "DROP TABLE pins",
        "PRAGMA user_version = 3",
        "UPDATE archives SET mode = CAST(x'61ff' AS TEXT)",
        "UPDATE archives SET mode = 'brchive'",
    ],
)
async def test_c19_tables_of_a_broken_upgrade_are_made_anew_and_no_archive_is_lost(folder, harm):
    key = Key(b"\x0b" * 32)
    await hosting(folder, key, name="mine", layout="dat")
    database = sqlite3.connect(folder.catalogue, isolation_level=None)
    database.execute(harm)
    database.close()
    ((record,), lines) = await opened(folder)
    assert (record.key, record.name, record.layout) == (key, "mine", "dat")
    assert "was damaged (" in lines[0]
    assert "start datd anew" not in lines[0]
    assert await opened(folder) == ([record], [])


async def test_c19_whoever_read_events_of_a_lost_catalogue_is_told_so(folder):
    key = Key(b"\x0c" * 32)
    make(1, folder.path)
    await hosting(folder, key)
    folder.catalogue.unlink()
    catalogue, _, _ = await open_catalogue(folder, Secrets(folder.keys), NOW)
    bounds = await catalogue.together(journal.bounds)
    await catalogue.close()
    # No cursor of before lies between these, so each is answered with `events.lost`.
    assert bounds.newest >= 2**32
    assert bounds.oldest == bounds.newest + 1


async def test_c19_events_that_could_all_be_read_go_on(folder):
    await hosting(folder)
    catalogue, _, _ = await open_catalogue(folder, Secrets(folder.keys), NOW)
    drafts = [Draft("daemon.started", NOW, None, {})] * 3
    await catalogue.together(lambda database: journal.write(database, drafts))
    await catalogue.close()
    spoil_page(folder, "pins")
    catalogue, _, lines = await open_catalogue(folder, Secrets(folder.keys), NOW)
    assert lines
    assert await catalogue.together(journal.bounds) == Bounds(1, 3)
    await catalogue.close()


async def test_c19_starting_in_vain_again_and_again_keeps_one_copy(folder, monkeypatch):
    make(1, folder.path)
    await hosting(folder)
    spoil(folder)

    def refuse(*_):
        raise StorageError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(rebuilding, "find", refuse)
        for _ in range(3):
            with pytest.raises(StorageError):
                await opened(folder)
            assert not list(folder.path.glob("*.damaged-*"))
    with monkeypatch.context() as patched:
        patched.setattr(rebuilding, "find", _cut_power)
        for _ in range(3):
            with pytest.raises(_PowerCut):
                await opened(folder)
    await opened(folder)
    assert [file.name for file in folder.path.glob("*.damaged-?")] == [
        "catalogue.sqlite3.damaged-1"
    ]


def _cut_power(*_):
    raise _PowerCut


async def test_c19_c7_a_new_catalogue_that_is_not_whole_never_takes_the_place(folder, monkeypatch):
    seed = make(1, folder.path)
    await hosting(folder)
    spoil(folder)
    harmed = folder.catalogue.read_bytes()
    close, wal = Catalogue.close, folder.path / "catalogue.sqlite3.part-wal"

    async def closed_on_a_full_disk(self):
        # SQLite could not bring its log over into the file, which it tells nobody.
        await close(self)
        wal.write_bytes(b"rows")

    with monkeypatch.context() as patched:
        patched.setattr(Catalogue, "close", closed_on_a_full_disk)
        with pytest.raises(StorageError, match="free some space"):
            await opened(folder)
    assert folder.catalogue.read_bytes() == harmed
    ((record,), _) = await opened(folder)
    assert record.key == seed_key(seed)


async def test_c19_lost_and_found_of_a_disk_is_no_archive(folder):
    seed = make(1, folder.path)
    (folder.archives / "lost+found").mkdir(mode=0)
    (folder.archives / "note").touch()
    ((record,), _) = await opened(folder)
    assert record.key == seed_key(seed)
