import pytest
from pydantic import ValidationError

from datctl.models import NewArchive, PeerAddress

LINK = "dat://" + "ab" * 32


def parse(text):
    return NewArchive.model_validate_json(text, strict=True)


def test_a_link_is_all_that_is_needed():
    asked = parse(f'{{"link": "{LINK}"}}')
    assert (asked.link, asked.mode, asked.paused, asked.tags, asked.peers) == (
        LINK, "archive", False, [], []
    )  # fmt: skip


def test_a_whole_number_may_be_written_as_json_allows():
    assert parse(f'{{"link": "{LINK}", "version": 8.0}}').version == 8


@pytest.mark.parametrize(
    "fields",
    [
        '"nme": "x"',
        '"version": 0',
        '"version": -1',
        '"version": 1.5',
        '"version": true',
        '"version": "3"',
        '"version": 9007199254740992',
        '"version": 1e400',
        '"paused": "yes"',
        '"paused": 1',
        '"name": ""',
        '"name": "a/b"',
        r'"name": "a\u001b[2J"',
        r'"name": "\ud800"',
        '"tags": "one"',
        '"tags": [1]',
        r'"tags": ["a\nb"]',
        '"mode": "everything"',
        '"peers": [null]',
        '"folder": "/etc"',
    ],
)
def test_t43_odd_fields_are_refused(fields):
    with pytest.raises(ValidationError):
        parse(f'{{"link": "{LINK}", {fields}}}')


@pytest.mark.parametrize("text", ["", "[]", "null", "1", '{"link":', "[" * 100_000, "NaN"])
def test_t43_what_is_no_object_is_refused(text):
    with pytest.raises(ValidationError):
        parse(text)


def test_lists_have_an_end():
    with pytest.raises(ValidationError):
        NewArchive(link=LINK, peers=["192.0.2.1:1"] * 65)
    with pytest.raises(ValidationError):
        PeerAddress(address="x" * 300)
