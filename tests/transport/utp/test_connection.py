import random
from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.transport.utp.simulated_wire import Weather, Wire, connected, numbers, parsed, pattern

from datd.transport.utp.connection import CLOSE_GRACE, KEEP_ALIVE, SYN_TIMEOUT, Connection, State
from datd.transport.utp.packet import (
    DATA,
    FIN,
    PAYLOAD,
    RESET,
    STATE,
    SYN,
    Packet,
    encode,
)
from datd.transport.utp.receiving import WINDOW

NOW = 1000.0


# ---- calling and being called


def test_a_call_is_repeated_after_one_and_two_seconds_and_then_given_up():
    wire = Wire()
    wire.drop = lambda _, __: True
    wire.run()
    assert [(round(at - NOW), numbers(sent)[0]) for at, sent in wire.caller.sent] == [
        (0, SYN), (1, SYN), (2, SYN),
    ]  # fmt: skip
    assert wire.now == NOW + SYN_TIMEOUT
    assert isinstance(wire.caller.machine.error, TimeoutError)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_call_or_answer_costs_a_second_and_not_the_dial(lost):
    wire = Wire()
    order = count(1)
    wire.drop = lambda _, __: next(order) == lost
    wire.run(lambda: wire.caller.machine.state is State.CONNECTED)
    assert 1.0 < wire.now - NOW < 1.1


def test_the_called_side_says_nothing_before_the_first_byte_of_the_caller():
    wire = Wire()
    wire.called.to_write = b"eager"
    wire.run(limit=5)
    assert [numbers(sent)[0] for _, sent in wire.called.sent] == [STATE]
    wire.caller.machine.write(b"!")
    wire.run(limit=5)
    assert wire.caller.heard == b"eager"


def test_numbers_of_a_call_are_those_of_the_specification():
    wire = Wire()
    wire.caller.to_write = b"hello"
    wire.run(lambda: bool(wire.called.heard))
    (_, syn), (_, data) = wire.caller.sent[:2]
    _, id_, first, ack = numbers(syn)
    assert ack == 0
    _, [(_, state)] = None, wire.called.sent[:1]
    kind, back, seq, acked = numbers(state)
    assert (kind, back, acked) == (STATE, id_, first)
    assert numbers(data) == (DATA, id_ + 1, (first + 1) % 65536, (seq - 1) % 65536)


def test_an_answer_to_another_call_is_not_ours():
    machine = Connection.calling(10, 500, NOW)
    machine.datagrams_to_send(NOW)
    machine.receive([encode(Packet(STATE, 10, 1, 1, WINDOW, 77, 499))], NOW)
    assert machine.state == State.CALLING
    machine.receive([encode(Packet(STATE, 10, 1, 1, WINDOW, 77, 500))], NOW)
    assert machine.state.value == "connected"


# ---- acknowledging


def data_from_caller(wire: Wire, place: int, payload: bytes = b"x", kind: int = DATA) -> bytes:
    """A packet as the caller might send it; place 0 is the one that comes next."""
    caller, called = wire.caller.machine, wire.called.machine
    seq = (called.incoming.next + place) % 65536
    ack = (caller.incoming.next - 1) % 65536
    return encode(Packet(kind, caller.send_id, 1, 1, WINDOW, seq, ack, payload=payload))


def answers(wire: Wire) -> list[Packet]:
    return [parsed(sent) for sent in wire.called.machine.datagrams_to_send(wire.now)]


def test_everything_read_in_one_go_is_acknowledged_once():
    wire = connected()
    run = [data_from_caller(wire, place) for place in range(20)]
    wire.called.machine.receive(run, wire.now)
    [answer] = answers(wire)
    assert answer.kind == STATE
    assert answer.ack == parsed(run[-1]).seq
    assert answers(wire) == []


def test_data_carries_the_acknowledgement():
    wire = connected()
    wire.called.machine.receive([data_from_caller(wire, 0)], wire.now)
    wire.called.machine.write(b"answer")
    [answer] = answers(wire)
    assert answer.kind == DATA
    assert answer.ack == (wire.called.machine.incoming.next - 1) % 65536


def test_beside_data_a_hole_is_told_in_a_packet_of_its_own():
    wire = connected()
    wire.called.machine.receive([data_from_caller(wire, 2)], wire.now)
    wire.called.machine.write(b"answer")
    kinds = [(packet.kind, packet.selective) for packet in answers(wire)]
    assert kinds == [(DATA, b""), (STATE, b"\x02\0\0\0")]


def test_old_data_is_acknowledged_again():
    wire = connected()
    wire.called.machine.receive([data_from_caller(wire, -1)], wire.now)
    assert [packet.kind for packet in answers(wire)] == [STATE]
    assert wire.called.machine.incoming.unread == 0


def test_t37_numbers_too_far_ahead_are_ignored():
    wire = connected()
    wire.called.machine.receive([data_from_caller(wire, 1024)], wire.now)
    assert answers(wire) == []
    wire.called.machine.receive([data_from_caller(wire, 1023)], wire.now)
    assert [packet.kind for packet in answers(wire)] == [STATE]


