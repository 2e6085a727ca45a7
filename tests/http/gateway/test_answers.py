import re
from datetime import datetime

import pytest

from datctl.models import Listing
from datd.http.gateway.answers import PAGE_LETTERS


async def test_a_listing_for_programs_is_the_one_of_the_api(gateway):
    key = await gateway.make({"d/a.txt": "A", "d/e/b.txt": "B"})
    answer = await gateway.ask("/d/", "Accept: application/json", host=gateway.host(key))
    listing = Listing.model_validate_json(answer.body)
    assert (listing.key, listing.path, listing.version) == (key.hex, "/d", 2)
    assert [(one.path, one.kind) for one in listing.entries] == [
        ("/d/a.txt", "file"), ("/d/e", "directory"),
    ]  # fmt: skip


async def test_t27_long_names_make_more_pages(gateway):
    archive = gateway.archive(await gateway.make({}))
    names = [f"{number:03}{'n' * 2_000}" for number in range(200)]
    async with gateway.library.publisher.writing(archive) as desk:
        for name in names:
            await desk.mkdir(f"/{name}", check=lambda old: None)
    found, address = list[str](), "/"
    for _ in range(2):
        page = await gateway.ask(address, "Accept: text/html", host=gateway.host(archive.key))
        found += re.findall(r'<a href="\./(\d+n+)/"', page.body.decode())
        assert len(page.body) < 5 * PAGE_LETTERS
        following = re.search(r'<a href="([^"]+)" rel="next">', page.body.decode())
        address = f"/{following[1]}" if following is not None else ""
    assert found == names
    assert not address


async def test_a_file_tells_its_version_time_and_tag(gateway):
    key = await gateway.make({"a.txt": "A", "b.txt": "B"})
    answer = await gateway.ask("/a.txt", host=gateway.host(key))
    told = answer.headers
    assert told["hyperdrive-version"] == "2"
    assert told["etag"].startswith('"')
    assert told["accept-ranges"] == "bytes"
    assert datetime.strptime(told["last-modified"], "%a, %d %b %Y %H:%M:%S GMT").year > 2000
    # The file is the same in another version: so is its tag, and nothing is sent twice.
    older = await gateway.ask(
        "/a.txt?version=1", f"If-None-Match: {told['etag']}", host=gateway.host(key)
    )
    assert older.status == 304


async def test_t45_what_lies_outside_of_the_web_root_is_no_path_of_the_site(gateway):
    site = {"dat.json": '{"web_root": "/www/../www"}', "www/index.html": "in", "out.txt": "out"}
    key = await gateway.make(site)
    for path in ("/../out.txt", "/%2e%2e/out.txt", "/..%2fout.txt", "/out.txt"):
        assert (await gateway.ask(path, host=gateway.host(key))).status in (400, 404)
    assert (await gateway.ask("/", host=gateway.host(key))).body == b"in"


async def test_an_archive_that_was_pinned_shows_the_version_it_was_pinned_at(gateway):
    key = await gateway.make({"a.txt": "one"})
    await gateway.put(key, "a.txt", "two")
    gateway.archive(key).record.pinned = 1
    assert (await gateway.ask("/a.txt", host=gateway.host(key))).body == b"one"


@pytest.mark.parametrize("since", ["-1", "x", "1" * 17, ""])
async def test_a_time_map_begins_at_a_version(gateway, since):
    key = await gateway.make({"a.txt": "A"})
    answer = await gateway.ask(f"/a.txt?timemap&since={since}", host=gateway.host(key))
    assert answer.kind == "bad_request"


async def test_a_long_time_map_says_where_it_goes_on(gateway, monkeypatch):
    monkeypatch.setattr("datd.http.gateway.answers.PAGE", 2)
    key = await gateway.make({})
    for number in range(3):
        await gateway.put(key, "a.txt", str(number))
    host = gateway.host(key)
    first = (await gateway.ask("/a.txt?timemap", host=host)).body
    assert b"</a.txt?timemap&since=2>" in first
    rest = (await gateway.ask("/a.txt?timemap&since=2", host=host)).body
    assert b"</a.txt?version=3>" in rest
    assert b"</a.txt?version=1>" not in rest


async def test_an_address_stands_in_headers_and_lists_as_we_write_it(gateway):
    name = 'a>; rel="x.txt'
    key = await gateway.make({name: "A"})
    host = gateway.host(key)
    written = "/a%3E%3B%20rel%3D%22x.txt"
    for target in ('/a>;%20rel="x.txt', "/%61%3e;%20rel=%22x.txt"):
        told = (await gateway.ask(target, host=host)).headers["link"]
        assert told.startswith(f'<{written}>; rel="original timegate", ')
        listed = await gateway.ask(f"{target}?timemap", host=host)
        assert f"<{written}?version=1>".encode() in listed.body
        led = await gateway.ask(target, "Accept-Datetime: Fri, 01 Mar 2199 12:00:00 GMT", host=host)
        assert led.headers["location"] == f"{written}?version=1"


async def test_no_address_leads_to_another_host(gateway):
    key = await gateway.make({"evil.example/a.txt": "A"})
    for target in ("//evil.example", "//evil.example/", "/%2Fevil.example", "/%2F", "//"):
        for header in ("Accept: */*", "Accept-Datetime: Fri, 01 Mar 2199 12:00:00 GMT"):
            answer = await gateway.ask(target, header, host=gateway.host(key))
            assert (answer.status, answer.headers.get("location")) == (400, None), target


async def test_a_cache_keeps_apart_what_browsers_and_programs_are_told(gateway):
    key = await gateway.make({"a.txt": "A", "d/b.txt": "B"})
    for target in (f"/{key.hex}+2/a.txt", f"/{key.hex}/a.txt", f"/{key.hex}/d/"):
        told = (await gateway.ask(target)).headers["vary"].split(", ")
        assert {"Accept", "Sec-Fetch-Mode"} <= set(told)
        assert len(told) == len(set(told))
    own = await gateway.ask("/a.txt?version=2", host=gateway.host(key))
    assert "vary" not in own.headers


async def test_who_finds_nothing_is_shown_where_to_look(gateway):
    key = await gateway.make({"d/e/a.txt": "A"})
    html = "Accept: text/html"
    for target, links in (
        ("/d/nope", [b"./", b"/"]),
        ("/d/nope/", [b"../", b"/"]),
        ("/d/nope?version=1", [b"./?version=1", b"/?version=1"]),
    ):
        page = await gateway.ask(target, html, host=gateway.host(key))
        assert page.status == 404
        assert re.findall(rb'<a href="([^"]*)"', page.body) == links
    unknown = await gateway.ask(f"/{'ab' * 32}/d/", html)
    assert b"<a " not in unknown.body


async def test_a_web_source_gets_every_byte_whatever_the_web_root_is(gateway):
    site = {"dat.json": '{"web_root": "/www"}', "www/a.txt": "in", "out.txt": "out"}
    key = await gateway.make(site)
    whole = await gateway.ask("/.dat/content.data", host=gateway.host(key))
    assert (whole.status, whole.body) == (200, "".join(site.values()).encode())
