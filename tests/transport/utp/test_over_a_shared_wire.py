"""How much of a narrow wire it takes: alone, and beside others."""

from statistics import median

from tests.transport.utp.simulated_wire import Weather, Wire, connected, pattern

from datd.transport.utp.congestion import TARGET
from datd.transport.utp.packet import PAYLOAD


def test_alone_on_a_wire_it_fills_the_queue_to_the_target_delay_and_not_further():
    wire = connected(delay=0.01, rate=2.5e6, queue=0.5)
    wire.caller.to_write = pattern(20_000_000)
    wire.run(limit=6)
    begun = len(wire.called.heard)
    queued = []
    for _ in range(50):
        wire.run(limit=0.04)
        queued.append(wire.queued(wire.caller))
    assert max(queued) < 2 * TARGET / 1e6  # of 500 ms that it could be
    assert median(queued) > 0.005  # now and then it looks whether the queue is its own
    assert len(wire.called.heard) - begun > 0.9 * 2 * 2.5e6 * PAYLOAD / (PAYLOAD + 20)


def test_alone_on_a_wide_and_long_wire_it_is_at_full_speed_within_a_second():
    wire = connected(delay=0.02, rate=10e6, queue=0.2)
    wire.caller.to_write = pattern(20_000_000)
    wire.run(limit=1)
    begun = len(wire.called.heard)
    wire.run(limit=1)
    assert len(wire.called.heard) - begun > 0.85 * 10e6


def test_one_that_comes_late_leaves_the_wire_to_who_is_there_and_takes_it_when_they_go():
    wire = Wire(Weather(delay=0.01, rate=2.5e6, queue=0.5))
    wire.compete(135_000)  # what BBR had under way there: a queue of 34 ms that never goes
    wire.caller.to_write = pattern(60_000_000)
    wire.run(limit=1)
    begun = wire.rival.carried
    wire.run(limit=15)
    assert wire.rival.carried - begun > 0.9 * 15 * 2.5e6
    assert len(wire.called.heard) > 15 * 20_000  # nobody is starved
    wire.rival.over = True
    wire.run(limit=3)
    heard = len(wire.called.heard)
    wire.run(limit=2)
    assert len(wire.called.heard) - heard > 0.8 * 2 * 2.5e6


def test_one_that_was_first_leaves_the_wire_to_a_late_comer():
    wire = connected(delay=0.01, rate=2.5e6, queue=0.5)
    wire.caller.to_write = pattern(60_000_000)
    wire.run(limit=4)
    wire.compete(135_000)
    wire.run(limit=1)
    begun = wire.rival.carried
    wire.run(limit=10)
    assert wire.rival.carried - begun > 0.9 * 10 * 2.5e6


def test_it_gives_way_to_others_that_fill_the_queue_and_comes_back_after_them():
    wire = connected(delay=0.01, rate=2.5e6, queue=0.5)
    wire.caller.to_write = pattern(40_000_000)
    wire.run(limit=6)
    wire.drop = lambda end, _: wire.fill_queue(end, 0.15)  # others keep it that full
    wire.run(limit=2)
    begun = len(wire.called.heard)
    wire.run(limit=5)
    assert len(wire.called.heard) - begun < 0.05 * 5 * 2.5e6
    wire.drop = lambda _, __: False
    wire.run(limit=6)
    begun = len(wire.called.heard)
    wire.run(limit=2)
    assert len(wire.called.heard) - begun > 0.8 * 2 * 2.5e6