def test_after_29_silent_seconds_a_keep_alive_is_answered():
    wire = connected()
    wire.run(limit=KEEP_ALIVE + 1)
    [(at, sent)] = wire.caller.sent
    assert at - NOW >= KEEP_ALIVE
    expected = wire.caller.machine.incoming.next - 2
    assert numbers(sent)[0] == STATE
    assert numbers(sent)[3] == expected % 65536
    assert len(wire.called.sent) == 1  # its answer came before its own keep-alive was due


def test_a_keep_alive_that_the_system_does_not_take_yet_is_not_due_again_at_once():
    """Whoever asks for the next time until none has passed would else ask for ever."""
    machine = connected().caller.machine
    due = machine.next_timer()
    assert due is not None
    machine.handle_timer(due)
    again = machine.next_timer()
    assert again is not None
    assert again >= due + KEEP_ALIVE
    assert len(machine.datagrams_to_send(due + 1)) == 1  # it goes out when it can


def test_an_hour_of_silence_costs_a_few_packets_a_minute():
    wire = connected()
    wire.run(limit=3600)
    assert len(wire.caller.sent) + len(wire.called.sent) < 4 * 3600 / KEEP_ALIVE


# ---- windows


def test_a_reader_that_stops_closes_the_window_and_one_that_goes_on_opens_it():
    wire = connected()
    wire.called.reads = False
    wire.caller.to_write = pattern(4_000_000)
    wire.run(limit=10)
    machine = wire.called.machine
    assert WINDOW - 2 * PAYLOAD < machine.incoming.unread <= WINDOW
    assert machine.incoming.window < PAYLOAD
    begun = wire.now
    wire.called.reads = True
    wire.run(lambda: len(wire.called.heard) == 4_000_000)
    assert bytes(wire.called.heard) == pattern(4_000_000)
    assert wire.now - begun < 5  # not after the next probe


def test_a_reader_that_stops_for_ten_minutes_loses_nothing():
    wire = connected()
    wire.called.reads = False
    wire.caller.to_write = pattern(2_000_000)
    wire.run(limit=600)
    assert wire.caller.machine.error is None
    assert wire.called.machine.incoming.unread <= WINDOW + PAYLOAD
    wire.called.reads = True
    assert wire.run(lambda: len(wire.called.heard) == 2_000_000)
    assert bytes(wire.called.heard) == pattern(2_000_000)


# ---- ending


def test_after_our_end_we_still_hear():
    wire = connected()
    wire.caller.machine.outgoing.end()
    wire.run(lambda: wire.called.machine.incoming.ended)
    wire.called.to_write = pattern(50_000)
    wire.called.close_when_written = True
    wire.run(lambda: wire.over)
    assert bytes(wire.caller.heard) == pattern(50_000)


def test_a_fin_is_acknowledged_at_once_and_again_when_it_comes_again():
    wire = connected()
    fin = data_from_caller(wire, 0, b"", FIN)
    for _ in range(2):
        wire.called.machine.receive([fin], wire.now)
        [answer] = answers(wire)
        assert (answer.kind, answer.ack) == (STATE, parsed(fin).seq)
    assert wire.called.machine.incoming.ended


def test_a_close_still_sends_what_was_written_and_hears_nothing_more():
    wire = connected()
    wire.caller.machine.write(pattern(100_000))
    wire.caller.machine.close(wire.now)
    wire.called.to_write = pattern(100_000)
    wire.called.close_when_heard = wire.called.close_when_written = True
    wire.run(lambda: wire.over)
    assert bytes(wire.called.heard) == pattern(100_000)
    assert wire.caller.heard == b""
    assert wire.caller.machine.error is None


def test_a_closed_connection_whose_peer_never_ends_is_reset_after_the_grace():
    wire = connected()
    wire.caller.machine.close(wire.now)
    begun = wire.now
    wire.run(lambda: wire.over, limit=30)
    assert CLOSE_GRACE <= wire.now - begun < CLOSE_GRACE + 1
    assert numbers(wire.caller.sent[-1][1])[0] == RESET
    assert isinstance(wire.called.machine.error, ConnectionResetError)


def test_t37_a_peer_that_takes_a_little_now_and_then_does_not_keep_a_closed_one():
    wire = connected()
    machine = wire.caller.machine
    machine.write(pattern(1_000_000))
    machine.close(wire.now)
    now = wire.now
    while machine.state is not State.GONE:
        now += 2.0
        assert now - wire.now < 60
        machine.handle_timer(now)
        machine.datagrams_to_send(now)
        ack = (machine.outgoing.acked + 1) % 65536
        packet = Packet(STATE, machine.receive_id, 1, 1, PAYLOAD, 1, ack)
        machine.receive([encode(packet._replace(seq=machine.incoming.next))], now)


def test_an_abort_resets_the_other_side():
    wire = connected()
    wire.called.machine.write(b"before")
    wire.caller.machine.abort()
    wire.run(lambda: wire.over, limit=1)
    assert isinstance(wire.called.machine.error, ConnectionResetError)
    assert wire.called.machine.next_timer() is None


