"""The bench of calling peers does what it says, with few of them."""

from tests.benchmarks import guests
from tests.benchmarks.datd_side import DatdSide
from tests.benchmarks.original_side import OriginalSide
from tests.helpers.pieces import missing
from tests.lab.install import Reference


def test_it_measures_few_visits():
    found = Reference.load()
    if found is None:
        missing("the original programs are not here: ./dev reference brings them")
    original = OriginalSide(found.node)
    done = guests.measure([DatdSide()], original, 1, lambda line: None, visits=8, reads=3)
    (stay,) = done["datd"]
    assert stay.visits > 0
    assert stay.alone > 0
    assert stay.beside > 0
    assert len(guests.show(done)) == 9


def test_what_misses_its_goal_is_told():
    slow = guests.Stay(9.0, 0.1, 0, 0, 70_000.0, 0.01, 0.2, 0)
    lines = guests.show({"datd": [slow]})
    assert sum("MISSED" in line for line in lines) == 3
    assert not any("MISSED" in line for line in guests.show({"original": [slow]}))
