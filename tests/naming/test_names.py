import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.errors import KeyFormatError
from datd.naming.names import MAX_HOST, Named, host_name, parse

KEY = "ab" * 32


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("example.org", Named("example.org")),
        ("  Example.ORG. ", Named("example.org")),
        ("dat://example.org", Named("example.org")),
        ("DAT://example.org/", Named("example.org", None, "/")),
        ("dat:example.org", Named("example.org")),
        ("dat://example.org+12/a/b.txt", Named("example.org", 12, "/a/b.txt")),
        ("example.org+12", Named("example.org", 12)),
        # As Beaker reads it, a version stands behind the host, not behind the path.
        ("dat://example.org/path+12", Named("example.org", None, "/path+12")),
        (
            " HTTPS://example.org/blog?x=1#y ",
            Named("example.org", None, "/blog", "HTTPS://example.org/blog?x=1#y"),
        ),
        ("https://example.org+3/blog", Named("example.org", 3, "/blog")),
        ("http://a.b.example.org", Named("a.b.example.org")),
        ("exämple.org", Named("xn--exmple-cua.org")),
        ("例え.テスト", Named("xn--r8jz45g.xn--zckzah")),
        # A path of 128 hex digits is no key.
        (f"dat://example.org/{'a' * 128}", Named("example.org", None, "/" + "a" * 128)),
    ],
)
def test_a_name_is_read_with_its_version_and_path(text, named):
    assert parse(text) == named


@pytest.mark.parametrize(
    "text",
    [
        "", "localhost", "dat://", "dat:///a", "example", "example.org:8080", "user@example.org",
        "dat://user:pass@example.org/", "127.0.0.1", "0x7f.1", "127.1", "2130706433", "[::1]",
        "::1", "1.2.3.4.", "example.123", "example.0x1", "a..b", ".example.org", "-a.example",
        "a_b.example", "exa mple.org", "example.org\0", "\ud800.example", "ftp://example.org",
        "a" * 64 + ".example", ".".join(["a" * 60] * 5), "x" * 10**6 + ".example", KEY,
        f"dat://{KEY}", f"https://example.org/{KEY}/b", f"dat://example.org/{KEY}",
    ],
    ids=lambda text: ascii(text[:40]),
)  # fmt: skip
def test_what_is_no_name_is_none(text):
    assert parse(text) is None


@pytest.mark.parametrize("version", ["latest", "-1", "٣", "9" * 17, "9" * 5000])
def test_a_version_that_is_no_number_is_refused(version):
    with pytest.raises(KeyFormatError, match="version"):
        parse(f"dat://example.org+{version}/a")


def test_a_domain_is_written_as_it_is_asked_for():
    assert host_name("Bücher.Example.") == "xn--bcher-kva.example"
    assert host_name("dat://example.org") is None
    assert host_name("example.org/") is None
    assert host_name("*.example.org") is None


@given(st.text(max_size=300))
def test_any_text_is_a_name_none_or_refused(text):
    try:
        named = parse(text)
    except KeyFormatError:
        return
    if named is not None:
        assert named.host.isascii()
        assert named.host == named.host.lower()
        assert 0 < len(named.host) <= MAX_HOST
        assert "." in named.host
        # What came out is the same name when it goes in.
        assert parse(named.host) == Named(named.host)


@pytest.mark.timeout(120)
def test_a_long_text_takes_no_long_time():
    # Both would take hours if a pattern tried all ways to cut the text.
    for text in ("+a" * 500_000, "a" * 10**6, "+" * 10**6, "/+" * 500_000, "ä" * 10**6 + ".b"):
        parse(text)
