"""The table of uTP says what was measured, and names what is too little."""

import pytest

from tests.benchmarks import utp
from tests.benchmarks.utp import CALLED, CALLER, Flow, Flows
from tests.helpers.reference import HERE, Reference


def flows(native: float, receiving: float, sending: float, both: float) -> Flows:
    rates = {
        ("original", "original"): native,
        ("original", "datd"): receiving,
        ("datd", "original"): sending,
        ("datd", "datd"): both,
    }
    return {
        (*pair, direction): [
            Flow(seconds, int(rate * 1e6), 0.25, 0.5) for seconds in (10.0, 1.0, 0.5)
        ]
        for pair, rate in rates.items()
        for direction in (CALLER, CALLED)
    }


def test_the_table_shows_every_pair_both_ways():
    shown = utp.show(flows(10, 20, 5, 40), "uTP").splitlines()
    assert len(shown) == 9
    assert shown[1].startswith("original -> original, the caller sends ")
    assert shown[1].split()[-5:] == ["10.0", "1.0", "20.0", "0.25", "0.50"]


def test_promises_that_are_kept_are_told_and_others_stand_out():
    kept = utp.compare(flows(10, 10, 5, 15))
    assert len(kept) == 6
    assert not [line for line in kept if "TOO LOW" in line]
    broken = utp.compare(flows(10, 9, 4, 14))
    assert all(line.endswith("TOO LOW") for line in broken)


@pytest.mark.interop
@pytest.mark.xdist_group("benchmarks")
def test_every_pair_of_utp_is_measured(tmp_path):
    with Reference.installed(tmp_path) as reference:
        done = utp.measure(reference.node, (HERE, HERE), 300_000, rounds=1)
    assert len(done) == 8
    for (flow,) in done.values():
        assert flow.seconds > 0
        assert flow.size == 300_000
        assert 0 < flow.send_cpu < 10
        assert 0 < flow.receive_cpu < 10
