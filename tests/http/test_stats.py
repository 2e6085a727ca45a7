from tests.helpers.api import running_api

from datctl.models import ApiInfo, DaemonStats
from datd.hosting.views import NetworkPart, NetworkView

V1 = "/api/v1"


async def test_the_root_says_what_this_is(api):
    for path in (f"{V1}/", V1):
        answer = await api.ask(path)
        assert answer.status == 200
        assert ApiInfo.model_validate_json(answer.body).api == "v1"


async def test_numbers_of_the_whole_daemon(api):
    await api.host("archival-nested")
    stats = DaemonStats.model_validate_json((await api.ask(f"{V1}/stats")).body)
    assert sum(stats.archives.values()) == 1
    assert stats.uptime >= 0


async def test_liveness_needs_no_token(api):
    assert (await api.ask("/healthz", token=None)).json == {"status": "alive"}
    assert (await api.ask("/readyz", token=None)).json == {"status": "ready"}


async def test_peers_of_a_daemon_without_any(api):
    assert (await api.ask(f"{V1}/peers")).json == {"peers": [], "next_cursor": None}


async def test_readiness_is_said_by_the_daemon(tmp_path):
    async with running_api(tmp_path, is_ready=lambda: False) as api:
        answer = await api.ask("/readyz", token=None)
        assert (answer.status, answer.kind) == (503, "busy")


async def test_networks_are_shown_with_what_they_consist_of(tmp_path):
    views = [
        NetworkView(
            "dns",
            "discovery",
            True,
            "seen as 203.0.113.5:3282",
            {"announced": 3},
            [NetworkPart("dat.example:5300", True), NetworkPart("old.example", False, "\ud800?")],
        ),
        NetworkView("utp", "transport"),
    ]
    async with running_api(tmp_path, network_views=lambda: views) as api:
        stats = DaemonStats.model_validate_json((await api.ask(f"{V1}/stats")).body)
    assert stats.networks == ["mdns", "dns", "dht"]
    dns, utp = stats.details
    assert (dns.name, dns.kind, dns.working) == ("dns", "discovery", True)
    assert (dns.remark, dns.numbers) == ("seen as 203.0.113.5:3282", {"announced": 3})
    assert [(part.name, part.working) for part in dns.parts] == [
        ("dat.example:5300", True),
        ("old.example", False),
    ]
    assert (utp.working, utp.numbers, utp.parts) == (None, {}, [])
