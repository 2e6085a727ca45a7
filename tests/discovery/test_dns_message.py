import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.vectors import vectors

from datd.discovery import dns_message
from datd.discovery.dns_message import (
    PROBE,
    TYPE_A,
    TYPE_SRV,
    TYPE_TXT,
    Answer,
    Message,
    Question,
    Record,
)
from datd.discovery.dns_text import Text
from datd.types import Address
from datd.udp.demultiplex import Kind, kind_of

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


# ---- with servers

SERVER = "10.99.0.3:5300"
TOKENS = {
    "10.99.0.1": "HVM7flMuHpA2KWGO6PWq4AEbdishdZ0EAMjmOtyJofY=",
    "10.99.0.2": "THAOqzhWkryDl18D13hb78LelrKLm/Al9i11Uch5Zy0=",
}


def between(host: str) -> list[tuple[bool, bytes]]:
    """What a host and the server said to one another: whether it was the host, and what."""
    unicast = [row for row in RECORDED if SERVER in row[:2] and row[0].startswith((host, SERVER))]
    return [
        (sender != SERVER, data)
        for sender, to, data in unicast
        if host in (sender.partition(":")[0], to.partition(":")[0])
    ]


def said_by(host: str) -> list[bytes]:
    return [data for outward, data in between(host) if outward]


def told_to(host: str) -> list[bytes]:
    return [data for outward, data in between(host) if not outward]


def test_our_probe_is_the_recorded_one_to_the_byte():
    assert said_by("10.99.0.1")[0] == dns_message.encode_probe(0x60DC, DOMAIN)
    assert said_by("10.99.0.2")[0] == dns_message.encode_probe(0xB572, DOMAIN)


@pytest.mark.parametrize(
    ("host", "id", "port"), [("10.99.0.1", 0x60DD, 3282), ("10.99.0.2", 0xB573, 4444)]
)
def test_our_announce_is_the_recorded_one_to_the_byte(host: str, id: int, port: int):
    ours = dns_message.encode_announce(id, NAME, DOMAIN, token=TOKENS[host], port=port)
    assert ours == said_by(host)[1]
    text = Text(subscribe=True, token=TOKENS[host], announce=port)
    assert read(ours) == Message(
        id=id,
        questions=[Question(NAME, TYPE_TXT)],
        records=[Record(NAME, TYPE_TXT, text=text)],
        head=ours[12:68],
        first=Question(NAME, TYPE_TXT),
    )


def test_a_lookup_is_an_announce_without_a_port_and_an_unannounce_subscribes_to_nothing():
    lookup = read(dns_message.encode_lookup(7, NAME, DOMAIN, token="t"))
    assert [record.text for record in lookup.records] == [Text(subscribe=True, token="t")]
    goodbye = read(dns_message.encode_unannounce(7, NAME, DOMAIN, token="t", port=3282))
    assert [record.text for record in goodbye.records] == [Text(token="t", unannounce=3282)]
    assert lookup.questions == goodbye.questions == [Question(NAME, TYPE_TXT)]


def test_our_push_and_its_acknowledgement_are_the_recorded_ones_to_the_byte():
    push, acknowledgement = told_to("10.99.0.1")[-1], said_by("10.99.0.1")[-1]
    peer = Address("10.99.0.2", 4444)
    assert dns_message.encode_push(0xACA3, NAME, DOMAIN, peer) == push
    assert dns_message.encode_acknowledgement(0xACA3) == acknowledgement
    assert read(push) == Message(id=0xACA3, records=[Record(NAME, TYPE_SRV, peer=peer)])
    assert read(acknowledgement) == Message(id=0xACA3, response=True)


def test_recorded_answers_are_understood():
    probed, announced = (read(data) for data in told_to("10.99.0.2")[:2])
    seen = Text(token=TOKENS["10.99.0.2"], host="10.99.0.2", port=57625)
    assert probed.records == [Record(PROBE, TYPE_TXT, text=seen)]
    assert (probed.id, probed.response, probed.first) == (0xB572, True, Question(PROBE, TYPE_TXT))
    known = Text(token=TOKENS["10.99.0.2"], peers=(Address("10.99.0.1", 3282),))
    assert announced.records == [Record(NAME, TYPE_TXT, text=known)]
    assert announced.answers == [Answer(NAME, known.peers, known.token)]


