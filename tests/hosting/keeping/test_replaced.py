from datd.archive.entries import Entry, Stat
from datd.archive.rows import Rows
from datd.archive.succession import Passage
from datd.hosting.keeping.replaced import MAX_PATHS, Replaced
from datd.replication.block_map import BlockMap


def file(offset: int, count: int = 2) -> Entry:
    stat = Stat(0o100644, 0, 0, count * 10, count, offset, offset * 10)
    return Entry(1, "name", stat, Rows.decode(1, b"\0"))


def kept(replaced: Replaced, *here: tuple[int, int]) -> list[int]:
    blocks = replaced.kept(BlockMap.of_ranges(here))
    return [index for index in range(100) if index in blocks]


def test_old_content_is_kept_until_all_of_the_new_is_here():
    replaced = Replaced()
    replaced.note(Passage("/a", file(0), file(10)))
    assert kept(replaced, (0, 2)) == [0, 1]
    assert kept(replaced, (0, 2), (10, 11)) == [0, 1]
    assert kept(replaced, (0, 2), (10, 12)) == []
    assert kept(replaced, (0, 2)) == []


def test_what_is_gone_for_good_and_what_is_new_keeps_nothing():
    replaced = Replaced()
    replaced.note(Passage("/gone", file(0), None))
    replaced.note(Passage("/new", None, file(4)))
    assert kept(replaced, (0, 2)) == []


def test_a_file_replaced_twice_keeps_all_it_was_until_it_is_here_or_gone():
    replaced = Replaced()
    replaced.note(Passage("/a", file(0), file(10)))
    replaced.note(Passage("/a", file(10), file(20)))
    assert kept(replaced, (0, 2)) == [0, 1, 10, 11]
    replaced.note(Passage("/a", file(20), None))
    assert kept(replaced, (0, 2)) == []


def test_a_file_that_lost_its_content_keeps_nothing():
    replaced = Replaced()
    replaced.note(Passage("/a", file(0), file(2, 0)))
    assert kept(replaced, (0, 2)) == []


def test_t26_only_so_many_paths_are_remembered():
    replaced = Replaced()
    for number in range(MAX_PATHS):
        replaced.note(Passage(f"/{number}", file(0), file(50)))
    assert not replaced.crowded
    replaced.note(Passage("/one more", file(0), file(50)))
    assert replaced.crowded


def test_t26_claims_of_petabytes_are_not_kept_bit_by_bit():
    replaced = Replaced()
    replaced.note(Passage("/a", file(5, 2**40), file(2**41, 2**40)))
    assert replaced.kept(BlockMap()).count() == 0
