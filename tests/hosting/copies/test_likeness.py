import random

import pytest
from tests.helpers.small_feeds import new_feed, reader_of

from datd.feed.feed import Feed
from datd.hosting.copies.known_blocks import Place
from datd.hosting.copies.likeness import Comparison, Run, equal, runs

HERE, THERE = b"here".ljust(32), b"there".ljust(32)


@pytest.mark.parametrize(
    ("shift", "width"), [(0, 2**15), (1, 1), (-1, 1), (6, 2), (-8, 8), (2**20, 2**15)]
)
def test_subtrees_are_as_wide_as_the_distance_allows(shift: int, width: int):
    assert Run(0, 10, HERE, shift).width == width


def test_blocks_belong_to_the_find_that_is_nearest():
    places = {10: Place(HERE, 10), 20: Place(HERE, 20), 40: Place(THERE, 44), 50: Place(HERE, 50)}
    assert runs(range(5, 60), places) == [
        Run(5, 31, HERE, 0),
        Run(31, 46, THERE, 4),
        Run(46, 60, HERE, 0),
    ]


def test_blocks_that_are_not_meant_part_runs():
    places = {10: Place(HERE, 12)}
    assert runs([1, 2, 8, 9, 10], places) == [Run(1, 3, HERE, 2), Run(8, 11, HERE, 2)]
    assert runs([1, 2], {}) == []


def compared(reader: Feed, holder: Feed, other: Feed, run: Run) -> tuple[set[int], int]:
    """Go all the way; gives the blocks that are the same, and how many hashes were asked for."""
    comparison, same, asked = Comparison(run), set(), 0
    while True:
        pieces, ask = comparison.look(reader)
        told = comparison.told(pieces, equal(other, pieces, run.shift))
        same |= {piece.block + n for piece in told for n in range(piece.width)}
        for block in ask:
            digest = reader.digest(block)
            reader.put_hashes(block, holder.proof(block, digest=digest, hash_only=True))
        asked += len(ask)
        if not (pieces or ask):
            return same, asked


def test_a_few_hashes_tell_where_a_copy_was_changed():
    blocks = [b"%d" % number for number in range(1000)]
    changed = [*blocks[:300], b"300!", *blocks[301:]]
    run = Run(0, 1000, THERE, 0)
    holder = new_feed(changed)
    same, asked = compared(reader_of(holder), holder, new_feed(blocks), run)
    assert same == set(range(1000)) - {300}
    assert asked <= 12


def test_exactly_what_is_equal_is_found_wherever_it_lies():
    chance = random.Random(8)
    for _ in range(100):
        length = chance.randrange(1, 200)
        here = [b"%d" % number for number in range(length)]
        for _ in range(chance.randrange(8)):
            here[chance.randrange(length)] = chance.randbytes(4)
        shift = chance.choice([0, 1, 2, 4, 8, 16, 24])
        there = [b"before"] * shift + [b"%d" % number for number in range(length)]
        there = there[: chance.randrange(shift, len(there) + 1)]
        start = chance.randrange(length)
        run = Run(start, chance.randrange(start, length) + 1, THERE, shift)
        holder, other = new_feed(here), new_feed(there or [b"empty"])
        same, asked = compared(reader_of(holder), holder, other, run)
        assert same == {
            number
            for number in range(run.start, run.stop)
            if number + shift < other.length and other.get(number + shift) == here[number]
        }
        assert asked <= run.stop - run.start


def test_who_gets_no_hashes_comes_to_an_end():
    comparison = Comparison(Run(0, 64, THERE, 0))
    reader = reader_of(new_feed([b"%d" % number for number in range(64)]))
    assert comparison.look(reader) == ([], [0])
    assert comparison.look(reader) == ([], [])


def test_numbers_below_the_first_block_are_no_blocks():
    holder = new_feed([b"a", b"b"])
    pieces, _ = Comparison(Run(0, 2, THERE, -2)).look(holder)
    assert pieces
    assert equal(holder, pieces, -2) == [False]
