"""The gateway over real archives, asked as programs and browsers ask it."""

import hashlib
import json
import re

import pytest
from tests.client.test_output import HOSTILE
from tests.helpers.gateway import manifest, running_gateway

from datd.hosting.changes import Changes
from datd.http.gateway import app, limits
from datd.keys import Key

NAVIGATION = ("Sec-Fetch-Mode: navigate", "Accept: text/html,*/*;q=0.8")
FILES = {
    "index.html": "<h1>first</h1>",
    "about.html": "<h1>about</h1>",
    "notes/a.txt": "A",
    "notes/b.txt": "0123456789",
}


def policy(answer):
    return answer.headers["content-security-policy"]


# ---- which archive


async def test_an_archive_is_found_by_its_key_and_by_its_origin(gateway):
    key = await gateway.make(FILES)
    for host, prefix in (
        (gateway.host(key), ""),
        (None, f"/{key.hex}"),
        (None, f"/{key.hex.upper()}"),
    ):
        answer = await gateway.ask(f"{prefix}/notes/a.txt", host=host)
        assert (answer.status, answer.body) == (200, b"A")
        assert answer.headers["hyperdrive-key"] == key.hex
        assert answer.headers["hyperdrive-version"] == "4"


async def test_the_path_of_dat_stores_clients_works(gateway):
    key = await gateway.make(FILES)
    assert (await gateway.ask(f"/gateway/{key.hex}/notes/a.txt")).body == b"A"


async def test_browsers_are_led_to_the_origin_of_the_archive(gateway):
    key = await gateway.make(FILES, name="home")
    for reference in (key.hex, "home"):
        for host in (f"localhost:{gateway.port}", f"127.0.0.1:{gateway.port}"):
            answer = await gateway.ask(f"/{reference}/notes/?x=1", *NAVIGATION, host=host)
            assert answer.status == 302
            assert answer.headers["location"] == f"//{gateway.host(key)}/notes/?x=1"
    version = await gateway.ask(f"/{key.hex}+2/", *NAVIGATION)
    assert version.headers["location"] == f"//{gateway.host(key, 2)}/"
    old = await gateway.ask(f"/{key.hex}/", "Accept: text/html")
    assert old.headers["location"] == f"//{gateway.host(key)}/"


async def test_t46_what_shares_an_origin_is_sandboxed(gateway):
    key = await gateway.make(FILES)
    shared = await gateway.ask(f"/{key.hex}/index.html")
    assert "sandbox" in policy(shared).split(";")[0]
    listing = await gateway.ask(f"/{key.hex}/notes/")
    assert policy(listing).endswith("; sandbox allow-forms")
    assert "sandbox" not in policy(await gateway.ask("/index.html", host=gateway.host(key)))
    worker = await gateway.ask(f"/{key.hex}/index.html", "Service-Worker: script")
    assert worker.kind == "forbidden"


async def test_t46_t41_no_answer_lets_another_origin_in(gateway):
    key = await gateway.make({**FILES, "dat.json": manifest()}, domain="site.example")
    targets = ["/", "/notes/", "/notes", "/nope", "/notes/a.txt", "/?timemap", "/.datd/live.js"]
    for host in (gateway.host(key), "site.example"):
        for target in targets:
            for method in ("GET", "HEAD", "OPTIONS", "POST"):
                answer = await gateway.ask(
                    target, "Origin: http://evil.example", host=host, method=method
                )
                assert not [name for name in answer.headers if name.startswith("access-control")]
                assert answer.headers["cross-origin-resource-policy"] == "same-origin"
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["referrer-policy"] == "no-referrer"
                assert answer.headers["server"] == "datd"
                assert "set-cookie" not in answer.headers


