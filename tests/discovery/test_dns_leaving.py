"""The client takes back what it announced, and hears of peers without asking."""

import pytest
from tests.helpers.discovery_play import KEY, ONE, OTHER, PORT, Play, keys, push, word

from datd.discovery import dns_client, dns_message
from datd.discovery.dns_answers import PeerFound
from datd.types import Address

# ---- leaving


def test_what_was_announced_is_withdrawn_also_when_the_port_has_changed_since():
    play = Play()
    play.client.announce_port(40000, play.now)
    play.join()
    play.client.announce_port(50000, play.now)
    play.forget()
    play.leave()
    assert ("withdraw", 40000) in play.said or ("withdraw", 50000) in play.said
    play.wait(5)
    assert {word for word in play.said if word[0] == "withdraw"} >= {("withdraw", 50000)}
    assert play.server.announced == 0


def test_a_withdrawal_that_gets_lost_is_sent_again():
    play = Play()
    play.join()
    play.up.clear()
    play.forget()
    play.leave()
    play.wait(2)
    assert play.said == [("withdraw", PORT)] * 3
    play.up[ONE] = "token"
    play.wait(20)
    assert len(play.said) <= 5


def test_what_was_only_looked_for_needs_no_withdrawal():
    play = Play()
    play.join(announce=False)
    play.forget()
    play.leave()
    play.wait(10)
    assert play.asked == []


def test_to_be_looked_for_only_means_to_be_withdrawn():
    play = Play()
    play.join()
    play.forget()
    play.join(announce=False)
    play.wait(1)
    assert sorted(play.said, key=str) == [("lookup", None), ("withdraw", PORT)]


def test_no_announcement_is_repeated_after_the_withdrawal():
    play = Play()
    play.up.clear()
    play.join()
    play.leave()
    play.forget()
    play.wait(7)
    assert set(play.said) == {("withdraw", PORT)}


def test_no_withdrawal_is_repeated_after_the_announcement():
    play = Play()
    play.join()
    play.up.clear()
    play.leave()
    play.join()
    play.forget()
    play.wait(7)
    assert set(play.said) == {("announce", PORT)}


@pytest.mark.parametrize("count", [10, 11])  # of questions and withdrawals either has its turn
def test_a_withdrawal_that_still_waits_is_dropped_when_the_name_comes_back(count: int):
    play = Play()
    for key in keys(count):
        play.join(key)
    play.wait(0.1)
    for key in keys(count):  # nothing is left of the second's budget: all of this has to wait
        play.leave(key)
        play.join(key)
    play.wait(10)
    last = {message.questions[0].name: word(message) for _, _, message in play.asked}
    assert [last[key[:20]] for key in keys(count)] == [("announce", PORT)] * count
    assert play.server.announced == count


def test_a_server_that_was_away_hears_of_what_was_left_meanwhile():
    play = Play()
    for key in keys(20):
        play.join(key)
    play.wait(5)
    play.up.clear()
    play.client.lookup(keys(1)[0], play.now)
    play.wait(20)
    for key in keys(20):
        play.leave(key)
    play.forget()
    play.up[ONE] = "token"
    play.wait(60)
    assert play.said.count(("withdraw", PORT)) == 20
    assert ("announce", PORT) not in play.said


def test_at_the_end_everything_is_withdrawn_faster_than_the_budget():
    play = Play()
    for key in keys(200):
        play.join(key)
    play.wait(30)
    play.forget()
    play.client.withdraw_all(play.now)
    assert play.client.under_way <= dns_client.MAX_CLOSING
    assert not play.withdrawn()
    play.pump()
    assert play.said == [("withdraw", PORT)] * 200
    assert play.withdrawn()
    play.client.lookup(KEY, play.now)
    play.wait(3600)
    assert len(play.asked) == 200


def test_at_the_end_no_announcement_is_repeated():
    play = Play()
    play.up.clear()
    play.join()
    play.client.withdraw_all(play.now)
    play.forget()
    play.wait(10)
    assert set(play.said) == {("withdraw", PORT), ("probe", None)}


def test_the_end_does_not_wait_for_servers_that_are_silent():
    play = Play()
    play.join()
    play.up.clear()
    play.client.lookup(KEY, play.now)
    play.wait(20)
    play.client.withdraw_all(play.now)
    assert play.withdrawn()


# ---- pushes


def test_a_push_is_told_and_acknowledged():
    play = Play()
    play.join()
    play.hears(push())
    assert play.peers == [PeerFound(KEY, Address("203.0.113.5", 4444), ONE)]
    assert play.raw[-1] == dns_message.encode_acknowledgement(77)
    assert len(play.raw[-1]) == 12


def test_a_push_may_come_from_the_other_port_of_the_server():
    play = Play()
    play.join()
    play.hears(push(), Address(ONE.host, 53))
    assert play.peers[0].told_by == (ONE.host, 53)
    assert play.asked[-1][1] == (ONE.host, 53)


def test_a_push_about_something_else_is_acknowledged_and_forgotten():
    play = Play()
    play.join()
    play.hears(push(OTHER))
    assert play.peers == []
    assert play.said[-1] == ("acknowledge", 77)


def test_t32_a_push_of_a_stranger_is_nothing():
    play = Play()
    play.join()
    play.forget()
    play.hears(push(), Address("203.0.113.66", 5300))
    assert play.peers == []
    assert play.asked == []
    assert play.client.strangers == 1


def test_nobody_gets_an_answer_to_a_question():
    play = Play()
    play.join()
    play.forget()
    for question in (
        dns_message.encode_probe(5, "dat.local"),
        dns_message.encode_lookup(5, KEY[:20], "dat.local", token="x"),
        dns_message.encode_announce(5, KEY[:20], "dat.local", token="x", port=1),
        dns_message.encode_question(KEY[:20], "dat.local"),
    ):
        play.hears(question)
    assert play.asked == []
    assert play.server.refused == 4
    assert play.peers == []
