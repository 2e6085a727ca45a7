import random

import pytest
from tests.helpers.operations.row import ARCHIVES, filled

from datctl.models import Archive


def link(digit):
    return "dat://" + digit * 64


async def add(api, digit, **fields):
    return await api.post(ARCHIVES, {"link": link(digit), **fields})


async def names(api, query=""):
    return [archive["name"] for archive in (await api.ask(f"{ARCHIVES}?{query}")).json["archives"]]


async def test_filters_choose_and_orders_sort(api):
    await add(api, "c", name="Zebra", tags=["big", "wild"])
    await add(api, "a", name="ant", tags=["wild"], paused=True)
    await add(api, "b", name="bee")
    assert await names(api) == ["Zebra", "ant", "bee"]
    assert await names(api, "sort=-added") == ["bee", "ant", "Zebra"]
    assert await names(api, "sort=name") == ["ant", "bee", "Zebra"]
    assert await names(api, "sort=-size") != []
    assert await names(api, "tag=wild") == ["Zebra", "ant"]
    assert await names(api, "tag=wild&tag=big") == ["Zebra"]
    assert await names(api, "state=paused") == ["ant"]
    assert await names(api, "q=BEE") == ["bee"]
    assert await names(api, "q=cccc") == ["Zebra"]
    assert await names(api, "q=nothing") == []


@pytest.mark.parametrize("sort", ["added", "-name", "size", "-updated", "progress", "peers"])
async def test_pages_show_each_archive_once(api, sort):
    for digit in "abcde":
        await add(api, digit, name=f"name {digit}")
    seen, more = [], ""
    while True:
        page = (await api.ask(f"{ARCHIVES}?sort={sort}&limit=2{more}")).json
        seen += [archive["key"][0] for archive in page["archives"]]
        if page["next_cursor"] is None:
            break
        more = f"&cursor={page['next_cursor']}"
    assert sorted(seen) == list("abcde")


async def test_a_cursor_belongs_to_its_order(api):
    for digit in "abc":
        await add(api, digit)
    cursor = (await api.ask(f"{ARCHIVES}?sort=name&limit=1")).json["next_cursor"]
    answer = await api.ask(f"{ARCHIVES}?sort=added&limit=1&cursor={cursor}")
    assert answer.kind == "bad_request"


async def test_modes_and_whose_they_are_choose_too(api):
    await add(api, "a", name="all")
    await add(api, "b", name="newest", mode="latest")
    await filled(api)
    assert await names(api, "mode=latest") == ["newest"]
    assert await names(api, "writable=true") == ["ours"]
    assert await names(api, "writable=false&sort=-name") == ["newest", "all"]


async def test_only_the_fields_asked_for_are_told(api):
    await add(api, "a", name="one", tags=["t"])
    whole = (await api.ask(ARCHIVES)).json["archives"][0]
    [some] = (await api.ask(f"{ARCHIVES}?fields=name,tags,peers")).json["archives"]
    assert some == {name: whole[name] for name in ("key", "name", "tags", "peers")}
    one = (await api.ask(f"{ARCHIVES}/one?fields=progress")).json
    assert one == {"key": "a" * 64, "progress": 0.0}
    every = ",".join(Archive.model_fields)
    assert (await api.ask(f"{ARCHIVES}?fields={every}")).json["archives"] == [whole]


@pytest.mark.parametrize("fields", ["", "nme", "name,", "name,,key", "name;key", "__class__"])
async def test_a_field_that_is_none_is_named(api, fields):
    answer = await api.ask(f"{ARCHIVES}?fields={fields}")
    assert answer.kind == "bad_request"
    assert "an archive has no field" in answer.json["detail"]


@pytest.mark.parametrize("sort", ["added", "-name", "progress", "-peers", "size", "-updated"])
async def test_pages_lose_nothing_while_archives_come_and_go(api, sort):
    chance = random.Random(7)
    stays = [f"{number:064x}" for number in range(1, 30, 2)]
    for key in stays:
        await api.post(ARCHIVES, {"link": key, "name": f"n{key[-2:]}x"})
    seen, cursor = [], ""
    for step in range(2, 100, 2):
        page = (await api.ask(f"{ARCHIVES}?sort={sort}&limit=4{cursor}")).json
        seen += [archive["key"] for archive in page["archives"]]
        await api.post(ARCHIVES, {"link": f"{chance.randrange(step, 10_000) * 2:064x}"})
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen))
    assert set(stays) <= set(seen)
