"""The real clients of the pinning service API against a real datd, as their users have them."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.helpers.daemon import running_daemon
from tests.helpers.pieces import missing
from tests.helpers.reference import Program
from tests.lab import install

LAB = Path(install.__file__).parent / "pinning"
KEY = "ab" * 32
OTHER = "cd" * 32
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def node():
    found = install.Reference.load()
    if found is None or not (LAB / "node_modules").exists():
        missing("the clients of pinning services are not here: ./dev reference brings them")
    return found.node


@pytest.fixture
def datd(tmp_path):
    with running_daemon(tmp_path / "data") as daemon:
        daemon.request("POST", "/accounts", {"name": "ada", "password": PASSWORD, "max_pins": 2})
        yield daemon


def call(node, datd, *calls):
    """What the real library says to calls, one after the other."""
    words = [node, LAB / "client.js", datd.api, json.dumps(calls)]
    with Program.start(words, "dat-pinning-service-client") as program:
        assert program.wait_for_end() == 0, program.events
        return program.said("answer")


LOGIN = ("login", "ada", PASSWORD)


def test_the_library_logs_in_adds_lists_reads_updates_and_removes(node, datd):
    answers = call(
        node, datd, LOGIN, ["getAccount"],
        ["addDat", {"url": f"dat://{KEY}", "name": "mine"}], ["listDats"],
        ["updateDat", f"dat://{KEY}/", {"name": "other"}], ["getDat", KEY],
        ["removeDat", f"dat://{KEY}"], ["listDats"], ["logout"], ["listDats"],
    )  # fmt: skip
    assert all("error" not in answer for answer in answers[:-1]), answers
    _, account, added, listed, _, read, _, empty, _, out = answers
    assert account["result"]["username"] == "ada"
    assert account["result"]["diskQuota"] > 0
    assert (added["result"]["url"], added["result"]["name"]) == (f"dat://{KEY}", "mine")
    assert [item["url"] for item in listed["result"]["items"]] == [f"dat://{KEY}"]
    assert read["result"]["name"] == "other"
    assert empty["result"]["items"] == []
    assert out["status"] == 401, "the client forgets its login, as it does with other services"
    assert datd.request("GET", "/archives")["archives"] == []


def test_the_library_shows_why_something_is_refused(node, datd):
    wrong, unknown = call(node, datd, ["login", "ada", "wrong horse"], ["login", "eve", PASSWORD])
    assert (wrong["status"], unknown["status"]) == (401, 401)
    assert wrong["error"] == unknown["error"]
    assert wrong["body"]["message"] == wrong["body"]["detail"] == wrong["error"]
    add = [["addDat", {"url": digits * 64}] for digits in "abc"]
    *_, full, twice, folder = call(
        node, datd, LOGIN, *add, ["addDat", {"url": "a" * 64}], ["addDat", {"url": "/home/ada"}]
    )
    assert full["status"] == 403
    assert "2 archives" in full["error"]
    assert twice["result"]["url"] == "dat://" + "a" * 64
    assert folder["status"] == 400
    assert "datctl share" in folder["error"]


def test_a_login_that_was_ended_is_worth_nothing(node, datd):
    answers = call(node, datd, LOGIN)
    token = answers[0]["result"]["sessionToken"]
    assert call(node, datd, ["setSession", token], ["listDats"])[0]["result"] == {"items": []}
    call(node, datd, ["setSession", token], ["logout"])
    assert call(node, datd, ["setSession", token], ["listDats"])[0]["status"] == 401


def test_t50_neither_password_nor_login_is_left_anywhere(node, datd):
    answers = call(node, datd, LOGIN, ["addDat", {"url": KEY}], ["login", "ada", PASSWORD + "?"])
    secrets = PASSWORD, answers[0]["result"]["sessionToken"], datd.token
    assert datd.stop() == 0
    said = "\n".join(datd.log)
    assert not [secret for secret in (*secrets, KEY) if secret in said]
    for path in datd.folder.rglob("*"):
        if path.is_file() and path.name != "api.token":
            found = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in found], path


class Store:
    """The command dat-store of one user."""

    def __init__(self, node, datd, home):
        self._words = [node, str(LAB / "node_modules/dat-store/bin.js")]
        self._options = ["--config-location", str(home), "--local-service", datd.api]
        self._home = home

    def __call__(self, *words, status=0):
        done = subprocess.run(
            [*self._words, *words, *self._options], capture_output=True, text=True, timeout=180,
            stdin=subprocess.DEVNULL, cwd=self._home.parent,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


def test_dat_store_logs_in_adds_lists_and_removes(node, datd, tmp_path):
    store = Store(node, datd, tmp_path / "config")
    store("list", status=1)
    assert "account" in store("login", "ada", "", "wrong horse", status=1)
    store("set-provider", datd.api, "mine")
    store("login", "ada", "mine", PASSWORD)
    store("add", f"dat://{KEY}", "mine")
    store("add", f"hyper://{OTHER}", "mine")
    assert [line.split(" ")[0] for line in store("list", "mine").splitlines()] == [
        f"dat://{KEY}",
        f"dat://{OTHER}",
    ]
    assert "2 archives" in store("add", "e" * 64, "mine", status=1)
    store("remove", f"hyper://{KEY}", "mine")
    assert store("list", "mine").split() == [f"dat://{OTHER}"]
    assert [one["key"] for one in datd.request("GET", "/archives")["archives"]] == [OTHER]
    store("logout", "mine")
    store("list", "mine", status=1)


def test_two_people_do_not_see_what_the_other_keeps(node, datd):
    datd.request("POST", "/accounts", {"name": "ben", "password": PASSWORD})
    datd.request("POST", "/archives", {"link": f"dat://{OTHER}"})
    pin = ["addDat", {"url": f"dat://{KEY}"}]
    call(node, datd, LOGIN, pin)
    ben = ("login", "ben", PASSWORD)
    _, listed, read, *gone = call(
        node, datd, ben, ["listDats"], ["getDat", KEY], ["removeDat", KEY], ["removeDat", OTHER]
    )
    assert listed["result"]["items"] == []
    assert [answer["status"] for answer in (read, *gone)] == [404, 404, 404]
    call(node, datd, ben, pin)
    call(node, datd, LOGIN, ["removeDat", KEY])
    assert {one["key"] for one in datd.request("GET", "/archives")["archives"]} == {KEY, OTHER}
    call(node, datd, ben, ["removeDat", KEY])
    assert [one["key"] for one in datd.request("GET", "/archives")["archives"]] == [OTHER]
