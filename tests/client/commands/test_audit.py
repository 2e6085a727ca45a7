KEY = "ab" * 32


async def test_the_log_says_who_did_what_and_gives_no_link_away(shell):
    await shell.run("add", KEY)
    await shell.run("pause", KEY)
    text = await shell.text("audit")
    assert "add_archive" in text
    assert "pause_archive" in text
    assert "api.token" in text
    assert KEY[:12] not in text
    page = await shell.json("audit", "--since", "1")
    assert [line["action"] for line in page["entries"]] == ["pause_archive"]
    assert page["next"] == 2
    assert len((await shell.json("audit", "--limit", "1"))["entries"]) == 1


async def test_an_empty_log_says_so(shell):
    assert await shell.text("audit") == ""
    assert "nothing was changed" in shell.err
