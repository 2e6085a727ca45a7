import json
import logging
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import pytest
from tests.helpers.small_web import Reply, SmallWeb

from datd.errors import (
    ConfigError,
    KeyFormatError,
    NameNotFound,
    NameUnreachable,
    StorageError,
)
from datd.keys import Key, KnownName, Link
from datd.naming.cache import MAX_NAMES
from datd.naming.resolver import MAX_RESOLVERS, Names, Resolved

HEX = "0123456789abcdef" * 4
KEY = Key(bytes.fromhex(HEX))
OTHER = Key(bytes(range(32)))
RESOLVER = "https://dns.example/dns-query"


class People:
    """Somebody with a clock, a notebook and a small web."""

    def __init__(self, small_web: SmallWeb) -> None:
        self.now = 1_000_000.0
        self.web = small_web
        self.book: dict[str, KnownName] = {}
        self.disk_full = False
        self._names: list[Names] = []

    def names(self, **settings: Any) -> Names:
        given = {"allow": [ip_network("127.0.0.0/8")], **settings}
        made = Names(
            known=self.book.values(),
            save=self.save,
            wall_clock=lambda: self.now,
            choose=lambda count: count - 1,
            ssl_context=self.web.trusting,
            lookup=self.web,
            port=self.web.port,
            **given,
        )
        self._names.append(made)
        return made

    async def save(self, known: KnownName, dropped: Sequence[str]) -> None:
        if self.disk_full:
            raise StorageError("no space")
        self.book[known.name] = known
        for name in dropped:
            del self.book[name]

    async def leave(self) -> None:
        for names in self._names:
            await names.close()


@pytest.fixture
async def people(small_web):
    someone = People(small_web)
    yield someone
    await someone.leave()


def well_known(key: Key = KEY, ttl: int | None = None) -> Reply:
    return Reply(f"{key.link}/\n" + (f"TTL={ttl}\n" if ttl is not None else ""))


def txt(key: Key = KEY, ttl: int = 60) -> Reply:
    record = {"name": "a.example.", "type": 16, "TTL": ttl, "data": f'"datkey={key.hex}"'}
    return Reply(json.dumps({"Status": 0, "Answer": [record]}))


async def test_a_key_is_not_asked_for(people):
    names = people.names(resolvers=[RESOLVER])
    assert await names.resolve(HEX) == Resolved(Link(KEY))
    link = f"https://a.example/{HEX}+7/b"
    assert await names.resolve(link) == Resolved(Link(KEY, 7, "/b"))
    assert people.web.lookups == []


@pytest.mark.parametrize("text", ["", "localhost", "127.0.0.1", "dat://a.example:80", "x" * 9999])
async def test_what_is_neither_key_nor_name_is_refused_and_says_what_was_expected(people, text):
    with pytest.raises(KeyFormatError, match=r"64 hex digits.*example\.org") as caught:
        await people.names(resolvers=[RESOLVER]).resolve(text)
    assert len(str(caught.value)) < 250
    assert people.web.lookups == []


async def test_a_link_to_a_key_with_a_wrong_version_is_no_name(people):
    for text in (f"https://a.example/{HEX}+latest", f"dat://{HEX}+x", "a.example+x"):
        with pytest.raises(KeyFormatError, match="version"):
            await people.names().resolve(text)
    assert people.web.lookups == []


async def test_the_host_itself_says_what_it_means(people):
    people.web.put("a.example", well_known())
    got = await people.names().resolve("dat://A.example.+12/b/c")
    assert got == Resolved(Link(KEY, 12, "/b/c"), "a.example")
    assert people.web.asked() == ["a.example/.well-known/dat"]


