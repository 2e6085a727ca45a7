import asyncio
import re
import time

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from tests.helpers.api import RunningApi, running_api

from datd.errors import NotWritableError
from datd.hosting.views import NetworkView
from datd.keys import Key

# What `promtool check metrics` complains about, as far as it concerns names.
UNITS_TO_AVOID = ("milliseconds", "minutes", "hours", "kilobytes", "megabytes", "percent")


async def families(api: RunningApi):
    answer = await api.ask("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = list(text_string_to_metric_families(answer.body.decode()))
    assert len({family.name for family in found}) == len(found)
    return {family.name: family for family in found}


def value(found, family: str, **labels: str) -> float:
    [one] = [one for one in found[family].samples if one.labels == labels]
    return float(one.value)


async def test_a_monitor_sees_what_is_hosted(api: RunningApi):
    await api.host("archival-nested")
    await api.host("archival-history", paused=True)
    begun = time.monotonic()
    found = await families(api)
    took = time.monotonic() - begun
    states = {one.labels["state"]: one.value for one in found["datd_archives"].samples}
    assert states["paused"] == 1
    assert sum(states.values()) == 2
    assert set(states) == {"searching", "syncing", "seeding", "paused", "error"}
    assert value(found, "datd_connections") == 0
    assert value(found, "datd_disk_free_bytes") <= value(found, "datd_disk_size_bytes")
    assert 0 <= value(found, "datd_event_loop_lag_seconds") <= took
    assert value(found, "datd_open_files_limit") == 64
    [build] = found["datd_build_info"].samples
    assert re.match(r"\d+\.\d+", build.labels["version"])


async def test_what_the_daemon_counted_is_told(api: RunningApi):
    traffic = api.library.services.traffic
    traffic.downloaded.add(1000, 0.0)
    traffic.uploaded.add(20, 0.0)
    traffic.damaged += 3
    found = await families(api)
    assert value(found, "datd_downloaded_bytes") == 1000
    assert value(found, "datd_uploaded_bytes") == 20
    assert value(found, "datd_damaged_blocks") == 3


async def test_jobs_are_counted_while_they_run_and_when_they_ended(api: RunningApi):
    jobs = api.library.workshop.jobs

    async def failing(job):
        raise NotWritableError("it is not ours")

    job = jobs.start("verify", Key(bytes(32)), failing, unit="blocks")
    assert job.task is not None
    await asyncio.wait([job.task])
    assert value(await families(api), "datd_jobs_ended", kind="verify", state="failed") == 1
    assert job.state == "failed"


async def test_networks_say_whether_they_work(tmp_path):
    views = [
        NetworkView("dns", "discovery", True, numbers={"queries": 7}),
        NetworkView("dht", "discovery", False),
        NetworkView("mdns", "discovery"),
    ]
    async with running_api(tmp_path, network_views=lambda: views) as api:
        found = await families(api)
    up = {one.labels["network"]: one.value for one in found["datd_network_up"].samples}
    assert up == {"dns": 1, "dht": 0}
    assert value(found, "datd_network_figures", network="dns", figure="queries") == 7


async def test_single_archives_have_series_where_somebody_asked_for_them(tmp_path):
    async with running_api(tmp_path, metrics_archives=1) as api:
        first = await api.host("archival-nested", name='a "name" of\\mine')
        await api.host("archival-history")
        found = await families(api)
        assert first.key.hex not in (await api.ask("/metrics")).body.decode()
    [held] = found["datd_archive_held_bytes"].samples
    assert held.labels == {
        "discovery_key": str(first.key.discovery_key),
        "name": 'a "name" of\\mine',
    }
    assert value(found, "datd_archives_without_series") == 1


async def test_nobody_pays_for_series_of_archives_unless_they_are_asked_for(api: RunningApi):
    await api.host("archival-nested")
    assert not [name for name in await families(api) if name.startswith("datd_archive_")]


async def test_names_are_as_prometheus_wants_them(tmp_path):
    async with running_api(tmp_path, metrics_archives=5) as api:
        await api.host("archival-nested")
        text = (await api.ask("/metrics")).body.decode()
    declared = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert len(declared) > 30
    for name, kind in declared.items():
        assert re.fullmatch(r"(datd|process)_[a-z0-9_]+", name)
        assert name.endswith("_total") == (kind == "counter"), name
        assert not any(unit in name for unit in UNITS_TO_AVOID)
        # A unit stands at the end, or before `_total`.
        for unit in ("bytes", "seconds"):
            assert unit not in name or name.removesuffix("_total").endswith(unit)
    for name in declared:
        assert re.search(rf"^# HELP {name} \S.*\S$", text, re.MULTILINE), name


async def test_openmetrics_is_given_to_whoever_asks_for_it(api: RunningApi):
    answer = await api.ask("/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    found = {one.name for one in openmetrics.text_string_to_metric_families(answer.body.decode())}
    assert {"datd_build", "datd_archives", "datd_uploaded_bytes"} <= found


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_a_stranger_learns_nothing(api: RunningApi, token):
    assert (await api.ask("/metrics", token=token)).status == 401


async def test_parameters_are_refused(api: RunningApi):
    assert (await api.ask("/metrics?name=datd_archives")).kind == "bad_request"
