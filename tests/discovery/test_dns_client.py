"""The client against servers that a test plays, datagram by datagram."""

import base64
import json
import random
from ipaddress import IPv4Address

import pytest
from tests.helpers.discovery_play import KEY, ONE, OTHER, PORT, TWO, US, Play, keys, word
from tests.helpers.vectors import vectors

from datd.discovery import dns_message
from datd.discovery.dns_answers import PeerFound
from datd.discovery.dns_client import DnsClient, Resolve
from datd.discovery.dns_servers import ServerName
from datd.discovery.public import Seen
from datd.types import Address

# ---- as the reference does it


def test_the_conversation_of_the_reference_is_repeated_to_the_byte():
    recorded = json.loads((vectors("network") / "dns-h1.json").read_text())
    packets = [
        (source, to, bytes.fromhex(payload))
        for _, source, to, payload in recorded["packets"]
        if "5353" not in source
    ]
    ids = iter([0x60DB, 0x60DC])
    client = DnsClient(
        [ServerName.parse("10.99.0.3")], domain="dat.local", choose=lambda _: next(ids)
    )
    key = bytes.fromhex(recorded["name"]) + bytes(12)
    client.join(key, True, 0.0)
    client.start(3282, 0.0)
    server, us = Address("10.99.0.3", 5300), packets[0][0]
    client.lookup(key, 0.0)
    told = []
    for source, to, payload in packets[:6]:
        if source == us:
            assert client.datagrams_to_send() == [(payload, server)], to
        else:
            client.receive(payload, server, 0.0)
            told += [event for event in client.events() if isinstance(event, PeerFound)]
    assert client.datagrams_to_send() == []
    assert told == [PeerFound(key, Address("10.99.0.2", 4444), server)]


def test_a_query_is_sent_again_after_half_a_second_1_5_3_5_and_7_5():
    play = Play()
    play.up.clear()
    play.forget()
    start = play.now
    play.join()
    play.wait(7.7)
    assert [round(time - start, 3) for time, _, _ in play.asked] == [0, 0.5, 1.5, 3.5, 7.5]
    assert len(set(play.raw)) == 1
    play.wait(0.1)
    assert play.said[-1] == ("probe", None)  # is it still there?


def test_a_probe_is_sent_again_twice_and_then_the_other_port_is_tried():
    play = Play("192.0.2.1", up=(Address("192.0.2.1", 53),))
    start = play.now
    play.join()
    play.wait(1.74)
    assert [round(time - start, 3) for time, _, _ in play.asked] == [0, 0.5, 1.5]
    assert {to.port for _, to, _ in play.asked} == {5300}
    play.wait(0.02)
    assert play.said[-1] == ("announce", PORT)
    assert play.server.address == ("192.0.2.1", 53)


@pytest.mark.parametrize("port", [5300, 53])
def test_the_port_that_answered_is_kept_for_good(port):
    play = Play("192.0.2.1", up=(Address("192.0.2.1", port),))
    play.wait(2)
    play.up.clear()
    play.join()
    play.wait(10)
    play.forget()
    play.wait(600)
    assert {to.port for _, to, _ in play.asked} == {port}


def test_a_dns_server_that_is_no_discovery_server_is_left_alone():
    play = Play("192.0.2.1", up=())
    refusal = dns_message.encode_reply(play.asked[0][2].id, play.asked[0][2].head)
    play.hears(refusal)
    assert play.asked[-1][1].port == 53
    play.hears(
        dns_message.encode_reply(play.asked[-1][2].id, play.asked[-1][2].head),
        Address("192.0.2.1", 53),
    )
    assert play.server.trouble == "answers, but is no discovery server"
    play.forget()
    play.join()
    play.wait(4)
    assert play.asked == []


def test_a_joined_name_is_looked_for_without_being_announced():
    play = Play()
    play.knows = (Address("203.0.113.5", 4444),)
    play.join(announce=False)
    assert play.said[-1] == ("lookup", None)
    assert play.peers == [PeerFound(KEY, Address("203.0.113.5", 4444), ONE)]


def test_the_sender_itself_may_be_the_peer():
    play = Play()
    play.knows = (Address("0.0.0.0", 4444),)
    play.join(announce=False)
    assert play.peers[0].address == ("192.0.2.1", 4444)


def test_our_own_announcement_is_no_peer():
    play = Play()
    play.client.own_hosts(frozenset({"192.168.1.2"}), play.now)
    play.knows = (Address(US.host, PORT), Address("192.168.1.2", PORT), Address(US.host, 4444))
    play.join()
    assert [peer.address for peer in play.peers] == [(US.host, 4444)]


