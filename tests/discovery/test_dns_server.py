"""A discovery server without a network: datagrams in, datagrams out."""

import pytest
from tests.helpers.served_network import DOMAIN, NAME, ONE, THREE, TWO, ServedNetwork, read

from datd.discovery import dns_message
from datd.discovery.dns_message import PROBE, TYPE_A, TYPE_SRV, TYPE_TXT, Answer, Question, Record
from datd.discovery.dns_server import ROTATION, SUBSCRIBER_SECONDS
from datd.discovery.dns_text import Text
from datd.types import Address


@pytest.fixture
def net() -> ServedNetwork:
    return ServedNetwork()


def test_a_probe_tells_who_one_is(net: ServedNetwork):
    told = net.ask(dns_message.encode_probe(7, DOMAIN), ONE)
    (record,) = told.records
    assert (record.name, record.text.host, record.text.port) == (PROBE, "10.0.0.1", 4001)
    assert len(record.text.token) == 44
    assert told.questions == [Question(PROBE, TYPE_TXT)]


def test_a_first_announce_is_told_to_the_next_asker_only(net: ServedNetwork):
    assert net.announce(ONE, 3282) == ()
    assert net.announce(TWO, 4444) == (Address("10.0.0.1", 3282),)
    assert set(net.announce(ONE, 3282)) == {Address("10.0.0.1", 3282), Address("10.0.0.2", 4444)}
    assert set(net.lookup(THREE)) == {Address("10.0.0.1", 3282), Address("10.0.0.2", 4444)}
    assert net.lookup(THREE, name=b"x" * 20) == ()


def test_port_0_is_the_port_the_server_sees(net: ServedNetwork):
    net.announce(ONE, 0)
    assert net.lookup(TWO) == (ONE,)
    net.unannounce(ONE, 0)
    assert net.lookup(TWO) == ()


def test_an_unannounce_is_heard_at_once(net: ServedNetwork):
    net.announce(ONE, 3282)
    assert net.unannounce(ONE, 3282) == (Address("10.0.0.1", 3282),)
    assert net.lookup(TWO) == ()
    assert net.server.counts.withdrawn == 1


def test_peers_are_forgotten_after_5_minutes_and_can_come_back(net: ServedNetwork):
    net.announce(ONE, 3282)
    net.wait(299)
    assert net.announce(TWO, 4444) == (Address("10.0.0.1", 3282),)
    net.wait(1)
    assert net.lookup(THREE) == (Address("10.0.0.2", 4444),)
    net.announce(ONE, 3282)
    assert Address("10.0.0.1", 3282) in net.lookup(THREE)


def test_the_lifetime_can_be_chosen():
    net = ServedNetwork(lifetime=10)
    net.announce(ONE, 3282)
    net.wait(10)
    assert net.lookup(TWO) == ()


# ---- pushes


def test_subscribers_are_told_of_new_peers_where_they_spoke_to_us(net: ServedNetwork):
    net.announce(ONE, 3282, door=1)
    net.announce(TWO, 4444)
    (push,) = net.pushed
    assert (push.address, push.door) == (ONE, 1)
    assert read(push.datagram).records == [Record(NAME, TYPE_SRV, peer=Address("10.0.0.2", 4444))]
    net.announce(TWO, 4444)
    assert net.pushed == []


def test_a_push_is_repeated_until_it_is_acknowledged(net: ServedNetwork):
    net.lookup(ONE)
    net.announce(TWO, 4444)
    (push,) = net.pushed
    assert net.server.next_timer() == 0.5
    assert net.server.handle_timer(0.5) == [push]
    reply = dns_message.encode_acknowledgement(int.from_bytes(push.datagram[:2], "big"))
    assert net.say(reply, ONE) is None
    assert net.server.handle_timer(1.5) == []
    assert net.server.next_timer() is None


def test_who_does_not_subscribe_any_more_is_not_told(net: ServedNetwork):
    net.announce(ONE, 3282)
    net.unannounce(ONE, 3282)
    net.announce(TWO, 4444)
    assert net.pushed == []


def test_subscriptions_last_3_minutes(net: ServedNetwork):
    net.lookup(ONE)
    net.wait(SUBSCRIBER_SECONDS - 1)
    net.announce(TWO, 4444)
    assert len(net.pushed) == 1
    net.wait(1)
    net.announce(THREE, 4444)
    assert [push.address for push in net.pushed] == [TWO]


def test_nobody_is_told_of_himself(net: ServedNetwork):
    net.lookup(ONE)
    net.announce(ONE, 3282)
    assert net.pushed == []


def test_16_subscribers_at_random_are_told(net: ServedNetwork):
    for number in range(100):
        net.lookup(Address(f"10.1.0.{number}", 4000))
    told = set()
    for number in range(100):
        net.announce(Address(f"10.2.0.{number}", 4000), 3282)
        assert len(net.pushed) <= 16
        told |= {push.address for push in net.pushed}
    assert len(told) > 100


# ---- answers


