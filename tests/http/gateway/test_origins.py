import pytest
from aiohttp.test_utils import make_mocked_request

from datd.http.gateway.origins import Origins, label_of
from datd.http.problems import Problem
from datd.keys import Key

KEY = Key(bytes(range(32)))
# By Python's own base32, which stands in no relation to ours: RFC 4648.
LABEL = "aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq"


def read(host, path="/", hosts=(), domains=None):
    origins = Origins(hosts, (domains or {}).get)
    return origins.read(make_mocked_request("GET", path, headers={"Host": host}))


def test_a_label_is_the_key_in_base32():
    assert label_of(KEY) == LABEL
    assert len(label_of(KEY, 9_999_999_999)) == 63


@pytest.mark.parametrize("host", [f"{LABEL}.localhost:3473", f"{LABEL.upper()}.LOCALHOST"])
def test_each_archive_is_an_origin(host):
    site = read(host, "/a%20b/c")
    assert (site.reference, site.version, site.prefix) == (KEY.hex, None, "")
    assert (site.path, site.own_origin) == ("/a%20b/c", True)


def test_a_version_of_it_is_one_too():
    assert read(f"{LABEL}-12.localhost").version == "12"


@pytest.mark.parametrize(
    ("path", "reference", "version", "prefix", "rest"),
    [
        (f"/{KEY.hex}/a/b", KEY.hex, None, f"/{KEY.hex}", "/a/b"),
        (f"/{KEY.hex}", KEY.hex, None, f"/{KEY.hex}", ""),
        (f"/{KEY.hex}+5/a", KEY.hex, "5", f"/{KEY.hex}+5", "/a"),
        (f"/{KEY.hex}%2B5/a", KEY.hex, "5", f"/{KEY.hex}%2B5", "/a"),
        (f"/{KEY.hex.upper()}/a", KEY.hex, None, f"/{KEY.hex.upper()}", "/a"),
        (f"/gateway/{KEY.hex}/a", KEY.hex, None, f"/gateway/{KEY.hex}", "/a"),
        ("/gateway/a", "gateway", None, "/gateway", "/a"),
        ("/home+draft/", "home", "draft", "/home+draft", "/"),
    ],
)
def test_the_path_names_an_archive_at_localhost(path, reference, version, prefix, rest):
    for host in ("localhost:3473", "127.0.0.1:3473", "[::1]:3473"):
        site = read(host, path)
        assert (site.reference, site.version, site.prefix, site.path) == (
            reference, version, prefix, rest,
        )  # fmt: skip
        assert site.origins == "localhost:3473"
        assert not site.own_origin


def test_the_root_of_localhost_is_the_gateway_itself():
    assert read("localhost") is None


def test_the_domain_of_an_archive_is_its_origin():
    site = read("Site.Example.:80", "/x", domains={"site.example": KEY.hex})
    assert (site.reference, site.path, site.by_domain) == (KEY.hex, "/x", True)


def test_configured_names_are_ours():
    hosts = ["*.gw.example", "plain.example"]
    assert read(f"{LABEL}.gw.example", hosts=hosts).reference == KEY.hex
    assert read("gw.example:81", f"/{KEY.hex}/", hosts=hosts).origins == "gw.example:81"
    plain = read("plain.example", f"/{KEY.hex}/", hosts=hosts)
    assert (plain.origins, plain.embeds) == (None, True)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", f"{LABEL}.evil.example", "192.0.2.1", "a b",
     "localhost:99999999", "x.localhost", f"{LABEL}-.localhost", f"{LABEL}-x.localhost",
     f"{LABEL[:-1]}r.localhost", f"x.{LABEL}.localhost", "[::2]", "\xff", "a" * 300],
)  # fmt: skip
def test_t39_other_names_are_not(host):
    with pytest.raises(Problem) as caught:
        read(host, f"/{KEY.hex}/")
    assert caught.value.status == 421


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (f"http://{LABEL}.localhost:3473/a", "localhost", None),
        (f"http://{LABEL}.localhost:3473/a", "evil.example", None),
        ("http://evil.example/a", f"{LABEL}.localhost:3473", 421),
        (f"http://x@{LABEL}.localhost/a", f"{LABEL}.localhost", 421),
    ],
)
async def test_t39_an_address_in_absolute_form_says_whose_it_is(gateway, target, host, status):
    answer = await gateway.ask(target, host=host)
    # Nobody hosts it, which is known only once it was found out whose it is.
    assert (answer.kind == "wrong_host") == (status == 421)
    assert answer.status == status or answer.kind == "unknown_archive"
