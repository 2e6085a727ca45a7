"""The bench of large archives does what it says, with an archive that is not large."""

from tests.benchmarks import million
from tests.benchmarks.report import Figure


def test_it_measures_a_small_archive():
    figures = million.measure(6, lambda line: None)
    named = {one.what: one.value for one in figures}
    assert min(value for what, value in named.items() if "ls" in what or "stat" in what) > 0
    assert len(million.show(figures, 6)) == len(figures) + 1


def test_what_is_too_much_is_told():
    shown = million.show([Figure("a", 7.0, "ms", 5), Figure("b", 4.0, "ms", 5)], 2)
    assert "TOO MUCH" in shown[1]
    assert "TOO MUCH" not in shown[2]
