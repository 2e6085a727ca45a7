import sqlite3

import pytest

from datd.catalogue import MAX_GOOD_PEERS, Catalogue
from datd.errors import DamagedCatalogue, ReadOnlyError, StorageError
from datd.keys import Key, KnownName
from datd.records import Conflict, Forking, GoodPeer, ImportRules, Record, Signed, Summary
from datd.storage.faults import is_full
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
        networks=["dns", "mdns"],
        shortname="maps.example",
        domain="dat.maps.example",
        include=["/maps/**"],
        synced=6,
        writable=True,
        chunking="content",
        source="/srv/maps",
        watch=True,
        importing=True,
        location="/srv/maps",
        layout="dat",
        import_rules=ImportRules("all", ignore_hidden=False, delete=False),
        forking=Forking("ab" * 32, 12, {"title": "Ω"}),
        version_tags={"first": 1, "v2": 5},
        peers=[Address("10.0.0.1", 3282), Address("::1", 1)],
        good_peers=[
            GoodPeer(Address("10.0.0.2", 3282), "utp", 1500000007.5, ("dns", "dht"), True),
            GoodPeer(Address("10.0.0.1", 3282), "tcp", 1500000003.0),
        ],
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


async def test_a_full_disk_is_told_from_a_read_only_one_and_from_a_damaged_file(tmp_path):
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    await catalogue.open()
    await catalogue.add(Record(ONE, added_at=1.0))

    async def refused(statement):
        with pytest.raises(StorageError) as caught:
            await catalogue.together(lambda database: database.execute(statement))
        return caught.value

    async def set_up(pragma):
        await catalogue._run(lambda: catalogue._database.execute(f"PRAGMA {pragma}"))

    await set_up("max_page_count = 1")  # as many as there are
    full = await refused("CREATE TABLE large AS SELECT zeroblob(1000000)")
    assert is_full(full)
    assert "free some space" in str(full)
    await set_up("query_only = ON")
    assert isinstance(await refused("DELETE FROM archives"), ReadOnlyError)
    assert not is_full(await refused("SELECT * FROM nothing"))
    await set_up("query_only = OFF")
    await set_up("max_page_count = 100000")
    await catalogue.add(Record(TWO, added_at=1.0))
    await catalogue.close()
    assert len(await reopened(tmp_path / "c.sqlite3")) == 2


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


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" * 500])
async def test_c19_something_else_in_its_place_is_damage_and_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "c.sqlite3"
    path.write_bytes(content)
    catalogue = Catalogue(path)
    with pytest.raises(DamagedCatalogue):
        await catalogue.open()
    await catalogue.close()
    assert path.read_bytes() == content


@pytest.mark.parametrize("where", ["PRAGMA writable_schema = 1; DELETE FROM sqlite_schema", None])
async def test_c19_pages_that_make_no_sense_are_noticed_when_it_is_opened(tmp_path, where):
    path = tmp_path / "c.sqlite3"
    await reopened(path)
    if where is None:  # a leaf that nobody reads at the start
        database = sqlite3.connect(path)
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'webhooks'"
        (page,) = database.execute(query).fetchone()
        database.close()
        with path.open("r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xa5" * 4096)
    else:
        database = sqlite3.connect(path)
        database.executescript(where)
        database.close()
    catalogue = Catalogue(path)
    with pytest.raises(DamagedCatalogue):
        await catalogue.open()
    await catalogue.close()


@pytest.mark.parametrize("column", ["summary", "tags", "conflict", "import_rules", "include"])
async def test_c19_a_record_that_makes_no_sense_is_damage_and_no_bug(tmp_path, column):
    path = tmp_path / "c.sqlite3"
    catalogue = Catalogue(path)
    await catalogue.open()
    await catalogue.add(Record(ONE, added_at=1.0))
    await catalogue.close()
    database = sqlite3.connect(path)
    database.execute(f"UPDATE archives SET {column} = '{{\"x'")
    database.commit()
    database.close()
    catalogue = Catalogue(path)
    with pytest.raises(DamagedCatalogue, match="makes no sense"):
        await catalogue.open()
    await catalogue.close()


