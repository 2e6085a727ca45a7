import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.vectors import vectors

from datd.discovery import dns_message
from datd.discovery.dns_message import TYPE_A, TYPE_SRV, TYPE_TXT, Answer, Message, Question
from datd.types import Address

DOMAIN = "dat.local"
NAME = bytes.fromhex("0de13c996ac2b1c615eee05750d180da0a97042d")


def recorded(file: str) -> list[tuple[str, str, bytes]]:
    packets = json.loads((vectors("network") / file).read_text())["packets"]
    return [(sender, to, bytes.fromhex(data)) for _, sender, to, data in packets]


RECORDED = recorded("dns-h1.json") + recorded("dns-h2.json")
MULTICAST = [(sender, data) for sender, to, data in RECORDED if to == "224.0.0.251:5353"]


def read(data: bytes) -> Message:
    message = dns_message.decode(data, DOMAIN)
    assert message is not None
    return message


def questions():
    return [data for _, data in MULTICAST if data[2:4] == b"\0\0"]


def answers():
    return [(sender, data) for sender, data in MULTICAST if data[2:4] == b"\x84\0"]


def test_our_question_is_the_recorded_one_to_the_byte():
    assert questions()
    assert {dns_message.encode_question(NAME, DOMAIN)} == set(questions())


def test_recorded_questions_are_understood():
    for data in questions():
        message = read(data)
        assert message.questions == [Question(NAME, TYPE_TXT)]
        assert message.answers == []


def test_recorded_answers_name_the_sender_and_its_port():
    ports = {"10.99.0.1:5353": 3282, "10.99.0.2:5353": 4444}
    assert {sender for sender, _ in answers()} == set(ports)
    for sender, data in answers():
        (answer,) = read(data).answers
        assert answer.name == NAME
        assert answer.peers == (Address("0.0.0.0", ports[sender]),)
        assert len(answer.token) == 44


def test_every_recorded_packet_is_a_dns_message():
    for _, _, data in RECORDED:
        assert dns_message.decode(data, DOMAIN) is not None


def test_our_answer_has_the_shape_of_the_recorded_one():
    data = answers()[0][1]
    token = read(data).answers[0].token
    ours = dns_message.encode_answer(
        Question(NAME, TYPE_TXT), DOMAIN, host="10.99.0.1", port=3282, token=token
    )
    # Ours gives the name a second time as a pointer to the first; the reference reads that, too.
    name = data[12:64]
    assert ours.replace(b"\xc0\x0c", name) == data


@pytest.mark.parametrize("kind", [TYPE_TXT, TYPE_SRV])
def test_answers_of_either_form_give_the_port_of_the_sender(kind):
    data = dns_message.encode_answer(
        Question(NAME, kind), DOMAIN, host="10.0.0.1", port=65535, token="t"
    )
    (answer,) = read(data).answers
    assert answer.peers == (Address("0.0.0.0", 65535),)


def test_an_address_question_gets_the_address():
    data = dns_message.encode_answer(
        Question(NAME, TYPE_A), DOMAIN, host="10.0.0.1", port=3282, token=""
    )
    assert data.endswith(b"\0\x04\x0a\0\0\x01")


def test_names_are_read_without_regard_to_case():
    data = questions()[0].replace(b"dat\x05local", b"DAT\x05Local").replace(b"c996ac", b"C996AC")
    assert read(data).questions == [Question(NAME, TYPE_TXT)]


@pytest.mark.parametrize("name", ["x" * 40, " " * 40, "0d" * 19, "0d" * 21, "_services._dns-sd"])
def test_other_names_are_none_of_our_business(name):
    label = bytes((len(name),)) + name.encode()
    head, tail = questions()[0][:12], questions()[0][53:]
    assert read(head + label + tail).questions == []


def test_other_domains_are_none_of_our_business():
    message = dns_message.decode(questions()[0], "hyperswarm.local")
    assert message is not None
    assert message.questions == []


def text_record(text: bytes) -> bytes:
    head = bytes.fromhex("000084000000000100000000")
    name = b"\x28" + NAME.hex().encode() + b"\x03dat\x05local\0"
    return head + name + b"\0\x10\0\x01\0\0\0\0" + len(text).to_bytes(2, "big") + text


def test_several_peers_in_one_answer():
    text = b"\x1epeers=CgAAAQzSCgAAAgzSCgAAAwzS"
    (answer,) = read(text_record(text)).answers
    assert answer.peers == tuple(Address(f"10.0.0.{n}", 3282) for n in (1, 2, 3))


@pytest.mark.parametrize(
    "text", [b"", b"\x09peers=!!!", b"\x0cpeers=CgAAAQ", b"\xffpeers=", b"\x05peers"]
)
def test_peers_that_make_no_sense_are_none(text):
    (answer,) = read(text_record(text)).answers
    assert answer == Answer(NAME, ())


def test_t31_a_datagram_above_1500_bytes_is_not_looked_at():
    padding = bytes(1500 - len(questions()[0]))
    assert dns_message.decode(questions()[0] + padding, DOMAIN) is not None
    assert dns_message.decode(questions()[0] + padding + b"\0", DOMAIN) is None


def test_t31_at_most_16_questions_are_read():
    question = questions()[0]
    again = b"\xc0\x0c\0\x10\0\x01"
    data = b"\0\0\0\0\0\x64" + question[6:] + again * 99
    assert len(read(data).questions) == 16


def test_t31_at_most_64_records_are_read():
    first = text_record(b"")
    again = b"\xc0\x0c\0\x10\0\x01\0\0\0\0\0\0"
    data = first[:6] + b"\0\x64" + first[8:] + again * 99
    assert len(data) <= 1500
    assert len(read(data).answers) == 64


def test_t31_pointers_that_lead_in_circles_end():
    loop = bytes.fromhex("000000000001000000000000") + b"\xc0\x0c\0\x10\0\x01"
    assert dns_message.decode(loop, DOMAIN) is None


@given(st.binary(max_size=1600))
def test_t31_any_bytes_are_read_or_left(data):
    dns_message.decode(data, DOMAIN)


@given(st.sampled_from([data for _, data in MULTICAST]), st.data())
def test_t31_damaged_messages_are_read_or_left(data, draw):
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 8))):
        damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    message = dns_message.decode(bytes(damaged[: draw.draw(st.integers(0, len(data)))]), DOMAIN)
    for answer in message.answers if message else ():
        assert len(answer.name) == 20
        assert all(0 <= port <= 65535 for _, port in answer.peers)


@given(
    st.binary(min_size=20, max_size=20), st.integers(1, 65535), st.text("abcXYZ09+/=", max_size=44)
)
def test_what_we_say_is_what_we_hear(name, port, token):
    question = read(dns_message.encode_question(name, DOMAIN)).questions[0]
    assert question == Question(name, TYPE_TXT)
    data = dns_message.encode_answer(question, DOMAIN, host="10.0.0.1", port=port, token=token)
    assert read(data).answers == [Answer(name, (Address("0.0.0.0", port),), token)]
