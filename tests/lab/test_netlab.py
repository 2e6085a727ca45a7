"""The lab keeps its promises: who reaches whom, what is lost, and that nothing stays behind."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.lab import Lab, needs_lab
from tests.lab.capture import ROOT
from tests.lab.netlab import STATE, namespaces

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("netlab")]

# Seconds for what comes at once, on a very busy machine.
PATIENCE = 60.0
ECHO = """
import socket, struct, sys
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) if sys.argv[1:] == ["::"] else (
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
udp.bind(("", 7777))
if sys.argv[1:] == ["::"]:
    pass
elif sys.argv[1:]:
    group = socket.inet_aton(sys.argv[1]) + socket.inet_aton("0.0.0.0")
    udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
print("ready", flush=True)
while True:
    data, source = udp.recvfrom(2000)
    udp.sendto(data, source)
"""
ASK = """
import socket, sys, time
udp = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
answers = set()
def hear(wanted, patience):
    until = time.monotonic() + patience
    while not wanted <= answers and (left := until - time.monotonic()) > 0:
        udp.settimeout(left)
        try:
            answers.add(udp.recv(100))
        except OSError:
            break
asked = [b"%d" % number for number in range(int(sys.argv[2]))]
for one in asked:
    try:
        udp.sendto(one, (sys.argv[1], 7777))
    except OSError:
        continue
    hear({one}, float(sys.argv[3]))
print(len(answers))
"""
# How many of a number of datagrams are answered: once a later one is, no more of these will be.
COUNT = """
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(0.05)
for number in range(int(sys.argv[2])):
    udp.sendto(b"%d" % number, (sys.argv[1], 7777))
answers = set()
while b"last" not in answers:
    udp.sendto(b"last", (sys.argv[1], 7777))
    try:
        answers.add(udp.recv(100))
    except TimeoutError:
        pass
print(len(answers) - 1)
"""
# What arrives of the first hundred packets; later ones tell that no more of these will come.
SINK = """
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 7777))
print("ready", flush=True)
seen = [-1]
while seen[-1] < 100:
    seen.append(int(udp.recv(100)))
print(seen[1:-1])
"""
THROW = """
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(300):
    udp.sendto(b"%d" % number, (sys.argv[1], 7777))
