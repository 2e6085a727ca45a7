from tests.helpers.api import running_api

from datctl.models import ApiInfo, DaemonStats

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
