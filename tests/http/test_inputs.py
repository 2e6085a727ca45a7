import pytest

from datd.http.access import Access
from datd.http.inputs import read_address, shown
from datd.http.problems import Problem
from datd.naming.lookup import SystemLookup
from datd.types import Address

ADMIN, CONTROL = Access("api.token", "admin"), Access("token:1", "control")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7:3282", Address("192.0.2.7", 3282)),
        (" 192.0.2.7:1 ", Address("192.0.2.7", 1)),
        ("[2001:DB8::7]:65535", Address("2001:db8::7", 65535)),
    ],
)
async def test_addresses_in_digits_are_taken_as_they_are(text, address):
    assert await read_address(text, SystemLookup(), ADMIN) == address


async def test_a_name_is_looked_up():
    found = await read_address("localhost:3282", SystemLookup(), ADMIN)
    assert found.host in {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "text",
    ["", "192.0.2.7", ":3282", "192.0.2.7:0", "192.0.2.7:65536", "192.0.2.7:٣", "2001:db8::7:3282",
     "192.0.2.7:", "[::1]", "a" * 300 + ":1", "no\x00name:1", "..:1"],
)  # fmt: skip
async def test_what_is_no_address_is_a_bad_request(text):
    with pytest.raises(Problem) as caught:
        await read_address(text, SystemLookup(), ADMIN)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1:22", "localhost:22", "[::1]:22", "10.0.0.1:80", "192.168.1.1:80", "100.64.0.1:1",
     "169.254.169.254:80", "[fe80::1]:80", "[fd00::1]:80", "[::ffff:127.0.0.1]:22", "0.0.0.0:22",
     "224.0.0.251:5353", "[64:ff9b::7f00:1]:22", "[fe80::1%1]:80"],
)  # fmt: skip
async def test_t49_only_administrators_have_us_dial_into_our_own_network(text):
    with pytest.raises(Problem) as caught:
        await read_address(text, SystemLookup(), CONTROL)
    assert caught.value.kind == "forbidden"
    await read_address(text, SystemLookup(), ADMIN)


async def test_public_addresses_are_for_everybody_who_may_change_archives():
    assert (await read_address("192.0.2.7:1", SystemLookup(), CONTROL)).host == "192.0.2.7"


def test_values_in_messages_are_cut_and_escaped():
    assert shown("\x1b[31m\n") == '"\\u001b[31m\\n"'
    assert len(shown("x" * 1000)) < 100