async def test_d7_c19_a_file_that_cannot_be_read_is_not_taken_for_damaged(tmp_path):
    (tmp_path / "c.sqlite3").mkdir()
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    with pytest.raises(StorageError) as caught:
        await catalogue.open()
    assert not isinstance(caught.value, DamagedCatalogue)
    await catalogue.close()


async def test_no_choice_of_networks_is_another_thing_than_none_of_them(tmp_path):
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    await catalogue.open()
    await catalogue.add(Record(ONE, added_at=1.0))
    await catalogue.add(Record(TWO, added_at=2.0, networks=[]))
    await catalogue.close()
    first, second = await reopened(tmp_path / "c.sqlite3")
    assert (first.networks, second.networks) == (None, [])


async def test_good_peers_are_kept_up_to_a_number_and_forgotten_with_the_archive(tmp_path):
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    await catalogue.open()
    peers = [GoodPeer(Address("10.0.0.1", n), "tcp", 9000.0 - n) for n in range(1, 100)]
    await catalogue.add(Record(ONE, added_at=1.0, good_peers=peers))
    await catalogue.close()
    (found,) = await reopened(tmp_path / "c.sqlite3")
    assert found.good_peers == peers[:MAX_GOOD_PEERS]
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    await catalogue.open()
    await catalogue.remove(ONE)
    await catalogue.close()
    rows = sqlite3.connect(tmp_path / "c.sqlite3").execute("SELECT count(*) FROM good_peers")
    assert rows.fetchone() == (0,)


async def test_two_archives_cannot_have_one_domain(tmp_path):
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    await catalogue.open()
    await catalogue.add(Record(ONE, added_at=1.0, domain="x.example"))
    with pytest.raises(StorageError):
        await catalogue.add(Record(TWO, added_at=1.0, domain="x.example"))
    await catalogue.close()


async def test_what_names_mean_is_kept_and_dropped(tmp_path):
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    await catalogue.open()
    await catalogue.save_name(KnownName("a.example", ONE, 100.5))
    await catalogue.save_name(KnownName("b.example", ONE, 50.0))
    await catalogue.save_name(KnownName("a.example", TWO, 200.0))
    assert await catalogue.names() == [
        KnownName("b.example", ONE, 50.0),
        KnownName("a.example", TWO, 200.0),
    ]
    await catalogue.save_name(KnownName("c.example", TWO, 300.0),
                              dropped=["a.example", "never.example"])  # fmt: skip
    assert [known.name for known in await catalogue.names()] == ["b.example", "c.example"]
    await catalogue.close()