async def test_a_resolver_is_asked_first(people):
    people.web.put("dns.example", txt(OTHER), "/dns-query")
    people.web.put("a.example", well_known(KEY))
    got = await people.names(resolvers=[RESOLVER + "?ct=x"]).resolve("a.example")
    assert got.link.key == OTHER
    (asked,) = people.web.requests
    assert asked.headers["Accept"] == "application/dns-json"
    assert dict(asked.query) == {"ct": "x", "name": "a.example.", "type": "TXT"}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(json.dumps({"Status": 3})),
        Reply(json.dumps({"Answer": [{"data": "v=spf1"}]})),
        Reply("no json"),
        Reply(json.dumps({"Answer": [{"data": f"datkey={HEX}"}]}), status=500),
        Reply(b" " * 70_000),
        Reply(status=302, headers={"Location": "https://b.example/dns-query"}),
    ],
    ids=["nxdomain", "other records", "garbage", "status", "long", "redirect"],
)
async def test_when_resolvers_know_nothing_the_host_is_asked(people, reply):
    people.web.put("dns.example", reply, "/dns-query")
    people.web.put("b.example", txt(), "/dns-query")
    people.web.put("a.example", well_known(OTHER))
    got = await people.names(resolvers=[RESOLVER]).resolve("a.example")
    assert got.link.key == OTHER
    assert people.web.asked() == ["dns.example/dns-query", "a.example/.well-known/dat"]


async def test_resolvers_are_taken_by_chance_until_one_answers(people):
    paths = [f"/{number}" for number in range(MAX_RESOLVERS + 2)]
    names = people.names(resolvers=[f"https://dns.example{path}" for path in paths])
    people.web.put("a.example", well_known())
    await names.resolve("a.example")
    # Chance is played by the last one each time; none of them exists.
    assert [path for path in people.web.asked() if path.startswith("dns")] == [
        f"dns.example{path}" for path in paths[::-1][:MAX_RESOLVERS]
    ]
    people.web.requests.clear()
    people.web.put("dns.example", txt(OTHER), paths[-2])
    assert (await names.resolve("b.example")).link.key == OTHER
    assert people.web.asked() == [f"dns.example{path}" for path in paths[-1:-3:-1]]


async def test_a_resolver_in_the_users_own_network_is_the_users_choice(people):
    people.web.put("dns.example", txt(), "/dns-query")
    people.web.put("a.example", well_known(OTHER))
    names = people.names(resolvers=[RESOLVER], allow=[])
    assert (await names.resolve("a.example")).link.key == KEY
    del people.web.replies["dns.example", "/dns-query"]
    with pytest.raises(NameUnreachable, match=r"127\.0\.0\.1 is no public address"):
        await names.resolve("b.example")


@pytest.mark.parametrize("text", ["dns.example", "http://dns.example/q", "https://", "https://["])
async def test_a_resolver_that_is_no_address_is_a_wrong_setting(people, text):
    with pytest.raises(ConfigError, match=r"naming\.resolvers"):
        people.names(resolvers=[text])


async def test_an_answer_holds_for_its_ttl(people):
    people.web.put("a.example", well_known(KEY, 60))
    names = people.names()
    await names.resolve("a.example")
    people.web.put("a.example", well_known(OTHER, 60))
    people.now += 59
    assert (await names.resolve("A.example")).link.key == KEY
    people.now += 2
    assert (await names.resolve("a.example")).link.key == OTHER
    assert len(people.web.requests) == 2


async def test_an_answer_with_ttl_0_is_for_one_question(people):
    people.web.put("a.example", well_known(KEY, 0))
    names = people.names()
    await names.resolve("a.example")
    await names.resolve("a.example")
    assert len(people.web.requests) == 2
    assert people.book == {}


async def test_answers_outlive_a_restart(people):
    people.web.put("a.example", well_known())
    await people.names().resolve("a.example")
    again = await people.names().resolve("a.example")
    assert (again.link.key, again.stale) == (KEY, False)
    assert len(people.web.requests) == 1


@pytest.mark.parametrize("status", [404, 410, 500])
async def test_what_was_known_is_used_when_nobody_answers_and_said_so(people, status, caplog):
    people.book["a.example"] = KnownName("a.example", KEY, people.now - 10**8)
    people.web.put("a.example", Reply(status=status))
    names = people.names()
    with caplog.at_level(logging.WARNING):
        got = await names.resolve("a.example")
    assert got == Resolved(Link(KEY), "a.example", stale=True)
    assert "a.example" in caplog.text
    assert HEX not in caplog.text
    people.web.addresses["a.example"] = []
    assert (await names.resolve("a.example")).stale


