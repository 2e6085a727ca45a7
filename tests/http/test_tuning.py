import json

from tests.helpers.api import TOKEN
from tests.helpers.operations.row import send

SETTINGS = "/api/v1/settings"


async def shown(api, name):
    answer = await api.ask(SETTINGS)
    assert answer.status == 200
    return next(one for one in answer.json["settings"] if one["name"] == name)


async def change(running, **sections):
    return await send(running, "PATCH", SETTINGS, sections)


async def test_all_settings_are_shown_with_where_they_come_from(api):
    port = await shown(api, "swarm.port")
    assert (port["value"], port["source"], port["changeable"]) == (3282, "default", False)
    poll = await shown(api, "web.poll_seconds")
    assert (poll["unit"], poll["secret"]) == ("seconds", False)
    assert "peers" in (await shown(api, "network.upload_limit"))["description"]
    listed = (await api.ask(SETTINGS)).json["settings"]
    assert all(one["description"] for one in listed)


async def test_secrets_are_never_shown(api):
    token = await shown(api, "api_token")
    assert (token["value"], token["configured"], token["secret"]) == (None, None, True)
    assert TOKEN.encode() not in (await api.ask(SETTINGS)).body


async def test_a_limit_holds_at_once_and_is_in_the_numbers(api):
    answer = await change(api, network={"upload_limit": 500_000})
    assert answer.status == 200
    bandwidth = api.library.services.bandwidth
    assert (bandwidth.upload.rate, bandwidth.download.rate) == (500_000, None)
    found = await shown(api, "network.upload_limit")
    assert (found["value"], found["source"], found["configured"]) == (500_000, "changed", None)
    assert found["unit"] == "bytes/s"
    limits = (await api.ask("/api/v1/stats")).json["limits"]
    assert limits == {"upload": 500_000, "download": None}
    metrics = (await api.ask("/metrics")).body.decode()
    assert 'datd_bandwidth_limit_bytes{direction="upload"} 500000.0' in metrics
    assert 'direction="download"' not in metrics
    assert (await change(api, network={"upload_limit": None})).status == 200
    assert bandwidth.upload.rate is None


async def test_a_limit_of_nothing_is_none(api):
    upload = api.library.services.bandwidth.upload
    assert (await change(api, network={"upload_limit": 500_000})).status == 200
    assert (await change(api, network={"upload_limit": 0})).status == 200
    assert upload.rate is None
    found = await shown(api, "network.upload_limit")
    assert (found["value"], found["source"]) == (0, "changed")
    assert (await api.ask("/api/v1/stats")).json["limits"]["upload"] is None


async def test_a_quota_holds_at_once(api):
    assert (await change(api, storage={"max_bytes": 0, "keep_free": 0})).status == 200
    assert "raise storage.max_bytes" in api.library.services.room.refusal(0)


async def test_what_is_not_possible_changes_nothing(api):
    for wrong in (
        {"network": {"upload_limit": 15_999}},
        {"network": {"upload_limit": -1}},
        {"network": {"upload_limit": "2 MB"}},
        {"network": {"upload": 1}},
        {"swarm": {"max_connections": 0}},
        {"swarm": {"port": 1}},
        {"log": {"level": "loud"}},
        {"storage": {"max_bytes": -1}},
        {"network": None},
        {"api": {"port": 1}},
    ):
        answer = await change(api, **({"storage": {"max_bytes": 5}} | wrong))
        assert answer.kind == "bad_request", wrong
    assert (await shown(api, "storage.max_bytes"))["value"] is None


async def test_only_an_admin_sees_and_changes_them(api):
    made = await api.post("/api/v1/tokens", {"name": "x", "scope": "control"})
    token = made.json["token"]
    assert (await api.ask(SETTINGS, token=token)).kind == "forbidden"
    body = json.dumps({"log": {"level": "debug"}}).encode()
    kind = "Content-Type: application/json"
    asked = await api.ask(SETTINGS, kind, method="PATCH", body=body, token=token)
    assert asked.kind == "forbidden"


async def test_who_changed_what_is_in_the_audit_log(api):
    await change(api, log={"level": "debug"})
    entries = (await api.ask("/api/v1/audit")).json["entries"]
    assert [entry["action"] for entry in entries] == ["change_settings"]
