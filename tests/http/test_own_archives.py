"""Archives of our own over HTTP: made, published from folders, forked; their keys."""

import asyncio
import json
import stat

import pytest
from tests.helpers.api import running_api
from tests.helpers.daemon import eventually

from datd.hosting.stats import Savings
from datd.records import Forking

V1 = "/api/v1"
ARCHIVES = f"{V1}/archives"


async def make(api, **fields):
    made = await api.post(ARCHIVES, {"new": {}, **fields})
    assert made.status == 201, made
    return made.json


async def put(api, archive, path, body):
    target = f"{ARCHIVES}/{archive['key']}/files{path}"
    assert (await api.ask(target, method="PUT", body=body)).status in (200, 201)


async def ended(api, job):
    """Wait for a job; it must go well."""
    running = api.library.workshop.jobs.find(job)
    if running.task is not None:
        await running.task
    found = (await api.ask(f"{V1}/jobs/{job}")).json
    assert (found["state"], found["error"], found["progress"]) == ("done", None, 1)
    return found


async def names(api, key):
    listing = (await api.ask(f"{ARCHIVES}/{key}/files/?recursive=true")).json
    return sorted(entry["path"] for entry in listing["entries"])


async def titled(api, key, title):
    """Wait until an archive is known to be called so: it is counted in the background."""

    async def known():
        return (await api.ask(f"{ARCHIVES}/{key}")).json["title"] == title

    await eventually(known, what="the title")


async def patch(api, key, **fields):
    body = json.dumps(fields).encode()
    kind = "Content-Type: application/json"
    return await api.ask(f"{ARCHIVES}/{key}", kind, method="PATCH", body=body)


async def test_a_new_archive_is_ours_and_empty(api):
    made = await make(api, name="mine", tags=["t"], chunking="content")
    assert (made["writable"], made["version"], made["chunking"]) == (True, 0, "content")
    shown = (await api.ask(f"{ARCHIVES}/mine")).json
    assert (shown["state"], shown["files"], shown["progress"]) == ("seeding", 0, 1)


async def test_title_and_description_are_written_as_the_original_does(api):
    made = await make(api, new={"title": "Ä", "description": "two\nlines"})
    text = (await api.ask(f"{ARCHIVES}/{made['key']}/files/dat.json")).body.decode()
    assert text == (
        f'{{\n  "title": "Ä",\n  "description": "two\\nlines",\n  "url": "{made["link"]}"\n}}'
    )
    assert (made["title"], made["version"]) == ("", 1) or made["title"] == "Ä"


async def test_t50_the_secret_key_is_private_and_not_among_the_files(api):
    made = await make(api)
    kept = api.folder / "keys" / made["discovery_key"][:2] / made["discovery_key"][2:]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    secret = kept.read_bytes()
    assert secret[32:].hex() == made["key"]
    for file in (api.folder / "archives").rglob("*"):
        assert not file.is_file() or secret[:32] not in file.read_bytes()
    told = (await api.ask(f"{ARCHIVES}/{made['key']}/secret_key")).json
    assert told == {"key": made["key"], "secret_key": secret.hex()}


async def test_what_an_archive_of_ours_holds_is_dropped_only_if_that_is_meant(api):
    made = await make(api)
    target = f"{ARCHIVES}/{made['key']}"
    await put(api, made, "/a", b"first")
    await put(api, made, "/a", b"second")
    for changes in ({"mode": "latest"}, {"mode": "sparse", "prune": True}):
        refused = await patch(api, made["key"], **changes)
        assert (refused.status, refused.kind) == (409, "conflict"), changes
    assert (await api.ask(f"{target}/files/a?version=1")).body == b"first"
    changed = await patch(api, made["key"], mode="latest", force=True)
    assert (changed.status, changed.json["mode"]) == (200, "latest")


async def test_an_archive_of_ours_is_removed_only_if_that_is_meant(api):
    made = await make(api)
    path = f"{ARCHIVES}/{made['key']}"
    assert (await api.ask(path, method="DELETE")).kind == "conflict"
    assert (await api.ask(f"{path}?delete_key=true&force=true", method="DELETE")).status == 204
    assert list((api.folder / "keys").rglob("??" * 31)) == []


