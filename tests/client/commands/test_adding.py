import json
import signal
import sys
import time

from tests.helpers.api import running_api
from tests.helpers.shell import Shell
from tests.helpers.small_web import SmallWeb

from datctl import cli
from datctl.commands import adding
from datd.keys import Key, KnownName
from datd.naming.resolver import Names

LINK = "dat://" + "a" * 64


async def test_waiting_ends_when_all_is_here(shell, api):
    hosted = await api.host("archival-nested")
    await shell.run("ls", hosted.key.hex)
    told = await shell.text("add", hosted.key.link, "--wait", "30")
    assert "complete: " in told
    assert f"version {hosted.expected['version']}" in told
    found = await shell.json("add", hosted.key.link, "--wait")
    assert (found["state"], found["progress"]) == ("seeding", 1)


async def test_waiting_in_vain_is_status_5(shell):
    await shell.text("add", LINK, "--wait", "0.1", status=5)
    assert "0 of 0 peers" in shell.err
    assert "the daemon goes on" in shell.err


async def test_ctrl_c_is_status_130_without_a_word(started, told):
    process = await started("add", LINK, "--wait")
    await told(process.stderr, b"searching")
    process.send_signal(signal.SIGINT)
    _, rest = await process.communicate()
    assert (process.returncode, rest) == (130, b"")


async def test_waiting_for_what_cannot_come_fails_at_once(shell, api):
    await shell.run("add", LINK)
    api.library.find("a" * 64).error = "tree is damaged"
    await shell.text("add", LINK, "--wait", status=1)
    assert "tree is damaged" in shell.err


async def test_a_name_that_nobody_can_look_up_just_now_is_said_to_be_an_old_one(
    tmp_path, capfdbinary
):
    async def save(known, dropped):
        raise AssertionError("nobody answered")

    nobody = SmallWeb()
    nobody.addresses["maps.example"] = []
    known = [KnownName("maps.example", Key.parse("a" * 64), time.time() - 1)]
    names = Names(
        known=known, save=save, wall_clock=time.time, choose=lambda below: 0, lookup=nobody
    )
    async with running_api(tmp_path, names=names) as api:
        shell = Shell(api, capfdbinary)
        assert await shell.text("add", "maps.example") == f"added {LINK}\n"
        assert "what it meant earlier" in shell.err
        await shell.text("add", LINK)
        assert shell.err == ""
    await names.close()


async def test_a_mode_and_patterns_are_chosen(shell):
    found = await shell.json("add", LINK, "--mode", "sparse", "--include", "/a", "--include", "!/b")
    assert (found["mode"], found["include"]) == ("sparse", ["/a", "!/b"])
    assert (await shell.json("add", "b" * 64, "--mode", "latest"))["mode"] == "latest"
    await shell.text("add", "c" * 64, "--include", "/a", status=2)


async def test_a_list_is_added_and_each_failure_told(shell, tmp_path):
    place = tmp_path / "links.txt"
    place.write_text(f"# mine\n\n{LINK}  recipes of all kinds\nnonsense\n{'b' * 64}\n{LINK}\n")
    told = await shell.text("add", "--from", str(place), "--tag", "lib", status=1)
    assert [line.split()[1] for line in told.splitlines()] == ["RESULT", "added", "failed", "added"]
    assert "line 4" in told
    assert "2 added, 1 failed" in shell.err
    assert {tuple(found["tags"]) for found in await shell.json("list")} == {("lib",)}
    place.write_text(LINK)
    [again] = await shell.json("add", "--from", str(place))
    assert again == {
        "where": "line 1", "link": LINK, "result": "hosted", "key": "a" * 64, "error": None
    }  # fmt: skip


