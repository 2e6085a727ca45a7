"""What nobody can make a discovery server do: T-31, T-33, T-34."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.served_network import DOMAIN, NAME, ONE, TWO, ServedNetwork, read

from datd.discovery import dns_message
from datd.discovery.dns_message import TYPE_A, TYPE_SRV, TYPE_TXT
from datd.discovery.dns_server import ANSWERS_PER_SECOND, MAX_UNPROVEN
from datd.discovery.dns_store import MAX_RECORDS_OF_A_HOST
from datd.discovery.dns_text import Text, encode_text
from datd.types import Address


@pytest.fixture
def net() -> ServedNetwork:
    return ServedNetwork()


# ---- T-33: it amplifies nothing


def records(text: Text, count: int, name: bytes = b"\xc0\x0c") -> bytes:
    """So many TXT records about the first name."""
    data = encode_text(text)
    return (name + b"\0\x10\0\x01\0\0\0\0" + len(data).to_bytes(2, "big") + data) * count


def query(body: bytes, *, questions: int, extra: int = 0) -> bytes:
    return b"\0\x07\1\0\0" + bytes((questions, 0, 0, 0, 0, 0, extra)) + body


def shapes(token: str) -> list[bytes]:
    """Every way to ask for much with few bytes."""
    probe = dns_message.encode_probe(7, DOMAIN)[12:]
    named = dns_message.encode_lookup(7, NAME, DOMAIN, token="")[12:68]
    found = []
    for question, kind, again, count in itertools.product(
        (probe, named), (TYPE_TXT, TYPE_SRV, TYPE_A, 255), range(3), (0, 1, 4)
    ):
        asked = question[:-4] + kind.to_bytes(2, "big") + b"\0\1"
        repeated = (b"\xc0\x0c" + asked[-4:]) * (15 * again)
        for text in (Text(token=token), Text(subscribe=True, token=token, announce=1)):
            body = asked + repeated + records(text, count)
            found.append(query(body, questions=1 + 15 * again, extra=count))
    return [one for one in found if len(one) <= 512]


def crowded(net: ServedNetwork) -> None:
    """Many peers with long addresses, and many subscribers to every name."""
    for number in range(100, 200):
        net.announce(Address(f"210.111.222.{number}", 50000), 65535)


def test_t33_without_a_token_no_shape_of_query_brings_five_times_its_bytes(net: ServedNetwork):
    crowded(net)
    worst = 0.0
    for number, shape in enumerate(shapes("")):
        victim = Address(f"210.123.{100 + number // 50}.{100 + number % 50}", 54321)
        sent = net.server.receive(shape, victim, net.now)
        assert len(sent) == 1
        worst = max(worst, len(sent[0].datagram) / len(shape))
    # The probe it is: 27 bytes bring 122 if address and port are long. The reference: 14.5 and 139.
    assert 4 < worst < 5


def test_t33_an_answer_about_a_name_without_a_token_has_160_bytes_at_most(net: ServedNetwork):
    crowded(net)
    sizes = set()
    for host, port in itertools.product(("1.1.1.1", "210.123.234.123"), (1, 54321)):
        lookup = dns_message.encode_lookup(7, NAME, DOMAIN, token="")
        told = net.say(lookup, Address(host, port))
        assert told is not None
        assert len(read(told).records[0].text.token) == 44
        sizes.add(len(told))
    assert max(sizes) <= MAX_UNPROVEN


def test_t33_with_a_token_an_answer_stays_below_512_bytes_and_four_times_the_query(
    net: ServedNetwork,
):
    crowded(net)
    subscribed = {Address(f"210.111.222.{number}", 50000) for number in range(100, 200)}
    worst = 0.0
    for number, shape in enumerate(one for one in shapes("x" * 44) if b"xxx" in one):
        asker = Address(f"10.9.{number // 50}.{number % 50}", 54321)
        shape = shape.replace(b"x" * 44, net.token(asker).encode())
        answer, *pushed = net.server.receive(shape, asker, net.now)
        assert len(answer.datagram) < 512
        worst = max(worst, len(answer.datagram) / len(shape))
        # What is said to others is little, and they asked for it themselves.
        assert len(pushed) <= 16
        assert {push.address for push in pushed} <= subscribed
        subscribed.add(asker)
    assert 3 < worst < 4


def test_t33_the_first_question_only_is_answered(net: ServedNetwork):
    net.announce(ONE, 3282)
    for shape in shapes(net.token(TWO)):
        message = read(net.server.receive(shape, TWO, net.now)[0].datagram)
        assert len(message.questions) == 1
        net.wait(1)


def test_t33_a_host_gets_20_answers_a_second(net: ServedNetwork):
    probe = dns_message.encode_probe(7, DOMAIN)
    ports = range(1, 101)
    answered = [net.say(probe, Address("10.0.0.1", port)) is not None for port in ports]
    assert sum(answered) == ANSWERS_PER_SECOND
    assert net.server.counts.too_fast == 100 - ANSWERS_PER_SECOND
    assert net.say(probe, TWO) is not None
    net.wait(1)
    assert net.say(probe, ONE) is not None


def test_t33_who_ends_may_withdraw_all_it_has_with_answers_shorter_than_the_queries(
    net: ServedNetwork,
):
    names = [bytes([number]) * 20 for number in range(200)]
    for name in names:
        net.announce(ONE, 3282, name)
        net.wait(0.2)
    token = net.token(ONE)
    for _ in range(100):  # more than it may ask in this second
        net.say(dns_message.encode_probe(7, DOMAIN), ONE)
    for name in names:
        said = dns_message.encode_unannounce(7, name, DOMAIN, token=token, port=3282)
        answer = net.say(said, ONE)
        assert answer is not None
        assert len(answer) < len(said)
    assert net.server.counts.withdrawn == 200
    assert all(net.lookup(TWO, name) == () for name in names[:10])


def test_t33_above_the_rate_nothing_but_withdrawals_of_proven_hosts_is_taken(net: ServedNetwork):
    net.announce(ONE, 3282)
    token = net.token(ONE)
    for _ in range(100):
        net.say(dns_message.encode_probe(7, DOMAIN), ONE)
    for said in (
        dns_message.encode_unannounce(7, NAME, DOMAIN, token="", port=3282),
        dns_message.encode_unannounce(7, NAME, DOMAIN, token="x" * 44, port=3282),
        dns_message.encode_announce(7, NAME, DOMAIN, token=token, port=1),
        dns_message.encode_lookup(7, NAME, DOMAIN, token=token),
        b"\0" * 30,
    ):
        assert net.say(said, ONE) is None
    assert net.lookup(TWO) == (Address(ONE.host, 3282),)


QUESTIONS = st.sampled_from(
    [
        dns_message.encode_probe(7, DOMAIN)[12:],
        dns_message.encode_lookup(7, NAME, DOMAIN, token="")[12:68],
        b"\xc0\x0c\0\x10\0\1",
        b"\xc0\x0c\0\x21\0\1",
        b"\xc0\x35\0\x10\0\1",
        b"\x01a\xc0\x35\0\x10\0\1",
        b"\0\0\x10\0\1",
    ]
)


@settings(max_examples=300)
@given(st.lists(QUESTIONS, min_size=1, max_size=40), st.integers(0, 4), st.sampled_from(["", "x"]))
def test_t33_whatever_is_asked_without_a_token_is_not_amplified(
    questions: list[bytes], count: int, token: str
):
    body = b"".join(questions) + records(Text(subscribe=True, token=token, announce=1), count)
    asked = query(body, questions=len(questions), extra=count)
    sent = CROWDED.server.receive(asked, Address("210.123.234.123", 54321), next(LATER))
    assert len(sent) <= 1
    assert sum(len(one.datagram) for one in sent) < 5 * len(asked)


def test_t34_who_announces_speaks_for_his_own_address_only(net: ServedNetwork):
    # Neither an SRV record nor a list of peers puts anybody else into the store.
    token = net.token(ONE)
    victim = Address("192.0.2.1", 80)
    text = Text(subscribe=True, token=token, announce=80, peers=(victim,), host=victim.host)
    named = dns_message.encode_lookup(7, NAME, DOMAIN, token="")[12:68]
    service = dns_message.service_record(victim)
    net.say(query(named + records(text, 1) + service, questions=1, extra=2), ONE)
    assert net.lookup(TWO) == (Address("10.0.0.1", 80),)


def test_t34_one_record_of_a_datagram_counts(net: ServedNetwork):
    names = [b"\x28" + bytes((number,)).hex().encode() * 20 + b"\xc0\x35" for number in range(8)]
    text = Text(token=net.token(ONE), announce=1)
    named = dns_message.encode_lookup(7, NAME, DOMAIN, token="")[12:68]
    body = named + b"".join(records(text, 1, name) for name in names)
    net.say(query(body, questions=1, extra=8), ONE)
    assert len(net.server.peers) == 1


def test_t34_a_host_is_stored_under_500_names(net: ServedNetwork):
    token = net.token(ONE)
    for number in range(MAX_RECORDS_OF_A_HOST + 100):
        name = number.to_bytes(20, "big")
        net.ask(dns_message.encode_announce(7, name, DOMAIN, token=token, port=1), ONE)
        net.wait(0.1)
    assert len(net.server.peers) == len(net.server.subscribers) == MAX_RECORDS_OF_A_HOST
    assert net.server.counts.full == 200


def test_the_operator_may_let_a_host_have_more_names():
    net = ServedNetwork(host_capacity=2)
    for number in range(3):
        net.announce(ONE, 3282, bytes([number]) * 20)
    assert len(net.server.peers) == len(net.server.subscribers) == 2


# ---- T-31: any bytes

CROWDED = ServedNetwork()
crowded(CROWDED)
LATER = itertools.count(1000, 1)
HOSTS = st.builds(Address, st.sampled_from(["10.0.0.1", "10.0.0.2"]), st.integers(0, 65535))


@given(st.binary(max_size=2000), HOSTS)
def test_t31_any_bytes_are_answered_briefly_or_not_at_all(data: bytes, source: Address):
    sent = CROWDED.server.receive(data, source, next(LATER))
    assert len(sent) <= 1
    assert sum(len(one.datagram) for one in sent) <= 5 * len(data)


@given(st.data())
def test_t31_damaged_messages_are_answered_briefly_or_not_at_all(draw: st.DataObject):
    net = ServedNetwork()
    net.announce(ONE, 3282)
    token = net.token(TWO)
    make: list[Callable[[], bytes]] = [
        lambda: dns_message.encode_announce(7, NAME, DOMAIN, token=token, port=1),
        lambda: dns_message.encode_unannounce(7, NAME, DOMAIN, token=token, port=1),
        lambda: dns_message.encode_push(7, NAME, DOMAIN, ONE),
    ]
    damaged = bytearray(draw.draw(st.sampled_from(make))())
    for _ in range(draw.draw(st.integers(1, 4))):
        damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    sent = net.server.receive(bytes(damaged), TWO, 0.0)
    assert all(len(one.datagram) < 512 for one in sent)
    assert len(net.server.peers) <= 2


def test_t31_what_cannot_be_read_is_counted(net: ServedNetwork):
    for data in (b"", b"\0" * 11, b"\xff" * 40, bytes(1501)):
        assert net.say(data, ONE) is None
    assert net.say(dns_message.encode_probe(7, DOMAIN), Address("10.0.0.1", 0)) is None
    counts = net.server.counts
    assert (counts.queries, counts.unreadable, counts.answers) == (4, 4, 0)
