import pytest
from tests.helpers.api import running_api
from tests.helpers.busy_disks import not_judged_by_speed

from datd.hosting.views import NetworkView


@pytest.fixture
async def api(tmp_path):
    async with running_api(tmp_path) as running:
        yield running


async def test_a_diagnosis_says_of_each_check_how_it_is_and_what_to_do(api, monkeypatch):
    not_judged_by_speed(monkeypatch)
    answer = await api.ask("/api/v1/diagnosis")
    assert answer.status == 200
    findings = answer.json["findings"]
    assert {"clock", "disk", "transports", "archives"} <= {one["check"] for one in findings}
    for one in findings:
        assert one.keys() == {"check", "state", "text", "advice"}
        assert one["state"] in ("ok", "warn", "fail")
        assert bool(one["advice"]) == (one["state"] != "ok"), one


async def test_a_network_that_does_not_work_fails(tmp_path, monkeypatch):
    not_judged_by_speed(monkeypatch)
    views = [
        NetworkView("dht", "discovery", False),
        NetworkView("tcp", "transport", False, "no port"),
    ]
    async with running_api(tmp_path, network_views=lambda: views) as api:
        answer = await api.ask("/api/v1/diagnosis")
    failed = {one["check"] for one in answer.json["findings"] if one["state"] == "fail"}
    assert failed == {"discovery", "transports"}


async def test_it_takes_no_parameters_and_needs_a_token(api):
    assert (await api.ask("/api/v1/diagnosis?x=1")).kind == "bad_request"
    assert (await api.ask("/api/v1/diagnosis", token=None)).kind == "unauthorized"
