import os

import pytest
from aiohttp.test_utils import make_mocked_request
from tests.helpers.api import TOKEN, running_api

from datd.http.credentials import Credentials, SocketUsers

V1 = "/api/v1"


def test_an_empty_token_would_let_everybody_in(api):
    with pytest.raises(ValueError, match="not empty"):
        Credentials("", api.desk.tokens, api.desk.accounts)


@pytest.mark.parametrize("secret", [b"", b"x", TOKEN[:-1].encode(), TOKEN.upper().encode()])
def test_what_is_no_secret_of_ours_allows_nothing(api, secret):
    credentials = Credentials(TOKEN, api.desk.tokens, api.desk.accounts)
    assert credentials.access(secret) is None
    master = credentials.access(TOKEN.encode())
    assert master is not None
    assert master.is_admin


async def test_the_kernel_says_who_asks_over_the_socket(api):
    me = (await api.ask(f"{V1}/whoami", token=None, unix=True)).json
    assert (me["name"], me["scope"]) == (f"unix:{os.geteuid()}", "admin")


@pytest.mark.parametrize(
    ("user", "scope"), [(0, "admin"), (1000, "admin"), (1001, "read"), (None, "read")]
)
def test_ourselves_and_root_may_everything_others_what_the_setting_says(user, scope):
    access = SocketUsers("read", 1000, lambda _: user).access(make_mocked_request("GET", "/"))
    assert access.scope == scope
    assert access.name == f"unix:{'?' if user is None else user}"


async def test_other_users_of_the_host_are_held_to_the_setting(tmp_path):
    settings = {"socket_scope": "read", "peer": lambda request: 4_321, "own_user": 1}
    async with running_api(tmp_path, settings=settings) as api:
        assert (await api.ask(f"{V1}/archives", token=None, unix=True)).status == 200
        answer = await api.ask(f"{V1}/archives/x/pause", method="POST", token=None, unix=True)
        assert (answer.status, answer.kind) == (403, "forbidden")
        assert "api.socket_scope" in answer.json["detail"]
