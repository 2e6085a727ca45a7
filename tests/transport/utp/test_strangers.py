import random

from hypothesis import given
from hypothesis import strategies as st
from tests.transport.utp.simulated_wire import parsed

from datd.transport.utp.packet import DATA, FIN, RESET, STATE, SYN, Packet, encode
from datd.transport.utp.receiving import WINDOW
from datd.transport.utp.strangers import (
    CALLS_PER_SECOND,
    HALF_OPEN_TIME,
    MAX_ANSWERS,
    MAX_CONNECTIONS,
    MAX_MEMORIES,
    MAX_PER_HOST,
    MEMORY_TIME,
    Doorkeeper,
    Memories,
)
from datd.types import Address

CALLER = Address("192.0.2.1", 4001)
KEY = (CALLER.host, CALLER.port, 4568)


def syn(id_: int = 4567, seq: int = 100) -> Packet:
    return Packet(SYN, id_, 5, 0, WINDOW, seq, 0)


def door(now: float = 0.0) -> Doorkeeper:
    return Doorkeeper(random.Random(2).randrange, now)


def another(number: int) -> Address:
    return Address(f"198.51.{number // 200}.{number % 200}", 9)


def ring_many(keeper: Doorkeeper, count: int, now: float = 0.0, *, connections: int = 0) -> int:
    """Calls from as many hosts. Gives how many were answered."""
    answers = [keeper.ring(another(number), syn(), connections, now) for number in range(count)]
    return sum(answer is not None for answer in answers)


def answered(keeper: Doorkeeper, call: Packet, now: float = 0.0) -> Packet:
    return parsed(keeper.ring(CALLER, call, 0, now))


def test_a_call_is_answered_with_numbers_of_chance():
    keeper = door()
    numbers = {answered(keeper, syn(id_)).seq for id_ in range(0, 100, 10)}
    assert len(numbers) == 10


def test_the_first_data_after_the_answer_takes_the_call():
    keeper = door()
    answer = answered(keeper, syn())
    assert keeper.take(KEY, 101, answer.seq, 0.0) is None
    call = keeper.take(KEY, 101, (answer.seq - 1) % 65536, 0.0)
    assert call is not None
    assert call.syn == syn()
    assert not keeper.has(KEY)


def test_t37_a_call_that_comes_again_is_answered_three_times_at_most():
    keeper = door()
    answers = [keeper.ring(CALLER, syn(), 0, 0.1 * number) for number in range(6)]
    sent = [answer for answer in answers if answer is not None]
    assert len(sent) == MAX_ANSWERS
    assert {parsed(answer).seq for answer in sent} == {parsed(sent[0]).seq}
    assert keeper.half_open == 1


def test_another_call_with_the_same_id_is_not_answered():
    keeper = door()
    answered(keeper, syn(seq=100))
    assert keeper.ring(CALLER, syn(seq=101), 0, 0.0) is None


def test_t37_one_host_has_at_most_32_calls_and_connections():
    keeper = door()
    answers = []
    for number in range(40):
        answer = keeper.ring(CALLER, syn(10 * number), 0, 0.0)
        if answer is not None:
            answers.append(parsed(answer))
    assert len(answers) == MAX_PER_HOST
    key = (CALLER.host, CALLER.port, 1)
    assert keeper.take(key, 101, (answers[0].seq - 1) % 65536, 0.0) is not None
    assert keeper.ring(CALLER, syn(5000), 0, 0.0) is None  # it has become a connection
    keeper.left(CALLER.host)
    assert keeper.ring(CALLER, syn(5000), 0, 0.0) is not None


def test_t37_a_hundred_calls_a_second_are_answered():
    keeper = door()
    assert ring_many(keeper, 150) == CALLS_PER_SECOND
    assert ring_many(keeper, 260, now=0.5) == CALLS_PER_SECOND * 0.5 + 100  # the latter: again


def test_calls_beyond_all_connections_are_not_answered():
    keeper = door()
    assert ring_many(keeper, 50, connections=MAX_CONNECTIONS - 20) == 20


def test_a_half_open_call_is_forgotten_after_ten_seconds():
    keeper = door()
    ring_many(keeper, 50)
    answer = answered(keeper, syn(), now=5.0)
    keeper.expire(HALF_OPEN_TIME)
    assert keeper.half_open == 1
    assert keeper.take(KEY, 101, (answer.seq - 1) % 65536, 5.0 + HALF_OPEN_TIME) is None
    assert keeper.half_open == 0
    assert not keeper._hosts


def test_a_call_taken_back_makes_room():
    keeper = door()
    answered(keeper, syn())
    keeper.hang_up(KEY)
    keeper.hang_up(KEY)
    assert keeper.half_open == 0
    assert not keeper._hosts


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 65535), st.floats(0, 4)), max_size=80))
def test_t37_whatever_comes_the_counts_of_hosts_are_true(story):
    keeper = door()
    now = 0.0
    for host, id_, passed in story:
        now += passed
        keeper.ring(another(host), syn(id_), 0, now)
        keeper.hang_up((another(host).host, 9, id_ // 2))
        assert sum(keeper._hosts.values()) == keeper.half_open


def packet(kind: int, seq: int = 7) -> bytes:
    return encode(Packet(kind, 4568, 1, 1, 1, seq, 9))


def test_a_packet_of_nobody_is_refused_once_in_ten_seconds():
    memories = Memories()
    refusal = memories.reply(KEY, packet(DATA), 0.0)
    assert refusal is not None
    assert parsed(refusal).kind == RESET
    assert memories.reply(KEY, packet(DATA), 0.0) is None
    assert memories.reply(KEY, packet(DATA), MEMORY_TIME - 0.1) is None
    assert memories.reply(KEY, packet(DATA, seq=8), 0.0) is not None
    assert memories.reply(KEY, packet(DATA), MEMORY_TIME) is not None


def test_t37_a_thousand_refusals_are_remembered():
    memories = Memories()
    for number in range(3 * MAX_MEMORIES):
        memories.reply((another(number).host, 9, number % 65536), packet(DATA), 0.0)
        memories.remember((another(number).host, 8, 1), b"", 0.0)
    assert len(memories._refused) == len(memories._gone) == MAX_MEMORIES


def test_a_late_fin_is_told_once_more_that_it_arrived():
    memories = Memories()
    memories.remember(KEY, b"the last acknowledgement", 0.0)
    assert memories.reply(KEY, packet(FIN), 1.0) == b"the last acknowledgement"
    assert memories.reply(KEY, packet(FIN), 2.0) == b"the last acknowledgement"
    assert parsed(memories.reply(KEY, packet(FIN), MEMORY_TIME)).kind == RESET


def test_two_that_remember_do_not_answer_one_another_for_ever():
    memories = Memories()
    memories.remember(KEY, packet(STATE), 0.0)
    assert memories.reply(KEY, packet(STATE), 1.0) is None


def test_a_call_that_was_dropped_is_dropped_in_silence():
    memories = Memories()
    memories.remember(KEY, None, 0.0)
    assert memories.reply(KEY, packet(STATE), 1.0) is None


def test_a_new_connection_with_the_same_ids_is_not_told_of_the_old_one():
    memories = Memories()
    memories.remember(KEY, b"old", 0.0)
    memories.forget(KEY)
    assert memories.reply(KEY, packet(DATA), 1.0) != b"old"
