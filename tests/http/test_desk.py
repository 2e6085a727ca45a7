from tests.helpers.api import running_api

from datd.hosting.pinning import PINNED_TAG
from datd.records import Record

V1 = "/api/v1"


async def test_what_was_written_down_is_there_after_a_restart(tmp_path):
    async with running_api(tmp_path) as api:
        token = (await api.post(f"{V1}/tokens", {"name": "x"})).json["token"]
        await api.post(f"{V1}/accounts", {"name": "ada", "password": "correct horse"})
    async with running_api(tmp_path) as api:
        assert (await api.ask(f"{V1}/whoami", token=token)).status == 200
        assert api.desk.accounts.get("ada") is not None
        assert [line.action for line in await api.desk.audit.page(None, 10)] == [
            "create_token", "create_account",
        ]  # fmt: skip


async def test_archives_are_held_to_the_quotas_of_who_pins_them(api):
    account = await api.desk.accounts.add("ada", "correct horse", max_bytes=100, max_pins=9)
    hosted, _ = await api.desk.pinning.pin(account, (await api.host("archival-nested")).key, None)
    refused = api.library.services.allowance
    assert refused(hosted.record, 10**9) is None, "the operator hosts it, too"
    record = Record(key=hosted.key, added_at=0.0, tags=[PINNED_TAG])
    assert refused(record, 99) is None
    assert "quota" in refused(record, 100)
