import json
import time

import pytest
from tests.helpers.api import TOKEN, running_api
from tests.helpers.small_web import SmallWeb

from datctl.models import Archive, ArchiveStats
from datd.keys import Key, KnownName
from datd.naming.resolver import Names

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
        ({"link": "a" * 64, "mode": "everything"}, "bad_request"),
        ({"link": "a" * 64, "include": ["/x"]}, "bad_request"),
        ({"link": "a" * 64, "mode": "sparse", "include": ["a**b**c**"]}, "bad_request"),
        ({"link": "a" * 64, "peers": ["nowhere"]}, "bad_request"),
        ({"link": "a" * 64, "name": "abcdef01"}, "bad_request"),
        ({"link": "a" * 64, "name": "dat:x"}, "bad_request"),
        ({"link": "a" * 64, "name": " x"}, "bad_request"),
        ({"link": "a" * 64, "name": ".."}, "bad_request"),
        ({"link": "a" * 64, "name": "a/b"}, "bad_request"),
        ({"folder": "etc"}, "bad_request"),
        ({"link": "a" * 64, "folder": "/etc"}, "bad_request"),
        ({"new": {}, "link": "a" * 64}, "bad_request"),
        ({"new": {"titel": "x"}}, "bad_request"),
    ],
)
async def test_t43_t44_odd_requests_are_refused_with_a_reason(api, fields, kind):
    answer = await api.post(ARCHIVES, fields)
    assert (answer.status, answer.kind) == (400, kind)
    assert (await api.ask(ARCHIVES)).json["archives"] == []


async def test_a_wrong_field_is_pointed_at(api):
    answer = await api.post(ARCHIVES, {"link": link("a"), "mode": "late", "tags": ["x", 5]})
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


NETWORKS = ["mdns", "dns", "dht"]


async def change(api, reference, **fields):
    body = json.dumps(fields).encode()
    return await api.ask(
        f"{ARCHIVES}/{reference}", "Content-Type: application/json", method="PATCH", body=body
    )


@pytest.mark.parametrize(
    ("asked", "shown"), [(None, NETWORKS), ([], []), (["dns", "mdns", "dns"], ["mdns", "dns"])]
)
async def test_networks_are_chosen_when_an_archive_is_added_and_later(api, asked, shown):
    assert (await add(api, "a", networks=asked)).json["networks"] == shown
    assert (await add(api, "b")).json["networks"] == NETWORKS
    assert (await change(api, "b" * 64, networks=asked)).json["networks"] == shown
    assert (await api.ask(f"{ARCHIVES}/bbbbbb")).json["networks"] == shown


async def test_a_network_that_is_not_here_is_refused_with_those_that_are(api):
    for answer in (
        await add(api, "a", networks=["mdns", "pigeon"]),
        await change(api, (await add(api, "b")).json["key"], networks=["mdns", "pigeon"]),
    ):
        assert (answer.status, answer.kind) == (400, "bad_request")
        assert "mdns, dns, dht" in answer.json["detail"]
        assert answer.json["errors"][0]["pointer"] == "/networks/1"
    assert len(await names(api)) == 1


async def test_what_is_not_named_is_not_changed(api):
    await add(api, "a", name="recipes", networks=["dns"], domain="x.example", tags=["t"])
    before = (await api.ask(f"{ARCHIVES}/recipes")).json
    assert (await change(api, "recipes")).json == before
    after = (await change(api, "recipes", domain="y.example")).json
    assert after == {**before, "domain": "y.example"}
    assert (await change(api, "recipes", domain=None)).json["domain"] is None


@pytest.mark.parametrize("fields", [{"name": "a/b"}, {"mode": None}, {"watch": True},
                                    {"chunking": "content"}, {"prune": True}, {"include": ["/x"]},
                                    {"version_tags": {"v1": 1}}, {"version_tags": {"latest": 0}},
                                    {"version_tags": {"5": 0}}, {"networks": "dns"},
                                    {"networks": ["DNS "]},
                                    {"domain": ""}, {"domain": "10.0.0.1"}, {"domain": "a b.c"},
                                    {"networks": ["dns"] * 17}])  # fmt: skip