async def test_decision_20_the_secret_key_outlives_a_removal(api):
    made = await make(api)
    path = f"{ARCHIVES}/{made['key']}"
    await put(api, made, "/a", b"1")
    assert (await api.ask(f"{path}?force=true&keep_data=true", method="DELETE")).status == 204
    again = await api.post(ARCHIVES, {"link": made["link"]})
    assert (again.status, again.json["writable"]) == (201, True)
    await put(api, made, "/b", b"2")
    assert await names(api, made["key"]) == ["/a", "/b"]


async def test_a_secret_key_makes_a_copy_writable(api, tmp_path):
    made = await make(api)
    await put(api, made, "/a", b"1")
    secret = (await api.ask(f"{ARCHIVES}/{made['key']}/secret_key")).json["secret_key"]
    query = "?force=true&keep_data=true&delete_key=true"
    await api.ask(f"{ARCHIVES}/{made['key']}{query}", method="DELETE")
    again = (await api.post(ARCHIVES, {"link": made["link"], "networks": []})).json
    target = f"{ARCHIVES}/{again['key']}/secret_key"
    assert again["writable"] is False
    assert (await api.ask(target)).kind == "no_secret_key"
    kind = "Content-Type: application/json"
    wrong = json.dumps({"secret_key": "00" * 64}).encode()
    assert (await api.ask(target, kind, method="PUT", body=wrong)).kind == "bad_request"
    right = json.dumps({"secret_key": secret.upper()}).encode()
    assert (await api.ask(target, kind, method="PUT", body=right)).json["writable"] is True
    await put(api, made, "/b", b"2")
    assert await names(api, made["key"]) == ["/a", "/b"]


async def test_a_folder_is_published_and_brought_up_to_date(api, tmp_path):
    site = tmp_path.parent / f"{tmp_path.name}-site"
    (site / "sub").mkdir(parents=True)
    (site / "a.txt").write_text("a")
    (site / "sub/b.txt").write_text("b" * 100_000)
    (site / ".hidden").write_text("h")
    made = await api.post(ARCHIVES, {"folder": str(site), "title": "Site"})
    archive = made.json
    assert (made.status, archive["source"]) == (201, str(site))
    done = await ended(api, archive["job"])
    assert (done["kind"], done["archive"], done["unit"]) == ("import", archive["key"], "bytes")
    assert await names(api, archive["key"]) == ["/a.txt", "/dat.json", "/sub/b.txt"]
    assert json.loads((site / "dat.json").read_text())["url"] == archive["link"]
    (site / "a.txt").unlink()
    (site / "c.txt").write_text("c")
    scan = await api.post(f"{ARCHIVES}/{archive['key']}/rescan", {})
    assert (scan.status, scan.headers["location"]) == (202, f"{V1}/jobs/{scan.json['id']}")
    await ended(api, scan.json["id"])
    assert await names(api, archive["key"]) == ["/c.txt", "/dat.json", "/sub/b.txt"]
    listed = (await api.ask(f"{V1}/jobs?archive={archive['key']}&state=done")).json["jobs"]
    assert len(listed) == 2
    await titled(api, archive["key"], "Site")
    twice = await api.post(ARCHIVES, {"folder": str(site), "title": "Other"})
    assert twice.kind == "exists"


async def test_a_copy_that_is_not_complete_says_so_and_what_to_do(api):
    made = await make(api)
    hosted = api.library.find(made["key"])
    hosted.record.forking = Forking("ab" * 32, 3, {})
    shown = (await api.ask(f"{ARCHIVES}/{made['key']}")).json
    assert f"dat://{'ab' * 32}+3 is not complete" in shown["error"]
    again = await api.post(f"{ARCHIVES}/{made['key']}/rescan", {})
    assert (again.status, again.json["kind"]) == (202, "fork")
    running = api.library.workshop.jobs.find(again.json["id"])
    if running.task is not None:
        await running.task
    failed = (await api.ask(f"{V1}/jobs/{again.json['id']}")).json
    assert failed["state"] == "failed"
    assert "is not hosted any more" in failed["error"]


