import pytest

from datd.http.inputs import read_address, shown
from datd.http.problems import Problem
from datd.naming.lookup import SystemLookup
from datd.types import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7:3282", Address("192.0.2.7", 3282)),
        (" 192.0.2.7:1 ", Address("192.0.2.7", 1)),
        ("[2001:DB8::7]:65535", Address("2001:db8::7", 65535)),
    ],
)
async def test_addresses_in_digits_are_taken_as_they_are(text, address):
    assert await read_address(text, SystemLookup()) == address


async def test_a_name_is_looked_up():
    found = await read_address("localhost:3282", SystemLookup())
    assert found.host in {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "text",
    ["", "192.0.2.7", ":3282", "192.0.2.7:0", "192.0.2.7:65536", "192.0.2.7:٣", "2001:db8::7:3282",
     "192.0.2.7:", "[::1]", "a" * 300 + ":1", "no\x00name:1", "..:1"],
)  # fmt: skip
async def test_what_is_no_address_is_a_bad_request(text):
    with pytest.raises(Problem) as caught:
        await read_address(text, SystemLookup())
    assert caught.value.status == 400


def test_values_in_messages_are_cut_and_escaped():
    assert shown("\x1b[31m\n") == '"\\u001b[31m\\n"'
    assert len(shown("x" * 1000)) < 100
