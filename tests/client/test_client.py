import pytest

from datctl.client import Client
from datctl.errors import ApiError, Conflict, NotFound, Unauthorized, UsageError

LINK = "dat://" + "a" * 64


async def test_a_round_of_an_archives_life(dat):
    added, new = await dat.add(LINK, name="recipes", tags=["kitchen"], peers=["192.0.2.1:1"])
    assert (new, added.name, added.tags) == (True, "recipes", ["kitchen"])
    assert await dat.add(LINK) == (await dat.archive("recipes"), False)
    assert (await dat.pause("recipes")).state == "paused"
    assert (await dat.resume("recipes")).state == "searching"
    await dat.add_peer("recipes", "192.0.2.2:2")
    assert {peer.address for peer in await dat.peers("recipes")} == {"192.0.2.1:1", "192.0.2.2:2"}
    assert len(await dat.peers()) == 2
    assert (await dat.archive_stats("recipes")).key == added.key
    assert (await dat.stats()).archives == {"searching": 1}
    await dat.remove("recipes")
    assert [archive async for archive in dat.all_archives()] == []


async def test_the_daemon_says_what_it_is(dat):
    assert (await dat.info()).name == "datd"


async def test_lists_are_filtered_and_paged(dat):
    for digit in "abcde":
        await dat.add(digit * 64, name=f"name {digit}", tags=["t"] if digit in "ab" else [])
    page = await dat.archives(limit=2, sort="-name")
    assert [archive.name for archive in page.archives] == ["name e", "name d"]
    following = await dat.archives(limit=2, sort="-name", cursor=page.next_cursor)
    assert [archive.name for archive in following.archives] == ["name c", "name b"]
    assert len([a async for a in dat.all_archives(tags=["t"])]) == 2
    assert len([a async for a in dat.all_archives(q="name c")]) == 1


async def test_errors_tell_what_is_wrong(dat):
    with pytest.raises(NotFound) as unknown:
        await dat.archive("nobody")
    assert unknown.value.kind == "unknown_archive"
    await dat.add(LINK, name="x")
    with pytest.raises(Conflict):
        await dat.add(LINK, name="y")
    with pytest.raises(ApiError) as wrong:
        await dat.add("nonsense")
    assert wrong.value.kind == "bad_link"
    with pytest.raises(ApiError) as fields:
        await dat.add("b" * 64, peers=["192.0.2.1:1"] * 100)
    assert fields.value.fields[0][0] == "/peers"


async def test_without_a_valid_token_it_is_unauthorized(api):
    async with Client(api.url, token="wrong", env={}) as dat:
        with pytest.raises(Unauthorized):
            await dat.info()


async def test_a_missing_token_says_why(api, tmp_path):
    (tmp_path / "api.token").write_text("x")
    (tmp_path / "api.token").chmod(0o644)
    async with Client(api.url, env={"DATD_DATA_DIR": str(tmp_path)}) as dat:
        with pytest.raises(Unauthorized, match="chmod 600"):
            await dat.info()


async def test_the_unix_socket_needs_no_token(api):
    async with Client(f"unix://{api.socket_path}", env={}) as dat:
        assert (await dat.info()).name == "datd"


@pytest.mark.parametrize(
    "name", ["ö & ?#%2F", "a b", "100%", "a+b", "{x}", "日本語", "a\\b", "..."]
)
async def test_any_name_finds_its_archive(dat, name):
    await dat.add(LINK, name=name)
    assert (await dat.archive(name)).name == name


async def test_networks_and_domain_can_be_changed(api):
    async with api.client() as dat:
        archive, _ = await dat.add("dat://" + "a" * 64, networks=["dns"], domain="x.example")
        assert (archive.networks, archive.domain) == (["dns"], "x.example")
        assert (await dat.set_networks("aaaaaa", [])).networks == []
        assert (await dat.set_networks("aaaaaa", None)).networks == ["mdns", "dns", "dht"]
        assert (await dat.set_domain("aaaaaa", None)).domain is None
        await dat.add("dat://" + "b" * 64, domain="x.example")
        with pytest.raises(Conflict):
            await dat.set_domain("aaaaaa", "x.example")


async def test_settings_are_changed_one_by_one(api, dat):
    await dat.add(LINK, name="x", tags=["a"], mode="sparse", include=["/a/**", "+5-9:*.csv"])
    assert (await dat.archive("x")).include == ["/a/**", "+5-9:*.csv"]
    changed = await dat.change("x", tags=("b", "c"), mode="latest", include=None)
    assert (changed.tags, changed.mode, changed.include) == (["b", "c"], "latest", None)
    assert (await dat.change("x", name=None)).name is None
    with pytest.raises(UsageError, match="colour"):
        await dat.change(LINK, colour="red")
    with pytest.raises(ApiError):
        await dat.add("b" * 64, include=["/a"])


