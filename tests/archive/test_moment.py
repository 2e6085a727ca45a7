"""The version that was the newest at a time, whatever times the author signed."""

import random

import pytest
from tests.helpers.feeds import FILE_MODE, ArchiveWriter, fetch, sparse_copy

from datd.archive.archive import Archive
from datd.archive.entries import Stat, encode_entry
from datd.errors import BlockMissing


def archive_of(times):
    """An entry for each time; None: a deletion."""
    writer = ArchiveWriter()
    for number, time in enumerate(times, 1):
        name = f"/{number}"
        if time is None:
            writer.raw(encode_entry(number, name, None, []))
        else:
            writer.entry(name, stat=Stat(FILE_MODE, ctime=time, mtime=5))
    return writer.archive()


def at(archive, time):
    search = archive.moment(time)
    while search.advance():
        pass
    return search.version


def test_the_newest_version_that_is_not_younger():
    archive = archive_of([10, 20, 20, 30])
    found = {time: at(archive, time) for time in (-5, 0, 9, 10, 19, 20, 29, 30, 10**15)}
    assert found == {-5: 0, 0: 0, 9: 0, 10: 1, 19: 1, 20: 3, 29: 3, 30: 4, 10**15: 4}


def test_an_archive_without_entries_was_empty_at_any_time():
    assert at(archive_of([]), 100) == 0


def test_deletions_belong_to_what_was_put_before_them():
    archive = archive_of([None, 10, None, None, 20, None])
    assert [at(archive, time) for time in (9, 10, 19, 20)] == [1, 4, 4, 6]


@pytest.mark.parametrize("seed", range(20))
def test_any_ascending_times_with_deletions_between(seed):
    chance = random.Random(seed)
    times, now = [], 1
    for _ in range(chance.randrange(80)):
        now += chance.choice([0, 0, 1, 5])
        times.append(None if chance.random() < 0.6 else now)
    archive = archive_of(times)
    for time in range(now + 2):
        seen = [number for number, one in enumerate(times, 1) if one is not None and one > time]
        assert at(archive, time) == (seen[0] - 1 if seen else len(times)), time


def test_a_clock_that_jumped_hides_no_version_nearby():
    archive = archive_of([10, 20, 90, 30, 40, 50])
    assert [at(archive, time) for time in (25, 35, 60, 90)] == [2, 4, 6, 6]


@pytest.mark.parametrize("seed", range(10))
def test_t25_hostile_times_give_a_version_that_is_not_younger(seed):
    chance = random.Random(seed)
    times = [chance.choice([None, 0, chance.randrange(100), 2**52]) for _ in range(600)]
    archive = archive_of(times)
    for time in (0, 50, 2**53):
        version = at(archive, time)
        told = [one for one in times[:version] if one]
        assert version == 0 or not told or told[-1] <= time


def test_entries_are_fetched_as_the_search_goes_on():
    source = archive_of(range(1, 2001))
    copy = sparse_copy(source.metadata, [0, 2000])
    search, fetched = Archive(copy).moment(1500), 0
    while True:
        try:
            if not search.advance():
                break
        except BlockMissing as missing:
            fetch(copy, source.metadata, [missing.index])
            fetched += 1
    assert search.version == 1500
    assert fetched <= 12
