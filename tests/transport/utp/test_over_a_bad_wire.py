import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transport.utp.simulated_wire import Weather, Wire, connected, numbers, pattern

from datd.transport.utp.connection import State
from datd.transport.utp.packet import PAYLOAD

NOW = 1000.0


def exchange(weather: Weather, there: int, back: int, seq: int | None = None) -> Wire:
    """Send that much both ways, and end both."""
    wire = Wire(weather, seq=seq)
    wire.caller.to_write = pattern(there, 1) or b"!"
    wire.called.to_write = pattern(back, 2)
    wire.called.close_when_heard = wire.called.close_when_written = True
    sent = wire.caller.to_write

    def over() -> bool:
        machine = wire.caller.machine
        if machine.state is State.CONNECTED and not wire.caller.to_write:
            machine.outgoing.end()
        return wire.over

    assert wire.run(over, limit=1000)
    assert bytes(wire.called.heard) == sent
    assert bytes(wire.caller.heard) == pattern(back, 2)
    assert wire.caller.machine.error is None
    assert wire.called.machine.error is None
    return wire


weathers = st.builds(
    Weather,
    delay=st.sampled_from([0.0, 0.001, 0.02, 0.2]),
    loss=st.sampled_from([0.0, 0.01, 0.05, 0.2]),
    jitter=st.sampled_from([0.0, 0.005, 0.05]),
    duplicate=st.sampled_from([0.0, 0.1]),
    rate=st.sampled_from([0.0, 2e6, 2e7]),
    queue=st.sampled_from([0.01, 0.5]),
    seed=st.integers(0, 10**6),
)


@settings(max_examples=40, deadline=None)
@given(weathers, st.integers(0, 150_000), st.integers(0, 150_000), st.integers(65_400, 65_535))
def test_over_any_wire_every_byte_arrives_once_and_in_order(weather, there, back, seq):
    if weather.loss < 0.1:
        exchange(weather, there, back, seq)
        return
    # Of such a wire a whole call, or five packets in a row, may be lost; then one side gives up.
    wire = Wire(weather, seq=seq)
    wire.caller.to_write = sent = pattern(there // 4 + 1)
    wire.caller.close_when_written = wire.called.close_when_heard = True
    wire.called.close_when_written = True
    wire.run(lambda: wire.over)
    assert sent.startswith(wire.called.heard)
    if wire.caller.machine.finished:
        assert wire.called.heard == sent
    else:
        assert wire.caller.machine.error is not None or wire.caller.gone


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.2])
def test_a_megabyte_gets_through_whatever_is_lost(loss):
    for seed in range(3):
        wire = exchange(Weather(loss=loss, seed=seed), 1_000_000, 100_000)
        resent = len(wire.caller.sent) / (1_000_000 / PAYLOAD)
        assert resent < 1.05 + 2 * loss
        assert wire.now - NOW < (3 if loss < 0.1 else 60)


def test_reordering_costs_little():
    wire = exchange(Weather(delay=0.02, jitter=0.005, seed=5), 1_000_000, 0)
    assert len(wire.caller.sent) < 1.3 * 1_000_000 / PAYLOAD


def test_numbers_wrap_around():
    wire = exchange(Weather(), 500_000, 500_000, seq=65_500)
    sequence = [numbers(sent)[2] for _, sent in wire.caller.sent]
    assert 65_535 in sequence
    assert 0 in sequence


def test_a_peer_whose_socket_buffer_is_short_is_kept_busy_and_seldom_overrun():
    # utp-native takes 150 MB a second, and has room for about 95 packets.
    size, rate = 20_000_000, 150e6
    wire = connected(delay=0.0001, rate=rate, queue=95 * 1402 / rate)
    wire.caller.to_write = pattern(size)
    begun = wire.now
    assert wire.run(lambda: len(wire.called.heard) == size, limit=10)
    assert size / (wire.now - begun) > 0.6 * rate
    assert len(wire.caller.sent) < 1.03 * size / PAYLOAD
