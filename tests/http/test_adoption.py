"""Folders of the daemon's host over HTTP: taken over, copied, filling an archive."""

import asyncio

import pytest
from tests.helpers.adopted import foreign
from tests.helpers.api import running_api

from datd.hosting.jobs import AT_ONCE

V1 = "/api/v1"
ARCHIVES = f"{V1}/archives"


@pytest.fixture
async def api(tmp_path):
    (tmp_path / "data").mkdir()
    async with running_api(tmp_path / "data") as running:
        yield running


async def ended(api, name):
    job = api.library.workshop.jobs.find(name)
    if job.task is not None:
        await job.task
    return (await api.ask(f"{V1}/jobs/{name}")).json


async def test_a_folder_with_an_archive_is_taken_over(api, tmp_path):
    made = foreign("cli-clone", tmp_path / "folder")
    answer = await api.post(ARCHIVES, {"folder": str(made.folder), "name": "theirs"})
    assert answer.status == 201
    shown = answer.json
    assert (shown["key"], shown["location"], shown["mode"]) == (
        made.key.hex,
        str(made.folder),
        "latest",
    )
    job = await ended(api, shown["job"])
    assert (job["kind"], job["state"], job["progress"]) == ("adopt", "done", 1)
    assert "all is as it should be" in job["text"]
    assert (await api.ask(f"{ARCHIVES}/theirs/files/a.txt?wait=1")).body == made.bytes_of("a.txt")
    again = await api.post(ARCHIVES, {"folder": str(made.folder)})
    assert (again.status, again.json["key"]) == (200, made.key.hex)
    changed = await api.ask(
        f"{ARCHIVES}/theirs",
        "Content-Type: application/json",
        method="PATCH",
        body=b'{"mode": "archive"}',
    )
    assert (changed.status, changed.kind) == (400, "bad_request")
    assert (await api.ask(f"{ARCHIVES}/theirs", method="DELETE")).status == 204
    assert made.bytes_of("a.txt")


async def test_a_copy_lies_in_the_data_folder(api, tmp_path):
    made = foreign("cli-clone", tmp_path / "folder")
    answer = await api.post(ARCHIVES, {"folder": str(made.folder), "copy": True})
    assert (await ended(api, answer.json["job"]))["state"] == "done"
    shown = (await api.ask(f"{ARCHIVES}/{made.key.hex}")).json
    assert (shown["location"], shown["mode"]) == (None, "archive")
    assert shown["version"] == made.expected["version"]


async def test_what_was_copied_is_copied_again_as_often_as_one_likes(api, tmp_path):
    made = foreign("cli-share", tmp_path / "folder", owner_keys=tmp_path / "keys")
    body = {"folder": str(made.folder), "copy": True}
    first = await api.post(ARCHIVES, body)
    again = await api.post(ARCHIVES, body)  # while the first is under way, perhaps
    assert (first.status, again.status) == (201, 200)
    assert (await ended(api, again.json["job"]))["state"] == "done"
    later = await api.post(ARCHIVES, body)
    assert (later.status, later.json["key"]) == (200, made.key.hex)
    assert (await ended(api, later.json["job"]))["state"] == "done"
    otherwise = await api.post(ARCHIVES, {**body, "mode": "latest"})
    assert (otherwise.status, otherwise.kind) == (409, "exists")


async def test_a_copy_is_made_also_while_another_folder_fills_the_archive(api, tmp_path):
    made = foreign("cli-share", tmp_path / "folder")
    assert (await api.post(ARCHIVES, {"link": made.key.hex})).status == 201
    ending, jobs = asyncio.Event(), api.library.workshop.jobs
    # All turns are taken: the copy that the first one asks for has not ended when the second asks.
    others = [
        jobs.start("adopt", made.key, lambda job: ending.wait(), unit="bytes")
        for _ in range(AT_ONCE)
    ]
    for _ in range(2):
        answer = await api.post(ARCHIVES, {"folder": str(made.folder), "copy": True})
        assert answer.status == 200
    (copy,) = [job for job in jobs.all() if job not in others]
    ending.set()
    assert (await ended(api, copy.id))["state"] == "done"
    shown = (await api.ask(f"{ARCHIVES}/{made.key.hex}")).json
    assert shown["version"] == made.expected["version"]


async def test_a_copy_fills_what_is_hosted_already(api, tmp_path):
    made = foreign("cli-share", tmp_path / "folder")
    assert (await api.post(ARCHIVES, {"link": made.key.hex})).status == 201
    answer = await api.post(ARCHIVES, {"folder": str(made.folder), "copy": True})
    assert answer.status == 200
    assert (await ended(api, answer.json["job"]))["state"] == "done"
    shown = (await api.ask(f"{ARCHIVES}/{made.key.hex}")).json
    assert (shown["version"], shown["location"]) == (made.expected["version"], None)


async def test_never_makes_a_new_archive_of_the_files(api, tmp_path):
    made = foreign("cli-clone", tmp_path / "folder")
    answer = await api.post(ARCHIVES, {"folder": str(made.folder), "adopt": "never"})
    assert answer.status == 201
    assert answer.json["key"] != made.key.hex
    job = await ended(api, answer.json["job"])
    assert (job["kind"], job["state"]) == ("import", "done")


async def test_a_folder_fills_an_archive(api, tmp_path):
    made = foreign("cli-clone", tmp_path / "folder")
    await api.post(ARCHIVES, {"link": made.key.hex})
    answer = await api.post(f"{ARCHIVES}/{made.key.hex}/adopt", {"folder": str(made.folder)})
    assert answer.status == 202
    assert answer.headers["location"] == f"{V1}/jobs/{answer.json['id']}"
    job = await ended(api, answer.json["id"])
    assert (job["kind"], job["state"]) == ("adopt", "done")
    assert job["text"].endswith("blocks taken from the folder")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({}, 400, "bad_request"),
        ({"folder": "relative"}, 400, "bad_request"),
        ({"folder": "/etc"}, 403, "forbidden"),
        ({"folder": "/", "more": 1}, 400, "bad_request"),
    ],
)
async def test_other_folders_are_refused(api, tmp_path, body, status, kind):
    made = foreign("cli-clone", tmp_path / "folder")
    await api.post(ARCHIVES, {"link": made.key.hex})
    answer = await api.post(f"{ARCHIVES}/{made.key.hex}/adopt", body)
    assert (answer.status, answer.kind) == (status, kind)
    unknown = await api.post(f"{ARCHIVES}/{'ab' * 32}/adopt", {"folder": str(made.folder)})
    assert (unknown.status, unknown.kind) == (404, "unknown_archive")


async def test_files_of_a_published_folder_are_changed_there(api, tmp_path):
    made = foreign("cli-share", tmp_path / "folder", owner_keys=tmp_path / "keys")
    api.library.services.owner_keys = tmp_path / "keys"
    answer = await api.post(ARCHIVES, {"folder": str(made.folder)})
    await ended(api, answer.json["job"])
    target = f"{ARCHIVES}/{made.key.hex}/files/x.txt"
    put = await api.ask(target, method="PUT", body=b"x")
    assert (put.status, put.kind) == (409, "conflict")
    assert "rescan" in put.json["detail"]
    assert (await api.ask(target, method="DELETE")).status == 409
    assert not (made.folder / "x.txt").exists()
