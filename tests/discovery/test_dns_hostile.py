"""The client among servers and hosts that lie."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.discovery_play import KEY, ONE, OTHER, TWO, US, Play, keys, push

from datd.discovery import dns_client, dns_message
from datd.discovery.dns_text import Text
from datd.types import Address


def test_t31_forged_answers_tell_nothing_and_the_true_one_is_still_heard():
    play = Play()
    play.up.clear()
    play.join()
    query = play.asked[-1][2]
    true = play.answer(ONE, query, peers=(Address("203.0.113.5", 4444),))
    forged = play.answer(ONE, query, peers=(Address("203.0.113.66", 6666),))
    for address in (TWO, Address(ONE.host, 53), Address("203.0.113.66", 5300)):
        play.hears(forged, address)
    for id in range(0, 65536, 7):
        if id != query.id:
            play.hears(id.to_bytes(2, "big") + forged[2:])
    play.hears(forged[:2] + b"\x80\0garbage", ONE)
    assert play.peers == []
    play.hears(true)
    assert [peer.address for peer in play.peers] == [("203.0.113.5", 4444)]
    play.hears(forged)  # once answered, it is over
    assert len(play.peers) == 1


def test_an_answer_about_another_name_tells_nothing():
    play = Play()
    play.up.clear()
    play.join(OTHER)
    play.join()
    query = play.asked[-1][2]
    about = dns_message.encode_lookup(1, OTHER[:20], "dat.local", token="x")
    other = dns_message.decode(about, "dat.local")
    assert other is not None
    record = dns_message.text_record(Text(token="x", peers=(Address("203.0.113.66", 6666),)))
    play.hears(dns_message.encode_reply(query.id, other.head, [record]))
    assert play.peers == []


def test_t31_of_a_flood_of_pushes_100_a_second_are_read():
    play = Play()
    play.join()
    for number in range(10_000):
        play.hears(push(host=f"203.0.{number >> 8}.{number & 255}"))
    assert len(play.peers) == 100
    assert play.server.refused == 9_900
    play.now += 1
    play.hears(push())
    assert len(play.peers) == 101


@pytest.mark.parametrize("token", ["", "x" * 200, "\x1b[2J", "a b", "é"])
def test_a_token_that_cannot_be_sent_back_is_none(token: str):
    play = Play(up=())
    query = play.asked[0][2]
    raw = f"token={token}".encode()
    data = bytes([len(raw)]) + raw
    record = b"\xc0\x0c" + bytes.fromhex("0010000100000000") + len(data).to_bytes(2, "big") + data
    reply = dns_message.encode_reply(query.id, query.head)
    play.hears(reply[:6] + b"\0\1" + reply[8:] + record)
    assert not play.answering()


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_t31_whatever_a_server_says_the_client_stands(data: st.DataObject):
    play = Play()
    play.join()
    play.join(OTHER)
    play.up.clear()
    noise = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(20):
        play.client.lookup(KEY, play.now)
        play.pump()
        asked = next(
            (message for _, _, message in reversed(play.asked) if not message.response), None
        )
        assert asked is not None
        honest = data.draw(st.sampled_from([play.answer(ONE, asked, peers=(US,)), push()]))
        spoiled = bytearray(honest)
        for _ in range(noise.randrange(4)):
            spoiled[noise.randrange(2, len(spoiled))] = noise.randrange(256)
        play.hears(bytes(spoiled[: noise.randrange(len(spoiled) + 1)]))
        play.hears(asked.id.to_bytes(2, "big") + noise.randbytes(noise.randrange(300)))
        play.wait(noise.choice((0, 0.3, 5)))
    assert play.client.under_way <= dns_client.MAX_UNDER_WAY + 2
    assert play.server.announced <= 2


def test_t31_memory_stays_bounded_whatever_is_heard():
    play = Play()
    for key in keys(10):
        play.join(key)
    for number in range(20_000):
        play.client.receive(number.to_bytes(4, "big") * 10, ONE, play.now)
        play.client.receive(bytes(20), Address(f"203.0.113.{number % 250}", number), play.now)
    assert play.client.datagrams_to_send() == []
    assert play.client.events() == []
    assert play.client.under_way == 0
