LINK = "dat://" + "a" * 64


async def test_networks_are_chosen_shown_and_changed(shell):
    await shell.run("add", LINK, "--network", "dns", "--network", "mdns")
    assert "mdns, dns\n" in await shell.text("networks", "aaaaaa")
    assert "mdns, dns\n" in await shell.text("show", "aaaaaa")
    assert "dht" in await shell.text("networks", "aaaaaa", "dht")
    assert (await shell.json("networks", "aaaaaa"))["networks"] == ["dht"]
    assert "none" in await shell.text("networks", "aaaaaa", "none")
    assert (await shell.json("show", "aaaaaa"))["networks"] == []
    assert (await shell.json("networks", "aaaaaa", "all"))["networks"] == ["mdns", "dns", "dht"]
    await shell.text("networks", "aaaaaa", "none", "dns", status=2)
    await shell.text("networks", "aaaaaa", "pigeon", status=1)
    assert "mdns, dns, dht" in shell.err
    await shell.text("networks", "nobody", "dns", status=4)
    await shell.run("add", "dat://" + "b" * 64, "--network", "none")
    assert (await shell.json("show", "bbbbbb"))["networks"] == []


async def test_help_tells_who_learns_what(shell):
    # Help is cut to the width of the terminal, so only its words are looked at.
    for verb in ("add", "networks"):
        told = " ".join((await shell.text(verb, "--help")).replace("│", " ").split())
        assert "whole world" in told
        assert "local network" in told


async def test_a_domain_is_given_shown_and_taken_away(shell):
    await shell.run("add", LINK, "--domain", "x.example")
    assert "x.example\n" in await shell.text("domain", "aaaaaa")
    assert "x.example" in await shell.text("show", "x.example")
    await shell.text("domain", "aaaaaa", "y.example", "--none", status=2)
    assert (await shell.json("domain", "aaaaaa", "y.example"))["domain"] == "y.example"
    assert "no domain" in await shell.text("domain", "aaaaaa", "--none")
    await shell.text("domain", "aaaaaa", "10.0.0.1", status=1)


async def test_settings_are_changed_and_taken_away(shell):
    await shell.run("add", LINK)
    await shell.run("set", "aaaaaa", "--name", "recipes", "--tag", "x", "--tag", "y")
    found = await shell.json("show", "recipes")
    assert (found["name"], found["tags"]) == ("recipes", ["x", "y"])
    assert (await shell.json("set", "recipes", "--no-tags"))["tags"] == []
    assert (await shell.json("set", "recipes", "--no-name"))["name"] is None
    await shell.text("set", "aaaaaa", status=2)
    assert "--name recipes" in shell.err
    await shell.text("set", "aaaaaa", "--name", "x", "--no-name", status=2)
    await shell.text("set", "aaaaaa", "--watch", status=1)
    assert "not published from a folder" in shell.err


async def test_a_version_is_pinned_and_let_go(shell, api):
    await api.host("archival-history", name="h")
    await shell.run("ls", "h")
    await shell.run("tag", "h", "old", "3")
    for version in ("3", "old"):
        await shell.run("set", "h", "--version", version)
        assert api.library.find("h").record.pinned == 3
    await shell.run("set", "h", "--version", "latest")
    assert api.library.find("h").record.pinned is None


async def test_modes_are_shown_and_changed(shell):
    await shell.run("add", LINK)
    assert "every version" in await shell.text("mode", "aaaaaa")
    assert "newest version of each" in await shell.text("mode", "aaaaaa", "latest")
    told = await shell.text("mode", "aaaaaa", "sparse", "--include", "/a/**", "--include", "!*.tmp")
    assert "/a/**, !*.tmp" in told
    assert (await shell.json("mode", "aaaaaa"))["include"] == ["/a/**", "!*.tmp"]
    assert (await shell.json("mode", "aaaaaa", "sparse", "--prune"))["include"] is None
    assert (await shell.json("mode", "aaaaaa", "archive"))["mode"] == "archive"
    await shell.text("mode", "aaaaaa", "latest", "--include", "/a", status=2)
    await shell.text("mode", "aaaaaa", "latest", "--prune", status=2)
    await shell.text("mode", "aaaaaa", "--prune", status=1)
    await shell.text("mode", "aaaaaa", "sparse", "--include", "/a")
    assert (await shell.json("mode", "aaaaaa", "--prune"))["include"] == ["/a"]
    await shell.text("mode", "aaaaaa", "sparse", "--include", "*a*b*", status=1)
    assert "more than 2 `*`" in shell.err


async def test_what_only_we_have_is_not_dropped_by_a_slip(shell):
    await shell.run("create", "--name", "mine", "--title", "Mine")
    for line in (["latest"], ["sparse", "--prune"]):
        await shell.text("mode", "mine", *line, status=1)
        assert "--force" in shell.err
    assert (await shell.json("show", "mine"))["mode"] == "archive"
    assert (await shell.json("mode", "mine", "latest", "--force"))["mode"] == "latest"
