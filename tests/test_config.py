import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from datd import config
from datd.errors import ConfigError


def load(tmp_path, text, **overrides):
    file = tmp_path / "datd.toml"
    file.write_text(text)
    return config.load(file, overrides)


def test_defaults_stand_where_nothing_is_said(tmp_path):
    settings = load(tmp_path, "")
    assert (settings.swarm.port, settings.api.host, settings.api.port) == (3282, "127.0.0.1", 3472)


def test_file_then_environment_then_command_line(tmp_path, monkeypatch):
    text = "[swarm]\nport = 1\nmax_connections = 10\n[api]\nport = 2\n"
    monkeypatch.setenv("DATD_SWARM__PORT", "11")
    monkeypatch.setenv("DATD_API__PORT", "12")
    settings = load(tmp_path, text, api={"port": 22, "host": None})
    assert settings.swarm.port == 11
    assert settings.swarm.max_connections == 10
    assert settings.api.port == 22
    assert settings.api.host == "127.0.0.1"


def test_a_credential_comes_before_the_file_and_is_not_shown(tmp_path, monkeypatch):
    (tmp_path / "api_token").write_text("sesame\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = load(tmp_path, 'api_token = "other"\n')
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "sesame"
    assert "sesame" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[swarm]\n\nprot = 3282\n", "line 3: there is no setting swarm.prot"),
        ("[swarms]\nport = 1\n", "line 1: there is no setting swarms"),
        ("[swarm]\nport = 70000\n", "line 2: swarm.port = '70000': .*65535"),
        ("[log]\nlevel = 'loud'\n", "line 2: log.level = 'loud'"),
        ("[swarm\n", "line 1"),
        ("[storage]\nmax_bytes = true\n", "line 2: storage.max_bytes = 'True': expected a value"),
        ("[swarm]\nmax_connections = true\n", "line 2: swarm.max_connections = 'True': expected"),
        ("[network]\nupload_limit = nan\n", "line 2: network.upload_limit = 'nan'"),
    ],
)
def test_a_wrong_setting_is_named_with_file_and_line(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said) as raised:
        load(tmp_path, text)
    assert "datd.toml" in str(raised.value)


def test_a_wrong_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("DATD_SWARM__PORT", "x")
    with pytest.raises(ConfigError, match=r"\$DATD_SWARM__PORT: swarm.port"):
        load(tmp_path, "")


@pytest.mark.parametrize("text", ["dat.example,b.example", ' ["dat.example", "b.example"]'])
def test_a_list_in_a_variable_has_commas_or_is_json(tmp_path, monkeypatch, text):
    monkeypatch.setenv("DATD_API__HOSTS", text)
    assert load(tmp_path, "").api.hosts == ["dat.example", "b.example"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[10.0.0.0/8", "allow_networks = '.10.0.0.0/8' in the environment is no list"),
        ("10.0.0.0/99", r"\$DATD_SWARM__ALLOW_NETWORKS: swarm.allow_networks.0 = '10.0.0.0/99'"),
    ],
)
def test_a_wrong_list_in_a_variable_is_named(tmp_path, monkeypatch, text, said):
    monkeypatch.setenv("DATD_SWARM__ALLOW_NETWORKS", text)
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, "")


def test_t50_an_empty_token_is_none(tmp_path):
    with pytest.raises(ConfigError, match="line 1: api_token"):
        load(tmp_path, "api_token = ''\n")


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "absent.toml", {})


def test_variables_of_the_client_are_none_of_its_business(tmp_path, monkeypatch):
    monkeypatch.setenv("DATD_API", "http://127.0.0.1:1")
    monkeypatch.setenv("DATD_TOKEN", "x")
    assert load(tmp_path, "").api.port == 3472


def test_the_data_folder_is_the_setting_or_systemds_or_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert config.data_folder(load(tmp_path, "")) == tmp_path / "home/datd"
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    assert config.data_folder(load(tmp_path, "")) == tmp_path / "state"
    settings = load(tmp_path, "", data_dir=tmp_path / "given")
    assert config.data_folder(settings) == tmp_path / "given"