"""


def echo_at(lab: Lab, host: str, *groups: str) -> None:
    words = [sys.executable, "-c", ECHO, *groups]
    process = lab.popen(host, words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"


def answers(lab: Lab, host: str, address: str, *, count: int = 1, patience: float = 0.3) -> int:
    words = [sys.executable, "-c", ASK, address, str(count), str(patience)]
    return int(lab.run(host, words, capture_output=True, text=True).stdout)


def link(lab: Lab, host: str) -> str:
    words = ["ip", "link", "show", "eth0"]
    return str(lab.run(host, words, capture_output=True, text=True).stdout)


def wait_for_carrier(lab: Lab, host: str, *, there: bool) -> None:
    """Until a host sees its link go up or down: the kernel tells it a moment later."""
    deadline = time.monotonic() + PATIENCE
    while ("NO-CARRIER" not in link(lab, host)) != there:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def lan() -> Iterator[Lab]:
    needs_lab()
    with Lab.lan(2) as lab:
        echo_at(lab, "h1", "224.0.0.251")
        yield lab


def test_hosts_of_a_lan_reach_one_another(lan: Lab):
    assert answers(lan, "h2", lan.ip("h1"), patience=PATIENCE) == 1


def test_multicast_passes_until_it_is_forbidden(lan: Lab):
    assert answers(lan, "h2", "224.0.0.251", patience=PATIENCE) == 1
    lan.multicast("h2", allowed=False)
    assert answers(lan, "h2", "224.0.0.251") == 0
    lan.multicast("h2", allowed=True)
    assert answers(lan, "h2", "224.0.0.251", patience=PATIENCE) == 1


def test_blocked_datagrams_do_not_arrive(lan: Lab):
    lan.block("h1", "udp")
    assert answers(lan, "h2", lan.ip("h1")) == 0
    lan.block("h1", "udp", on=False)
    assert answers(lan, "h2", lan.ip("h1"), patience=PATIENCE) == 1


def test_loss_takes_about_the_share_it_was_told(lan: Lab):
    lan.loss("h1", 50)
    try:
        words = [sys.executable, "-c", COUNT, lan.ip("h1"), "60"]
        # The half of them: nothing is lost on the way back.
        assert 10 < int(lan.run("h2", words, capture_output=True, text=True).stdout) < 50
    finally:
        lan.loss("h1", 0)


def test_a_pulled_cable_carries_nothing_and_tells_nobody(lan: Lab):
    for host in ("h1", "h2"):
        lan.cut(host)
        assert answers(lan, "h2", lan.ip("h1"), count=2) == 0
        assert "UP" in link(lan, host)
        lan.cut(host, on=False)
        assert answers(lan, "h2", lan.ip("h1"), patience=PATIENCE) == 1


def test_a_pulled_cable_may_be_seen_by_the_host(lan: Lab):
    lan.cut("h1", link=True)
    wait_for_carrier(lan, "h1", there=False)
    assert answers(lan, "h2", lan.ip("h1")) == 0
    lan.cut("h1", on=False, link=True)
    wait_for_carrier(lan, "h1", there=True)
    assert answers(lan, "h2", lan.ip("h1"), count=15, patience=2) > 0


def test_a_pulled_cable_between_two_hosts():
    needs_lab(tun=True)
    with Lab.wire() as lab:
        echo_at(lab, "h1")
        assert answers(lab, "h2", lab.ip("h1"), patience=PATIENCE) == 1
        lab.cut("h2")
        assert answers(lab, "h2", lab.ip("h1")) == 0
        lab.cut("h2", on=False)
        assert answers(lab, "h2", lab.ip("h1"), patience=PATIENCE) == 1


def test_hosts_may_have_ipv6_too():
    needs_lab()
    with Lab.lan(2, ipv6=True) as lab:
        echo_at(lab, "h1", "::")
        assert answers(lab, "h2", lab.ip6("h1"), patience=PATIENCE) == 1
        again = Lab.load(lab.id)
        assert again.ip6("h1") == lab.ip6("h1")
        again.cut("h1")
        assert answers(lab, "h2", lab.ip6("h1")) == 0


def test_a_host_behind_a_box_can_be_cut_off():
    needs_lab()
    with Lab.nat("cone", "none") as lab:
        echo_at(lab, "pub")
        for host, asks in (("a", "a"), ("b", "b"), ("nata", "a"), ("pub", "b")):
            lab.cut(host)
            assert answers(lab, asks, lab.ip("pub")) == 0
            lab.cut(host, on=False)
            assert answers(lab, asks, lab.ip("pub"), patience=PATIENCE) == 1


def test_a_cone_lets_answers_in_and_nothing_else():
    needs_lab()
    with Lab.nat("cone", "full") as lab:
        echo_at(lab, "pub")
        echo_at(lab, "a")
        echo_at(lab, "b")
        assert answers(lab, "a", lab.ip("pub"), patience=PATIENCE) == 1
        assert answers(lab, "pub", lab.ip("nata")) == 0
        assert answers(lab, "pub", lab.ip("natb"), patience=PATIENCE) == 1


def test_a_cable_loses_the_same_packets_each_time():
    needs_lab(tun=True)
    # One way only: with answers the order of packets would be one of chance.
    told = []
    for _ in range(2):
        with Lab.wire(loss=20) as lab:
            words = [sys.executable, "-c", SINK]
            sink = lab.popen("h1", words, stdout=subprocess.PIPE, text=True)
            assert sink.stdout is not None
            with sink.stdout:
                assert sink.stdout.readline() == "ready\n"
                lab.run("h2", [sys.executable, "-c", THROW, lab.ip("h1")])
                told.append(json.loads(sink.stdout.readline()))
    assert told[0] == told[1]
    assert 50 < len(told[0]) < 100


def test_nothing_stays_of_a_lab():
    needs_lab()
    with Lab.lan(1) as lab:
        process = lab.popen("h1", ["sleep", "60"])
    assert process.returncode is not None
    assert not [name for name in namespaces() if lab.id in name]
    assert not (STATE / f"{lab.id}.json").exists()


def test_a_lab_whose_owner_was_killed_is_collected(tmp_path: Path):
    needs_lab()
    # Notes of its own: whoever collects garbage on this machine would take it away before us.
    own = {**os.environ, "NETLAB_STATE": str(tmp_path)}
    code = "import os; from tests.lab.netlab import Lab; Lab.lan(1, 'orphan' + str(os.getpid()))"
    code += "; os.kill(os.getpid(), 9)"
    owner = subprocess.Popen([sys.executable, "-c", code], env=own, cwd=ROOT)
    owner.wait(PATIENCE)
    lab_id = f"orphan{owner.pid}"
    assert (tmp_path / f"{lab_id}.json").exists()
    assert [name for name in namespaces() if lab_id in name]
    words = [sys.executable, "-m", "tests.lab", "gc"]
    done = subprocess.run(words, env=own, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{lab_id} removed\n"
    assert not [name for name in namespaces() if lab_id in name]


@pytest.mark.parametrize("name", ["x" * 21, "a b", "../x", ""])
def test_a_lab_has_a_plain_name(name: str):
    if name:
        with pytest.raises(ValueError, match="lab id"):
            Lab("lan", name)
    else:
        assert Lab("lan", name).id


def test_the_command_line_tells_what_it_knows():
    words = [sys.executable, "-m", "tests.lab", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ})
    assert "run lan|nat|wire" in done.stdout
