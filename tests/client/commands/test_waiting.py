import pytest

from datctl.commands import waiting
from datctl.errors import DatdError
from datctl.models_jobs import Skipped


def test_a_pace_is_that_of_the_last_seconds():
    now = [0.0]
    pace = waiting.Pace(lambda: now[0])
    assert pace.rate(0) == 0
    rates = []
    for second in range(1, 20):
        now[0] = float(second)
        rates.append(pace.rate(100 * second + max(0, 900 * (second - 10))))
    assert rates[9] == pytest.approx(100)
    assert rates[-1] == pytest.approx(1000), "what was long ago does not count"


def test_of_very_many_that_were_left_out_some_are_named(capsys):
    waiting.tell_skipped([Skipped(path=f"/\x1b{n}", reason="why") for n in range(50)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == waiting.MAX_REASONS + 1
    assert lines[0] == "left out /\\x1b0: why"
    assert "30 more" in lines[-1]


async def test_a_job_that_fails_says_why(dat, site, shell):
    made = await dat.publish(str(site))
    await dat.finished(made.job)
    for path in sorted(site.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    site.rmdir()
    job = await dat.rescan(made.key)
    with pytest.raises(DatdError, match=r"share failed: .*not a folder"):
        await waiting.finish(dat, job.id, "share")