def test_40_announcers_are_read_from_the_answer_that_the_reference_spoils():
    play = Play(up=(ONE,))
    play.up[ONE] = "token"
    play.join(announce=False)
    play.up.clear()
    play.client.lookup(KEY, play.now)
    play.pump()
    query = play.asked[-1][2]
    everybody = [Address(f"203.0.113.{n}", 1000 + n) for n in range(40)]
    packed = b"".join(IPv4Address(host).packed + port.to_bytes(2) for host, port in everybody)
    # Above 31 peers the reference's length byte wraps around.
    peers = b"peers=" + base64.b64encode(packed)
    data = b"\x0btoken=token" + bytes([len(peers) % 256]) + peers
    record = b"\xc0\x0c" + bytes.fromhex("0010000100000000") + len(data).to_bytes(2) + data
    play.hears(dns_message.encode_reply(query.id, query.head, [record]))
    assert {peer.address for peer in play.peers} == set(everybody)


def test_only_20_bytes_of_the_discovery_key_go_out():
    play = Play()
    play.join()
    play.leave()
    assert {word[0] for word in play.said} == {"probe", "announce", "withdraw"}
    for datagram in play.raw:
        assert KEY[20:28] not in datagram
        assert KEY[20:28].hex().encode() not in datagram


# ---- servers that are not there


def test_a_silent_server_costs_a_probe_now_and_then_and_nothing_for_each_name():
    play = Play(up=())
    play.wait(3600)
    probes = len(play.asked)
    play.forget()
    for key in keys(1000):
        play.join(key)
    play.wait(3600)
    assert set(play.said) == {("probe", None)}
    assert len(play.asked) <= probes
    assert len(play.asked) <= 3 * (3600 / (0.9 * 300 + 1.75) + 1)
    assert play.server.trouble == "does not answer"
    assert not play.answering()


def test_when_a_server_is_back_every_name_is_asked_for_within_the_budget():
    play = Play(up=())
    for key in keys(50):
        play.join(key)
    play.wait(60)
    play.forget()
    play.up[ONE] = "token"
    play.wait(400)
    announced = [time for time, _, message in play.asked if word(message)[0] == "announce"]
    assert len(announced) == 50
    assert announced[-1] - announced[0] == pytest.approx(4, abs=0.2)  # ten, then ten a second


def test_at_most_ten_names_a_second_are_asked_of_each_server():
    play = Play("192.0.2.1:5300", "192.0.2.2:5300", up=(ONE, TWO))
    play.forget()
    for key in keys(100):
        play.join(key)
    for server in (ONE, TWO):
        assert len([to for _, to, _ in play.asked if to == server]) == 10
    play.wait(5)
    for server in (ONE, TWO):
        assert 55 <= len([to for _, to, _ in play.asked if to == server]) <= 61
    play.wait(5)
    assert len(play.asked) == 200


def test_names_keep_their_records_while_nothing_is_under_way():
    play = Play()
    for key in keys(100):
        play.join(key)
    play.wait(20)
    assert play.client.under_way == 0
    assert play.server.announced == 100


def test_a_server_that_moves_is_found_at_its_new_address():
    play = Play("example.org:5300", up=(ONE,))
    play.join()
    assert play.looked_up == [Resolve(0, "example.org")]
    play.client.resolved(0, ["192.0.2.1"], play.now)
    play.pump()
    assert play.said == [("probe", None), ("announce", PORT)]
    play.wait(601)
    assert play.looked_up == [Resolve(0, "example.org")] * 2
    play.client.resolved(0, ["192.0.2.1", "192.0.2.9"], play.now)
    play.forget()
    play.pump()
    assert play.asked == []  # still there
    play.up = {TWO: "token"}
    play.client.resolved(0, ["192.0.2.2"], play.now)
    play.pump()
    assert [to for _, to, _ in play.asked] == [TWO, TWO]
    assert play.said == [("probe", None), ("announce", PORT)]


def test_a_silent_server_is_looked_up_again_and_tried_at_its_other_address():
    play = Play("example.org:5300", up=())
    play.client.resolved(0, ["192.0.2.1", "192.0.2.2"], play.now)
    play.wait(1.8)
    assert not play.answering()
    play.up[TWO] = "token"
    play.wait(6)
    assert len(play.looked_up) == 2
    play.client.resolved(0, ["192.0.2.1", "192.0.2.2"], play.now)
    play.pump()
    assert play.answering()
    assert play.server.address == TWO