async def test_what_the_gateway_fetched_becomes_whole_when_a_list_names_it(shell, api, tmp_path):
    place = tmp_path / "homebase.yml"
    for number in range(2):
        await api.library.add(Key.parse(f"{number}" * 64), mode="sparse", tags=["gateway"])
    place.write_text(f"dats:\n  - url: '{'0' * 64}'\n  - url: '{'1' * 64}'\n    name: taken\n")
    await shell.json("create", "--name", "taken")
    told = await shell.text("add", "--from", str(place), "--json", status=1)
    first, second = json.loads(told)
    assert (first["result"], second["result"]) == ("hosted", "failed")
    assert "taken" in second["error"]
    found = await shell.json("show", "0" * 64)
    assert (found["mode"], found["tags"]) == ("archive", [])


async def test_a_list_leaves_alone_what_is_hosted_otherwise(shell, tmp_path):
    place = tmp_path / "links.txt"
    place.write_text(f"{LINK}\nrecipes\n")
    await shell.run("add", LINK, "--mode", "latest", "--tag", "mine", "--name", "recipes")
    found = await shell.json("add", "--from", str(place), "--mode", "sparse", "--tag", "lib")
    assert [(one["result"], one["key"]) for one in found] == 2 * [("hosted", "a" * 64)]
    found = await shell.json("show", LINK)
    assert (found["mode"], found["tags"]) == ("latest", ["mine"])


async def test_lists_of_other_seeders(shell, tmp_path):
    urls, config = tmp_path / "urls.json", tmp_path / "homebase.yml"
    urls.write_text(json.dumps([LINK, "hyper://" + "c" * 64]))
    found = await shell.text("add", "--from", str(urls), status=1)
    assert "later protocol" in found
    config.write_text(f"dats:\n  - url: {'d' * 64}\n    name: mysite\n")
    await shell.text("add", "--from", str(config), "--paused")
    assert (await shell.json("show", "mysite"))["state"] == "paused"
    folders = tmp_path / "folders.json"
    folders.write_text(json.dumps(["/srv/site"]))
    assert "datctl adopt /srv/site" in await shell.text("add", "--from", str(folders), status=1)


async def test_our_own_list_is_a_list_and_so_is_standard_input(shell, tmp_path, monkeypatch):
    await shell.run("add", LINK, "--name", "recipes", "--tag", "kitchen")
    listed = tmp_path / "list.json"
    listed.write_bytes(await shell.run("list", "--json"))
    await shell.run("remove", "recipes", "--yes")
    with listed.open() as opened:
        monkeypatch.setattr(sys, "stdin", opened)
        await shell.text("add", "--from", "-")
    found = await shell.json("show", "recipes")
    assert (found["key"], found["tags"]) == ("a" * 64, ["kitchen"])


async def test_what_is_no_list_is_wrong_usage(shell, tmp_path, monkeypatch):
    for line in ([], [LINK, "--from", "x"], ["--from", "nowhere"], ["--from", "x", "--name", "y"],
                 ["--from", "x", "--wait"]):  # fmt: skip
        assert await shell.text("add", *line, status=2) == ""
    film = tmp_path / "film"
    film.write_bytes(b"\xff\xfe\x00")
    await shell.text("add", "--from", str(film), status=2)
    assert "not UTF-8" in shell.err
    monkeypatch.setattr(adding, "MAX_LIST", 2)
    await shell.text("add", "--from", str(film), status=2)
    assert "no list of links" in shell.err
    film.write_text("")
    assert await shell.text("add", "--from", str(film)) == ""


def test_a_daemon_that_is_not_there_is_said_once(capsys, tmp_path):
    place = tmp_path / "links.txt"
    place.write_text(f"{LINK}\n{'b' * 64}\n")
    line = ["--api", "http://127.0.0.1:9", "add", "--from", str(place)]
    assert cli.main(line) == cli.Exit.NO_DAEMON
    assert len(capsys.readouterr().err.splitlines()) == 1


async def test_a_list_without_end_is_refused_before_anything_is_added(shell, dat, tmp_path):
    place = tmp_path / "links.txt"
    place.write_text("".join(f"{number:064x}\n" for number in range(adding.MAX_LINKS + 1)))
    await shell.text("add", "--from", str(place), status=2)
    assert "split it" in shell.err
    assert await shell.json("list") == []