async def test_changes_that_are_not_possible_change_nothing(api, fields):
    await add(api, "a", networks=["mdns"], domain="x.example")
    answer = await change(api, "a" * 64, **fields)
    assert (answer.status, answer.kind) == (400, "bad_request")
    found = (await api.ask(f"{ARCHIVES}/aaaaaa")).json
    assert (found["networks"], found["domain"]) == (["mdns"], "x.example")


async def test_a_domain_is_kept_as_it_will_be_asked_for_and_has_one_archive(api):
    assert (await add(api, "a", domain="B\u00fccher.Example.")).json["domain"] == (
        "xn--bcher-kva.example"
    )
    await add(api, "b")
    answer = await change(api, "b" * 64, domain="xn--bcher-kva.example")
    assert (answer.status, answer.kind) == (409, "exists")
    assert (await api.ask(f"{ARCHIVES}/xn--bcher-kva.example")).json["key"] == "a" * 64


async def test_pages_of_other_sites_cannot_change_an_archive(api):
    await add(api, "a")
    answer = await api.ask(f"{ARCHIVES}/aaaaaa", "Origin: http://evil.example", method="PATCH")
    assert (answer.status, answer.kind) == (403, "forbidden")


async def test_a_name_instead_of_a_key_is_looked_up_and_remembered_with_the_archive(tmp_path):
    async def save(known, dropped):
        raise AssertionError("nothing new was found out")

    known = [KnownName("recipes.example", Key.parse("a" * 64), time.time() + 3600)]
    names = Names(known=known, save=save, wall_clock=time.time, choose=lambda below: 0)
    async with running_api(tmp_path, names=names) as api:
        added = await api.post(ARCHIVES, {"link": "dat://Recipes.example+7/x"})
        assert (added.status, added.json["shortname"]) == (201, "recipes.example")
        assert (added.json["key"], added.json["shortname"]) == ("a" * 64, "recipes.example")
        assert api.library.find("a" * 64).record.pinned == 7
        assert (await api.ask(f"{ARCHIVES}/recipes.example")).json["key"] == "a" * 64
        by_key = await api.post(ARCHIVES, {"link": link("b")})
        assert by_key.json["shortname"] is None
        neither = await api.post(ARCHIVES, {"link": "nonsense"})
        assert (neither.status, neither.kind) == (400, "bad_link")
    await names.close()


async def test_what_a_name_meant_earlier_is_taken_and_shown_as_that(tmp_path):
    async def save(known, dropped):
        raise AssertionError("nobody answered")

    nobody = SmallWeb()
    nobody.addresses["recipes.example"] = []
    names = Names(
        known=[KnownName("recipes.example", Key.parse("a" * 64), time.time() - 1)],
        save=save,
        wall_clock=time.time,
        choose=lambda below: 0,
        lookup=nobody,
    )
    async with running_api(tmp_path, names=names) as api, api.client() as dat:
        assert not (await dat.add(link("a")))[0].stale
        added, new = await dat.add("recipes.example")
        assert (added.key, added.stale, new) == ("a" * 64, True, False)
        # It had no name yet.
        assert (await dat.archive("recipes.example")).shortname == "recipes.example"
        assert not (await dat.archive("recipes.example")).stale
    await names.close()


@pytest.mark.parametrize("what", [{"link": "ab" * 32}, {"new": {}}, {"folder": "/nowhere"}])
async def test_t49_a_token_that_is_no_administrators_knocks_at_no_inner_door(api, what):
    made = await api.post("/api/v1/tokens", {"name": "x", "scope": "control"})
    body = json.dumps({**what, "peers": ["192.0.2.7:1", "127.0.0.1:22"]}).encode()
    refused = await api.ask(
        ARCHIVES, "Content-Type: application/json", method="POST", body=body,
        token=made.json["token"],
    )  # fmt: skip
    assert (refused.status, refused.kind) == (403, "forbidden")
    assert (await api.ask(ARCHIVES)).json["archives"] == []
