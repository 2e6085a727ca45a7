import socket

import pytest

from datctl.endpoint import find_endpoint
from datctl.errors import UsageError


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "data" / "datd"
    folder.mkdir(parents=True)
    (folder / "api.token").write_text("secret\n")
    (folder / "api.token").chmod(0o600)
    return {"XDG_DATA_HOME": str(tmp_path / "data"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def test_the_usual_port_with_the_token_of_this_host(home):
    found = find_endpoint(None, None, home)
    assert (found.base_url, found.token) == ("http://127.0.0.1:3472", "secret")


def test_a_unix_socket_that_answers_comes_first_and_needs_no_token(home, tmp_path):
    (tmp_path / "run/datd").mkdir(parents=True)
    path = str(tmp_path / "run/datd/api.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        found = find_endpoint(None, None, home)
        assert (found.socket_path, found.token, found.shown) == (path, None, path)
    assert find_endpoint(None, None, home).socket_path is None, "nobody listens any more"


def test_what_is_named_wins_over_the_environment(home):
    env = home | {"DATD_API": "http://localhost:1", "DATD_TOKEN": "from env"}
    assert find_endpoint(None, None, env).base_url == "http://localhost:1"
    assert find_endpoint(None, None, env).token == "from env"
    named = find_endpoint("https://seeder.example/datd/api/v1/", "given", env)
    assert (named.base_url, named.token) == ("https://seeder.example/datd", "given")


@pytest.mark.parametrize("api", ["unix:///run/x.sock", "unix:/run/x.sock"])
def test_a_socket_can_be_named(api, home):
    assert find_endpoint(api, None, home).socket_path == "/run/x.sock"


@pytest.mark.parametrize(
    "api", ["http://seeder.example:3472", "http://192.0.2.1", "http://[::2]:1"]
)
def test_the_token_of_this_host_is_not_sent_to_another(api, home):
    assert find_endpoint(api, None, home).token is None


def test_t50_a_token_that_others_can_read_is_not_used(home, tmp_path):
    (tmp_path / "data/datd/api.token").chmod(0o644)
    found = find_endpoint(None, None, home)
    assert found.token is None
    assert "chmod 600" in found.hint


def test_the_data_folder_can_be_named(tmp_path):
    (tmp_path / "api.token").write_text("other")
    (tmp_path / "api.token").chmod(0o600)
    found = find_endpoint("http://[::1]:3472", None, {"DATD_DATA_DIR": str(tmp_path)})
    assert found.token == "other"


@pytest.mark.parametrize(
    "api", ["localhost:3472", "ftp://x", "http://", "http://a:b@c", "http://x:99999", "http://[x"]
)
def test_what_is_no_address_is_wrong_usage(api, home):
    with pytest.raises(UsageError):
        find_endpoint(api, None, home)