def test_a_name_without_an_address_is_looked_up_ever_more_rarely():
    play = Play("example.org", up=())
    tries = []
    for _ in range(3600):
        if play.looked_up:
            play.looked_up.clear()
            play.client.resolved(0, [], play.now)
            tries.append(play.now)
        play.wait(1)
    assert play.server.trouble == "its name has no IPv4 address"
    assert play.server.address is None
    assert tries[1] - tries[0] < 10
    assert 250 < tries[-1] - tries[-2] < 310
    assert play.asked == []


def test_more_than_16_servers_are_refused():
    with pytest.raises(ValueError, match="at most 16 discovery servers, not 17"):
        DnsClient([ServerName.parse("192.0.2.1")] * 17, domain="dat.local", choose=lambda n: 0)


# ---- tokens


def test_with_another_token_the_announcement_is_said_once_more():
    play = Play()
    play.up[ONE] = "another"  # it was started anew: what came with the old token was passed over
    play.forget()
    play.join()
    assert play.said == [("announce", PORT)] * 2
    assert play.asked[-1][2].records[0].text.token == "another"


def test_a_server_with_ever_new_tokens_is_asked_twice_and_no_more():
    play = Play()
    play.forget()

    class Fresh(dict[Address, str]):
        def get(self, server, default=None):
            return f"token-{random.random()}"

    play.up = Fresh(play.up)
    play.join()
    assert len(play.asked) == 2


def test_a_token_of_more_than_five_minutes_is_not_used():
    play = Play()
    play.wait(299)
    play.forget()
    play.join()
    assert play.said == [("announce", PORT)]
    play.wait(301)
    play.forget()
    play.client.lookup(KEY, play.now)
    play.pump()
    assert play.said == [("probe", None), ("announce", PORT)]


# ---- where we are seen


@pytest.mark.parametrize(
    ("first", "second", "seen"),
    [
        (Address("198.51.100.7", 40000), Address("198.51.100.7", 40000), ("198.51.100.7", 40000)),
        (Address("198.51.100.7", 40000), Address("198.51.100.7", 40001), ("198.51.100.7", None)),
        (Address("198.51.100.7", 40000), Address("198.51.100.8", 40000), (None, None)),
    ],
)
def test_two_servers_tell_where_we_are_seen(first, second, seen):
    play = Play("192.0.2.1:5300", "192.0.2.2:5300", up=(ONE, TWO), start=False)
    play.sees = {ONE: first, TWO: second}
    play.client.start(PORT, play.now)
    play.pump()
    assert play.seen == [Seen(*seen)]


def test_one_server_tells_the_address_but_not_the_port():
    assert Play().seen == [Seen(US.host, None)]


def test_announcements_wait_a_moment_for_the_second_server():
    play = Play("192.0.2.1:5300", "192.0.2.2:5300", up=(ONE,))
    play.join()
    assert play.said == [("probe", None)] * 2
    play.wait(1.8)  # the second one is given up
    assert play.said[-1] == ("announce", PORT)
    assert play.seen == [Seen(US.host, None)]


def test_we_look_again_every_half_hour():
    play = Play("192.0.2.1:5300", "192.0.2.2:5300", up=(ONE, TWO))
    play.wait(1700)
    play.forget()
    play.sees = dict.fromkeys((ONE, TWO), Address(US.host, 7777))
    play.wait(200)
    assert play.said == [("probe", None)] * 2
    assert play.seen[-1] == Seen(US.host, 7777)


def test_the_port_stays_known_when_one_of_two_servers_goes():
    play = Play("192.0.2.1:5300", "192.0.2.2:5300", up=(ONE, TWO), start=False)
    play.sees = dict.fromkeys((ONE, TWO), Address(US.host, 40000))
    play.client.start(PORT, play.now)
    play.pump()
    del play.up[TWO]
    play.wait(4000)
    assert [server.answering for server in play.client.servers] == [True, False]
    assert set(play.seen) == {Seen(US.host, 40000)}


def test_after_a_change_of_network_all_is_told_anew():
    play = Play()
    play.client.own_hosts(frozenset({"10.0.0.2"}), play.now)
    play.join()
    play.forget()
    play.client.own_hosts(frozenset({"10.0.0.2"}), play.now)
    play.pump()
    assert play.asked == []
    play.client.own_hosts(frozenset({"10.7.0.2"}), play.now)
    play.pump()
    assert play.said == [("probe", None), ("announce", PORT)]


def test_a_new_public_port_is_announced_and_the_old_one_taken_back():
    play = Play()
    for key in (KEY, OTHER):
        play.join(key)
    play.forget()
    play.client.announce_port(40000, play.now)
    play.pump()
    play.wait(1)
    assert sorted(play.said, key=str) == [("announce", 40000)] * 2 + [("withdraw", PORT)] * 2
