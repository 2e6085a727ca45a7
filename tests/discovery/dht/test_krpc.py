import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.vectors import vectors

from datd.discovery.dht import bencode, krpc
from datd.discovery.dht.bencode import Dictionary
from datd.discovery.dht.contacts import Contact
from datd.discovery.dht.krpc import Answer, Error, Query
from datd.errors import ProtocolError
from datd.types import Address

ID, NAME = b"i" * 20, b"n" * 20


def captured() -> list[tuple[str, bytes]]:
    """Every packet that bittorrent-dht 7 and libtorrent 2.1 sent, with its sender."""

    def rows(part) -> list[tuple[str, bytes]]:
        if isinstance(part, dict):
            return [row for one in part.values() for row in rows(one)]
        if part and isinstance(part, list) and isinstance(part[0], list):
            return [(row[1], bytes.fromhex(row[3])) for row in part]
        return []

    return rows(json.loads((vectors("network") / "dht.json").read_text()))


def test_every_captured_packet_is_read_and_written_again():
    packets = captured()
    assert len(packets) > 30
    for _, data in packets:
        assert bencode.encode(bencode.decode(data)) == data
        krpc.decode(data)


def test_our_messages_are_byte_for_byte_those_of_the_reference():
    same = 0
    for sender, data in captured():
        if sender.startswith("10.99.0.3"):
            continue  # libtorrent adds its own keys
        message = krpc.decode(data)
        assert krpc.encode(message) == data
        same += 1
    assert same > 15


def test_all_kinds_of_messages_were_captured():
    messages = [krpc.decode(data) for _, data in captured()]
    queries = [one for one in messages if isinstance(one, Query)]
    assert {one.method for one in queries} >= {krpc.FIND_NODE, krpc.GET_PEERS, krpc.ANNOUNCE_PEER}
    announced = [one for one in queries if one.method == krpc.ANNOUNCE_PEER and one.token]
    assert {one.implied_port for one in announced} == {True, False}
    assert any(isinstance(one, Answer) and one.values for one in messages)
    assert any(isinstance(one, Answer) and one.asker for one in messages)
    errors = [one for one in messages if isinstance(one, Error)]
    assert {one.code for one in errors} == {203}


MESSAGES = [
    Query(b"aa", krpc.PING, ID),
    Query(b"aa", krpc.FIND_NODE, ID, NAME, want=frozenset({4, 6})),
    Query(b"aa", krpc.GET_PEERS, ID, NAME, read_only=True),
    Query(b"aa", krpc.ANNOUNCE_PEER, ID, NAME, port=3282, implied_port=True, token=b"t"),
    Answer(b"aa", ID),
    Answer(
        b"aa",
        ID,
        contacts=(Contact(NAME, Address("10.0.0.1", 1)), Contact(NAME, Address("fd00::1", 2))),
        families=frozenset({4, 6}),
        values=(b"123456", b"x" * 18),
        token=b"t",
        asker=Address("10.0.0.9", 9),
    ),
    Error(b"aa", 203, "no"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_messages_go_both_ways(message):
    assert krpc.decode(krpc.encode(message)) == message


def test_what_is_not_known_is_ignored():
    answer: Dictionary = {
        b"id": ID,
        b"values": [b"123456", b"1", 7, [b"x"]],
        b"p": 3,
        b"token": 7,
        b"nodes": 1,
    }
    message: Dictionary = {
        b"t": b"a",
        b"y": b"r",
        b"r": answer,
        b"v": b"LT\1\2",
        b"ip": b"short",
        b"zz": [1],
    }
    assert krpc.decode(bencode.encode(message)) == Answer(
        b"a", ID, families=frozenset({4}), values=(b"123456",)
    )
    arguments: Dictionary = {
        b"id": ID,
        b"info_hash": NAME,
        b"bs": 1,
        b"seed": 1,
        b"want": [b"n4", b"n9", 3],
    }
    query: Dictionary = {b"t": b"a", b"y": b"q", b"q": krpc.GET_PEERS, b"a": arguments}
    assert krpc.decode(bencode.encode(query)) == Query(
        b"a", krpc.GET_PEERS, ID, NAME, want=frozenset({4})
    )


@pytest.mark.parametrize(
    "arguments",
    [None, 7, {}, {b"id": 7}, {b"id": b"short", b"target": b"short", b"port": 0, b"token": 1}],
)
def test_a_query_with_nonsense_in_it_is_still_a_query(arguments):
    query = {b"t": b"a", b"y": b"q", b"q": krpc.FIND_NODE, b"a": arguments}
    if arguments is None:
        del query[b"a"]
    assert krpc.decode(bencode.encode(query)) == Query(b"a", krpc.FIND_NODE)


@pytest.mark.parametrize(
    "message",
    [
        [],
        {},
        {b"t": b"a"},
        {b"t": b"a", b"y": b"x"},
        {b"t": 1, b"y": b"q", b"q": b"ping"},
        {b"t": b"a" * 17, b"y": b"q", b"q": b"ping"},
        {b"t": b"a", b"y": b"q"},
        {b"t": b"a", b"y": b"r"},
        {b"t": b"a", b"y": b"r", b"r": {b"id": b"short"}},
    ],
)
def test_what_means_nothing_is_refused(message):
    with pytest.raises(ProtocolError):
        krpc.decode(bencode.encode(message))


def test_a_datagram_of_more_than_1500_bytes_is_refused():
    with pytest.raises(ProtocolError, match="1501 bytes"):
        krpc.decode(b"d" * 1501)


@given(st.data())
def test_t31_damaged_messages_do_no_harm(data):
    whole = krpc.encode(data.draw(st.sampled_from(MESSAGES)))
    at = data.draw(st.integers(0, len(whole)))
    broken = (
        whole[:at] + data.draw(st.binary(max_size=8)) + whole[at + data.draw(st.integers(0, 8)) :]
    )
    try:
        message = krpc.decode(broken)
    except ProtocolError:
        return
    assert isinstance(message, Query | Answer | Error)
