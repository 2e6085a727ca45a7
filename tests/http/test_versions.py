"""History, differences and versions by number, tag, time and link, over HTTP."""

import json
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from tests.helpers.api import running_api

from datd.http.paging import encode_cursor

ARCHIVES = "/api/v1/archives"
OLD = [("/a.txt", b"one"), ("/sub/b.txt", b"two"), ("/a.txt", b"three!"), ("/c", b"")]


@pytest.fixture
async def own(api):
    """An archive of ours: four files put, the last one deleted. Gives its path."""
    made = (await api.post(ARCHIVES, {"new": {}, "name": "mine"})).json
    path = f"{ARCHIVES}/{made['key']}"
    for name, data in OLD:
        assert (await api.ask(f"{path}/files{name}", method="PUT", body=data)).status in (200, 201)
    assert (await api.ask(f"{path}/files/c", method="DELETE")).status == 204
    return path


async def patch(api, path, **fields):
    kind = "Content-Type: application/json"
    answer = await api.ask(path, kind, method="PATCH", body=json.dumps(fields).encode())
    assert answer.status == 200, answer
    return answer.json


def seen(answer):
    assert answer.status == 200, answer
    return [
        (change["version"], change["type"], change["path"]) for change in answer.json["changes"]
    ]


async def test_the_history_tells_each_version(api, own):
    answer = await api.ask(f"{own}/history")
    assert seen(answer) == [
        (1, "put", "/a.txt"),
        (2, "put", "/sub/b.txt"),
        (3, "put", "/a.txt"),
        (4, "put", "/c"),
        (5, "delete", "/c"),
    ]
    third, gone = answer.json["changes"][2], answer.json["changes"][4]
    assert (third["kind"], third["size"]) == ("file", 6)
    assert (gone["kind"], gone["size"], gone["mtime"]) == (None, None, None)
    found = {name: answer.json[name] for name in ("version", "next_since", "complete")}
    assert found == {"version": 5, "next_since": None, "complete": True}


async def test_the_history_of_one_path_and_of_a_folder(api, own):
    assert seen(await api.ask(f"{own}/history?path=/a.txt")) == [
        (1, "put", "/a.txt"),
        (3, "put", "/a.txt"),
    ]
    assert [version for version, *_ in seen(await api.ask(f"{own}/history?path=sub/"))] == [2]
    assert seen(await api.ask(f"{own}/history?path=/never")) == []


async def test_pages_of_the_history(api, own):
    first = await api.ask(f"{own}/history?limit=2&since=1")
    assert [version for version, *_ in seen(first)] == [2, 3]
    rest = await api.ask(f"{own}/history?since={first.json['next_since']}&until=4")
    assert [version for version, *_ in seen(rest)] == [4]
    assert rest.json["next_since"] is None


async def test_the_difference_of_two_versions(api, own):
    answer = await api.ask(f"{own}/diff?from=1&to=4")
    changes = {change["path"]: change for change in answer.json["changes"]}
    assert {path: change["type"] for path, change in changes.items()} == {
        "/a.txt": "changed",
        "/sub/b.txt": "added",
        "/c": "added",
    }
    assert (changes["/a.txt"]["old"]["size"], changes["/a.txt"]["new"]["size"]) == (3, 6)
    assert changes["/c"]["old"] is None
    assert (answer.json["from"], answer.json["to"]) == (1, 4)
    back = await api.ask(f"{own}/diff?from=4")
    assert back.json["to"] == 5
    assert [(c["type"], c["path"]) for c in back.json["changes"]] == [("removed", "/c")]
    below = await api.ask(f"{own}/diff?from=0&path=/sub")
    assert [change["path"] for change in below.json["changes"]] == ["/sub/b.txt"]


async def test_pages_of_a_difference_are_of_the_same_versions(api, own):
    told: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await api.ask(f"{own}/diff?from=0&limit=1{cursor and '&cursor=' + cursor}")
        assert page.status == 200, page
        told += [change["path"] for change in page.json["changes"]]
        cursor = page.json["next_cursor"]
        # What is published meanwhile is not of this difference.
        await api.ask(f"{own}/files/{len(told)}.new", method="PUT", body=b"later")
    assert sorted(told) == ["/a.txt", "/sub/b.txt"]


