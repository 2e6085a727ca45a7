import asyncio
import json
import logging
import os

import pytest

from datd.books import audit
from datd.books.audit import KEPT_FILES, AuditLog


@pytest.fixture
async def opened(tmp_path):
    logs = []

    async def open_log(**options):
        log = AuditLog(tmp_path / "audit.jsonl", **options)
        await log.open()
        logs.append(log)
        return log

    yield open_log
    for log in logs:
        await log.close()


def note(log, action="add_archive", status=201):
    log.note(1.5, "api.token", "127.0.0.1", action, "ab" * 32, status)


async def ids(log, since=None, limit=100):
    return [line.id for line in await log.page(since, limit)]


async def test_lines_are_one_json_object_each_for_the_owner_only(opened, tmp_path):
    log = await opened()
    note(log)
    note(log, "remove_archive", None)
    assert await ids(log) == [1, 2]
    file = tmp_path / "audit.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    first, second = [json.loads(line) for line in file.read_text().splitlines()]
    assert first == {
        "id": 1, "at": 1.5, "who": "api.token", "source": "127.0.0.1", "action": "add_archive",
        "archive": "ab" * 32, "status": 201,
    }  # fmt: skip
    assert second["status"] is None


async def test_a_page_has_the_line_that_came_while_the_one_before_was_written(opened):
    log = await opened()
    note(log)
    log._thread.submit(int).result()  # it is written, which the loop has yet to hear of
    note(log)
    async with asyncio.TaskGroup() as group:
        found = group.create_task(ids(log))
    assert found.result() == [1, 2]


async def test_the_end_writes_the_line_that_came_while_the_one_before_was_written(opened, tmp_path):
    log = await opened()
    note(log)
    log._thread.submit(int).result()
    note(log)
    async with asyncio.TaskGroup() as group:
        group.create_task(log.close())
    assert (tmp_path / "audit.jsonl").read_text().count("\n") == 2


async def test_pages_follow_one_another(opened):
    log = await opened()
    for _ in range(10):
        note(log)
    assert await ids(log, limit=3) == [8, 9, 10]
    assert await ids(log, 0, 4) == [1, 2, 3, 4]
    assert await ids(log, 4, 4) == [5, 6, 7, 8]
    assert await ids(log, 8, 4) == [9, 10]
    assert await ids(log, 10, 4) == []


async def test_counting_goes_on_after_a_restart_and_over_a_torn_line(opened, tmp_path):
    log = await opened()
    note(log)
    await log.close()
    with (tmp_path / "audit.jsonl").open("a") as file:
        file.write('{"id": 7, "at"\n[]\n{"id": "x"}\n')
    log = await opened()
    note(log)
    assert await ids(log) == [1, 2]


async def test_large_files_are_moved_and_the_oldest_goes(opened, tmp_path):
    log = await opened(max_file=1_000)
    for _ in range(100):
        note(log)
        await log.page(None, 1)  # each is a batch of its own
    files = sorted(path.name for path in tmp_path.iterdir())
    older = {f"audit.jsonl.{number}" for number in range(1, KEPT_FILES + 1)}
    assert older <= set(files)
    assert len(files) <= KEPT_FILES + 1
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1_400 * (KEPT_FILES + 1)
    kept = await ids(log, 0, 1_000)
    assert kept == list(range(kept[0], 101))
    assert kept[0] > 1
    assert await ids(log, limit=20) == list(range(81, 101)), "the newest ones, over several files"
    assert await ids(await opened()) == kept


async def test_another_program_may_move_the_file_away(opened, tmp_path):
    log = await opened()
    note(log)
    await log.page(None, 1)
    os.replace(tmp_path / "audit.jsonl", tmp_path / "old")
    note(log)
    assert await ids(log) == [2]
    assert (tmp_path / "old").read_text().count("\n") == 1


async def test_t50_a_file_that_others_can_read_is_closed_to_them(opened, tmp_path):
    (tmp_path / "audit.jsonl").touch(mode=0o644)
    note(await opened())
    log = await opened()
    await log.page(None, 1)
    note(log)
    await log.page(None, 1)
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600


async def test_a_disk_that_takes_nothing_is_told_once_and_nothing_else_fails(
    opened, tmp_path, caplog
):
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    log = await opened()
    for _ in range(3):
        note(log)
        assert await ids(log) == []
    (refused,) = (record.message for record in caplog.records if record.name == audit.__name__)
    assert "cannot be written" in refused
    (tmp_path / "audit.jsonl").unlink()
    note(log)
    assert await ids(log) == [4]
    assert "lacks 3 lines" in caplog.text


async def test_lines_that_wait_have_an_end(opened, monkeypatch, caplog):
    monkeypatch.setattr(audit, "MAX_WAITING", 10)
    caplog.set_level(logging.ERROR)
    log = await opened()
    for _ in range(1_000):
        note(log)
    assert len(await ids(log, 0, 1_000)) < 100