def test_a_user_without_a_home_is_told_so():
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    # No file of users knows that number, as in a container.
    code = "import os; from datd import config; os.setuid(54321); config.load(None, {})"
    without = {"HOME", "XDG_CONFIG_HOME", "DATD_CONFIG"}
    env = {name: value for name, value in os.environ.items() if name not in without}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith("this user has no home: set $HOME to a folder")


def test_networks_and_servers_are_settings(tmp_path):
    text = """
        [discovery]
        networks = ["dns"]
        dns_servers = ["ns.example.org", "192.0.2.1:5300,53", "[2001:db8::1]:53"]
        dht_bootstrap = ["dht.example.org:6881"]
        [swarm]
        block = ["192.0.2.7", "2001:db8::/32"]
    """
    settings = load(tmp_path, text)
    assert settings.discovery.networks == ["dns"]
    assert settings.discovery.dns_servers[1] == "192.0.2.1:5300,53"
    assert [str(one) for one in settings.swarm.block] == ["192.0.2.7/32", "2001:db8::/32"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('networks = ["dsn"]', "networks.0 = 'dsn': .*'mdns', 'dns' or 'dht'"),
        ('dns_servers = ["a b"]', "dns_servers.0 = 'a b': .*expected HOST, HOST:PORT"),
        ('dns_servers = ["a:99999"]', "a port is at most 65535"),
        ('dns_servers = ["a:5300,"]', "expected HOST"),
        ('dht_bootstrap = ["a:1,2"]', "expected HOST or HOST:PORT"),
        ('domain = "dat"', "two words with a dot"),
    ],
)
def test_a_wrong_network_or_server_is_named(tmp_path, setting, said):
    with pytest.raises(ConfigError, match=rf"line 2: discovery\..*{said}") as raised:
        load(tmp_path, f"[discovery]\n{setting}\n")
    assert "Value error" not in str(raised.value)


def test_a_list_of_servers_in_a_variable_may_hold_second_ports(tmp_path, monkeypatch):
    monkeypatch.setenv("DATD_DISCOVERY__DNS_SERVERS", "192.0.2.1:5300,53, ns.example.org")
    assert load(tmp_path, "").discovery.dns_servers == ["192.0.2.1:5300,53", "ns.example.org"]


def test_a_daemon_without_any_transport_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"line 1: swarm: tcp and utp are both off"):
        load(tmp_path, "[swarm]\ntcp = false\nutp = false\n")


def test_a_resolver_is_asked_over_https_only(tmp_path):
    with pytest.raises(ConfigError, match=r"line 2: naming\.resolvers\.0 .*expected https://HOST"):
        load(tmp_path, '[naming]\nresolvers = ["http://dns.example.org/"]\n')


def test_decision_16_keys_of_the_dat_command_are_a_persons_own(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert config.owner_keys(load(tmp_path, "")) == Path("/home/ada/.dat/secret_keys")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/datd")
    assert config.owner_keys(load(tmp_path, "")) is None
    named = load(tmp_path, 'owner_keys = "~/keys"')
    assert config.owner_keys(named) == Path("/home/ada/keys")


def test_decision_21_a_person_publishes_from_home_and_a_service_from_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert config.import_roots(load(tmp_path, "")) == [Path("/home/ada")]
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/datd")
    assert config.import_roots(load(tmp_path, "")) == []
    named = load(tmp_path, 'import_roots = ["/srv/www", "~/sites"]')
    assert config.import_roots(named) == [Path("/srv/www"), Path("/home/ada/sites")]
    monkeypatch.setenv("DATD_IMPORT_ROOTS", "/a, /b")
    assert config.import_roots(load(tmp_path, "")) == [Path("/a"), Path("/b")]


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:5173", "http://[::1]"])
def test_sites_that_may_use_the_api_are_named_as_browsers_name_them(tmp_path, origin):
    config = load(tmp_path, "", api={"cors_origins": [origin]})
    assert config.api.cors_origins == [origin]


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "app.example", "https://app.example/", "https://App.example", "https://*.example",
     "https://app.example:99999", "https://user@app.example", ""],
)  # fmt: skip
def test_t41_no_setting_allows_all_sites(tmp_path, origin):
    with pytest.raises(ConfigError, match="cors_origins"):
        load(tmp_path, "", api={"cors_origins": [origin]})


