import pytest

from datd.hosting.stats import Meter


def test_a_steady_flow_shows_its_rate_and_a_stopped_one_fades():
    meter = Meter(total=5)
    for second in range(60):
        meter.add(1000, float(second))
    assert meter.total == 60_005
    assert meter.rate(59.5) == pytest.approx(1000, rel=0.1)
    assert meter.rate(64.5) == pytest.approx(500, rel=0.1)
    assert meter.rate(1000.0) == 0.0
