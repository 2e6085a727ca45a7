import pytest
from tests.helpers.daemon import eventually
from tests.helpers.sites import use_web

from datctl.commands import waiting
from datctl.errors import DatdError, TimedOut
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


async def test_who_waits_so_long_only_hears_how_to_go_on(dat, site, shell):
    made = await dat.publish(str(site))
    done = await dat.finished(made.job)
    assert (await waiting.finish(dat, done.id, "share", 60.0)).state == "done"
    with pytest.raises(TimedOut, match=f"not done after 0 s.*datctl jobs wait {done.id}"):
        await waiting.finish(dat, done.id, "share", 0.0)
    await shell.run("jobs", "wait", done.id, "30")
    assert (await shell.json("jobs", "wait", done.id))["state"] == "done"
    await shell.run("jobs", "wait", done.id, "0", status=5)
    assert f"datctl jobs wait {done.id}" in shell.err


async def test_verbs_of_long_work_end_with_5_when_it_takes_too_long(dat, site, shell):
    await shell.run("share", str(site), "--name", "s", "--wait", "60")
    assert "all is as it should be" in await shell.text("verify", "s", "--wait", "60")
    for line in (("verify", "s"), ("rescan", "s"), ("fork", "s")):
        await shell.run(*line, "--wait", "0", status=5)


async def test_who_waits_for_a_web_source_in_vain_hears_what_is_wrong_with_it(api, dat, shell):
    web = use_web(api, allow=False)
    try:
        line = ("add", "ab" * 32, "--network", "none", "--web", "http://127.0.0.1:9/")
        await shell.run(*line)

        async def refused():
            return any(peer.last_error for peer in await dat.peers("ab" * 32))

        await eventually(refused)
        await shell.run(*line, "--wait", "1", status=5)
        assert "; web source 127.0.0.1:9: " in shell.err
        assert "web.allow_networks" in shell.err
    finally:
        await web.close()


async def test_an_address_that_is_no_web_source_is_refused_in_words(shell):
    await shell.run("add", "ab" * 32, "--web", "ftp://example.org/", status=1)
    assert "is no address such as https://example.org/" in shell.err
