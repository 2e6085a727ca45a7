import sqlite3

import pytest

from datd.catalogue import Catalogue
from datd.migrations import MIGRATIONS

ARCHIVE = "ab" * 32


def make(path, version):
    """A catalogue as the datd of that format left it."""
    with sqlite3.connect(path) as database:
        for script in MIGRATIONS[:version]:
            database.executescript(script)
        database.execute(
            "INSERT INTO archives"
            " (key, name, tags, mode, paused, added_at, dirty, downloaded, uploaded, summary)"
            " VALUES (?, 'maps', '[\"old\"]', 'archive', 1, 12.5, 0, 7, 8, '{}')",
            (ARCHIVE,),
        )
        database.execute("INSERT INTO peers VALUES (?, '10.0.0.1', 3282)", (ARCHIVE,))
        database.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
async def test_what_an_older_datd_wrote_down_is_known_after_the_update(tmp_path, version):
    make(tmp_path / "c.sqlite3", version)
    catalogue = Catalogue(tmp_path / "c.sqlite3")
    (record,) = await catalogue.open()
    await catalogue.close()
    assert (record.key.hex, record.name, record.tags) == (ARCHIVE, "maps", ["old"])
    assert (record.mode, record.paused, record.added_at) == ("archive", True, 12.5)
    assert (record.downloaded, record.uploaded, len(record.peers)) == (7, 8, 1)
    assert (record.layout, record.chunking, record.writable) == ("flat", "fixed", False)
