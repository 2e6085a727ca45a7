import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.errors import KeyFormatError
from datd.keys import Key, Link, holds_key
from tests.helpers.feed_vectors import load

LINKS = load("links")
KEY = "ab" * 32
HEX_KEY = re.compile("[0-9a-f]{64}")


def names_a_version_that_is_no_number(text):
    """Our own rule: such a link is refused, where the reference ignores the version."""
    version = text.partition("+")[2].partition("/")[0]
    return bool(version) and not version.isdigit()


@pytest.mark.parametrize("row", LINKS["datEncoding"], ids=lambda row: repr(row[0][:90]))
def test_a_key_is_found_where_the_reference_finds_it(row):
    text, want = row[0], row[1]
    if want is None or names_a_version_that_is_no_number(text):
        with pytest.raises(KeyFormatError):
            Key.parse(text)
    else:
        assert Key.parse(text).hex == want


@pytest.mark.parametrize(
    "row",
    [row for row in LINKS["parseDatUrl"] if HEX_KEY.fullmatch(row[1]["host"])],
    ids=lambda row: repr(row[0][:90]),
)
def test_version_and_path_are_read_as_beaker_reads_them(row):
    text, want = row[0], row[1]
    if want["version"] is not None and not want["version"].isdigit():
        with pytest.raises(KeyFormatError, match="version"):
            Link.parse(text)
        return
    link = Link.parse(text)
    assert link.key.hex == want["host"]
    assert link.version == (None if want["version"] is None else int(want["version"]))
    assert link.path == (want["path"] or "")


def test_a_refusal_says_what_was_expected_and_cuts_what_was_given():
    with pytest.raises(KeyFormatError, match="expected 64 hex digits") as caught:
        Key.parse("x" * 5000)
    assert len(str(caught.value)) < 200


def test_a_key_has_one_link_and_one_public_name():
    key = Key.parse(KEY.upper())
    assert key.link == f"dat://{KEY}"
    assert key == Key(bytes.fromhex(KEY))
    assert len(key.discovery_key.raw) == 32
    assert str(key.discovery_key) == key.discovery_key.raw.hex()


def test_logs_do_not_give_the_link_away():
    key = Key.parse(KEY)
    assert KEY not in repr(key)
    assert str(key.discovery_key) in repr(key)
    assert KEY not in f"{key} {Link(key)!r}"


@pytest.mark.parametrize("digits", [17, 5000])
def test_a_version_that_no_archive_reaches_is_refused(digits):
    assert Link.parse(f"{KEY}+{'9' * 16}").version == 10**16 - 1
    with pytest.raises(KeyFormatError, match="version"):
        Link.parse(f"dat://{KEY}+{'9' * digits}")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (KEY, True),
        (f"https://host.example/{KEY}/a", True),
        (f"{KEY}+latest", True),
        (f"{KEY}a {KEY}", False),
        (f"example.org/{'a' * 128}", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_a_link_holds_a_key_or_may_hold_a_name(text, holds):
    assert holds_key(text) is holds


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_size_is_refused(size):
    with pytest.raises(KeyFormatError, match="32 bytes"):
        Key(bytes(size))


@given(st.text(max_size=200))
def test_any_text_is_a_link_or_refused(text):
    try:
        link = Link.parse(text)
    except KeyFormatError:
        return
    assert link.key.hex in text.lower()


@given(st.binary(min_size=32, max_size=32), st.integers(0, 10**9), st.sampled_from(["", "/a/b"]))
def test_a_link_survives_being_written_and_read(raw, version, path):
    key = Key(raw)
    assert Link.parse(f"{key.link}+{version}{path}") == Link(key, version, path)
