"""The socket on paths that a single machine does not have: narrow ones, and ones that stall."""

import asyncio
import json
import socket
import subprocess
import sys

import pytest
from tests.helpers.lab import Lab, needs_lab

from datd.types import Address
from datd.udp import offload
from datd.udp.demultiplex import Kind
from datd.udp.socket import UdpSocket

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("netlab")]

# Seconds for a program to start and to hear of another one, on a machine with much else to do.
PATIENCE = 60
COUNT = 40
RUN = [(b"\x01\x00" + bytes([number]) * 1400) for number in range(COUNT)]
UNUSED = "10.99.0.77"


def tell(news: object) -> None:
    sys.stdout.write(f"{json.dumps(news)}\n")
    sys.stdout.flush()


async def hear(host: str) -> None:
    udp, heard, done = UdpSocket(), [], asyncio.Event()

    def receive(datagrams, sender):
        heard.extend(datagrams)
        if len(heard) >= COUNT:
            done.set()

    udp.route(Kind.UTP, receive)
    tell(await udp.listen(host, 7777))
    async with asyncio.timeout(PATIENCE):
        await done.wait()
    tell(sorted(heard) == RUN)


async def speak(host: str) -> None:
    udp = UdpSocket()
    await udp.listen("0.0.0.0", 0)
    tell([udp.send_run(RUN, Address(host, 7777)), udp.counts.refused])


async def overfill(host: str) -> None:
    """Packets for nobody wait in the kernel until it has given up asking for him."""
    udp = UdpSocket()
    await udp.listen("0.0.0.0", 0)
    for sock in udp._sockets.values():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    runs = [udp.send_run(RUN, Address(host, 9)) for _ in range(4)]
    writable = asyncio.Event()
    udp.when_writable(writable.set)
    at_once = writable.is_set()
    async with asyncio.timeout(PATIENCE):
        await writable.wait()
    tell([*runs, at_once, udp.send_run(RUN, Address(host, 9))])


async def answer(host: str) -> None:
    """Send back what comes, to where it seems to come from."""
    udp = UdpSocket()

    def receive(datagrams, sender):
        for datagram in datagrams:
            udp.send(datagram, sender)

    udp.route(Kind.UTP, receive)
    tell(await udp.listen(host, 7777))
    await asyncio.sleep(2 * PATIENCE)


async def ask(host: str) -> None:
    udp, answered = UdpSocket(), asyncio.get_running_loop().create_future()
    udp.route(Kind.UTP, lambda datagrams, sender: answered.set_result(sender))
    await udp.listen("::", 0)
    udp.send(RUN[0], Address(host, 7777))
    async with asyncio.timeout(PATIENCE):
        tell(await answered)


def change_network(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


async def lose_the_way(host: str) -> None:
    """Say how long the first of what arrives is, before and after there was no way for a moment."""
    udp = UdpSocket()
    await udp.listen("0.0.0.0", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        merges = offload.merge_arrivals(listener)
        listener.bind(("0.0.0.0", 0))
        listener.settimeout(PATIENCE)
        way = Address(host, listener.getsockname()[1])
        lengths = list[int]()
        change_network(f"route add unreachable {host}/32")
        for change in ("add", "del", "add"):
            change_network(f"addr {change} {host}/32 dev lo")
            udp.send_run(RUN[:4], way)
            if change == "add":
                lengths.append(len(listener.recv(65536)) if merges else 0)
        tell([lengths, udp.counts.refused])


STORIES = {
    "hear": hear, "speak": speak, "overfill": overfill, "answer": answer, "ask": ask,
    "lose_the_way": lose_the_way,
}  # fmt: skip


def start(lab: Lab, host: str, story: str, address: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.udp.test_socket_in_lab", story, address]
    return lab.popen(host, words, stdout=subprocess.PIPE, text=True)


def test_a_run_too_long_for_the_path_is_sent_as_fragments():
    needs_lab()
    with Lab.lan(2) as lab:
        lab.run("h1", ["ip", "link", "set", "eth0", "mtu", "1300"])
        listener = start(lab, "h2", "hear", lab.ip("h2"))
        assert listener.stdout is not None
        assert listener.stdout.readline() == "7777\n"
        assert (
            start(lab, "h1", "speak", lab.ip("h2")).communicate(timeout=2 * PATIENCE)[0]
            == "[40, 0]\n"
        )
        assert listener.communicate(timeout=2 * PATIENCE)[0] == "true\n"


def test_a_full_buffer_is_told_and_waited_for():
    needs_lab()
    with Lab.lan(1) as lab:
        said = start(lab, "h1", "overfill", UNUSED).communicate(timeout=2 * PATIENCE)[0]
    first, *_, last, at_once, later = json.loads(said)
    assert first > 0
    assert last == 0
    assert not at_once
    assert later > 0


def test_a_way_that_was_gone_for_a_moment_takes_runs_again():
    needs_lab()
    with Lab.lan(1) as lab:
        said = start(lab, "h1", "lose_the_way", "10.98.0.1").communicate(timeout=2 * PATIENCE)[0]
    (before, after), refused = json.loads(said)
    assert refused == 4
    assert before == after


def test_neighbours_without_any_address_but_link_local_answer_one_another():
    needs_lab()
    with Lab.lan(2, ipv6=True) as lab:
        listener = start(lab, "h1", "answer", "::")
        assert listener.stdout is not None
        with listener.stdout:
            assert listener.stdout.readline() == "7777\n"
        words = ["ip", "-json", "-6", "addr", "show", "dev", "eth0", "scope", "link"]
        shown = lab.run("h1", words, capture_output=True, text=True).stdout
        local = next(info["local"] for info in json.loads(shown)[0]["addr_info"] if info)
        said = start(lab, "h2", "ask", f"{local}%eth0").communicate(timeout=2 * PATIENCE)[0]
        sender, port = json.loads(said)
        assert port == 7777
        assert sender.partition("%")[0] == local
        assert sender.partition("%")[2].isdecimal()


if __name__ == "__main__":
    asyncio.run(STORIES[sys.argv[1]](sys.argv[2]))