async def test_t39_a_host_that_is_none_of_ours_is_told_so(gateway):
    key = await gateway.make(FILES)
    label = gateway.host(key).partition(".")[0]
    hosts = ["evil.example", f"{label}.evil.example", "localhost.evil.example", "x.localhost",
             f"{label[:-1]}.localhost", f"a.{label}.localhost", "192.0.2.1", "[::2]", "", "a b",
             f"{label}-99999999999.localhost"]  # fmt: skip
    for host in hosts:
        answer = await gateway.raw(f"GET /{key.hex}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert answer.kind == "wrong_host", host


async def test_t46_a_key_has_one_origin_only(gateway):
    key = await gateway.make(FILES)
    label = gateway.host(key).partition(".")[0]
    others = [label[:-1] + digit for digit in "abcdefghijklmnopqrstuvwxyz234567"]
    statuses = {
        (await gateway.ask("/", host=f"{other}.localhost")).status
        for other in others
        if other != label
    }
    assert statuses <= {421, 404}


async def test_t48_what_is_not_hosted_or_paused_is_not_found_and_nothing_is_fetched(gateway):
    key = await gateway.make(FILES)
    unknown = await gateway.ask(f"/{'ab' * 32}/")
    assert unknown.kind == "unknown_archive"
    assert f"datctl add dat://{'ab' * 32}" in unknown.json["detail"]
    await gateway.archive(key).pause()
    assert (await gateway.ask("/", host=gateway.host(key))).kind == "unknown_archive"
    assert len(gateway.library.archives()) == 1


async def test_no_beginning_of_a_key_finds_an_archive(gateway):
    key = await gateway.make(FILES)
    for digits in (key.hex[:63], key.hex[:32], key.hex[:6], key.hex + "0"):
        assert (await gateway.ask(f"/{digits}/")).kind == "unknown_archive"


async def test_names_are_for_this_host_unless_somebody_says_otherwise(tmp_path):
    for settings, found in (({}, 200), ({"hosts": ["gateway.example"]}, 404),
                            ({"hosts": ["gateway.example"], "names": True}, 200)):  # fmt: skip
        async with running_gateway(tmp_path / str(len(str(settings))), **settings) as gateway:
            await gateway.make(FILES, name="home")
            assert (await gateway.ask("/home/")).status == found


async def test_an_archive_is_at_its_own_domain_too(gateway):
    key = await gateway.make(FILES, domain="site.example")
    assert (await gateway.ask("/notes/a.txt", host="site.example")).body == b"A"
    assert (await gateway.ask("/notes/a.txt", host="SITE.example:8080")).body == b"A"
    known = await gateway.ask("/.well-known/dat", host="site.example")
    assert known.body == f"dat://{key.hex}/\nTTL=3600\n".encode()
    assert known.headers["access-control-allow-origin"] == "*"
    own = await gateway.ask("/.well-known/dat", host=gateway.host(key))
    assert own.body == known.body
    assert "access-control-allow-origin" not in own.headers


async def test_configured_domains_have_an_origin_for_each_archive(tmp_path):
    async with running_gateway(tmp_path, hosts=["*.gw.example", "plain.example"]) as gateway:
        key = await gateway.make(FILES)
        label = gateway.host(key).partition(".")[0]
        assert (await gateway.ask("/notes/a.txt", host=f"{label}.gw.example")).body == b"A"
        led = await gateway.ask(f"/{key.hex}/", *NAVIGATION, host="gw.example")
        assert led.headers["location"] == f"//{label}.gw.example/"
        plain = await gateway.ask(f"/{key.hex}/notes/a.txt", *NAVIGATION, host="plain.example")
        assert (plain.status, plain.body) == (200, b"A")
        # A sandboxed page has no origin that could be the same as that of its pictures.
        assert plain.headers["cross-origin-resource-policy"] == "cross-origin"
        assert (await gateway.ask("/", host=f"{label}.plain.example")).kind == "wrong_host"


async def test_the_front_page_leads_on_and_tells_of_no_archive(gateway):
    key = await gateway.make(FILES, name="home")
    front = await gateway.ask("/")
    assert front.status == 200
    assert key.hex.encode() not in front.body
    assert b"home" not in front.body
    led = await gateway.ask(f"/?link=dat%3A%2F%2F{key.hex}%2B2%2Fnotes%2Fa.txt")
    assert led.headers["location"] == f"/{key.hex}+2/notes/a.txt"
    copied = await gateway.ask("/?link=dat%3A%2F%2Fhome%2Fa%2520b%3Fversion%3D2")
    assert copied.headers["location"] == "/home/a%20b?version=2"
    assert (await gateway.ask("/?link=%2F%2Fevil.example")).headers["location"] == "/evil.example/"


async def test_a_web_source_has_the_files_of_its_feeds(gateway):
    key = await gateway.make(FILES)
    for host, prefix in ((gateway.host(key), ""), (None, f"/{key.hex}")):
        found = await gateway.ask(f"{prefix}/.dat/metadata.key", host=host)
        assert (found.status, found.body) == (200, key.raw)
        part = await gateway.ask(f"{prefix}/.dat/metadata.tree", "Range: bytes=0-3", host=host)
        assert (part.status, part.body) == (206, bytes.fromhex("05025702"))
        assert "access-control-allow-origin" not in part.headers
    secret = await gateway.ask("/.dat/metadata.secret_key", host=gateway.host(key))
    assert secret.kind == "no_such_file"


# ---- which file


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/", 200, b"<h1>first</h1>"),
        ("/index.html", 200, b"<h1>first</h1>"),
        ("/about", 200, b"<h1>about</h1>"),
        ("/about.html", 200, b"<h1>about</h1>"),
        ("/about/", 404, None),
        ("/notes/a.txt/", 404, None),
        ("/notes/c.txt", 404, None),
        ("/%6eotes/a.txt", 200, b"A"),
    ],
)
async def test_a_path_is_looked_up_as_on_a_web_server(gateway, path, status, body):
    key = await gateway.make(FILES)
    answer = await gateway.ask(path, host=gateway.host(key))
    assert answer.status == status
    assert body in (None, answer.body)


