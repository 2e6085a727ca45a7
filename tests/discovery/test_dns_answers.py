import pytest

from datd.discovery import dns_answers, dns_message
from datd.discovery.dns_message import TYPE_SRV, TYPE_TXT, Record
from datd.discovery.dns_text import Text
from datd.types import Address

SERVER = Address("192.0.2.1", 5300)
NAME = bytes(range(20))


def text(**values) -> Record:
    return Record(NAME, TYPE_TXT, text=Text(**values))


@pytest.mark.parametrize("token", ["", "x" * 129, "a b", "\x1b[2J", "\ufffd", "é"])
def test_t31_a_token_is_taken_only_if_it_can_be_sent_back(token):
    assert dns_answers.token_in([text(token=token), text(token="good")]) == "good"


def test_the_first_place_that_makes_sense_is_where_we_are_seen():
    records = [text(host="nowhere", port=1), text(host="192.0.2.9", port=0), text(port=3)]
    assert dns_answers.seen_in(records) is None
    records.append(text(host="192.0.2.9", port=3282))
    assert dns_answers.seen_in(records) == ("192.0.2.9", 3282)


def test_peers_of_both_kinds_of_record_are_read():
    peers = (Address("0.0.0.0", 1), Address("203.0.113.1", 2))
    assert list(dns_answers.peers_in(text(peers=peers), SERVER)) == [
        ("192.0.2.1", 1),
        ("203.0.113.1", 2),
    ]
    service = Record(NAME, TYPE_SRV, peer=Address("0.0.0.0", 7))
    assert list(dns_answers.peers_in(service, SERVER)) == [("192.0.2.1", 7)]


def test_only_queries_that_ask_nothing_are_pushes():
    peer = Address("203.0.113.1", 4444)
    push = dns_message.decode(dns_message.encode_push(1, NAME, "dat.local", peer), "dat.local")
    assert push is not None
    assert [record.peer for record in dns_answers.pushed(push)] == [peer]
    for other in (
        dns_message.encode_lookup(1, NAME, "dat.local", token="t"),
        dns_message.encode_probe(1, "dat.local"),
        dns_message.encode_acknowledgement(1),
    ):
        message = dns_message.decode(other, "dat.local")
        assert message is not None
        assert dns_answers.pushed(message) == []


def test_a_push_with_a_question_in_it_is_none():
    push = dns_message.encode_push(1, NAME, "dat.local", Address("203.0.113.1", 4444))
    question = dns_message.encode_probe(1, "dat.local")[12:]
    message = dns_message.decode(
        push[:4] + b"\0\1" + push[6:12] + question + push[12:], "dat.local"
    )
    assert message is not None
    assert message.records
    assert dns_answers.pushed(message) == []


def test_addresses_have_one_spelling():
    assert dns_answers.dotted("192.0.2.1") == "192.0.2.1"
    assert dns_answers.dotted("192.0.2") is None
    assert dns_answers.dotted("") is None