def test_pinning_accounts_have_usual_quotas_and_nobody_registers_unasked(tmp_path):
    pinning = load(tmp_path, "").pinning
    assert (pinning.registration, pinning.max_bytes, pinning.max_pins) == (False, 10**10, 100)


# ---- sizes, rates, and where settings come from


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2000000", 2_000_000),
        ("'2 MB'", 2_000_000),
        ("'2M'", 2_000_000),
        ("'1.5GiB'", 3 * 2**29),
        ("'16000'", 16_000),
    ],
)
def test_sizes_and_rates_are_written_as_people_do(tmp_path, text, size):
    settings = load(tmp_path, f"[network]\nupload_limit = {text}\n[storage]\nmax_bytes = {text}\n")
    assert settings.network.upload_limit == settings.storage.max_bytes == size
    assert settings.network.download_limit is None


def test_only_rates_may_be_written_by_the_second(tmp_path):
    settings = load(tmp_path, "[network]\nupload_limit = '500 kB/s'\n")
    assert settings.network.upload_limit == 500_000
    with pytest.raises(ConfigError, match="keep_free = '1GB/s': expected a size"):
        load(tmp_path, "[storage]\nkeep_free = '1GB/s'\n")


@pytest.mark.parametrize("text", ["'fast'", "15999", "1", "'1 XB'", "-5", "true", "'2 MB a day'"])
def test_a_wrong_rate_is_named(tmp_path, text):
    with pytest.raises(ConfigError, match=r"line 2: network.upload_limit"):
        load(tmp_path, f"[network]\nupload_limit = {text}\n")


def test_no_rate_is_a_rate_too(tmp_path):
    text = "[network]\nupload_limit = 0\ndownload_limit = '0 MB/s'\n"
    network = load(tmp_path, text).network
    assert (network.upload_limit, network.download_limit) == (0, 0)
    with pytest.raises(ConfigError, match="16000 bytes a second or more, or 0 for no limit"):
        load(tmp_path, "[network]\nupload_limit = '1 kB'\n")


def source_of(settings, name):
    return next(one for one in config.configured(settings) if one.name == name)


def test_each_setting_knows_where_it_comes_from(tmp_path, monkeypatch):
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/api_token").write_text("sesame")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    monkeypatch.setenv("DATD_Network__Upload_Limit", "3 MB")
    monkeypatch.setenv("DATD_DATA_DIR", "/srv/dat")
    text = "[network]\nupload_limit = 20000\ndownload_limit = 30000\n[swarm]\nport = 5\n"
    settings = load(tmp_path, text, swarm={"port": 6, "host": None})
    shown = {one.name: (one.value, one.source) for one in config.configured(settings)}
    assert shown["network.upload_limit"] == (3_000_000, "environment")
    assert shown["network.download_limit"] == (30_000, "file")
    assert shown["swarm.port"] == (6, "command_line")
    assert shown["swarm.host"] == ("0.0.0.0", "default")
    assert shown["data_dir"] == ("/srv/dat", "environment")
    assert shown["api_token"] == (None, "credential")
    assert "sesame" not in str(config.configured(settings))


def test_each_setting_is_shown_as_json_has_it(tmp_path):
    settings = load(tmp_path, "[swarm]\nallow = ['10.0.0.0/8']\n")
    shown = config.configured(settings)
    assert json.loads(json.dumps([one.value for one in shown])) == [one.value for one in shown]
    assert source_of(settings, "swarm.allow").value == ["10.0.0.0/8"]
    assert source_of(settings, "data_dir").value.endswith("datd")
    assert all(one.description for one in shown)


def test_a_value_is_checked_as_in_the_file():
    assert config.checked("network.upload_limit", "2 MB") == 2_000_000
    assert config.checked("storage.keep_free", 0) == 0
    for name, value in (("network.upload_limit", 5), ("log.level", "loud"), ("log.level", 5)):
        with pytest.raises(ConfigError, match=name):
            config.checked(name, value)