def test_of_more_than_31_announcers_31_are_told_at_random(net: ServedNetwork):
    everybody = {Address(f"10.1.0.{number}", 3282) for number in range(100)}
    for host, port in everybody:
        net.announce(Address(host, 4000), port)
    found: set[Address] = set()
    for _ in range(40):
        told = net.lookup(TWO)
        assert len(set(told)) == 31
        found.update(told)
        net.wait(1)
    assert found == everybody


def with_token(kind: int, token: str, name: bytes = NAME) -> bytes:
    """A lookup that asks for another type of record."""
    datagram = dns_message.encode_lookup(7, name, DOMAIN, token=token)
    return datagram[:64] + kind.to_bytes(2, "big") + datagram[66:]


def test_questions_for_services_and_addresses_get_ten(net: ServedNetwork):
    for number in range(20):
        net.announce(Address(f"10.1.0.{number}", 4000), 3282)
    told = net.ask(with_token(TYPE_SRV, net.token(TWO)), TWO)
    assert len({record.peer for record in told.records}) == 10
    assert all(record.peer and record.peer.port == 3282 for record in told.records)
    told = net.ask(with_token(TYPE_A, net.token(TWO)), TWO)
    assert len({record.peer for record in told.records}) == 10
    for kind in (TYPE_SRV, TYPE_A, 28):
        assert net.ask(with_token(kind, ""), TWO).records == []
    assert net.ask(with_token(28, net.token(TWO)), TWO).records == []


@pytest.mark.parametrize("domain", ["dat.lan", "local", "x.dat.local", "push.dat.local"])
def test_other_names_get_an_empty_answer(net: ServedNetwork, domain: str):
    told = net.say(dns_message.encode_probe(7, domain), ONE)
    assert told == dns_message.encode_reply(7, dns_message.encode_probe(7, domain)[12:])
    assert net.server.counts.foreign == 1


def test_a_query_without_a_question_gets_an_empty_answer(net: ServedNetwork):
    push = dns_message.encode_push(7, NAME, DOMAIN, ONE)
    assert net.say(push, ONE) == dns_message.encode_acknowledgement(7)
    assert net.lookup(TWO) == ()


def test_the_domain_itself_has_no_peers(net: ServedNetwork):
    text = Text(subscribe=True, token=net.token(ONE), announce=3282)
    question = dns_message.encode_probe(7, DOMAIN)[12:]
    datagram = dns_message.encode_reply(7, question, [dns_message.text_record(text)])
    net.ask(datagram[:2] + b"\1\0" + datagram[4:], ONE)
    assert len(net.server.peers) == len(net.server.subscribers) == 0


# ---- tokens


def test_without_a_token_there_are_no_peers_and_nothing_is_stored(net: ServedNetwork):
    net.announce(ONE, 3282)
    for token in ("", "x" * 44, net.token(ONE), "é"):
        datagram = dns_message.encode_announce(7, NAME, DOMAIN, token=token, port=4444)
        (record,) = net.ask(datagram, TWO).records
        assert record.text == Text(token=net.token(TWO), host="10.0.0.2", port=4002)
    net.announce(THREE, 5555)
    assert [push.address for push in net.pushed] == [ONE]
    assert Address("10.0.0.2", 4444) not in net.lookup(THREE)
    assert net.server.counts.bad_tokens == 3


def test_tokens_live_5_to_10_minutes(net: ServedNetwork):
    net.wait(ROTATION - 1)
    token = net.token(ONE)
    lookup = dns_message.encode_lookup(7, NAME, DOMAIN, token=token)
    net.announce(TWO, 4444)

    def accepted() -> bool:
        return bool(net.ask(lookup, ONE).answers[0].peers)

    assert accepted()
    net.wait(ROTATION)
    assert net.token(ONE) != token
    net.announce(TWO, 4444)
    assert accepted()
    net.wait(ROTATION)
    net.announce(TWO, 4444)
    assert not accepted()


def test_a_token_dies_on_time_though_nobody_asked_meanwhile(net: ServedNetwork):
    net.announce(TWO, 4444)
    lookup = dns_message.encode_lookup(7, NAME, DOMAIN, token=net.token(ONE))
    net.wait(2 * ROTATION - 1)
    net.announce(TWO, 4444)
    assert net.ask(lookup, ONE).answers[0].peers
    net.wait(1)
    assert not net.ask(lookup, ONE).answers[0].peers


def test_no_token_outlives_a_night_of_silence(net: ServedNetwork):
    token = net.token(ONE)
    net.wait(100_000)
    net.announce(TWO, 4444)
    told = net.ask(dns_message.encode_lookup(7, NAME, DOMAIN, token=token), ONE)
    assert told.answers[0].peers == ()


def test_a_token_is_good_for_all_ports_of_a_host(net: ServedNetwork):
    token = net.token(ONE)
    net.announce(TWO, 4444)
    told = net.ask(dns_message.encode_lookup(7, NAME, DOMAIN, token=token), Address(ONE.host, 9999))
    assert told.answers == [Answer(NAME, (Address("10.0.0.2", 4444),), token)]