async def test_a_cursor_of_another_difference_is_refused(api, own):
    cursor = (await api.ask(f"{own}/diff?from=0&limit=1")).json["next_cursor"]
    for other in ("from=2", "from=0&path=/sub", "from=0&to=1"):
        assert (await api.ask(f"{own}/diff?{other}&cursor={cursor}")).kind == "bad_request"
    assert (await api.ask(f"{own}/diff?from=0&cursor=xyz")).kind == "bad_request"
    odd = await api.ask(f"{own}/diff?from={quote('²')}&cursor={cursor}")
    assert odd.status in (200, 400)  # a digit by name, and no number
    for old, new in ((-1, 2), (0, -1), (2**70, 1)):
        forged = encode_cursor(old, new, "/", "/a.txt")
        answer = await api.ask(f"{own}/diff?from=x&to=x&cursor={forged}")
        assert answer.kind in ("bad_request", "no_such_version"), answer


async def test_a_version_by_number_tag_time_and_link(api, own):
    await patch(api, own, version_tags={"v1": 1})
    changed = (await api.ask(f"{own}/history")).json["changes"][0]["mtime"]
    moment = datetime.fromisoformat(changed)
    assert moment <= datetime.now(UTC)
    for named in (f"{own}/files/a.txt?version=1", f"{own}/files/a.txt?version=v1",
                  f"{own}+1/files/a.txt", f"{own}+v1/files/a.txt",
                  f"{ARCHIVES}/mine+v1/files/a.txt"):  # fmt: skip
        assert (await api.ask(named)).body == b"one", named
    future = quote("2999-01-01T00:00:00+02:00")
    assert (await api.ask(f"{own}/files/a.txt?version={future}")).body == b"three!"
    # As written, without an escaped plus: it is a blank behind the question mark.
    later = f"{own}/files/a.txt?version=2999-01-01T00:00:00+02:00"
    assert (await api.ask(later)).body == b"three!"
    past = f"{own}/files/a.txt?version=2001-01-01T00:00:00Z"
    assert (await api.ask(past)).kind == "no_such_file"
    assert (await api.ask(f"{own}/diff?from=v1&to={future}")).json["to"] == 5
    assert seen(await api.ask(f"{own}/history?since={future}")) == []


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ("files/a.txt?version=9", "no_such_version"),
        ("files/a.txt?version=nobody", "no_such_version"),
        ("files/a.txt?version=2019-02-30T00:00:00Z", "bad_request"),
        ("files/a.txt?version=2019-02-03", "bad_request"),
        ("history?since=x%20y", "bad_request"),
        ("history?until=77", "no_such_version"),
        ("history?limit=0", "bad_request"),
        ("diff", "bad_request"),
        ("diff?from=3&to=77", "no_such_version"),
    ],
)
async def test_t43_what_is_no_version_is_told_so(api, own, asked, kind):
    assert (
        await api.ask(f"{own}/{asked}&wait=0" if "?" in asked else f"{own}/{asked}")
    ).kind == kind


async def test_a_link_and_a_parameter_that_disagree(api, own):
    assert (await api.ask(f"{own}+1/files/a.txt?version=2")).kind == "bad_request"
    assert (await api.ask(f"{own}+1/files/a.txt?version=1")).body == b"one"


async def test_an_archive_is_added_at_a_tag_of_ours_only(api, own):
    await patch(api, own, version_tags={"v1": 1})
    key = own.rpartition("/")[2]
    # It is hosted already, and follows the newest version.
    assert (await api.post(ARCHIVES, {"link": f"dat://{key}+v1"})).kind == "exists"
    assert (await api.post(ARCHIVES, {"link": f"dat://{key}+latest"})).status == 200
    other = "ab" * 32
    assert (await api.post(ARCHIVES, {"link": f"dat://{other}+v1"})).kind == "bad_link"
    made = await api.post(ARCHIVES, {"link": f"https://dat.example/{other}+12/x", "paused": True})
    assert made.status == 201


async def test_what_the_reference_made_has_the_history_it_tells(tmp_path):
    async with running_api(tmp_path) as api:
        hosted = await api.host("archival-history")
        wanted = hosted.expected
        told = (await api.ask(f"{hosted.path}/history?limit=1000")).json
        assert told["version"] == wanted["version"]
        assert [change["version"] for change in told["changes"]] == [
            *range(1, wanted["version"] + 1)
        ]
