from datd.discovery import dns_message
from datd.discovery.dns_message import TYPE_SRV, Record
from datd.discovery.dns_pushes import MAX_PUSHES, PER_HOST, Outgoing, Pushes
from datd.types import Address

DOMAIN = "dat.local"
NAME = b"n" * 20
PEER = Address("10.0.0.9", 3282)


def pushes() -> Pushes:
    return Pushes(domain=DOMAIN, first_id=1000)


def subscriber(number: int, port: int = 4000) -> Address:
    return Address(f"10.1.{number >> 8}.{number & 255}", port)


def sent_at(these: Pushes, until: float) -> list[tuple[float, list[Outgoing]]]:
    """Whenever the timer goes off, and what is sent then."""
    found = []
    while (due := these.next_timer()) is not None and due <= until:
        found.append((due, these.handle_timer(due)))
    return found


def id_of(push: Outgoing) -> int:
    return int.from_bytes(push.datagram[:2], "big")


def test_a_push_names_the_peer_and_leaves_by_the_door_of_the_subscriber():
    (push,) = pushes().send(NAME, PEER, subscriber(1), 7, 0.0)
    assert (push.address, push.door) == (subscriber(1), 7)
    message = dns_message.decode(push.datagram, DOMAIN)
    assert message is not None
    assert not message.response
    assert message.records == [Record(NAME, TYPE_SRV, peer=PEER)]


def test_a_push_nobody_hears_is_sent_three_times_and_then_given_up():
    these = pushes()
    first = these.send(NAME, PEER, subscriber(1), 0, 10.0)
    assert sent_at(these, 100.0) == [(10.5, first), (11.5, first), (11.75, [])]
    assert these.counts.failed == 1
    assert these.next_timer() is None


def test_a_push_that_was_heard_is_not_repeated():
    these = pushes()
    (push,) = these.send(NAME, PEER, subscriber(1), 0, 0.0)
    these.acknowledge(subscriber(1), id_of(push))
    assert sent_at(these, 100.0) == [(0.5, [])]
    assert (these.counts.sent, these.counts.heard, these.counts.failed) == (1, 1, 0)


def test_only_the_subscriber_can_acknowledge():
    these = pushes()
    (push,) = these.send(NAME, PEER, subscriber(1), 0, 0.0)
    these.acknowledge(subscriber(1, port=4001), id_of(push))
    these.acknowledge(subscriber(2), id_of(push))
    these.acknowledge(subscriber(1), id_of(push) + 1)
    assert these.handle_timer(0.5) == [push]
    assert these.counts.heard == 0


def test_pushes_of_different_times_are_repeated_in_their_order():
    these = pushes()
    one = these.send(NAME, PEER, subscriber(1), 0, 0.0)
    two = these.send(NAME, PEER, subscriber(2), 0, 0.2)
    assert sent_at(these, 0.7) == [(0.5, one), (0.7, two)]


def test_a_late_timer_sends_nothing_twice():
    these = pushes()
    push = these.send(NAME, PEER, subscriber(1), 0, 0.0)
    assert sent_at(these, 0.5) == [(0.5, push)]
    assert these.handle_timer(60.0) == push
    assert sent_at(these, 100.0) == [(60.25, [])]


def test_t33_a_host_gets_20_pushes_a_second():
    these = pushes()
    told = [these.send(NAME, PEER, subscriber(1, port), 0, 0.0) for port in range(1, 100)]
    assert sum(map(len, told)) == PER_HOST
    assert these.counts.refused == 99 - PER_HOST
    assert these.send(NAME, PEER, subscriber(2), 0, 0.0)
    assert these.send(NAME, PEER, subscriber(1), 0, 1.0)


def test_t34_pushes_under_way_are_limited_whether_they_are_heard_or_not():
    these = pushes()
    for number in range(MAX_PUSHES + 100):
        for push in these.send(NAME, PEER, subscriber(number), 0, 0.0):
            these.acknowledge(push.address, id_of(push))
    assert these.counts.refused == 100
    these.handle_timer(0.5)
    assert these.send(NAME, PEER, subscriber(1), 0, 1.5)
