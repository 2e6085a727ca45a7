import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.keys import Key
from datd.naming.records import DEFAULT_TTL, MAX_TTL, parse_page, parse_txt_answer, parse_well_known

KEY = "0123456789abcdef" * 4
LINK = f"dat://{KEY}"


@pytest.mark.parametrize(
    ("text", "ttl"),
    [
        (LINK, 3600),
        (f"{LINK}/", 3600),
        (f"{LINK}/\n", 3600),
        (f"{LINK}+12/a path and more\nttl=60", 60),
        (f"{LINK.upper().replace('DAT', 'dat')}\nTTL=60", 60),
        (f"DAT://{KEY.upper()}\nTtL=0\nmore", 0),
        (f"{LINK}\nttl=604800", 604_800),
        (f"{LINK}\nttl=604801", MAX_TTL),
        (f"{LINK}\nttl=9007199254740991", MAX_TTL),
        # A second line that is broken does not count.
        (f"{LINK}\nttl=9007199254740992", DEFAULT_TTL),
        (f"{LINK}\nttl=" + "9" * 3000, DEFAULT_TTL),
        (f"{LINK}\nttl=-1", DEFAULT_TTL),
        (f"{LINK}\nttl=1.5", DEFAULT_TTL),
        (f"{LINK}\nttl = 60", DEFAULT_TTL),
        (f"{LINK}\n\nttl=60", DEFAULT_TTL),
        (f"{LINK}\nttl=٣", DEFAULT_TTL),
        # Lines that end as on Windows.
        (f"{LINK}\r\nttl=60\r\n", 60),
    ],
)
def test_the_file_names_a_key_and_how_long_it_holds(text, ttl):
    found = parse_well_known(text.encode())
    assert found == (Key(bytes.fromhex(KEY)), ttl)


@pytest.mark.parametrize(
    "text",
    ["", "\n" + LINK, " " + LINK, KEY, f"dat:{KEY}", f"dat://{KEY[:-1]}", "dat://example.org",
     "<!doctype html>", "\ufeff" + LINK, f"http://{KEY}"],
)  # fmt: skip
def test_a_file_that_does_not_begin_with_a_link_names_nothing(text):
    assert parse_well_known(text.encode()) is None


def answer(*records: object) -> bytes:
    return json.dumps({"Status": 0, "Answer": list(records)}).encode()


@pytest.mark.parametrize(
    ("record", "ttl"),
    [
        ({"data": f'"datkey={KEY}"', "TTL": 60}, 60),
        ({"data": f"datkey={KEY}", "TTL": 60}, 60),
        ({"data": f'"DATKEY={KEY.upper()}"'}, DEFAULT_TTL),
        ({"data": f'"v=1; datkey={KEY}; x" "more"', "TTL": 0}, 0),
        ({"data": f"datkey={KEY}", "TTL": 300.0}, 300),
        ({"data": f"datkey={KEY}", "TTL": 0.5}, DEFAULT_TTL),
        ({"data": f"datkey={KEY}", "TTL": -1}, DEFAULT_TTL),
        ({"data": f"datkey={KEY}", "TTL": "60"}, DEFAULT_TTL),
        ({"data": f"datkey={KEY}", "TTL": True}, DEFAULT_TTL),
        ({"data": f"datkey={KEY}", "TTL": float("nan")}, DEFAULT_TTL),
        ({"data": f"datkey={KEY}", "TTL": float("inf")}, DEFAULT_TTL),
        ({"data": f"datkey={KEY}", "TTL": 10**300}, DEFAULT_TTL),
        ({"data": f"datkey={KEY}", "TTL": 700_000}, MAX_TTL),
    ],
)
def test_a_record_names_a_key_anywhere_in_it(record, ttl):
    assert parse_txt_answer(answer(record)) == (Key(bytes.fromhex(KEY)), ttl)


def test_the_first_record_with_a_key_counts():
    other = "f" * 64
    body = answer(
        None, 7, {"data": 7}, {"data": "v=spf1"}, {"data": f"datkey={KEY}a"},
        {"data": f"datkey={KEY}", "TTL": 9}, {"data": f"datkey={other}"},
    )  # fmt: skip
    assert parse_txt_answer(body) == (Key(bytes.fromhex(KEY)), 9)


@pytest.mark.parametrize("body", [b"{}", b'{"Answer": null}', b'{"Answer": {}}', answer()])
def test_an_answer_without_records_names_nothing(body):
    assert parse_txt_answer(body) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7", b"[" * 4000, b"\xff\xfe\xff"])
def test_what_is_no_answer_is_an_error(body):
    with pytest.raises(ValueError, match="no JSON"):
        parse_txt_answer(body)


@pytest.mark.parametrize(
    ("headers", "body", "found"),
    [
        ({"Dat-Key": KEY}, b"<html>", KEY),
        ({"Hyperdrive-Key": KEY, "Dat-Key": "f" * 64}, b"", KEY),
        ({"Hyperdrive-Key": "none", "Dat-Key": f"dat://{KEY}/"}, b"", KEY),
        ({"Dat-Key": "f" * 65}, json.dumps({"url": f"dat://{KEY}"}).encode(), KEY),
        ({}, json.dumps({"title": "x", "url": KEY.upper()}).encode(), KEY),
        ({}, json.dumps({"url": [KEY]}).encode(), None),
        ({}, json.dumps([{"url": KEY}]).encode(), None),
        ({}, json.dumps({"key": KEY}).encode(), None),
        ({}, KEY.encode(), None),
        ({}, f"<a href='dat://{KEY}'>".encode(), None),
        ({}, b"[" * 60_000, None),
    ],
)
def test_a_page_tells_of_its_archive_in_a_header_or_as_url(headers, body, found):
    assert parse_page(headers, body) == (Key(bytes.fromhex(found)) if found else None)


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda s: f"{LINK}\n{s}".encode()))
def test_t31_no_file_is_too_odd(body):
    found = parse_well_known(body)
    assert found is None or 0 <= found.ttl <= MAX_TTL


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([f"datkey={KEY}"]),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["Answer", "data", "TTL", "x"]), inner)
    ),
)


@given(st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_t31_no_answer_is_too_odd(body):
    try:
        found = parse_txt_answer(body)
    except ValueError:
        return
    assert found is None or 0 <= found.ttl <= MAX_TTL