async def test_an_archive_of_ours_is_removed_only_by_force(dat):
    made = await dat.create(title="mine")
    with pytest.raises(Conflict):
        await dat.remove(made.key)
    await dat.remove(made.key, force=True)
    assert (await dat.archives()).archives == []


async def test_some_fields_of_many(dat):
    for digit in "abc":
        await dat.add(digit * 64, name=f"name {digit}", paused=digit == "a")
    await dat.create(name="ours")
    found = [one async for one in dat.chosen(["name", "state"], sort="name", writable=False)]
    assert [one.key[0] for one in found] == ["a", "b", "c"]
    assert found[0].model_extra == {"name": "name a", "state": "paused"}
    assert [one.model_extra async for one in dat.chosen([], state="paused")] == [{}]
    assert (await dat.archives(writable=True)).archives[0].name == "ours"
    assert (await dat.archives(mode="sparse")).archives == []
    with pytest.raises(ApiError):
        [one async for one in dat.chosen(["colour"])]


async def test_changes_are_meant_for_what_was_seen(dat):
    await dat.add(LINK, name="x")
    etag = await dat.archive_etag("x")
    assert (await dat.change("x", etag=etag, tags=["a"])).tags == ["a"]
    for call in (dat.change("x", etag=etag, tags=["b"]), dat.remove("x", etag=etag)):
        with pytest.raises(ApiError) as changed:
            await call
        assert changed.value.kind == "precondition"
    assert (await dat.archive("x")).tags == ["a"]
    await dat.remove("x", etag=await dat.archive_etag("x"))


async def test_what_is_asked_twice_with_one_key_is_done_once(dat):
    first = await dat.create(title="ours", idempotency_key="one")
    assert (await dat.create(title="ours", idempotency_key="one")).key == first.key
    assert (await dat.create(title="ours", idempotency_key="two")).key != first.key
    copies = [await dat.fork(first.key, idempotency_key="three") for _ in range(2)]
    assert copies[0].key == copies[1].key
    assert await dat.add(LINK, idempotency_key="four") == await dat.add(
        LINK, idempotency_key="four"
    )
    assert len((await dat.archives()).archives) == 4


async def test_what_lies_beside_the_api(dat):
    assert await dat.is_alive()
    assert await dat.is_ready()
    assert "datd_" in await dat.metrics()
    assert (await dat.openapi())["openapi"].startswith("3.1")


async def test_a_file_is_removed_only_if_it_is_the_one_that_was_seen(dat):
    made = await dat.create()
    await dat.put(made.key, "/a", b"one")
    head = await dat.head(made.key, "/a")
    await dat.put(made.key, "/a", b"two", etag=head.etag)
    with pytest.raises(ApiError) as changed:
        await dat.delete(made.key, "/a", etag=head.etag)
    assert changed.value.kind == "precondition"
    await dat.delete(made.key, "/a", etag=(await dat.head(made.key, "/a")).etag)


async def test_one_text_is_no_list_of_texts(dat):
    for call in (
        dat.add(LINK, tags="kitchen"),
        dat.add(LINK, peers="192.0.2.1:1"),
        dat.add(LINK, networks="dns"),
        dat.add(LINK, mode="sparse", include="/a"),
        dat.archives(tags="kitchen"),
        dat.create(tags="kitchen"),
        dat.add_webhook("http://192.0.2.1", kinds="archive.*"),
    ):
        with pytest.raises(UsageError, match="list"):
            await call
    assert (await dat.archives()).archives == []


async def test_what_is_shown_of_a_client_is_no_secret():
    dat = Client("http://127.0.0.1:3472", token="secret", env={})
    assert repr(dat) == "<datctl.Client of http://127.0.0.1:3472>"
    assert "secret" not in repr(dat.endpoint)


async def test_a_class_of_ones_own_does_a_method_otherwise(api):
    class Shouting(Client):
        async def read(self, *args, **kwargs):
            return (await super().read(*args, **kwargs)).upper()

    async with Shouting(api.url, token="token-of-the-test", env={}) as dat:
        await dat.create(name="n")
        await dat.put("n", "/a", b"hush")
        assert await dat.read("n", "/a") == b"HUSH"
    assert Client.walk.__doc__
