"""The bench of quiet archives does what it says, with few of them."""

from tests.benchmarks import quiet
from tests.helpers.pieces import missing
from tests.lab.install import Reference


def test_it_measures_a_few_archives():
    found = Reference.load()
    if found is None:
        missing("the original programs are not here: ./dev reference brings them")
    figures = quiet.measure(found.node, 3, lambda line: None, of_original=2, watched=0.2)
    named = {one.what: one.value for one in figures}
    # Each held open would have ten.
    assert named["descriptors of them"] == 0
    # Ten; of so few archives a descriptor of the program itself may count.
    assert named["original: descriptors an archive"] > 5
    assert named["READY"] > 0
    assert len(quiet.show(figures, 3)) == len(figures) + 1
