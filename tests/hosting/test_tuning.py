from contextlib import asynccontextmanager

import pytest

from datd.books import settings as book
from datd.catalogue import Catalogue
from datd.errors import ConfigError
from datd.hosting.tuning import Configured, Tuning

CONFIGURED = (
    Configured("api_token", None, "default", "A token.", secret=True),
    Configured("log.level", "info", "default", "How much."),
    Configured("storage.max_bytes", 5, "file", "How many."),
)


def check(name, value):
    if name == "storage.max_bytes" and not isinstance(value, int):
        raise ConfigError(f"{name} = {value!r}: no number")
    return value


@asynccontextmanager
async def tuned(folder, configured=CONFIGURED):
    """Settings of which two can be changed, and what holds."""
    catalogue = Catalogue(folder / "catalogue.sqlite3")
    await catalogue.open()
    holds: dict[str, object] = {}
    apply = {
        "log.level": lambda value: holds.update(level=value),
        "storage.max_bytes": lambda value: holds.update(most=value),
    }
    tuning = Tuning(catalogue, configured, apply=apply, check=check)
    await tuning.open()
    yield tuning, holds, catalogue
    await catalogue.close()


def shown(tuning, name):
    found = next(one for one in tuning.all() if one.name == name)
    return found.value, found.source, found.configured


async def test_a_change_holds_at_once_and_over_restarts(tmp_path):
    async with tuned(tmp_path) as (tuning, holds, _):
        assert holds == {}
        await tuning.change({"storage.max_bytes": 7})
        assert holds == {"most": 7}
        assert shown(tuning, "storage.max_bytes") == (7, "changed", 5)
    async with tuned(tmp_path) as (tuning, holds, _):
        assert holds == {"most": 7}
        assert shown(tuning, "storage.max_bytes") == (7, "changed", 5)


async def test_null_goes_back_to_what_is_configured(tmp_path):
    async with tuned(tmp_path) as (tuning, holds, _):
        await tuning.change({"storage.max_bytes": 7, "log.level": "debug"})
        await tuning.change({"storage.max_bytes": None})
        assert holds == {"most": 5, "level": "debug"}
        assert shown(tuning, "storage.max_bytes") == (5, "file", 5)
    async with tuned(tmp_path) as (_, holds, _):
        assert holds == {"level": "debug"}


async def test_all_of_a_change_holds_or_nothing(tmp_path):
    async with tuned(tmp_path) as (tuning, holds, catalogue):
        for wrong in ({"storage.max_bytes": "x"}, {"api_token": "x"}, {"api_token": None}):
            with pytest.raises(ConfigError):
                await tuning.change({"log.level": "debug"} | wrong)
        assert holds == {}
        assert await catalogue.together(book.load) == {}


async def test_what_cannot_be_changed_says_so(tmp_path):
    async with tuned(tmp_path) as (tuning, _, _):
        assert {one.name: one.changeable for one in tuning.all()} == {
            "api_token": False,
            "log.level": True,
            "storage.max_bytes": True,
        }


async def test_a_new_configuration_holds_unless_it_was_changed(tmp_path):
    async with tuned(tmp_path) as (tuning, holds, _):
        await tuning.change({"log.level": "debug"})
        holds.clear()
        tuning.reconfigure(
            [
                Configured("log.level", "error", "file", ""),
                Configured("storage.max_bytes", 9, "file", ""),
                Configured("api_token", "secret", "file", ""),
            ]
        )
        assert holds == {"level": "debug", "most": 9}
        assert shown(tuning, "log.level") == ("debug", "changed", "error")
        assert shown(tuning, "api_token") == (None, "default", None)


async def test_what_makes_no_sense_any_more_is_told_and_left(tmp_path, caplog):
    async with tuned(tmp_path) as (_, _, catalogue):
        old = {"storage.max_bytes": "many", "gone.setting": 1, "log.level": "debug"}
        await catalogue.together(lambda database: book.save(database, old))
    async with tuned(tmp_path) as (tuning, holds, _):
        assert holds == {"level": "debug"}
        assert shown(tuning, "storage.max_bytes") == (5, "file", 5)
    assert "gone.setting" in caplog.text