async def test_what_need_not_be_downloaded_is_told(api):
    made = await make(api)
    assert made["saved"] == {"blocks": 0, "bytes": 0}
    api.library.find(made["key"]).traffic.saved.add(Savings(asked=5, blocks=2, bytes=90))
    shown = (await api.ask(f"{ARCHIVES}/{made['key']}")).json
    assert shown["saved"] == {"blocks": 2, "bytes": 90}
    assert (await api.ask(f"{V1}/stats")).json["saved"] == {"blocks": 0, "bytes": 0}


async def test_a_folder_is_imported_by_the_rules_it_was_published_with(api, tmp_path):
    beside = tmp_path.parent / f"{tmp_path.name}-beside"
    site = beside / "site"
    site.mkdir(parents=True)
    (site / "a").write_text("a")
    (site / ".hidden").write_text("h")
    (beside / "shared").write_text("s")
    (site / "link").symlink_to("../shared")
    (site / "etc").symlink_to("/etc/hostname")
    rules = {"follow_links": "all", "ignore_hidden": False, "delete": False}
    archive = (await api.post(ARCHIVES, {"folder": str(site), **rules})).json
    assert archive["import_rules"] == rules
    done = await ended(api, archive["job"])
    assert [skipped["path"] for skipped in done["skipped"]] == ["/etc"]
    assert await names(api, archive["key"]) == ["/.hidden", "/a", "/link"]
    (site / "a").unlink()
    scan = await api.post(f"{ARCHIVES}/{archive['key']}/rescan", {})
    await ended(api, scan.json["id"])
    assert "/a" in await names(api, archive["key"])
    changed = await patch(api, archive["key"], delete=True, ignore_hidden=True)
    assert changed.json["import_rules"] == {"follow_links": "all", "ignore_hidden": True,
                                            "delete": True}  # fmt: skip
    scan = await api.post(f"{ARCHIVES}/{archive['key']}/rescan", {})
    await ended(api, scan.json["id"])
    # What is ignored is not ours to judge, as in `dat`: it stays.
    assert await names(api, archive["key"]) == ["/.hidden", "/link"]


@pytest.mark.parametrize("folder", ["/etc", "/", "{outside}/link", "{root}/../.."])
async def test_decision_21_only_folders_below_the_import_roots_are_published(tmp_path, folder):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "in").mkdir(parents=True)
    (root / "data").mkdir()
    outside.mkdir()
    (outside / "link").symlink_to("/etc")
    (root / "out").symlink_to(outside)
    async with running_api(root / "data") as api:
        asked = folder.format(outside=outside, root=root)
        assert (await api.post(ARCHIVES, {"folder": asked})).kind == "forbidden"
        assert (await api.post(ARCHIVES, {"folder": str(root / "out")})).kind == "forbidden"
        # The daemon's own data would give its secret keys away.
        assert (await api.post(ARCHIVES, {"folder": str(root)})).kind == "forbidden"
        assert (await api.post(ARCHIVES, {"folder": str(root / "data/keys")})).kind == "forbidden"
        assert (await api.post(ARCHIVES, {"folder": str(root / "no")})).kind == "bad_request"
        assert (await api.post(ARCHIVES, {"folder": str(root / "in")})).status == 201


async def test_of_a_version_that_is_not_there_no_copy_is_made(api):
    made = await make(api)
    await put(api, made, "/a", b"a")
    refused = await api.post(f"{ARCHIVES}/{made['key']}/fork", {"version": 99})
    assert refused.kind == "no_such_version"
    assert len((await api.ask(ARCHIVES)).json["archives"]) == 1


async def test_a_secret_key_that_is_here_already_disturbs_nobody(api):
    made = await make(api)
    target = f"{ARCHIVES}/{made['key']}/secret_key"
    told = {"secret_key": (await api.ask(target)).json["secret_key"]}
    ours = api.library.find(made["key"])
    async with api.library.publisher.writing(ours) as desk:
        body = json.dumps(told).encode()
        answer = await api.ask(target, "Content-Type: application/json", method="PUT", body=body)
        assert answer.status == 200
        await desk.mkdir("/still", check=lambda _: None)
    assert await names(api, made["key"]) == ["/still"]


