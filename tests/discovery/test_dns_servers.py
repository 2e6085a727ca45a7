import pytest

from datd.discovery.dns_servers import (
    MAX_BACKOFF,
    MAX_WITHDRAWALS,
    Server,
    ServerName,
    Servers,
    State,
)
from datd.types import Address

NAME = ServerName.parse("example.org")


@pytest.mark.parametrize(
    ("text", "host", "ports"),
    [
        ("example.org", "example.org", (5300, 53)),
        ("192.0.2.1", "192.0.2.1", (5300, 53)),
        ("192.0.2.1:5300", "192.0.2.1", (5300,)),
        ("discovery1.datprotocol.com:5300,53", "discovery1.datprotocol.com", (5300, 53)),
        (" localhost:7 ", "localhost", (7,)),
        ("a_b.example:65535", "a_b.example", (65535,)),
    ],
)
def test_servers_are_read_as_users_write_them(text, host, ports):
    name = ServerName.parse(text)
    assert (name.text, name.host, name.ports) == (text, host, ports)
    assert name.numeric is (host == "192.0.2.1")


@pytest.mark.parametrize(
    "text",
    [
        "", ":53", "example.org:", "example.org:0", "example.org:65536", "example.org:53,",
        "example.org:1:2", "[2001:db8::1]:53", "2001:db8::1", "http://example.org", "a b",
        "-x.org", "example.org:\uff15\uff13", "x" * 300,
    ],
)  # fmt: skip
def test_what_is_no_server_is_refused_in_a_sentence(text):
    with pytest.raises(ValueError, match="is not a discovery server: expected a host name"):
        ServerName.parse(text)


def test_a_server_is_found_by_its_address_or_else_by_its_host():
    servers = Servers([ServerName.parse("192.0.2.1:1"), ServerName.parse("192.0.2.1:2")])
    assert servers.at(Address("192.0.2.1", 1)) is None
    for server in servers:
        servers.place(server, "192.0.2.1", 0.0)
        server.probing()
    assert servers.at(Address("192.0.2.1", 2)) is servers[1]
    assert servers.at(Address("192.0.2.1", 9)) is servers[0]
    assert servers.at(Address("192.0.2.2", 1)) is None
    servers.place(servers[0], "192.0.2.7", 0.0)
    assert servers.at(Address("192.0.2.7", 1)) is servers[0]
    assert servers.at(Address("192.0.2.1", 9)) is servers[1]


def test_what_was_announced_elsewhere_is_forgotten_and_told_again():
    server = Server(0, NAME)
    assert server.place("192.0.2.1", 0.0)
    server.announced[b"n"] = 3282
    assert not server.place("192.0.2.1", 1.0)
    assert server.announced
    assert server.place("192.0.2.2", 2.0)
    assert not server.announced
    assert server.behind


def test_questions_and_withdrawals_take_turns():
    server = Server(0, NAME, state=State.ANSWERING)
    server.urgent = dict.fromkeys((b"a", b"b", b"c"))
    server.later = dict.fromkeys((b"b", b"x"))
    for name in (b"m", b"n", b"o", b"p"):
        server.withdraw(name, 1)
    order = []
    while server.pending:
        order.append(server.next_task())
    assert order[:4] == [(b"m", 1), (b"a", None), (b"n", 1), (b"b", None)]
    assert order[-1] == (b"x", None)
    assert len(order) == 8


def test_withdrawals_for_a_silent_server_are_bounded():
    server = Server(0, NAME, state=State.SILENT)
    for number in range(MAX_WITHDRAWALS + 50):
        server.withdraw(number.to_bytes(20, "big"), 3282)
    assert len(server.withdrawals) == MAX_WITHDRAWALS
    assert ((MAX_WITHDRAWALS + 49).to_bytes(20, "big"), 3282) in server.withdrawals


def test_a_silent_server_is_tried_ever_more_rarely():
    server, waits, now = Server(0, NAME), [], 0.0
    for _ in range(12):
        server.silent(now, lambda _: 0)
        waits.append(server.retry_at - now)
        now = server.retry_at
    assert waits[:4] == [5, 10, 20, 40]
    assert waits[-1] == MAX_BACKOFF
    server.answering()
    server.silent(now, lambda _: 99)
    assert 4.5 <= server.retry_at - now < 5


def test_a_silent_server_is_shown_with_the_reason():
    server = Server(0, ServerName.parse("example.org:5300"))
    assert server.view().address is None
    server.place("192.0.2.1", 0.0)
    server.probing()
    server.trouble = "does not answer"
    server.silent(0.0, lambda _: 0)
    view = server.view()
    assert (view.name, view.address) == ("example.org:5300", ("192.0.2.1", 5300))
    assert (view.answering, view.trouble) == (False, "does not answer")
    server.answering()
    assert (server.view().answering, server.view().trouble) == (True, "")
