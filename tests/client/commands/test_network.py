import asyncio

from tests.helpers.api import running_api
from tests.helpers.shell import Shell

from datctl import cli
from datd.hosting.views import NetworkPart, NetworkView

LINK = "dat://" + "a" * 64


async def test_status_names_where_it_answers_and_what_fails(shell, api):
    await shell.run("add", LINK)
    told = await shell.text("status")
    assert api.url in told
    assert "1 searching" in told
    api.library.find("a" * 64).error = "disk \x1b[2J on fire"
    assert "disk \\x1b[2J on fire" in await shell.text("status")


async def test_a_wrong_token_is_a_failure_with_a_way_out(api, capfd):
    line = ["--api", api.url, "--token", "wrong", "list"]
    assert await asyncio.to_thread(cli.main, line) == 1
    assert "api.token" in capfd.readouterr().err


async def test_networks_that_do_not_work_are_named(tmp_path, capfdbinary):
    def views():
        parts = [NetworkPart("a.example:5300", True), NetworkPart("b.example", False)]
        return [
            NetworkView("dns", "discovery", True, "seen as 203.0.113.5:3282", {}, parts),
            NetworkView("dht", "discovery", False, "no node answers"),
            NetworkView("utp", "transport", None, numbers={"connections": 7}),
            NetworkView("tcp", "transport", True),
        ]

    async with running_api(tmp_path, network_views=views) as api:
        shell = Shell(api, capfdbinary)
        for verb in ("status", "stats"):
            lines = [line.split(maxsplit=1) for line in (await shell.text(verb)).splitlines()]
            assert ["dns", "seen as 203.0.113.5:3282, 1 of 2 answer"] in lines
            assert ["b.example", "does not answer"] in lines
            assert ["dht", "does not work, no node answers"] in lines
            assert ["utp", "connections 7"] in lines
            assert ["tcp", "works"] in lines
        assert len((await shell.json("stats"))["details"]) == 4


async def test_all_that_is_known_of_peers_is_shown_when_asked_for(shell):
    await shell.run("add", LINK)
    await shell.run("peers", "add", "aaaaaa", "192.0.2.9:3282")
    assert "SOURCES" not in await shell.text("peers")
    for option in ("-l", "--long"):
        head, line = (await shell.text("peers", "aaaaaa", option)).splitlines()
        assert head.split()[:4] == ["ARCHIVE", "ADDRESS", "VIA", "SOURCES"]
        assert "192.0.2.9:3282" in line
        assert "manual" in line
