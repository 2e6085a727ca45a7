"""One side of captured connections of utp-native is played by our machine."""

import json

from tests.helpers.vectors import vectors
from tests.transport.utp.simulated_wire import numbers, pattern

from datd.transport.utp.connection import Connection
from datd.transport.utp.packet import STATE, decode
from datd.transport.utp.receiving import WINDOW

NOW = 1000.0


class Capture:
    """One connection of utp-native, of which our machine plays one side."""

    def __init__(self, story: str) -> None:
        rows = json.loads((vectors("network") / "utp.json").read_text())[story]
        self.client = rows[0][1]
        self.rows = []
        for at, sender, _, head, *size in rows:
            datagram = bytes.fromhex(head) + bytes(size[0] if size else 0)
            self.rows.append((NOW + at, sender == self.client, datagram))


def test_the_calling_side_answers_utp_native_as_its_own_client_did():
    capture = Capture("echo")
    machine = Connection.calling(0x4567, 0x23C6, NOW)
    ours = [numbers(datagram) for datagram in machine.datagrams_to_send(NOW)]
    for at, from_client, datagram in capture.rows[1:]:
        if from_client:
            continue
        machine.receive([datagram], at)
        packet = decode(datagram)
        assert packet is not None
        if packet.kind == STATE and packet.ack == 0x23C6:
            machine.write(bytes(range(10)))
        elif packet.kind == STATE and packet.ack == 0x23C7:
            machine.outgoing.end()
        ours += [numbers(sent) for sent in machine.datagrams_to_send(at)]
    theirs = [numbers(datagram) for _, from_client, datagram in capture.rows if from_client]
    # Ours acknowledges the echoed DATA at once, and the server's FIN, which utp-native left unsaid.
    extra = [
        (STATE, 0x4568, 0x23C8, 0x4567),
        (STATE, 0x4568, 0x23C9, 0x4568),
    ]
    assert [packet for packet in ours if packet not in extra] == theirs
    assert machine.read(100) == bytes(range(10))
    assert machine.finished


def test_the_called_side_answers_utp_native_as_its_own_server_did():
    capture = Capture("echo")
    call = decode(capture.rows[0][2])
    assert call is not None
    machine = Connection.called(call, 0x4567, NOW)
    ours = []
    for at, from_client, datagram in capture.rows[2:]:
        if not from_client:
            continue
        machine.receive([datagram], at)
        machine.write(machine.read(100))
        if machine.incoming.ended:
            machine.outgoing.end()
        ours += [numbers(sent) for sent in machine.datagrams_to_send(at)]
    theirs = [numbers(datagram) for _, from_client, datagram in capture.rows[2:] if not from_client]
    # utp-native echoes before it acknowledges, and sends a STATE after it; ours does both in one.
    assert [packet[:3] for packet in ours] == [
        packet[:3] for packet in theirs if packet[0] != STATE
    ][:2]
    assert [packet[3] for packet in ours] == [packet[3] for packet in theirs if packet[0] == STATE][
        :2
    ]
    assert machine.outgoing.unacked == 1  # the FIN; the client was gone and never took it


def test_ninety_thousand_bytes_of_a_lossy_capture_are_heard_whole():
    capture = Capture("lossy")
    call = decode(capture.rows[0][2])
    assert call is not None
    machine = Connection.called(call, 0x4567, NOW)
    heard = 0
    last = None
    for at, from_client, datagram in capture.rows[2:]:
        if from_client:
            machine.receive([datagram], at)
            heard += len(machine.read(WINDOW))
            for sent in machine.datagrams_to_send(at):
                last = decode(sent)
    assert heard == 90_000
    assert machine.incoming.ended
    assert last is not None
    assert last.kind == STATE
    assert last.ack == max(numbers(d)[2] for _, from_client, d in capture.rows if from_client)


def test_what_utp_native_acknowledged_in_a_lossy_capture_is_acknowledged_for_us():
    capture = Capture("lossy")
    machine = Connection.calling(0x4567, 0x23C6, NOW)
    machine.write(pattern(90_000))
    machine.datagrams_to_send(NOW)
    for at, from_client, datagram in capture.rows:
        if from_client:
            continue
        timer = machine.next_timer()
        while timer is not None and timer < at:
            machine.handle_timer(timer)
            machine.datagrams_to_send(timer)
            timer = machine.next_timer()
        # All of the real client's packets were under way when this came; so are ours.
        machine.outgoing.congestion.window = 100_000.0
        machine.outgoing.end()
        while machine.datagrams_to_send(at) and machine.more:
            pass
        machine.receive([datagram], at)
    assert machine.error is None
    assert machine.outgoing.ended
