import pytest
from tests.helpers.api import TOKEN

from datctl.models import Archive, ArchiveStats

V1 = "/api/v1"
ARCHIVES = f"{V1}/archives"


def link(digit):
    return "dat://" + digit * 64


async def add(api, digit, **fields):
    return await api.post(ARCHIVES, {"link": link(digit), **fields})


async def names(api, query=""):
    return [archive["name"] for archive in (await api.ask(f"{ARCHIVES}?{query}")).json["archives"]]


async def test_an_archive_is_added_shown_and_removed(api):
    added = await add(api, "a", name="recipes", tags=["kitchen"], paused=True)
    assert added.status == 201
    archive = Archive.model_validate_json(added.body)
    assert (archive.link, archive.name, archive.tags) == (link("a"), "recipes", ["kitchen"])
    assert (archive.state, archive.mode, archive.progress) == ("paused", "archive", 0)
    assert added.headers["location"] == f"{ARCHIVES}/{archive.key}"
    assert (await api.ask(added.headers["location"])).json["name"] == "recipes"
    removed = await api.ask(f"{ARCHIVES}/recipes", method="DELETE")
    assert (removed.status, removed.body) == (204, b"")
    assert (await api.ask(f"{ARCHIVES}/recipes")).kind == "unknown_archive"


async def test_adding_again_answers_200_unless_something_else_is_asked(api):
    await add(api, "a", name="recipes")
    again = await add(api, "a")
    assert (again.status, again.json["name"]) == (200, "recipes")
    other = await add(api, "a", name="others")
    assert (other.status, other.kind) == (409, "exists")


@pytest.mark.parametrize("reference", ["a" * 64, "A" * 64, "dat%3A%2F%2F" + "a" * 64, "re cipes",
                                       "aaaaaa", "AAAAAAAA"])  # fmt: skip
async def test_an_archive_is_found_by_key_link_name_or_beginning(api, reference):
    await add(api, "a", name="re cipes")
    await add(api, "b")
    answer = await api.ask(f"{ARCHIVES}/{reference.replace(' ', '%20')}")
    assert answer.json["key"] == "a" * 64


@pytest.mark.parametrize("reference", ["aaaaa", "c" * 64, "nobody", "%00", "%ff", "x" * 5000, ".."])
async def test_an_archive_that_is_not_hosted_is_unknown(api, reference):
    await add(api, "a")
    answer = await api.ask(f"{ARCHIVES}/{reference}")
    assert (answer.status, answer.kind) == (404, "unknown_archive")


async def test_a_link_with_a_version_pins_it(api):
    added = await api.post(ARCHIVES, {"link": link("a") + "+7"})
    assert added.status == 201
    assert (await api.post(ARCHIVES, {"link": link("a"), "version": 7})).status == 200
    both = await api.post(ARCHIVES, {"link": link("b") + "+7", "version": 8})
    assert both.kind == "bad_request"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"link": "xyz"}, "bad_link"),
        ({"link": "a" * 65}, "bad_link"),
        ({"link": "dat://" + "a" * 64 + "+x"}, "bad_link"),
        ({"link": ""}, "bad_request"),
        ({}, "bad_request"),
        ({"link": "a" * 64, "nme": "x"}, "bad_request"),
        ({"link": "a" * 64, "mode": "latest"}, "bad_request"),
        ({"link": "a" * 64, "peers": ["nowhere"]}, "bad_request"),
        ({"link": "a" * 64, "name": "abcdef01"}, "bad_request"),
        ({"link": "a" * 64, "name": "dat:x"}, "bad_request"),
        ({"link": "a" * 64, "name": " x"}, "bad_request"),
        ({"link": "a" * 64, "name": ".."}, "bad_request"),
        ({"link": "a" * 64, "name": "a/b"}, "bad_request"),
        ({"folder": "/etc"}, "bad_request"),
    ],
)
async def test_t43_t44_odd_requests_are_refused_with_a_reason(api, fields, kind):
    answer = await api.post(ARCHIVES, fields)
    assert (answer.status, answer.kind) == (400, kind)
    assert (await api.ask(ARCHIVES)).json["archives"] == []


async def test_a_wrong_field_is_pointed_at(api):
    answer = await api.post(ARCHIVES, {"link": link("a"), "mode": "latest", "tags": ["x", 5]})
    assert {error["pointer"] for error in answer.json["errors"]} == {"/mode", "/tags/1"}


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"link": NaN}']
)
async def test_t43_what_is_no_json_object_is_a_bad_request(api, body):
    answer = await api.ask(ARCHIVES, "Content-Type: application/json", method="POST", body=body)
    assert (answer.status, answer.kind) == (400, "bad_request")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "x"])
