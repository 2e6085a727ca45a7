"""Throw-away networks made of Linux network namespaces: what real hosts would see, on one machine.

Needs root, iproute2 and, for NAT, loss and blocking, nftables. Every namespace is called
`dl.<lab id>.<host>`; nothing else is listed, entered or removed. A lab has no uplink: its packets
cannot leave this machine.

    with Lab.lan(3) as lab:
        server = lab.popen("h1", ["node", "server.js"])   # ended at the end of the block
        lab.multicast("h2", allowed=False)
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from tests.lab.capture import ROOT, Capture
from tests.lab.system import LabError, started_at, tool, wait_for_ends

PREFIX = "dl."
# Which labs exist, and whose they are, so that those of a killed owner can be found.
STATE = Path(os.environ.get("NETLAB_STATE", "/run/netlab"))
LAN_ADDRESS = "10.99.0.{}"
LAN_ADDRESS_6 = "fd99::{}"
WAN_ADDRESS = "203.0.113.{}"
# Processes inside get this long, in seconds, between being asked to end and being ended.
GRACE = 3.0
# Until those that were ended are gone; a busy machine lets them wait for their turn.
LAST = 20.0

Nat = Literal["cone", "symmetric", "full", "none"]


class Lab:
    """One network: its namespaces, addresses and the processes that run inside."""

    def __init__(self, kind: str, lab_id: str | None = None) -> None:
        self.id = lab_id or uuid.uuid4().hex[:10]
        if not self.id.replace("-", "").isalnum() or len(self.id) > 20:
            raise ValueError(f"lab id {self.id!r}: at most 20 letters, digits and dashes")
        self.kind = kind
        self.addresses: dict[str, str] = {}
        self._processes: list[subprocess.Popen[Any]] = []
        self.addresses6: dict[str, str] = {}
        # Where each host is plugged in: the other namespace, and the device there.
        self._plugs: dict[str, tuple[str, str]] = {}
        self._relay: tuple[int, int] | None = None  # pid and start of a cable's process

    # --- topologies ---

    @classmethod
    def lan(cls, hosts: int = 3, lab_id: str | None = None, *, ipv6: bool = False) -> Self:
        """h1 … hN on one switch, with multicast. A default route leads nowhere.

        Args:
            hosts: How many.
            lab_id: Name of the lab; made up when absent.
            ipv6: Whether they have IPv6 too: `ip6` tells the address, and a link-local one each.
        """
        with cls._building("lan", lab_id) as lab:
            lab._switch("sw")
            for number in range(1, hosts + 1):
                host, address = f"h{number}", LAN_ADDRESS.format(number)
                lab._namespace(host, ipv6=ipv6)
                lab._plug(host, "eth0", "sw", address)
                lab.addresses[host] = address
                if ipv6:
                    lab.addresses6[host] = LAN_ADDRESS_6.format(number)
                    words = ("addr", "add", f"{lab.addresses6[host]}/64", "dev", "eth0", "nodad")
                    lab._ip(host, *words)
                lab._route(host, "224.0.0.0/4", "dev", "eth0")
                # Without any route name look-ups fail in another way than on a host whose
                # internet is down, and the original programs do look up names.
                lab._route(host, "default", "via", LAN_ADDRESS.format(254))
        return lab

    @classmethod
    def nat(cls, nat_a: Nat = "cone", nat_b: Nat = "cone", lab_id: str | None = None) -> Self:
        """Hosts a and b, each behind a box (`nata`, `natb`), and public hosts pub and pub2.

        Args:
            nat_a: What stands before a. `cone` keeps the port towards everybody and lets in only
                answers; `symmetric` takes a new port for each destination; `full` is a cone that
                passes everything in; `none`: the host itself is public.
            nat_b: The same for b.
            lab_id: Name of the lab; made up when absent.
        """
        with cls._building("nat", lab_id) as lab:
            lab._switch("wan")
            for number, host in enumerate(("pub", "pub2"), 10):
                lab._namespace(host)
                lab.addresses[host] = WAN_ADDRESS.format(number)
                lab._plug(host, "eth0", "wan", lab.addresses[host])
            for number, host, nat in ((1, "a", nat_a), (2, "b", nat_b)):
                lab._namespace(host)
                public = WAN_ADDRESS.format(number)
                if nat == "none":
                    lab.addresses[host] = public
                    lab._plug(host, "eth0", "wan", public)
                else:
                    lab._box(host, number, public, nat)
        return lab

    @classmethod
    def wire(cls, lab_id: str | None = None, **spoiling: float) -> Self:
        """h1 and h2 on a cable that spoils what it carries, without the kernel's netem.

        Args:
            lab_id: Name of the lab; made up when absent.
            spoiling: Settings of `tests.lab.cable`: delay, jitter, queue_ms (milliseconds, one
                way), loss, reorder (percent), rate (Mbit/s), mtu (bytes).
        """
        with cls._building("wire", lab_id) as lab:
            for number in (1, 2):
                lab._namespace(f"h{number}")
                lab.addresses[f"h{number}"] = LAN_ADDRESS.format(number)
            ends = [[lab.namespace(host), address] for host, address in lab.addresses.items()]
            relay = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("cable.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            lab._processes.append(relay)
            lab._relay = (relay.pid, started_at(relay.pid))
            assert relay.stdin is not None
            assert relay.stdout is not None
            with relay.stdin, relay.stdout:
                json.dump({"ends": ends, **spoiling}, relay.stdin)
                relay.stdin.close()
                said = relay.stdout.readline().strip()
                if said != "ok":
                    raise LabError(f"cable: {said} {relay.stdout.read()}")
        return lab

    @classmethod
    @contextlib.contextmanager
    def _building(cls, kind: str, lab_id: str | None) -> Iterator[Self]:
        lab = cls(kind, lab_id)
        try:
            yield lab
        except BaseException:
            lab.down()
            raise
        lab.save(os.getpid())

    # --- parts ---

    def _namespace(self, host: str, *, forwards: bool = False, ipv6: bool = False) -> None:
        tool("ip", "netns", "add", self.namespace(host))
        # An address that is still being tested for a twin cannot be bound yet; here is no twin.
        switch, value = ("accept_dad", 0) if ipv6 else ("disable_ipv6", 1)
        for device in ("all", "default"):
            self._set(host, f"ipv6/conf/{device}/{switch}", value, needed=ipv6)
        self._ip(host, "link", "set", "lo", "up")
        if forwards:
            self._set(host, "ipv4/ip_forward")

    def _set(self, host: str, switch: str, value: int = 1, *, needed: bool = True) -> None:
        command = f"echo {value} > /proc/sys/net/{switch}"
        tool(*self.prefix(host), "sh", "-c", command, needed=needed)

    def _switch(self, name: str) -> None:
        self._namespace(name)
        # Without a forward delay a port passes frames as soon as it is up.
        bridge = ("type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
        self._ip(name, "link", "add", "br0", *bridge)
        self._ip(name, "link", "set", "br0", "up")

    def _pair(self, host: str, device: str, other: str, other_device: str) -> None:
        peer = ("type", "veth", "peer", "name", other_device, "netns", self.namespace(other))
        tool("ip", "link", "add", device, "netns", self.namespace(host), *peer)

    def _plug(self, host: str, device: str, switch: str, address: str) -> None:
        port = f"p{host}"
        self._pair(host, device, switch, port)
        self._plugs[host] = (switch, port)
        self._ip(switch, "link", "set", port, "master", "br0", "up")
        self._bring_up(host, device, address)

    def _bring_up(self, host: str, device: str, address: str) -> None:
        self._ip(host, "addr", "add", f"{address}/24", "dev", device)
        self._ip(host, "link", "set", device, "up")

    def _box(self, host: str, number: int, public: str, nat: Nat) -> None:
        box, inside = f"nat{host}", f"192.168.{number}.2"
        self._namespace(box, forwards=True)
        self._plug(box, "out", "wan", public)
        self._pair(host, "eth0", box, "in")
        self._plugs[host] = (box, "in")
        self._bring_up(box, "in", f"192.168.{number}.1")
        self._bring_up(host, "eth0", inside)
        self._route(host, "default", "via", f"192.168.{number}.1")
        self.addresses[host], self.addresses[box] = inside, public
        self._nft(box, nat_rules(nat, inside))

    def _ip(self, host: str, *words: str) -> None:
        tool("ip", "-n", self.namespace(host), *words)

    def _route(self, host: str, *words: str) -> None:
        self._ip(host, "route", "add", *words)

    def _nft(self, host: str, rules: str) -> None:
        tool(*self.prefix(host), "nft", "-f", "-", text=rules)

    def _table(self, host: str, name: str, chains: str | None) -> None:
        tool(*self.prefix(host), "nft", "delete", "table", "ip", name, needed=False)
        if chains:
            self._nft(host, f"table ip {name} {{ {chains} }}")

    # --- spoiling the network ---

    def loss(self, host: str, percent: float) -> None:
        """Drop so much of what a host receives, at random; 0 ends it."""
        drop = f'iifname != "lo" numgen random mod 10000 < {int(percent * 100)} drop;'
        chain = f"chain i {{ type filter hook prerouting priority -300; {drop} }};"
        self._table(host, "labloss", chain if percent else None)

    def multicast(self, host: str, *, allowed: bool) -> None:
        """Let multicast through to and from a host, or not."""
        drop = "priority -10; ip daddr 224.0.0.0/4 drop; };"
        chains = (
            f"chain i {{ type filter hook input {drop} chain o {{ type filter hook output {drop}"
        )
        self._table(host, "labmcast", None if allowed else chains)

    def block(self, host: str, protocol: Literal["tcp", "udp"], *, on: bool = True) -> None:
        """Drop new incoming TCP connections of a host, or all datagrams it receives."""
        what = "tcp flags & (syn | ack) == syn" if protocol == "tcp" else "meta l4proto udp"
        chain = f'type filter hook input priority -9; iifname "lo" accept; {what} drop;'
        self._table(host, f"labblock{protocol}", f"chain i {{ {chain} }};" if on else None)

    def cut(self, host: str, *, on: bool = True, link: bool = False) -> None:
        """Pull a host's cable, or plug it in again: no packet passes, and nobody is told.

        The host goes on sending: a packet that it dropped itself would be an error to its
        programs, and its TCP would try again sooner than over a cable that is gone.

        Args:
            host: Whose; a cable of `Lab.wire` has two ends, and is pulled at both.
            on: Whether it is pulled.
            link: Whether the host also sees its link go down. Not for `Lab.wire`.
        """
        if self._relay:
            if link:
                raise ValueError("both ends of a cable stay up")
            os.kill(self._relay[0], signal.SIGUSR1 if on else signal.SIGUSR2)
            return
        other, port = self._plugs[host]
        if link:
            self._ip(other, "link", "set", port, "down" if on else "up")
        elif port == "in":
            drop = f'type filter hook {{}} priority -400; {{}} "{port}" drop;'
            chains = (
                f"chain i {{ {drop.format('prerouting', 'iifname')} }};"
                f" chain o {{ {drop.format('postrouting', 'oifname')} }};"
            )
            self._table(other, "labcut", chains if on else None)
        else:
            self._ip(other, "link", "set", port, *(["nomaster"] if on else ["master", "br0"]))

    def garbage(
        self, sender: str, host: str, port: int, *, rate: float = 200, seed: int = 1
    ) -> None:
        """Have one host throw random datagrams at a UDP port of another until the lab ends.

        A part of them begins like uTP, DNS or a message of the DHT; see `tests.lab.garbage`.
        """
        words = [self.ip(host), str(port), str(rate), str(seed)]
        self.popen(sender, [sys.executable, "-m", "tests.lab.garbage", *words], cwd=ROOT)

    def capture(self, host: str, device: str = "eth0") -> Capture:
        """Begin to catch all packets of a host; see `Capture`.

        Raises:
            OSError: There is no such device.
        """
        return Capture(self, host, device)

    # --- use ---

    def namespace(self, host: str) -> str:
        """Name of a host's namespace."""
        return f"{PREFIX}{self.id}.{host}"

    def ip(self, host: str) -> str:
        """IPv4 address of a host; of a box, its public one."""
        return self.addresses[host]

    def ip6(self, host: str) -> str:
        """IPv6 address of a host in a lab that has them."""
        return self.addresses6[host]

    def prefix(self, host: str) -> list[str]:
        """Words before a command that make it run inside a host."""
        return ["ip", "netns", "exec", self.namespace(host)]

    def popen(self, host: str, words: list[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a process inside a host; it ends with the lab at the latest."""
        options.setdefault("start_new_session", True)
        process = subprocess.Popen([*self.prefix(host), *words], **options)
        self._processes.append(process)
        return process

    def run(
        self, host: str, words: list[str], timeout: float = 120, **options: Any
    ) -> subprocess.CompletedProcess[Any]:
        """Run a command inside a host and wait for it."""
        command = [*self.prefix(host), *words]
        return subprocess.run(command, timeout=timeout, check=False, **options)

    # --- end ---

    def save(self, owner: int | None) -> None:
        """Note that this lab exists; without an owner it stays until `down`."""
        STATE.mkdir(parents=True, exist_ok=True)
        note = {
            "id": self.id,
            "kind": self.kind,
            "addresses": self.addresses,
            "addresses6": self.addresses6,
            "plugs": self._plugs,
            "relay": self._relay,
            "owner": [owner, started_at(owner)] if owner else None,
        }
        # Whole from its first moment: other processes read the notes of all labs.
        fresh = STATE / f"{self.id}.new"
        fresh.write_text(json.dumps(note))
        fresh.rename(STATE / f"{self.id}.json")

    @classmethod
    def load(cls, lab_id: str) -> Self:
        """A lab that another process made."""
        lab = cls("unknown", lab_id)
        with contextlib.suppress(FileNotFoundError):
            note = json.loads((STATE / f"{lab_id}.json").read_text())
            lab.kind, lab.addresses = note["kind"], note["addresses"]
            lab.addresses6 = note.get("addresses6", {})
            lab._plugs = {host: tuple(plug) for host, plug in note.get("plugs", {}).items()}
            lab._relay = tuple(note["relay"]) if note["relay"] else None
        return lab

    def down(self) -> None:
        """End every process inside, remove the namespaces."""
        mine = [name for name in namespaces() if name.startswith(f"{PREFIX}{self.id}.")]
        for wanted, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, LAST)):
            pids = {int(word) for name in mine for word in tool_pids(name)}
            # One that was started just now may not be inside yet.
            pids |= {process.pid for process in self._processes if process.poll() is None}
            if self._relay and started_at(self._relay[0]) == self._relay[1]:
                pids.add(self._relay[0])
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, wanted)
            wait_for_ends(pids, seconds)
            for process in self._processes:
                process.poll()
        for process in self._processes:
            process.wait(LAST)
        for name in mine:
            tool("ip", "netns", "del", name, needed=False)
        (STATE / f"{self.id}.json").unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.down()


def nat_rules(nat: Nat, inside: str) -> str:
    """Rules of a NAT box. What nobody asked for is dropped, not refused.

    A refused packet would leave a connection-tracking entry behind, and masquerading would then
    take another port for the answer: no hole could be punched.
    """
    how = "masquerade fully-random" if nat == "symmetric" else "masquerade"
    full = nat == "full"
    pre = f'type nat hook prerouting priority -100; iifname "out" dnat to {inside};'
    known = "ct state established,related accept;"
    return f"""table ip lab {{
        {f"chain pre {{ {pre} }}" if full else ""}
        chain post {{ type nat hook postrouting priority 100; oifname "out" {how}; }}
        chain tobox {{ type filter hook input priority 0; policy drop; iifname "lo" accept;
            iifname "in" accept; {known} icmp type echo-request accept; }}
        chain through {{ type filter hook forward priority 0; policy drop; iifname "in" accept;
            {known} {'iifname "out" accept;' if full else ""} }}
    }}"""


def namespaces() -> list[str]:
    """Names of all network namespaces of this machine."""
    lines = tool("ip", "netns", "list", needed=False).splitlines()
    return [line.split()[0] for line in lines if line]


def tool_pids(namespace: str) -> list[str]:
    """Processes inside a namespace."""
    return tool("ip", "netns", "pids", namespace, needed=False).split()


def collect_garbage() -> list[str]:
    """Remove labs whose owner is gone without having ended them; returns their names.

    Other labs may come and go meanwhile.
    """
    gone = []
    for file in STATE.glob("*.json"):
        try:
            note = json.loads(file.read_text())
        except FileNotFoundError:
            continue
        if note["owner"] and started_at(note["owner"][0]) != note["owner"][1]:
            Lab.load(note["id"]).down()
            gone.append(note["id"])
    return gone