async def test_a_folder_without_its_slash_is_led_to_it(gateway):
    key = await gateway.make(FILES)
    answer = await gateway.ask("/notes?version=4", host=gateway.host(key))
    assert (answer.status, answer.headers["location"]) == (302, "/notes/?version=4")
    shared = await gateway.ask(f"/{key.hex}/notes")
    assert shared.headers["location"] == f"/{key.hex}/notes/"
    assert (await gateway.ask(f"/{key.hex}")).headers["location"] == f"/{key.hex}/"


async def test_web_root_and_fallback_page_of_dat_json_are_followed(gateway):
    site = {
        "dist/index.html": "built", "dist/404.html": "lost", "secret.txt": "not in the site",
        "dat.json": manifest(web_root="/dist", fallback_page="/404.html"),
    }  # fmt: skip
    key = await gateway.make(site)
    host = gateway.host(key)
    assert (await gateway.ask("/", host=host)).body == b"built"
    for path in ("/secret.txt", "/nope", "/nope/"):
        lost = await gateway.ask(path, "Range: bytes=0-1", host=host)
        assert (lost.status, lost.body) == (404, b"lost")
        assert "etag" not in lost.headers


async def test_the_fallback_page_may_be_sent_with_200(tmp_path):
    async with running_gateway(tmp_path, fallback_status=200) as gateway:
        site = {"app.html": "app", "dat.json": manifest(fallback_page="app.html")}
        key = await gateway.make(site)
        answer = await gateway.ask("/any/route", host=gateway.host(key))
        assert (answer.status, answer.body) == (200, b"app")


async def test_t46_the_authors_policy_can_only_forbid_more(gateway):
    own = "default-src 'none'; script-src 'self'"
    site = {"a.html": "x", "dat.json": manifest(content_security_policy=own)}
    key = await gateway.make(site)
    first, second = policy(await gateway.ask("/a.html", host=gateway.host(key))).split(", ")
    assert "frame-ancestors 'self'" in first
    assert second == own
    odd = manifest(content_security_policy="script-src 'self' ä\r\nX-Evil: 1")
    await gateway.put(key, "dat.json", odd)
    answer = await gateway.ask("/a.html", host=gateway.host(key))
    assert "x-evil" not in answer.headers
    assert "," not in policy(answer)


@pytest.mark.parametrize(
    "path", ["/%2e%2e/x", "/%00", "/%ff", "/a//b", "//", "/%2F", "/../x", "/%zz", "/" + "x" * 9000]
)
async def test_t45_odd_paths_are_refused(gateway, path):
    key = await gateway.make(FILES)
    answer = await gateway.ask(path, host=gateway.host(key))
    assert answer.status in (400, 404)
    assert answer.kind in ("bad_request", "no_such_file")


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"]
)
async def test_archives_are_only_read(gateway, method):
    key = await gateway.make(FILES)
    answer = await gateway.ask("/index.html", host=gateway.host(key), method=method)
    assert (answer.kind, answer.headers["allow"]) == ("method", "GET, HEAD")