async def test_t40_only_json_is_read(api, kind):
    answer = await api.ask(ARCHIVES, f"Content-Type: {kind}", method="POST", body=b'{"link": "x"}')
    assert (answer.status, answer.kind) == (415, "media_type")
    answer = await api.ask(f"{ARCHIVES}/x/pause", method="POST", body=b"{}")
    assert answer.status == 415


async def test_l22_a_body_above_a_mebibyte_is_too_large(api):
    body = b'{"link": "' + b"x" * 2**20 + b'"}'
    answer = await api.ask(ARCHIVES, "Content-Type: application/json", method="POST", body=body)
    assert (answer.status, answer.kind) == (413, "too_large")


async def test_pausing_and_resuming(api):
    await add(api, "a", name="one")
    paused = await api.ask(f"{ARCHIVES}/one/pause", method="POST")
    assert (paused.status, paused.json["state"]) == (200, "paused")
    resumed = await api.ask(f"{ARCHIVES}/one/resume", method="POST")
    assert resumed.json["state"] == "searching"
    unknown = await api.ask(f"{ARCHIVES}/two/pause", method="POST")
    assert unknown.kind == "unknown_archive"


async def test_peers_are_added_and_listed(api):
    await add(api, "a", name="one", peers=["192.0.2.1:3282"])
    added = await api.post(f"{ARCHIVES}/one/peers", {"address": "[2001:db8::2]:3282"})
    assert added.status == 200
    listed = (await api.ask(f"{ARCHIVES}/one/peers")).json["peers"]
    assert {peer["address"] for peer in listed} == {"192.0.2.1:3282", "[2001:db8::2]:3282"}
    assert all(peer["archive"] == "a" * 64 for peer in listed)
    first = (await api.ask(f"{V1}/peers?limit=1")).json
    second = (await api.ask(f"{V1}/peers?limit=1&cursor={first['next_cursor']}")).json
    assert first["peers"] != second["peers"]
    assert second["next_cursor"] is None
    wrong = await api.post(f"{ARCHIVES}/one/peers", {"address": "nowhere"})
    assert wrong.kind == "bad_request"


async def test_numbers_of_one_archive(api):
    hosted = await api.host("archival-nested")
    await api.ask(f"{hosted.path}/files/")
    stats = ArchiveStats.model_validate_json((await api.ask(f"{hosted.path}/stats")).body)
    assert stats.version == hosted.expected["version"]


async def test_filters_choose_and_orders_sort(api):
    await add(api, "c", name="Zebra", tags=["big", "wild"])
    await add(api, "a", name="ant", tags=["wild"], paused=True)
    await add(api, "b", name="bee")
    assert await names(api) == ["Zebra", "ant", "bee"]
    assert await names(api, "sort=-added") == ["bee", "ant", "Zebra"]
    assert await names(api, "sort=name") == ["ant", "bee", "Zebra"]
    assert await names(api, "sort=-size") != []
    assert await names(api, "tag=wild") == ["Zebra", "ant"]
    assert await names(api, "tag=wild&tag=big") == ["Zebra"]
    assert await names(api, "state=paused") == ["ant"]
    assert await names(api, "q=BEE") == ["bee"]
    assert await names(api, "q=cccc") == ["Zebra"]
    assert await names(api, "q=nothing") == []


@pytest.mark.parametrize("sort", ["added", "-name", "size", "-updated", "progress", "peers"])
async def test_pages_show_each_archive_once(api, sort):
    for digit in "abcde":
        await add(api, digit, name=f"name {digit}")
    seen, more = [], ""
    while True:
        page = (await api.ask(f"{ARCHIVES}?sort={sort}&limit=2{more}")).json
        seen += [archive["key"][0] for archive in page["archives"]]
        if page["next_cursor"] is None:
            break
        more = f"&cursor={page['next_cursor']}"
    assert sorted(seen) == list("abcde")


async def test_a_cursor_belongs_to_its_order(api):
    for digit in "abc":
        await add(api, digit)
    cursor = (await api.ask(f"{ARCHIVES}?sort=name&limit=1")).json["next_cursor"]
    answer = await api.ask(f"{ARCHIVES}?sort=added&limit=1&cursor={cursor}")
    assert answer.kind == "bad_request"


async def test_removing_can_keep_the_files(api):
    hosted = await api.host("archival-nested")
    folder = api.library.find(hosted.key.hex).folder
    await api.ask(f"{hosted.path}?keep_data=true", method="DELETE")
    assert (folder / "metadata.tree").exists()
    await api.post(ARCHIVES, {"link": hosted.key.link})
    await api.ask(hosted.path, method="DELETE")
    assert not folder.exists()


async def test_over_the_unix_socket_no_token_is_needed(api):
    body = b'{"link": "' + b"a" * 64 + b'"}'
    answer = await api.ask(
        ARCHIVES, "Content-Type: application/json",
        method="POST", body=body, token=None, host="anything", unix=True,
    )  # fmt: skip
    assert answer.status == 201
    assert TOKEN.encode() not in answer.body
