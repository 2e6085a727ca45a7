import io
import sys

import pytest

from datctl.commands import accounts
from datctl.errors import UsageError

PASSWORD = "correct horse"


@pytest.fixture
def typed(monkeypatch):
    """What comes through a pipe."""

    def send(text):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    return send


async def test_an_account_is_added_with_a_password_from_a_pipe(shell, api, typed):
    typed(f"{PASSWORD}\n")
    added = await shell.json("accounts", "add", "ada", "--quota", "50GB", "--pins", "7")
    assert (added["max_bytes"], added["max_pins"]) == (50 * 10**9, 7)
    assert await api.desk.accounts.log_in("ada", PASSWORD) is not None
    listed = await shell.text("accounts")
    assert "ada" in listed
    assert PASSWORD not in listed
    assert (await shell.json("accounts", "list"))[0]["name"] == "ada"


async def test_quotas_and_passwords_are_changed(shell, api, typed):
    typed(PASSWORD)
    await shell.run("accounts", "add", "ada")
    assert (await shell.json("accounts", "set", "ada", "--quota", "1GB"))["max_bytes"] == 10**9
    await shell.text("accounts", "set", "ada", status=2)
    await shell.text("accounts", "set", "eve", "--pins", "1", status=4)
    typed("another horse\n")
    await shell.run("accounts", "passwd", "ada")
    assert await api.desk.accounts.log_in("ada", PASSWORD) is None
    assert await api.desk.accounts.log_in("ada", "another horse") is not None


async def test_an_account_is_removed_when_somebody_means_it(shell, typed):
    typed(PASSWORD)
    await shell.run("accounts", "add", "ada")
    typed("y\n")
    await shell.text("accounts", "remove", "ada", status=2)
    assert "--yes" in shell.err
    await shell.text("accounts", "remove", "ada", "--yes")
    assert await shell.json("accounts") == []


async def test_no_password_and_short_ones_are_told(shell, typed):
    typed("")
    await shell.text("accounts", "add", "ada", status=2)
    typed("short\n")
    await shell.text("accounts", "add", "ada", status=1)
    assert "password" in shell.err
    assert "short" not in shell.err.replace("should have at least", "")
    assert await shell.json("accounts") == []


def test_a_person_types_a_password_twice(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    answers = iter(["one horse", "two horses", "one horse", "one horse"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    with pytest.raises(UsageError, match="two passwords"):
        accounts._new_password()
    assert accounts._new_password() == "one horse"