# ---- listings and errors


async def test_a_folder_is_listed_in_the_form_that_is_asked_for(gateway):
    key = await gateway.make(FILES)
    host = gateway.host(key)
    page = await gateway.ask("/notes/", host=host)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b'href="./a.txt"' in page.body
    listing = (await gateway.ask("/notes/", "Accept: application/json", host=host)).json
    assert [entry["path"] for entry in listing["entries"]] == ["/notes/a.txt", "/notes/b.txt"]
    text = await gateway.ask("/notes/", "Accept: text/plain", host=host)
    assert text.body == b"a.txt\nb.txt\n"
    assert (await gateway.ask("/notes/", "Accept: image/png", host=host)).kind == "not_acceptable"
    assert "Accept" in page.headers["vary"]
    assert b"./notes/" in (await gateway.ask("/?viewSource", host=host)).body


async def test_a_listing_is_not_sent_again_unless_it_changed(gateway):
    key = await gateway.make(FILES)
    host = gateway.host(key)
    tag = (await gateway.ask("/notes/", host=host)).headers["etag"]
    assert (await gateway.ask("/notes/", f"If-None-Match: {tag}", host=host)).status == 304
    await gateway.put(key, "notes/c.txt", "C")
    assert (await gateway.ask("/notes/", f"If-None-Match: {tag}", host=host)).status == 200


async def test_l24_a_huge_folder_comes_in_pages(gateway, monkeypatch):
    monkeypatch.setattr("datd.http.gateway.answers.PAGE", 3)
    names = [f"n{number}" for number in range(7)]
    key = await gateway.make(dict.fromkeys((f"many/{name}" for name in names), "x"))
    seen, address = [], "/many/"
    while address:
        page = (await gateway.ask(address, host=gateway.host(key))).body.decode()
        seen += re.findall(r'href="\./(n\d)"', page)
        more = re.search(r'href="(\?after=[^"]+)" rel="next"', page)
        address = f"/many/{more[1]}" if more else ""
    assert seen == names


async def test_t47_hostile_names_are_listed_and_lead_to_their_files(gateway):
    names = [name for name in HOSTILE if "/" not in name and name not in ("\ud800", "\x00")]
    key = await gateway.make({name: str(number) for number, name in enumerate(names)})
    host = gateway.host(key)
    page = (await gateway.ask("/", host=host)).body.decode()
    links = re.findall(r'href="\./([^"]+)"', page)
    assert len(links) == len(names)
    assert "<script>" not in page.partition("<main>")[2].partition("<script data-version")[0]
    bodies = {(await gateway.ask(f"/{link}", host=host)).body for link in links}
    assert bodies == {str(number).encode() for number in range(len(names))}


async def test_errors_are_pages_for_browsers_and_problems_for_programs(gateway):
    key = await gateway.make(FILES)
    host = gateway.host(key)
    page = await gateway.ask("/nope", *NAVIGATION, host=host)
    assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"No such file or folder" in page.body
    assert "default-src 'none'" in policy(page)
    assert (await gateway.ask("/nope", host=host)).kind == "no_such_file"
    assert (await gateway.ask("/nope", *NAVIGATION, host=host, method="HEAD")).status == 404


# ---- versions


async def test_a_version_is_named_in_four_ways(gateway):
    key = await gateway.make({"a.txt": "one"})
    await gateway.library.change(gateway.archive(key), Changes({"version_tags": {"first": 1}}))
    await gateway.put(key, "a.txt", "two")
    ways = [
        (f"/{key.hex}+1/a.txt", None, True), (f"/{key.hex}+first/a.txt", None, False),
        ("/a.txt?version=1", gateway.host(key), True), ("/a.txt", gateway.host(key, 1), True),
        ("/a.txt?version=first", gateway.host(key), False),
    ]  # fmt: skip
    for target, host, is_fixed in ways:
        answer = await gateway.ask(target, host=host)
        assert answer.body == b"one", target
        assert ("immutable" in answer.headers["cache-control"]) == is_fixed
        assert answer.headers["hyperdrive-version"] == "1"
    newest = await gateway.ask("/a.txt", host=gateway.host(key))
    assert (newest.body, newest.headers["cache-control"]) == (b"two", "public, no-cache")
    both = await gateway.ask("/a.txt?version=2", host=gateway.host(key, 1))
    assert both.kind == "bad_request"
    assert (
        await gateway.ask("/a.txt?version=99", host=gateway.host(key))
    ).kind == "no_such_version"


