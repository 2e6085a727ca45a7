import asyncio

import pytest
from tests.helpers.libraries import until

from datd.errors import Busy, StorageError, UnknownJob
from datd.hosting.jobs import AT_ONCE, KEPT, MAX_SKIPPED, MAX_TEXT, WAITING, Job, Jobs
from datd.keys import Key

KEY, OTHER = Key(bytes(32)), Key(bytes(31) + b"\1")


async def nothing(job):
    pass


async def forever(job):
    await asyncio.Event().wait()


@pytest.fixture
async def book():
    async with asyncio.TaskGroup() as group:
        made = Jobs(group.create_task, lambda: 5.0)
        yield made
        await made.close()


def start(book, work, key=KEY, kind="verify"):
    return book.start(kind, key, work, unit="blocks")


async def test_a_job_runs_and_tells_how_it_ended(book):
    async def work(job):
        job.done, job.total = 1, 2
        seen.append(job.progress)
        job.done = 2
        seen.append(job.progress)

    seen: list[float] = []
    job = start(book, work)
    assert (job.state, job.progress, book.of(KEY)) == ("running", 0, job)
    await until(lambda: job.ended_at)
    assert (job.state, job.progress, job.ended_at) == ("done", 1, 5.0)
    assert seen == [0.5, 0.9999]  # done only when it is over
    assert (book.of(KEY), book.find(job.id)) == (None, job)


@pytest.mark.parametrize(
    ("error", "told"),
    [(StorageError("the disk is gone"), "the disk is gone"), (ValueError("x"), "its log says why")],
)
async def test_a_job_that_fails_says_why_and_harms_nobody(book, error, told):
    async def work(job):
        raise error

    job, other = start(book, work), start(book, nothing)
    await until(lambda: job.ended_at and other.ended_at)
    assert (job.state, other.state) == ("failed", "done")
    assert told in (job.error or "")


async def test_a_job_is_cancelled_also_before_its_turn(book):
    running = [start(book, forever) for _ in range(AT_ONCE)]
    waiting = start(book, nothing)
    await asyncio.sleep(0)
    assert waiting.state == "running"
    await book.cancel(waiting)
    await book.cancel(running[0])
    assert {waiting.state, running[0].state} == {"cancelled"}
    late = start(book, nothing)
    await until(lambda: late.state == "done")  # the turn was free again


async def test_all_that_works_on_one_archive_is_ended(book):
    mine, other = start(book, forever), start(book, forever, OTHER)
    await book.cancel_all(KEY)
    assert (mine.state, other.state) == ("cancelled", "running")


async def test_the_book_has_an_end(book):
    ended = [start(book, nothing) for _ in range(KEPT + 10)]
    await until(lambda: all(job.ended_at for job in ended))
    assert len(book.all()) == KEPT
    with pytest.raises(UnknownJob):
        book.find(ended[0].id)
    assert book.find(ended[-1].id) is ended[-1]
    for _ in range(WAITING):
        start(book, forever)
    with pytest.raises(Busy):
        start(book, forever)


async def test_what_was_left_out_is_named_up_to_a_limit(book):
    async def work(job):
        for number in range(2 * MAX_SKIPPED):
            job.skip(f"/{number}", "is a pipe")

    job = start(book, work)
    await until(lambda: job.ended_at)
    assert len(job.skipped) == MAX_SKIPPED


async def test_only_jobs_of_a_kind_are_found(book):
    start(book, forever, kind="verify")
    job = start(book, forever, kind="import")
    assert book.of(KEY, "import") is job
    assert book.of(KEY, "fork") is None
    other = start(book, forever, OTHER)
    assert book.by_archive() == {KEY: book.of(KEY), OTHER: other}


async def test_copies_that_wait_for_peers_keep_no_import_waiting(book):
    for _ in range(AT_ONCE + 1):
        start(book, forever, kind="fork")
    job = start(book, nothing, kind="import")
    await until(lambda: job.state == "done")


async def test_what_has_done_its_work_takes_no_further_wishes(book):
    async def work(_):
        loop.call_soon(lambda: seen.append(book.of(KEY)))  # before its end is in the book

    loop = asyncio.get_running_loop()
    seen: list[Job | None] = []
    job = start(book, work)
    await until(lambda: job.ended_at and seen)
    assert seen == [None]


async def test_texts_of_strangers_are_cut(book):
    async def work(job):
        job.skip("/" + "n" * 65_000, "r" * 65_000)
        raise StorageError("e" * 65_000)

    job = start(book, work)
    await until(lambda: job.ended_at)
    assert [len(text) for text in (*job.skipped[0], job.error or "")] == [MAX_TEXT] * 3


async def test_nothing_begins_once_the_daemon_ends(book):
    await book.close()
    with pytest.raises(Busy, match="ending"):
        start(book, nothing)


async def test_each_job_is_told_when_it_begins_and_when_it_has_ended():
    seen = []
    async with asyncio.TaskGroup() as group:
        made = Jobs(group.create_task, lambda: 5.0, lambda job: seen.append((job.id, job.state)))
        job = made.start("verify", KEY, lambda job: asyncio.sleep(0), unit="blocks")
        assert seen == [(job.id, "running")]
        assert job.task is not None
        await asyncio.wait([job.task])
        await asyncio.sleep(0)
        other = made.start("verify", KEY, lambda job: asyncio.sleep(9), unit="blocks")
        await made.cancel(other)
        await asyncio.sleep(0)
    assert seen[1:] == [(job.id, "done"), (other.id, "running"), (other.id, "cancelled")]
