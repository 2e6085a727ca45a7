import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.archive.manifest import MAX_MANIFEST_DEPTH, MAX_MANIFEST_SIZE, clean, parse_manifest


def parsed(**fields):
    found = parse_manifest(json.dumps(fields).encode())
    assert found is not None
    return found


def test_known_fields_are_read_and_others_kept():
    found = parsed(
        title="Weather",
        description="Since 1881",
        url="dat://" + "0" * 64,
        type=["dataset", "website"],
        author={"name": "Ada", "url": "https://example.org"},
        web_root="/public/",
        fallback_page="/404.html",
        content_security_policy="default-src 'self'",
        links={"license": [{"href": "https://example.org/l"}]},
        keywords=["rain"],
    )
    assert (found.title, found.description, found.author) == ("Weather", "Since 1881", "Ada")
    assert found.type == ("dataset", "website")
    assert (found.web_root, found.fallback_page) == ("public", "404.html")
    assert found.links == {"license": [{"href": "https://example.org/l"}]}
    assert found.other == {"keywords": ["rain"]}


def test_older_forms_of_type_and_author_are_understood():
    found = parsed(type="dataset website", author="Ada")
    assert (found.type, found.author) == (("dataset", "website"), "Ada")


def test_fields_of_the_wrong_type_are_empty():
    found = parsed(title=5, description=None, type={"a": 1}, author=[1], links=[1], web_root=3)
    assert (found.title, found.description, found.type, found.author) == ("", "", (), "")
    assert (found.links, found.web_root) == ({}, "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'"text"',
        b"{",
        b"\xff\xfe{}",
        b'{"a": NaN}',
        b'{"a": ' + b"9" * 100_000 + b"}",
        b'{"title": "a"} x',
    ],
)
def test_what_is_no_json_object_counts_as_absent(data):
    assert parse_manifest(data) is None


def test_t30_large_files_are_not_parsed():
    assert parse_manifest(b'{"title": "a"}' + b" " * MAX_MANIFEST_SIZE) is None


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"\\"[": ['])
def test_t30_deep_files_are_not_parsed(opening):
    assert parse_manifest(opening * (MAX_MANIFEST_SIZE // 8)) is None


def test_t30_the_depth_counts_brackets_outside_of_texts():
    deep = b"[" * (MAX_MANIFEST_DEPTH - 1) + b"]" * (MAX_MANIFEST_DEPTH - 1)
    assert parse_manifest(b'{"a":' + deep + b"}") is not None
    assert parse_manifest(b'{"a":[' + deep + b"]}") is None
    assert parsed(title="[" * 100 + '\\"{').title == "[" * 100 + '\\"{'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://e\x1b\\link", "link"),
        ("\x9b2Jx", "x"),
        ("two\r\n\tlines", "two lines"),
        ("nul\x00 bell\x07 del\x7f", "nul bell del"),
        ("\u202eabc\u2066", "abc"),
        ("half \ud800 pair", "half  pair"),
        ("Ünï 文件 👩\u200d👩\u200d👧", "Ünï 文件 👩\u200d👩\u200d👧"),
        ("x" * 5000, "x" * 1000),
    ],
)
def test_t30_texts_are_made_safe_to_print(text, shown):
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("../..", ""),
        ("/public/../../etc", "etc"),
        ("..\\..\\x", "x"),
        ("a/./b//c/", "a/b/c"),
        ("x" * 2000, ""),
    ],
)
def test_t30_paths_stay_inside(path, inside):
    found = parsed(web_root=path, fallback_page=path)
    assert (found.web_root, found.fallback_page) == (inside, inside)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda j: st.lists(j) | st.dictionaries(st.text(), j),
)
FIELDS = st.sampled_from(["title", "description", "type", "author", "links", "web_root", "x"])


@given(st.dictionaries(FIELDS, JSON))
def test_any_object_gives_texts_that_can_be_sent(fields):
    found = parse_manifest(json.dumps(fields).encode())
    if found is not None:
        for text in (found.title, found.description, found.author, *found.type):
            assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text)
            assert len(text) <= 1000
        json.dumps([found.links, found.other], ensure_ascii=False).encode()


@given(st.binary(max_size=200))
def test_any_bytes_give_a_manifest_or_none(data):
    parse_manifest(data)
