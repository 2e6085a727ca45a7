import pytest

from datctl.client import Client
from datctl.errors import ApiError, Conflict, NotFound, Unauthorized


async def test_a_token_is_made_used_and_revoked(api, dat):
    made = await dat.create_token("backup", scope="control", expires_in=3_600)
    assert (await dat.whoami()).name == "api.token"
    async with Client(api.url, token=made.token, env={}) as other:
        assert (await other.whoami()).name == f"token:{made.id}"
        with pytest.raises(ApiError) as caught:
            await other.tokens()
        assert caught.value.kind == "forbidden"
        await dat.revoke_token(made.id)
        with pytest.raises(Unauthorized):
            await other.whoami()
    assert await dat.tokens() == []
    with pytest.raises(NotFound):
        await dat.revoke_token(made.id)


async def test_an_account_is_made_changed_and_removed(dat):
    made = await dat.add_account("Ada", "correct horse", max_bytes=5)
    assert (made.name, made.max_bytes, made.full) == ("ada", 5, False)
    with pytest.raises(Conflict):
        await dat.add_account("ada", "correct horse")
    changed = await dat.change_account("ada", max_pins=7, email="ada@example.org")
    assert (changed.max_pins, changed.email) == (7, "ada@example.org")
    assert await dat.account("ADA") == changed
    assert [one.name for one in await dat.accounts()] == ["ada"]
    await dat.remove_account("ada")
    with pytest.raises(NotFound):
        await dat.account("ada")


async def test_the_audit_log_is_read_to_its_end(dat):
    for _ in range(3):
        await dat.create(name=None)
    lines = [entry async for entry in dat.all_audit()]
    assert [line.id for line in lines] == [1, 2, 3]
    assert {line.action for line in lines} == {"add_archive"}
    assert [entry.id async for entry in dat.all_audit(since=2)] == [3]
    assert (await dat.audit(limit=1)).entries == lines[-1:]
