import pytest

from datd import varint
from datd.errors import ProtocolError
from datd.wire.extensions import ExtensionTable
from datd.wire.messages import Extension, MalformedMessage


def body(number: int, payload: bytes = b"") -> memoryview:
    return memoryview(varint.encode(number) + payload)


def test_names_are_listed_sorted_and_once():
    assert ExtensionTable(["z", "a", "z", "B"]).names == ("B", "a", "z")


def test_a_number_means_a_name_in_the_senders_list():
    table = ExtensionTable(["ephemeral", "session-data"])
    table.learn(["b-only", "session-data"])
    assert table.receive(body(1, b"hi"), 0) == Extension(1, b"hi")
    table.learn(["session-data", "ephemeral"])  # unsorted lists work too
    assert table.receive(body(0, b"hi"), 0) == Extension(1, b"hi")


def test_t12_what_dat_programs_send_is_no_sign_of_a_bad_peer():
    table = ExtensionTable([])
    table.learn(["ephemeral", "session-data"])
    assert table.receive(body(0, b"x"), 0) is None
    assert table.receive(body(1, b"x"), 0) is None


@pytest.mark.parametrize(
    "frame", [body(0), body(2), body(300), memoryview(b""), memoryview(b"\x80")]
)
def test_t12_other_names_and_nonsense_are_malformed(frame):
    table = ExtensionTable(["mine"])
    table.learn(["theirs"])
    with pytest.raises(MalformedMessage):
        table.receive(memoryview(frame), 0)


def test_before_the_handshake_no_number_means_anything():
    with pytest.raises(MalformedMessage):
        ExtensionTable(["mine"]).receive(body(0), 0)


def test_l7_at_most_64_kib_a_message():
    table = ExtensionTable(["mine"])
    table.learn(["mine"])
    assert table.receive(body(0, bytes(65536)), 0) == Extension(0, bytes(65536))
    with pytest.raises(ProtocolError):
        table.receive(body(0, bytes(65537)), 0)


def test_l7_at_most_50_messages_a_second():
    table = ExtensionTable([])
    table.learn(["session-data"])
    for second in (7.0, 8.0, 20.0):
        for _ in range(50):
            table.receive(body(0), second)
    with pytest.raises(ProtocolError):
        table.receive(body(0), 20.9)


@pytest.mark.parametrize("names", [[str(number) for number in range(129)], ["x" * 129]])
def test_l7_we_list_no_more_than_we_take(names):
    with pytest.raises(ValueError, match="at most"):
        ExtensionTable(names)