def test_our_replies_have_the_shape_of_the_recorded_ones():
    assert len(told_to("10.99.0.2")) == 3
    for data in told_to("10.99.0.2"):
        message = read(data)
        records = [dns_message.text_record(record.text) for record in message.records]
        ours = dns_message.encode_reply(message.id, message.head, records)
        # Ours gives the name a second time as a pointer to the first.
        assert ours.replace(b"\xc0\x0c", message.head[:-4]) == data
        assert read(ours) == message


def test_what_a_server_says_of_the_asker_is_no_answer_about_a_name():
    assert read(told_to("10.99.0.2")[0]).answers == []


def test_queries_tell_nothing_about_peers_to_multicast():
    assert read(told_to("10.99.0.1")[-1]).answers == []


def test_other_classes_than_the_internet_are_left_out():
    announce = dns_message.encode_announce(7, NAME, DOMAIN, token="t", port=1)
    chaos = read(announce.replace(b"\0\x10\0\x01", b"\0\x10\0\x03"))
    assert (chaos.questions, chaos.first, chaos.records) == ([], None, [])


def test_t31_pointers_forwards_are_refused():
    announce = dns_message.encode_announce(7, NAME, DOMAIN, token="t", port=1)
    name = announce[12:64]
    assert read(announce[:68] + b"\xc0\x0c" + announce[120:]).records
    forwards = announce[:12] + b"\xc0\x12" + announce[64:68] + name + announce[120:]
    assert dns_message.decode(forwards, DOMAIN) is None


def test_replies_of_each_type_are_read_as_they_were_meant():
    head = dns_message.encode_lookup(7, NAME, DOMAIN, token="")[12:68]
    peers = [Address("10.0.0.1", 3282), Address("255.255.255.255", 65535)]
    services = [dns_message.service_record(peer) for peer in peers]
    told = read(dns_message.encode_reply(7, head, services))
    assert told.records == [Record(NAME, TYPE_SRV, peer=peer) for peer in peers]
    assert told.answers == [Answer(NAME, (peer,)) for peer in peers]
    told = read(dns_message.encode_reply(7, head, [dns_message.address_record("10.0.0.1")]))
    assert told.records == [Record(NAME, TYPE_A, peer=Address("10.0.0.1", 0))]
    assert told.answers == []


def test_a_service_at_a_name_is_left_out():
    push = dns_message.encode_push(7, NAME, DOMAIN, Address("10.0.0.1", 1))
    assert read(push.replace(b"\x0210\x010", b"\x02ab\x010")).records == []


def test_the_first_question_is_told_apart_from_the_first_of_ours():
    foreign = b"\x01x\0\0\x10\0\x01"
    ours = dns_message.encode_probe(7, DOMAIN)
    message = read(ours[:5] + b"\x02" + ours[6:12] + foreign + ours[12:])
    assert message.questions == [Question(PROBE, TYPE_TXT)]
    assert (message.first, message.head) == (None, foreign)


def test_ids_count_up_and_never_look_like_utp_or_the_dht():
    ids, id = [], 0
    while id < 65534:
        id = dns_message.next_id(id)
        ids.append(id)
    assert ids == sorted(set(ids))
    assert dns_message.next_id(65534) == 1
    rest = dns_message.encode_probe(0, DOMAIN)[2:]
    assert ids == [
        id for id in range(1, 65535) if kind_of(id.to_bytes(2, "big") + rest) is Kind.DNS
    ]
    assert len(ids) == 65534 - 15


@given(st.sampled_from([data for _, data in between("10.99.0.1")]), st.data())
def test_t31_damaged_messages_of_servers_are_read_or_left(data: bytes, draw: st.DataObject):
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 8))):
        damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    message = dns_message.decode(bytes(damaged[: draw.draw(st.integers(0, len(data)))]), DOMAIN)
    for record in message.records if message else ():
        assert len(record.name) in (0, 20)
        assert record.text.announce is None or record.text.announce <= 65535
