URL = "https://a.example/hook"


async def test_webhooks_are_added_listed_changed_and_removed(api, dat, shell):
    await dat.create(title="t", name="n")
    assert await shell.text("webhooks") == ""
    assert "no webhooks" in shell.err
    out = await shell.text("webhooks", "add", URL, "--kind", "file.*", "--archive", "n/soups/")
    hook, secret = [line.split()[1] for line in out.splitlines()]
    assert secret.startswith("whsec_")
    assert "not shown again" in shell.err
    (found,) = await shell.json("webhooks", "list")
    assert (found["id"], found["url"], found["path"]) == (hook, URL, "/soups/")
    assert secret not in await shell.text("webhooks")
    assert "disabled" in await shell.text("webhooks", "disable", hook)
    assert "disabled" in await shell.text("webhooks")
    assert "enabled" in await shell.text("webhooks", "enable", hook)
    assert hook in await shell.text("webhooks", "remove", hook)
    assert await shell.text("webhooks") == ""
    assert "no webhooks" in shell.err
    await shell.text("webhooks", "remove", hook, status=4)


async def test_a_receiver_that_takes_nothing_fails_the_test(api, shell):
    made = await shell.json("webhooks", "add", "http://b.invalid/", "--tag", "t")
    await shell.text("webhooks", "test", made["id"], status=1)
    assert "not delivered: b.invalid cannot be asked" in shell.err


async def test_private_addresses_are_refused(shell):
    await shell.text("webhooks", "add", "http://127.0.0.1:9/", status=1)
    assert "webhooks.allow_networks" in shell.err