# A whole catalogue as the first version wrote it (its `.dump`); never edited.
_FIRST = r"""
BEGIN TRANSACTION;
CREATE TABLE archives (
        key TEXT PRIMARY KEY,
        name TEXT UNIQUE,
        tags TEXT NOT NULL,
        mode TEXT NOT NULL,
        paused INTEGER NOT NULL,
        pinned INTEGER,
        added_at REAL NOT NULL,
        updated_at REAL,
        last_peer_at REAL,
        dirty INTEGER NOT NULL,
        downloaded INTEGER NOT NULL,
        uploaded INTEGER NOT NULL,
        summary TEXT NOT NULL,
        conflict TEXT
    ) STRICT;
INSERT INTO "archives" VALUES(
'0101010101010101010101010101010101010101010101010101010101010101','maps','["a", "b"]','archive',
1,12,1500000000.25,NULL,NULL,0,7,8,'{"title": "\u03a9", "description": "", "version": 7,
"files": 0, "size": 0, "blocks_have": 0, "blocks_total": 0, "blocks_unavailable": 0,
"bytes_have": 0, "bytes_total": 0, "complete": true}','{"feed": "ab", "kept": {"length": 3,
"root_hash": "01", "signature": "02"}, "refused": {"length": 4, "root_hash": "03",
"signature": "04"}}');
INSERT INTO "archives" VALUES(
'0202020202020202020202020202020202020202020202020202020202020202',NULL,'[]','archive',
0,NULL,1500000001.0,NULL,NULL,1,0,0,'{"title": "", "description": "", "version": 0,
"files": 0, "size": 0, "blocks_have": 0, "blocks_total": 0, "blocks_unavailable": 0,
"bytes_have": 0, "bytes_total": 0, "complete": false}',NULL);
CREATE TABLE peers (
        key TEXT NOT NULL REFERENCES archives (key) ON DELETE CASCADE,
        host TEXT NOT NULL,
        port INTEGER NOT NULL,
        PRIMARY KEY (key, host, port)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "peers" VALUES(
'0101010101010101010101010101010101010101010101010101010101010101','10.0.0.1',3282);
INSERT INTO "peers" VALUES(
'0101010101010101010101010101010101010101010101010101010101010101','::1',1);
COMMIT;
PRAGMA user_version = 1;
"""


async def test_c20_a_catalogue_of_the_first_version_is_brought_up_to_date(tmp_path):
    path = tmp_path / "c.sqlite3"
    old = sqlite3.connect(path)
    old.executescript(_FIRST)
    old.close()
    maps = Record(
        ONE,
        added_at=1500000000.25,
        name="maps",
        tags=["a", "b"],
        paused=True,
        pinned=12,
        downloaded=7,
        uploaded=8,
        summary=Summary(title="Ω", version=7, complete=True),
        conflict=Conflict("ab", Signed(3, "01", "02"), Signed(4, "03", "04")),
        peers=[Address("10.0.0.1", 3282), Address("::1", 1)],
    )
    for _ in range(2):
        assert await reopened(path) == [maps, Record(TWO, added_at=1500000001.0, dirty=True)]
    # What is new since then can be used.
    maps.networks, maps.domain = ["dns"], "maps.example"
    maps.good_peers = [GoodPeer(Address("10.0.0.2", 3282), "utp", 1500000007.5, ("dns",), True)]
    catalogue = Catalogue(path)
    await catalogue.open()
    await catalogue.save([maps])
    await catalogue.save_name(KnownName("maps.example", ONE, 100.5))
    await catalogue.close()
    assert (await reopened(path))[0] == maps


async def test_c20_a_step_that_fails_half_way_leaves_the_old_catalogue(tmp_path):
    path = tmp_path / "c.sqlite3"
    old = sqlite3.connect(path)
    old.executescript(_FIRST + "CREATE TABLE names (in_the_way TEXT);")
    before = list(old.iterdump())
    old.close()
    catalogue = Catalogue(path)
    with pytest.raises(StorageError, match="names already exists"):
        await catalogue.open()
    await catalogue.close()
    after = sqlite3.connect(path)
    assert list(after.iterdump()) == before
    assert after.execute("PRAGMA user_version").fetchone() == (1,)
    after.close()


async def test_t50_the_catalogue_is_for_its_owner_only(tmp_path):
    path = tmp_path / "c.sqlite3"
    path.touch(0o644)
    catalogue = Catalogue(path)
    await catalogue.open()
    await catalogue.add(Record(ONE, added_at=0.0))
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) == 3
    await catalogue.close()


async def test_a_name_that_makes_no_sense_is_looked_up_again(tmp_path):
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    await catalogue.open()
    await catalogue.save_name(KnownName("a.example", ONE, 100.0))
    await catalogue.together(
        lambda database: database.execute("INSERT INTO names VALUES ('b.example', 'zz', 1.0)")
    )
    assert [known.name for known in await catalogue.names()] == ["a.example"]
    await catalogue.close()
