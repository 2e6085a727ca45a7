"""The wire is shared as the table says."""

import pytest

from tests.benchmarks import sharing
from tests.benchmarks.sharing import Sharing
from tests.helpers.lab import Lab, needs_lab


def test_the_share_is_told_for_each_rule_of_tcp_and_each_order():
    done = [Sharing("cubic", "TCP", 2e6, 1.8e6)] * 2 + [Sharing("bbr", "TCP", 2e6, 1.2e6)]
    shown, *verdicts = sharing.show([*done, Sharing("bbr", "uTP", 2e6, 1.9e6)])
    assert [line.split()[-1] for line in shown.splitlines()[1:]] == [
        "1.00", "0.90", "1.00", "0.95", "0.60",
    ]  # fmt: skip
    cubic, bbr_late, bbr_first = verdicts
    assert "cubic" in cubic
    assert "uTP first" in bbr_late
    assert "TCP first" in bbr_first
    assert ["TOO LOW" in verdict for verdict in verdicts] == [False, False, True]


def test_a_rate_is_of_the_seconds_asked_for():
    notes = [(10.0, 0), (11.0, 100), (12.0, 300), (13.0, 900)]
    assert sharing.rate(notes, 10.5, 12.5) == 200.0


@pytest.mark.network
@pytest.mark.xdist_group("netlab")
def test_tcp_alone_fills_the_wire():
    needs_lab(tun=True)
    # A narrow one: what carries the packets is a program that needs the processor, too.
    wire = {**sharing.WIRE, "rate": 2.0}
    full = wire["rate"] * 1e6 / 8
    with Lab.wire(**wire) as lab, sharing.tcp_flow(lab, sharing.rules()[0], 5) as receiver:
        notes = sharing.notes_of(receiver, 5)
    begun = notes[0][0]
    assert 0.5 * full < sharing.rate(notes, begun, begun + 5) < 1.1 * full