async def test_a_fork_has_the_files_of_its_version_and_another_key(api):
    hosted = await api.host("archival-history")
    done = await api.post(f"{hosted.path}/fork", {"version": 2, "title": "Mine", "name": "copy"})
    assert done.status == 201
    await ended(api, done.json["job"])
    old = (await api.ask(f"{hosted.path}/files/?recursive=true&version=2")).json["entries"]
    copied = (await api.ask(f"{ARCHIVES}/copy/files/?recursive=true")).json["entries"]
    kept = {entry["path"]: (entry["size"], entry["mtime"], entry["mode"]) for entry in copied}
    assert json.loads((await api.ask(f"{ARCHIVES}/copy/files/dat.json")).body) == {
        "title": "Mine", "description": "", "url": f"dat://{done.json['key']}"
    }  # fmt: skip
    del kept["/dat.json"]
    files = [entry["path"] for entry in copied if entry["kind"] == "file"]
    assert kept == {entry["path"]: (entry["size"], entry["mtime"], entry["mode"]) for entry in old}
    for path in set(files) - {"/dat.json"}:
        mine = await api.ask(f"{ARCHIVES}/copy/files{path}")
        assert mine.body == (await api.ask(f"{hosted.path}/files{path}?version=2")).body
    await put(api, done.json, "/more", b"x")


async def test_every_block_is_verified(api):
    hosted = await api.host("archival-big")
    data = next((api.folder / "archives").rglob("content.data"))
    with data.open("r+b") as file:
        file.seek(200_000)
        file.write(b"rot")
    job = await api.post(f"{hosted.path}/verify", {})
    assert job.status == 202
    done = await ended(api, job.json["id"])
    assert "1 of" in done["text"]
    assert done["done"] == done["total"] - 1


async def test_settings_are_changed_in_place(api):
    made = await make(api, name="before")
    await put(api, made, "/a", b"1")
    changed = await patch(
        api, "before", name="after", tags=["x"], chunking="content", version_tags={"v1": 1, "z": 0}
    )
    assert (changed.json["name"], changed.json["tags"]) == ("after", ["x"])
    assert (await api.ask(f"{ARCHIVES}/before")).kind == "unknown_archive"
    tagged = (await patch(api, "after", version_tags={"z": None})).json
    assert (tagged["version_tags"], tagged["chunking"]) == ({"v1": 1}, "content")
    assert (await patch(api, "after", version_tags={"v9": 9})).kind == "bad_request"
    await put(api, made, "/a", b"2")
    assert (await api.ask(f"{ARCHIVES}/after/files/a?version=v1")).body == b"1"
    assert (await api.ask(f"{ARCHIVES}/after/files/a?version=latest")).body == b"2"
    assert (await api.ask(f"{ARCHIVES}/after/files/a?version=v2")).kind == "no_such_version"
    await make(api, name="other")
    assert (await patch(api, "other", name="after")).kind == "exists"
    assert (await patch(api, "after", name=None)).json["name"] is None


async def test_a_folder_is_published_once(api, tmp_path):
    site = tmp_path.parent / f"{tmp_path.name}-site"
    site.mkdir()
    (site / "a.txt").write_text("a")
    link = site.with_name(f"{tmp_path.name}-link")
    link.symlink_to(site)
    asked = {"folder": str(site), "title": "Site", "tags": ["t"]}
    answers = await asyncio.gather(*(api.post(ARCHIVES, asked) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 201]
    [key] = {answer.json["key"] for answer in answers}
    for fields in ({}, {"title": "Site"}, {"tags": ["t"]}):
        again = await api.post(ARCHIVES, {"folder": str(link)} | fields)
        assert (again.status, again.json["key"]) == (200, key)
        assert again.headers["location"] == f"{ARCHIVES}/{key}"
    another = await api.post(ARCHIVES, {"folder": str(link), "adopt": "never"})
    assert another.status == 201
    assert another.json["key"] != key


@pytest.mark.parametrize(
    "fields",
    [{"name": "x"}, {"watch": True}, {"chunking": "content"}, {"delete": False}, {"title": "x"}],
)
async def test_a_folder_that_is_published_otherwise_is_not_the_same(api, tmp_path, fields):
    site = tmp_path.parent / f"{tmp_path.name}-site"
    site.mkdir()
    made = await api.post(ARCHIVES, {"folder": str(site), "title": "Site"})
    await ended(api, made.json["job"])
    await titled(api, made.json["key"], "Site")
    other = await api.post(ARCHIVES, {"folder": str(site)} | fields)
    assert (other.status, other.kind) == (409, "exists")
