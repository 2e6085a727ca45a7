"""Names against dat-dns: the same hosts asked by both, over HTTPS on loopback."""

import json
from ipaddress import ip_network

import pytest
from tests.helpers.api import running_api
from tests.helpers.small_web import Reply, SmallWeb

from datd.errors import NameNotFound
from datd.keys import Key, KnownName
from datd.naming.resolver import Names

KEY = "0123456789abcdef" * 4
LINK = f"dat://{KEY}"
OTHER = "f" * 64

FILES = [
    LINK,
    f"{LINK}/\n",
    f"{LINK}/\nttl=60",
    f"{LINK}/\nTTL=60\n",
    f"DAT://{KEY.upper()}\nTtl=60",
    f"{LINK}0\nttl=60",
    f"{LINK}+12/path, and what else stands there\nttl=60",
    f"{LINK}\nttl=0",
    f"{LINK}\nttl=604801",
    f"{LINK}\nttl=9007199254740992",
    f"{LINK}\nttl=-1",
    f"{LINK}\nttl=1.5",
    f"{LINK}\nttl= 60",
    f"{LINK}\n\nttl=60",
    f"{LINK}\nnonsense\nttl=60",
    f" {LINK}",
    f"\n{LINK}",
    KEY,
    f"dat:{KEY}",
    f"dat://{KEY[:-1]}",
    f"http://{KEY}",
    "<!doctype html>",
]

RECORDS = [
    [{"data": f'"datkey={KEY}"', "TTL": 60}],
    [{"data": f"datkey={KEY}", "TTL": 604_801}],
    [{"data": f"DatKey={KEY.upper()}"}],
    [{"data": f"datkey={KEY}", "TTL": "60"}],
    [{"data": f"datkey={KEY}", "TTL": 0.5}],
    [{"data": f"datkey={KEY}", "TTL": 0}],
    [None, 7, {"data": 7}, {"data": "v=spf1"}, {"data": f"datkey={KEY}", "TTL": 9}],
    [{"data": f"datkey={KEY}", "TTL": 7}, {"data": f"datkey={OTHER}", "TTL": 8}],
    [{"data": f"datkey={KEY}0"}],
    [{"data": f"datkey={KEY[:-1]}"}],
    [],
]


async def ours(small_web: SmallWeb, hosts: list[str], **settings: object) -> dict[str, object]:
    """Key and ttl of each host as datd reads them; None for those that lead nowhere."""
    kept: dict[str, KnownName] = {}

    async def save(known: KnownName, dropped: object) -> None:
        kept[known.name] = known

    names = Names(
        known=[],
        save=save,
        wall_clock=lambda: 0.0,
        choose=lambda count: 0,
        allow=[ip_network("127.0.0.0/8")],
        ssl_context=small_web.trusting,
        lookup=small_web,
        port=small_web.port,
        **settings,  # type: ignore[arg-type]
    )
    found: dict[str, object] = {}
    for host in hosts:
        try:
            key = (await names.resolve(host)).link.key
        except NameNotFound:
            found[host] = None
        else:
            found[host] = key.hex, kept[host].expires_at if host in kept else 0
    await names.close()
    return found


async def theirs(reference, small_web: SmallWeb, folder, hosts: list[str], *options: str):
    """The same as dat-dns reads them."""
    authority = small_web.write_authority(folder / "authority.pem")
    program = reference.start("dat-names.js", small_web.port, authority, *hosts, *options)
    await program.heard("end")
    found: dict[str, object] = {event["name"]: None for event in program.said("failed")}
    kept = {event["name"]: event["ttl"] for event in program.said("kept")}
    for event in program.said("resolved"):
        found[event["name"]] = event["key"].lower(), kept[event["name"]]
    return found


@pytest.fixture
async def small_web():
    async with SmallWeb().serving() as hosts:
        yield hosts


async def test_files_mean_the_same_to_both(reference, small_web, tmp_path):
    hosts = [f"n{number}.names.example" for number in range(len(FILES))]
    for host, file in zip(hosts, FILES, strict=True):
        small_web.put(host, Reply(file))
    wanted = await theirs(reference, small_web, tmp_path, hosts)
    assert len(wanted) == len(FILES)
    assert sum(found is not None for found in wanted.values()) == 15
    assert await ours(small_web, hosts) == wanted


async def test_records_mean_the_same_to_both(reference, small_web, tmp_path):
    hosts = [f"n{number}.names.example" for number in range(len(RECORDS))]
    answers = dict(zip(hosts, RECORDS, strict=True))

    async def resolve(request) -> Reply:
        assert request.headers["Accept"] == "application/dns-json"
        assert request.query["type"] == "TXT"
        answer = answers[request.query["name"].removesuffix(".")]
        return Reply(json.dumps({"Status": 0, "Answer": answer}))

    small_web.put("dns.example", resolve, "/dns-query")
    wanted = await theirs(
        reference, small_web, tmp_path, hosts, "--resolver", "dns.example/dns-query"
    )
    assert len(wanted) == len(RECORDS)
    assert sum(found is not None for found in wanted.values()) == 8
    assert await ours(small_web, hosts, resolvers=["https://dns.example/dns-query"]) == wanted


async def test_dat_dns_finds_an_archive_by_the_domain_that_datd_serves(
    reference, small_web, tmp_path
):
    async with running_api(tmp_path) as api:

        async def pass_on(request) -> Reply:
            """What a proxy that holds the certificates does."""
            answer = await api.ask(request.path, host=request.host, token=None)
            return Reply(answer.body, answer.status)

        await api.library.add(Key.parse(KEY), domain="n0.names.example")
        hosts = ["n0.names.example", "n1.names.example"]
        for host in hosts:
            small_web.put(host, pass_on)
        found = await theirs(reference, small_web, tmp_path, hosts)
        assert found == {"n0.names.example": (KEY, 3600), "n1.names.example": None}
        # And so do we.
        assert await ours(small_web, hosts[:1]) == {"n0.names.example": (KEY, 3600)}
