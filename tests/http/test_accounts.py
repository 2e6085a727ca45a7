import pytest

V1 = "/api/v1"
ADA = {"name": "Ada", "password": "correct horse", "email": "ada@example.org", "max_pins": 3}


async def patch(api, fields, name="ada"):
    import json

    return await api.ask(
        f"{V1}/accounts/{name}", "Content-Type: application/json", method="PATCH",
        body=json.dumps(fields).encode(),
    )  # fmt: skip


async def test_an_account_is_made_shown_changed_and_removed(api):
    made = await api.post(f"{V1}/accounts", ADA)
    assert made.status == 201
    assert made.headers["location"] == f"{V1}/accounts/ada"
    assert made.json["max_pins"] == 3
    assert made.json["max_bytes"] == 10 * 10**9
    assert (made.json["bytes"], made.json["pins"], made.json["full"]) == (0, 0, False)
    assert "password" not in made.json
    changed = await patch(api, {"max_bytes": 5, "email": None})
    assert (changed.json["max_bytes"], changed.json["email"]) == (5, None)
    assert (await api.ask(f"{V1}/accounts")).json == {"accounts": [changed.json]}
    assert (await api.ask(f"{V1}/accounts/ADA")).json == changed.json
    assert (await api.ask(f"{V1}/accounts/ada", method="DELETE")).status == 204
    assert (await api.ask(f"{V1}/accounts/ada")).kind == "no_such_account"


async def test_a_name_is_taken_however_it_is_written(api):
    await api.post(f"{V1}/accounts", ADA)
    answer = await api.post(f"{V1}/accounts", {**ADA, "name": "aDA"})
    assert (answer.status, answer.kind) == (409, "exists")


@pytest.mark.parametrize(
    "fields",
    [{"name": ""}, {"name": "a b"}, {"name": "../x"}, {"password": "short"}, {"max_bytes": 0},
     {"max_pins": -1}, {"email": "nowhere"}, {"scope": "admin"}, {"password": 12345678}],
)  # fmt: skip
async def test_odd_accounts_are_refused_and_passwords_not_repeated(api, fields):
    answer = await api.post(f"{V1}/accounts", {**ADA, **fields})
    assert (answer.status, answer.kind) == (400, "bad_request")
    assert b"horse" not in answer.body
    assert b"short" not in answer.body.replace(b"should have", b"")
    assert (await api.ask(f"{V1}/accounts")).json == {"accounts": []}


@pytest.mark.parametrize("fields", [{"password": None}, {"max_bytes": None}, {"name": "eve"}])
async def test_odd_changes_are_refused(api, fields):
    await api.post(f"{V1}/accounts", ADA)
    assert (await patch(api, fields)).kind == "bad_request"


async def test_t50_the_disk_and_the_log_hold_no_password(api, tmp_path, caplog):
    caplog.set_level(0)
    await api.post(f"{V1}/accounts", ADA)
    await patch(api, {"password": "correct horse"})
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"correct horse" not in path.read_bytes(), path
    assert "correct horse" not in caplog.text
