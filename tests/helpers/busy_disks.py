"""The disk that the tests share: a doctor must not find it slow, or dead, since it is busy."""

import pytest


def not_judged_by_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the end of a test, a disk may take its time; what is wrong with it is told as ever."""
    monkeypatch.setattr("datd.hosting.host_checks.SLOW_FSYNC", 300.0)
    monkeypatch.setattr("datd.hosting.diagnosis.HOST_SECONDS", 300.0)