async def test_a_time_leads_to_the_version_of_then(gateway):
    key = await gateway.make({"a.txt": "one"})
    host = gateway.host(key)
    await gateway.put(key, "a.txt", "two")
    for when, version in (
        ("Fri, 01 Mar 2019 12:00:00 GMT", 1),
        ("Fri, 01 Mar 2199 12:00:00 GMT", 2),
    ):
        led = await gateway.ask("/a.txt", f"Accept-Datetime: {when}", host=host)
        assert (led.status, led.headers["location"]) == (302, f"/a.txt?version={version}")
        assert led.headers["vary"] == "Accept-Datetime"
        assert 'rel="original timegate"' in led.headers["link"]
    memento = await gateway.ask("/a.txt?version=1", host=host)
    assert memento.headers["memento-datetime"].endswith("GMT")
    assert 'rel="memento"' in memento.headers["link"]
    assert "memento-datetime" not in (await gateway.ask("/a.txt", host=host)).headers
    assert (await gateway.ask("/a.txt", "Accept-Datetime: soon", host=host)).kind == "bad_request"


async def test_a_time_map_lists_the_versions_of_a_page(gateway):
    key = await gateway.make({"a.txt": "one", "b.txt": "b"})
    await gateway.put(key, "a.txt", "two")
    answer = await gateway.ask("/a.txt?timemap", host=gateway.host(key))
    assert answer.headers["content-type"] == "application/link-format"
    assert re.findall(rb"<([^>]*)>; rel=\"memento\"; datetime", answer.body) == [
        b"/a.txt?version=1", b"/a.txt?version=3",
    ]  # fmt: skip


# ---- limits


async def test_l25_what_nobody_gives_is_504_in_time(gateway, monkeypatch):
    monkeypatch.setattr(app, "FIRST_BYTE_SECONDS", 0.2)
    key = Key(hashlib.sha256(b"nobody has it").digest())
    await gateway.library.add(key)
    answer = await gateway.ask("/", host=gateway.host(key))
    assert (answer.status, answer.kind) == (504, "no_peers")


async def test_l25_requests_above_the_limit_are_told_so(gateway, monkeypatch):
    key = await gateway.make(FILES)
    monkeypatch.setattr(limits, "MAX_REQUESTS", 0)
    answer = await gateway.ask("/", host=gateway.host(key))
    assert (answer.status, answer.kind) == (503, "busy")


async def test_json_of_problems_is_json(gateway):
    assert json.loads((await gateway.ask("/nothing/")).body)["status"] == 404


@pytest.mark.parametrize(
    "path", ["/", "/notes/", "/notes/a.txt", "/.datd/events", "/.dat/x", "/no"]
)
async def test_t43_odd_queries_and_headers_are_never_a_fault_of_ours(gateway, path):
    key = await gateway.make(FILES)
    queries = [
        "version=%ff", "version=", "version=-1", "version=9007199254740993", "version=1e9",
        "after=%00", "after=%f0%9f", "after", "timemap&since=99999999", "from=1e5", "\xff",
        "version=2019-01-01T00:00:00Z", "version=1&version=2", "live&version=0", "a=%zz",
        "viewSource=", "version=latest",
    ]  # fmt: skip
    odd = [
        "Range: bytes=", "Range: bytes=9-1,,", "If-Range: x", "If-None-Match: x", "If-Match: ,",
        "Accept: ;q=,/", "Accept-Datetime: 0", "Sec-Fetch-Mode: x", "Origin: null",
    ]  # fmt: skip
    for query in queries:
        answer = await gateway.ask(f"{path}?{query}", host=gateway.host(key), method="HEAD")
        assert answer.status < 500, query
    for header in odd:
        answer = await gateway.ask(path, header, host=gateway.host(key), method="HEAD")
        assert answer.status < 500, header