async def test_l27_names_that_lead_nowhere_are_asked_for_once_a_minute(people):
    names = people.names()
    for _ in range(3):
        with pytest.raises(NameNotFound, match=r"no /\.well-known/dat.*archive's key"):
            await names.resolve("a.example")
    people.web.addresses["b.example"] = []
    for _ in range(3):
        with pytest.raises(NameUnreachable, match=r"b\.example cannot be asked.*try again"):
            await names.resolve("b.example")
    assert people.web.lookups == ["a.example", "b.example"]
    people.now += 61
    people.web.put("a.example", well_known())
    assert (await names.resolve("a.example")).link.key == KEY


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (Reply(status=500), NameUnreachable, "status 500"),
        (Reply(status=403), NameUnreachable, "status 403"),
        (Reply("<html>"), NameNotFound, "does not begin with dat://"),
    ],
)
async def test_other_failures_are_not_remembered(people, reply, error, text):
    names = people.names()
    for _ in range(2):
        people.web.put("a.example", reply)
        with pytest.raises(error, match=text):
            await names.resolve("a.example")
    people.web.put("a.example", well_known())
    assert (await names.resolve("a.example")).link.key == KEY
    assert len(people.web.requests) == 3


async def test_l27_a_file_above_4_kib_says_nothing(people):
    people.web.put("a.example", Reply(KEY.link + "\n" + "x" * 4096))
    with pytest.raises(NameUnreachable, match="more than 4096 bytes"):
        await people.names().resolve("a.example")


async def test_t49_a_host_cannot_send_us_inside(people):
    people.web.put("a.example", Reply(status=301, headers={"Location": "https://b.example/x"}))
    people.web.addresses["b.example"] = ["169.254.169.254"]
    with pytest.raises(NameUnreachable, match="no public address"):
        await people.names().resolve("a.example")
    assert len(people.web.requests) == 1


async def test_a_full_disk_does_not_keep_the_answer_back(people, caplog):
    people.disk_full = True
    people.web.put("a.example", well_known())
    names = people.names()
    assert (await names.resolve("a.example")).link.key == KEY
    assert (await names.resolve("a.example")).link.key == KEY
    assert "no space" in caplog.text
    assert len(people.web.requests) == 1


async def test_l27_the_notebook_does_not_grow_for_ever(people):
    for number in range(MAX_NAMES):
        name = f"n{number}.example"
        people.book[name] = KnownName(name, OTHER, people.now + number + 1)
    people.web.put("a.example", well_known())
    await people.names().resolve("a.example")
    assert len(people.book) == MAX_NAMES
    assert "n0.example" not in people.book
    assert people.book["a.example"].key == KEY


async def test_a_link_of_the_web_leads_where_its_page_says(people):
    people.web.put("a.example", well_known(OTHER))
    people.web.put("a.example", Reply("<html>", headers={"Dat-Key": HEX}), "/maps")
    people.web.put("a.example", Reply(json.dumps({"url": f"dat://{HEX}"})), "/maps.json")
    names = people.names()
    for link in ("https://a.example/maps#top", "HTTPS://A.example/maps.json?x=1"):
        # A page has no version, and its path is none in the archive.
        assert await names.resolve(link) == Resolved(Link(KEY))
    assert people.web.asked() == ["a.example/maps", "a.example/maps.json"]
    assert people.book == {}


@pytest.mark.parametrize(
    "page",
    [
        Reply("<html>"),
        Reply("<html>", headers={"Dat-Key": "x"}),
        Reply("no", status=404, headers={"Dat-Key": HEX}),
        Reply(status=302, headers={"Location": "http://b.example/"}),
        Reply(status=302, headers={"Location": "https://c.names.example/"}),
    ],
)
async def test_where_a_page_says_nothing_its_host_is_asked(people, page):
    people.web.addresses["c.names.example"] = ["10.0.0.1"]
    people.web.put("c.names.example", Reply(headers={"Dat-Key": HEX}), "/")
    people.web.put("a.example", page, "/maps")
    people.web.put("a.example", well_known(OTHER))
    got = await people.names().resolve("https://a.example/maps")
    assert got == Resolved(Link(OTHER, None, "/maps"), "a.example")


async def test_t49_pages_are_asked_for_as_carefully_as_hosts(people):
    people.web.put("a.example", Reply(headers={"Dat-Key": HEX}), "/maps")
    with pytest.raises(NameUnreachable, match="no public address"):
        await people.names(allow=[]).resolve("https://a.example/maps")
    with pytest.raises(NameNotFound):
        await people.names().resolve("http://a.example/maps")
    assert people.web.asked() == ["a.example/.well-known/dat"]
