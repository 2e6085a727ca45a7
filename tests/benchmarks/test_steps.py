"""All blocks go over in steps, each of which takes time, and the table tells how much."""

import pytest

from tests.benchmarks import steps
from tests.benchmarks.report import Load
from tests.benchmarks.steps import STEPS, Transfer


@pytest.mark.parametrize("keeps", [True, False])
def test_a_transfer_takes_time_in_each_step(tmp_path, keeps):
    done = steps.transfer(Load(100, 60_000), tmp_path, keeps=keeps)
    assert set(done.seconds) == set(STEPS)
    assert all(seconds > 0 for seconds in done.seconds.values())


def test_medians_of_each_load_and_their_sums_are_told():
    load = Load(100, 100_000)
    seconds = dict.fromkeys(STEPS, 0.002)
    slow = dict.fromkeys(STEPS, 5.0)
    runs = [Transfer(load, True, seconds), Transfer(load, True, seconds)]
    shown = steps.show([*runs, Transfer(load, True, slow), Transfer(load, False, slow)])
    _, kept, others = shown[0].splitlines()
    assert kept.split()[-9:] == ["2.00"] * 7 + ["6.00", "8.00"]
    assert others.split()[-1] == "20000.00"
