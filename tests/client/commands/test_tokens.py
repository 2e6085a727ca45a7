from tests.helpers.api import TOKEN

from datctl.client import Client

KEY = "ab" * 32


async def test_a_token_is_printed_alone_so_that_it_can_go_into_a_file(shell, api):
    await shell.run("add", KEY, "--name", "recipes")
    out = await shell.text(
        "token", "create", "--name", "backup", "--scope", "control", "--archive", "recipes",
        "--expires", "30d",
    )  # fmt: skip
    secret = out.strip()
    assert secret.startswith("datd_")
    assert "not shown again" in shell.err
    assert secret not in shell.err
    async with Client(api.url, token=secret, env={}) as dat:
        assert (await dat.whoami()).archives == [KEY]
    listed = await shell.text("token", "list")
    assert "backup" in listed
    assert secret not in listed
    assert TOKEN not in listed


async def test_tokens_in_json(shell):
    made = await shell.json("token", "create", "--name", "x")
    assert made["token"].startswith("datd_")
    (listed,) = await shell.json("token", "list")
    assert listed["id"] == made["id"]
    assert "token" not in listed


async def test_tokens_are_revoked_by_their_ids(shell):
    ids = [(await shell.json("token", "create", "--name", name))["id"] for name in "ab"]
    assert "revoked" in await shell.text("token", "revoke", *ids)
    assert await shell.json("token", "list") == []
    await shell.text("token", "revoke", ids[0], status=4)
    await shell.text("token", "revoke", status=2)


async def test_what_makes_no_sense_is_told(shell):
    await shell.text("token", "create", "--name", "x", "--expires", "soon", status=2)
    assert "30d" in shell.err
    await shell.text("token", "create", "--name", "x", "--scope", "all", status=2)
    await shell.text("token", "create", status=2)
    await shell.text("token", "create", "--name", "x", "--archive", "nobody", status=1)
    assert await shell.json("token", "list") == []


async def test_whoami_says_what_is_allowed(shell):
    assert (await shell.json("whoami"))["scope"] == "admin"
    assert "api.token" in await shell.text("whoami")