def test_an_abort_before_the_answer_says_nothing():
    machine = Connection.calling(10, 500, NOW)
    machine.datagrams_to_send(NOW)
    machine.abort()
    assert machine.datagrams_to_send(NOW) == []
    assert machine.state is State.GONE


def test_a_peer_that_falls_silent_is_given_up():
    wire = connected()
    wire.drop = lambda _, __: True
    wire.caller.machine.write(b"anybody?")
    wire.run(lambda: wire.caller.gone)
    assert isinstance(wire.caller.machine.error, TimeoutError)
    assert 30 < wire.now - NOW < 40


# ---- clocks


def test_a_clock_that_drifts_does_not_look_like_a_queue():
    machine = connected().caller.machine
    delays = machine.outgoing.congestion.delays
    now = NOW + 1
    for step in range(2000):
        # The peer's clock gains 50 microseconds on ours with every packet.
        stamp = int(now * 1e6) + 50 * step
        packet = Packet(
            STATE,
            machine.receive_id,
            stamp % 2**32,
            (10_000 + 50 * step) % 2**32,
            WINDOW,
            machine.incoming.next,
            machine.outgoing.acked,
        )
        machine.receive([encode(packet)], now)
        now += 0.02
    assert delays.value < 1000  # without the shift: 100 ms


# ---- hostile


def test_t37_a_flood_of_tiny_and_empty_packets_costs_no_more_than_the_window():
    wire = connected()
    machine = wire.called.machine
    for _ in range(30_000):
        run = [data_from_caller(wire, 0, b""), data_from_caller(wire, 1, b"..")]
        machine.receive(run, wire.now)
    assert machine.incoming.unread == 60_000
    assert len(machine.incoming.pieces) < 4096
    assert machine.read(WINDOW) == b"." * 60_000


def test_nothing_is_taken_after_a_reset():
    wire = connected()
    machine = wire.called.machine
    run = [data_from_caller(wire, 0, b"a"), data_from_caller(wire, 1, kind=RESET)]
    machine.receive([*run, data_from_caller(wire, 1, b"b")], wire.now)
    assert machine.read(10) == b"a"
    assert machine.datagrams_to_send(wire.now) == []


forgeries = st.lists(
    st.one_of(
        st.binary(min_size=20, max_size=60),
        st.builds(
            lambda kind, seq, ack, window, bits, payload: encode(
                Packet(kind, 0, 5, 5, window, seq, ack, bits, payload)
            ),
            st.sampled_from([DATA, FIN, STATE, SYN]),
            st.integers(0, 65535),
            st.integers(0, 65535),
            st.sampled_from([0, 1, WINDOW, 2**32 - 1]),
            st.sampled_from([b"", b"\xff" * 4, b"\xff" * 32]),
            st.sampled_from([b"", b"?", bytes(1000), bytes(60_000)]),
        ),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(forgeries, st.integers(0, 1000))
def test_t31_t37_forged_packets_raise_nothing_and_fill_no_memory(datagrams, seed):
    chance = random.Random(seed)
    for wire in (Wire(Weather(seed=seed)), connected(seed=seed)):
        wire.caller.machine.write(pattern(100_000))
        for first, second in pairwise([b"", *datagrams]):
            # Half of them with numbers that a neighbour on the wire could know.
            machine = wire.caller.machine
            run = [one for one in (first, second) if one]
            if chance.random() < 0.5:
                near = (machine.incoming.next + chance.randrange(-3, 40)) % 65536
                ack = (machine.outgoing.acked + chance.randrange(-3, 5)) % 65536
                run = [one[:16] + near.to_bytes(2) + ack.to_bytes(2) + one[20:] for one in run]
            machine.receive(run, wire.now)
            wire.now += chance.random()
            timer = machine.next_timer()
            if timer is not None and timer <= wire.now:
                machine.handle_timer(wire.now)
            machine.datagrams_to_send(wire.now)
            held = machine.incoming.unread + sum(map(len, machine.incoming.behind.values()))
            assert held <= WINDOW + 2 * 65_536
            assert len(machine.incoming.behind) < 1024


def test_t37_forged_packets_with_wrong_numbers_do_not_disturb_a_transfer():
    wire = connected(delay=0.01)
    wire.caller.to_write = pattern(300_000)
    chance = random.Random(3)

    def forge() -> bool:
        machine = wire.called.machine
        for _ in range(2):
            seq = (machine.incoming.next + chance.randrange(2000, 60_000)) % 65536
            ack = (machine.outgoing.acked + chance.randrange(2000, 60_000)) % 65536
            right = (wire.caller.machine.incoming.next - 1) % 65536
            for numbers_ in ((seq, right), (machine.incoming.next, ack)):
                forged = Packet(DATA, machine.receive_id, 9, 9, 7, *numbers_, payload=b"evil")
                machine.receive([encode(forged)], wire.now)
        return len(wire.called.heard) >= 300_000

    assert wire.run(forge)
    assert bytes(wire.called.heard) == pattern(300_000)
