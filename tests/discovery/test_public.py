import pytest

from datd.discovery.public import PublicAddress, Seen, agreed
from datd.types import Address

HERE = Address("198.51.100.7", 40000)
OTHER_PORT = Address("198.51.100.7", 40001)
ELSEWHERE = Address("10.0.0.7", 3282)


def test_the_public_port_is_announced_once_it_is_known():
    public = PublicAddress()
    assert public.announced(3282) == 3282
    public.learn("198.51.100.7", None)
    assert public.announced(3282) == 3282
    public.learn("198.51.100.7", 40000)
    assert public.announced(3282) == 40000


def test_who_watches_hears_of_changes_only():
    public, heard = PublicAddress(), []
    public.watch(lambda: heard.append((public.host, public.port)))
    public.learn(None, None)
    public.learn("198.51.100.7", 40000)
    public.learn("198.51.100.7", 40000)
    public.learn("198.51.100.7", None)
    assert heard == [("198.51.100.7", 40000), ("198.51.100.7", None)]


def test_a_router_knows_better_than_servers():
    public = PublicAddress()
    public.learn("198.51.100.7", 40000)
    public.mapped("198.51.100.7", 3282)
    public.learn("198.51.100.7", None)
    assert public.announced(1) == 3282
    public.learn("198.51.100.7", 40000)
    public.mapped(None, None)
    assert (public.host, public.port) == ("198.51.100.7", 40000)


@pytest.mark.parametrize(
    ("voices", "seen"),
    [
        ([], (None, None)),
        ([HERE], (HERE.host, None)),
        ([HERE, HERE], HERE),
        ([HERE, OTHER_PORT], (HERE.host, None)),
        ([HERE, HERE, OTHER_PORT], (HERE.host, None)),
        ([HERE, ELSEWHERE], (None, None)),
        ([HERE, ELSEWHERE, HERE], HERE),  # one server is on our side of the NAT
        ([HERE, ELSEWHERE, OTHER_PORT], (HERE.host, None)),
    ],
)
def test_where_servers_agree_they_are_believed(voices, seen):
    by_server = {f"192.0.2.{number}": voice for number, voice in enumerate(voices)}
    assert agreed(by_server, Seen(None, None)) == Seen(*seen)


def test_one_server_is_enough_to_confirm_what_two_agreed_on():
    before = Seen(HERE.host, HERE.port)
    assert agreed({"192.0.2.1": HERE}, before) == before
    assert agreed({"192.0.2.1": OTHER_PORT}, before) == Seen(HERE.host, None)
    assert agreed({"192.0.2.1": HERE, "192.0.2.2": OTHER_PORT}, before) == Seen(HERE.host, None)
