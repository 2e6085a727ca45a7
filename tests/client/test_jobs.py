from typing import Any

import pytest

from datctl.errors import ApiError, NotFound


async def test_a_job_is_followed_to_its_end(dat, site):
    made = await dat.publish(str(site), watch=False)
    seen: list[Any] = []
    done = await dat.finished(made.job, seen.append)
    assert (done.state, done.kind, done.progress) == ("done", "import", 1)
    assert seen[-1] == done
    assert await dat.job(made.job) == done
    assert [job.id for job in await dat.jobs(made.key)] == [made.job]
    assert await dat.jobs(state="failed") == []
    (site / "more").write_text("x")
    assert (await dat.finished((await dat.rescan(made.key)).id)).state == "done"
    assert (await dat.archive(made.key)).files == 3
    assert (await dat.finished((await dat.verify(made.key)).id)).kind == "verify"
    await dat.cancel(made.job)
    assert (await dat.job(made.job)).state == "done"


async def test_what_is_no_job_is_not_found(dat):
    for call in (dat.job, dat.cancel):
        with pytest.raises(NotFound):
            await call("nothing")
    made = await dat.create()
    with pytest.raises(ApiError, match="not published from a folder"):
        await dat.rescan(made.key)
