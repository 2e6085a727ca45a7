import asyncio

from datctl import cli

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
