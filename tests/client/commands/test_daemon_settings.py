from typing import get_args

from datctl.commands.daemon_settings import Name
from datctl.models_settings import SECTIONS


def test_the_verb_names_all_that_can_be_changed():
    named = get_args(get_args(Name)[0])
    assert set(named) == {
        f"{s}.{name}" for s, model in SECTIONS.items() for name in model.model_fields
    }


async def test_settings_are_listed_with_where_they_come_from(shell):
    lines = (await shell.text("settings")).splitlines()
    assert lines[0].split()[:4] == ["SETTING", "VALUE", "FROM", "CHANGES"]
    (token,) = [line for line in lines if line.startswith("api_token")]
    assert "(secret)" in token
    (port,) = [line for line in lines if line.startswith("swarm.port ")]
    assert port.split()[1:6] == ["3282", "default", "with", "a", "restart"]
    few = (await shell.text("settings", "--changeable")).splitlines()
    assert len(few) == 1 + sum(len(model.model_fields) for model in SECTIONS.values())
    document = await shell.json("settings")
    assert {one["name"] for one in document} >= {"network.upload_limit", "data_dir"}


async def test_a_limit_is_typed_as_people_write_it_and_taken_back(shell, api):
    upload = api.library.services.bandwidth.upload
    for text, rate in (("2 MB", 2_000_000), ("500kB/s", 500_000), ("16000", 16_000)):
        await shell.run("settings", "set", "network.upload_limit", text)
        assert upload.rate == rate
    assert "at most 16.0 kB/s" in await shell.text("stats")
    told = await shell.text("settings", "set", "network.upload_limit", "none")
    assert told.strip() == "network.upload_limit: none (changed; configured: none)"
    assert upload.rate is None
    told = await shell.text("settings", "reset", "network.upload_limit")
    assert told.strip() == "network.upload_limit: none (default)"
    assert upload.rate is None


async def test_other_settings_are_words_and_numbers(shell, api):
    made = await shell.json("settings", "set", "storage.max_bytes", "1.5TB")
    assert (made["value"], made["source"]) == (1_500_000_000_000, "changed")
    assert api.library.services.room.max_bytes == 1_500_000_000_000
    told = await shell.text("settings", "set", "log.level", "debug")
    assert told.strip() == "log.level: debug (changed; configured: info)"
    assert (await shell.json("settings", "set", "swarm.max_connections", "2000"))["value"] == 2000
    assert (await shell.json("settings", "set", "storage.keep_free", "0"))["value"] == 0


async def test_what_makes_no_sense_is_told(shell):
    await shell.text("settings", "set", "network.upload_limit", "fast", status=2)
    await shell.text("settings", "set", "swarm.port", "1", status=2)
    await shell.text("settings", "set", "swarm.max_connections", "many", status=2)
    await shell.text("settings", "set", "storage.max_bytes", "1TB/s", status=2)
    await shell.text("settings", "set", "storage.max_bytes", "none", status=2)
    await shell.text("settings", "set", "network.upload_limit", "1kB", status=1)
    assert "upload_limit" in shell.err
    await shell.text("settings", "set", "log.level", "loud", status=1)
