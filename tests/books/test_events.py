import sqlite3

import pytest

from datd.books import events as journal
from datd.books.events import Bounds, Draft, Event, Mark
from datd.migrations import MIGRATIONS

KEY, OTHER = "aa" * 32, "bb" * 32


@pytest.fixture
def database():
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.row_factory = sqlite3.Row
    for script in MIGRATIONS:
        made.executescript(script)
    yield made
    made.close()


def draft(kind, archive=KEY, at=1.0, **fields):
    return Draft(kind, at, archive, fields)


def ids(found):
    return [event.id for event in found]


def test_events_are_numbered_in_their_order_and_read_back_as_they_were(database):
    journal.write(database, [draft("archive.added", at=5.0, name="ä"), draft("disk.full", None)])
    assert journal.read(database, 0, 9, 9) == [
        Event(1, "archive.added", 5.0, KEY, {"name": "ä"}),
        Event(2, "disk.full", 1.0, None, {}),
    ]
    assert journal.bounds(database) == Bounds(1, 2)


def test_a_part_is_read_by_place_archive_and_kind(database):
    kinds = ["archive.paused", "archive.resumed", "archive.paused"]
    journal.write(database, [draft(kind, archive) for archive in (KEY, OTHER) for kind in kinds])
    assert ids(journal.read(database, 2, 5, 9)) == [3, 4, 5]
    assert ids(journal.read(database, 0, 6, 2)) == [1, 2]
    assert ids(journal.read(database, 0, 6, 9, archive=OTHER)) == [4, 5, 6]
    assert ids(journal.read(database, 0, 6, 9, archive=KEY, kinds=["archive.paused"])) == [1, 3]


def test_a_number_is_never_given_twice_even_if_nothing_is_left(database):
    journal.write(database, [draft("disk.full") for _ in range(3)])
    assert journal.prune(database, most=0) == 4
    assert journal.bounds(database) == Bounds(4, 3)
    journal.write(database, [draft("disk.room")])
    assert ids(journal.read(database, 0, 9, 9)) == [4]


def test_what_was_rolled_back_leaves_no_gap(database):
    database.execute("BEGIN")
    journal.write(database, [draft("disk.full")])
    database.execute("ROLLBACK")
    journal.write(database, [draft("disk.room")])
    assert ids(journal.read(database, 0, 9, 9)) == [1]


def test_the_oldest_are_pruned_by_number(database):
    journal.write(database, [draft("disk.full") for _ in range(10)])
    assert journal.prune(database, most=8) == 3
    assert journal.prune(database, most=8) == 3
    assert ids(journal.read(database, 0, 99, 99)) == list(range(3, 11))


def test_the_marks_of_archives_move_with_the_events(database):
    assert journal.marks(database) == {}
    journal.write(database, [draft("archive.added")])
    assert journal.marks(database) == {KEY: Mark(0, -1)}
    journal.write(
        database, [draft("archive.version", version=7), draft("archive.complete", version=7)]
    )
    journal.write(database, [draft("archive.version", version=9)])
    assert journal.marks(database) == {KEY: Mark(9, 7)}
    # Of an archive that is gone nothing is kept, whatever comes late.
    journal.write(database, [draft("archive.removed"), draft("archive.version", version=10)])
    assert journal.marks(database) == {}


def test_archives_of_an_older_datd_are_taken_for_told_of():
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.row_factory = sqlite3.Row
    for script in MIGRATIONS[:4]:
        database.executescript(script)
    for key, summary in ((KEY, '{"version": 5, "complete": true}'), (OTHER, '{"version": 3}')):
        database.execute(
            "INSERT INTO archives (key, tags, mode, paused, added_at, dirty, downloaded, uploaded,"
            " summary) VALUES (?, '[]', 'archive', 0, 0.0, 0, 0, 0, ?)",
            (key, summary),
        )
    database.executescript(MIGRATIONS[4])
    assert journal.marks(database) == {KEY: Mark(5, 5), OTHER: Mark(3, -1)}
    database.close()


def numbers(database: sqlite3.Connection) -> list[int]:
    return [number for (number,) in database.execute("SELECT id FROM events ORDER BY id")]


def after_loss(database: sqlite3.Connection, *lost: int, chance: int = 5, sure: bool = True) -> int:
    """The next number that is given, behind ten events of which some are lost."""
    journal.write(database, [draft("archive.added")] * 10)
    database.executemany("DELETE FROM events WHERE id = ?", [(number,) for number in lost])
    journal.begin_anew(database, chance, sure=sure)
    kept = numbers(database)
    journal.write(database, [draft("archive.paused")])
    found = numbers(database)
    assert found[:-1] == kept
    return found[-1]


def test_c19_a_journal_that_is_whole_goes_on(database):
    assert after_loss(database) == 11
    assert numbers(database) == list(range(1, 12))


def test_c19_of_a_journal_with_a_gap_the_part_behind_it_is_kept(database):
    assert after_loss(database, 4, 5, 7) == 11
    assert numbers(database) == [8, 9, 10, 11]


@pytest.mark.parametrize(("lost", "sure"), [((10,), True), ((), False), (range(1, 11), False)])
def test_c19_where_the_end_is_lost_no_number_is_given_twice(database, lost, sure):
    first = after_loss(database, *lost, sure=sure)
    assert numbers(database) == [first]
    assert 2**32 < first < 2**53
    assert journal.bounds(database) == (first, first)


def test_c19_numbers_stay_such_that_every_program_reads_them(database):
    first = after_loss(database, *range(1, 11), chance=journal.CHANCES - 1, sure=False)
    assert 2**51 < first < 2**53
    # A number that turned on the disk is none that was given.
    database.execute("UPDATE sqlite_sequence SET seq = ?", (2**62,))
    journal.begin_anew(database, journal.CHANCES - 1, sure=True)
    assert journal.bounds(database).newest < 2**53
