import asyncio
from datetime import datetime

from datd.keys import Key

JOBS = "/api/v1/jobs"
KEY = Key(bytes(32))


async def forever(job):
    job.text = "still at it"
    await asyncio.Event().wait()


async def test_a_job_is_listed_shown_and_cancelled(api):
    jobs = api.library.workshop.jobs
    job = jobs.start("verify", KEY, forever, unit="blocks", text="about to begin")
    shown = (await api.ask(f"{JOBS}/{job.id}")).json
    assert (shown["state"], shown["text"], shown["ended_at"]) == ("running", "still at it", None)
    assert [one["id"] for one in (await api.ask(f"{JOBS}?state=running")).json["jobs"]] == [job.id]
    assert (await api.ask(f"{JOBS}/{job.id}", method="DELETE")).status == 204
    assert (await api.ask(f"{JOBS}/{job.id}")).json["state"] == "cancelled"
    assert (await api.ask(f"{JOBS}?state=running")).json["jobs"] == []
    assert (await api.ask(f"{JOBS}/{job.id}", method="DELETE")).status == 204


async def test_a_job_that_never_was_is_no_such_job(api):
    answer = await api.ask(f"{JOBS}/nothing")
    assert (answer.status, answer.kind) == (404, "no_such_job")
    assert (await api.ask(f"{JOBS}?archive=nobody")).kind == "unknown_archive"
    assert (await api.ask(f"{JOBS}?state=odd")).kind == "bad_request"


async def test_pages_show_each_job_once_the_newest_first(api):
    started = []
    for number in range(7):
        made = (await api.post("/api/v1/archives", {"new": {}, "name": f"n{number}"})).json
        job = await api.post(f"/api/v1/archives/{made['key']}/verify", {})
        started.append(job.json["id"])
    seen, cursor = [], ""
    for _ in range(7):
        page = (await api.ask(f"/api/v1/jobs?kind=verify&limit=3{cursor}")).json
        seen += [(datetime.fromisoformat(job["started_at"]), job["id"]) for job in page["jobs"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(job for _, job in seen) == sorted(started)
    assert seen == sorted(seen, reverse=True)
    assert (await api.ask("/api/v1/jobs?kind=fork")).json == {"jobs": [], "next_cursor": None}
    assert (await api.ask("/api/v1/jobs?cursor=x")).kind == "bad_request"
