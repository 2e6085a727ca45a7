async def test_jobs_are_listed_shown_waited_for_and_cancelled(shell, site):
    (site / "nowhere").symlink_to("/nowhere")
    await shell.run("share", str(site), "--name", "s")
    [job] = await shell.json("jobs", "s")
    assert (await shell.text("jobs", "wait", job["id"])).startswith("2 files: 2 added")
    assert [found["state"] for found in await shell.json("jobs", "--state", "done")] == ["done"]
    line = (await shell.text("jobs")).splitlines()[1].split()
    assert line[:2] == [job["id"], "import"]
    told = await shell.text("jobs", "show", job["id"])
    assert "left out /nowhere: " in told
    assert (await shell.json("jobs", "show", job["id"]))["kind"] == "import"
    assert "done" in await shell.text("jobs", "cancel", job["id"])
    for verb in ("show", "wait", "cancel"):
        await shell.text("jobs", verb, "nothing", status=4)
    assert await shell.json("jobs", "--state", "failed") == []


async def test_no_jobs_is_said(shell):
    assert await shell.text("jobs") == ""
    assert "no jobs" in shell.err


async def test_archives_are_verified(shell, site):
    await shell.run("share", str(site), "--name", "s", "--wait")
    assert "all is as it should be" in await shell.text("verify", "s", "--wait")
    [job] = await shell.json("verify", "s", "--wait")
    assert (job["kind"], job["state"]) == ("verify", "done")
    assert "job" in await shell.text("verify", "s")
    await shell.text("verify", "nobody", status=4)
