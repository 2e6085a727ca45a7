"""The UDP socket: one number for both address families, sorted by who reads what arrives.

It knows nothing of what it carries beyond the first bytes, keeps nothing, and has one promise:
sending never raises and never waits. Datagrams may get lost; all who use it live with that.

When more arrives than there is time for, it hears whom it spoke to before strangers (`door`).

Source: discovery.md section 9, transports.md section 4.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Sequence

from datd.types import Address
from datd.udp import offload
from datd.udp.counts import UdpCounts
from datd.udp.demultiplex import Kind, kind_of
from datd.udp.door import BUFFER, Door, set_buffer

Receive = Callable[[Sequence[bytes], Address], None]
"""Takes datagrams of one sender, in the order in which they came."""

# Datagrams taken in one go before other work gets its turn; a merged buffer is taken whole.
_BATCH = 64
_MAX_DATAGRAM = 65536
# Pairs of numbers tried when the IPv6 twin of a free IPv4 number is taken.
_PAIR_ATTEMPTS = 8
# Addresses whose way is remembered. Strangers choose them, so it ends somewhere; forgetting costs
# a look at the text of the address, and one refused call where UDP_SEGMENT does not work.
_MAX_WAYS = 4096
# Failures to receive, one after another, before we look away for a while (in seconds): an
# interface that is gone for good must not keep a processor busy.
_MAX_FAILURES = 64
_LOOK_AWAY = 1.0
# What says "not now": the socket becomes writable again, and can tell so.
_FULL = (BlockingIOError, InterruptedError)

_Name = tuple[str | int, ...]


class _Way:
    """How datagrams get to one address."""

    __slots__ = ("name", "runs", "sock")

    def __init__(self, sock: socket.socket, name: _Name, *, runs: bool) -> None:
        self.sock = sock
        self.name = name
        self.runs = runs  # whether UDP_SEGMENT is worth a try


class UdpSocket:
    """Bound once, shared by all who speak over UDP.

    Addresses are numeric. A link-local IPv6 sender is named together with the interface it was
    heard on, `fe80::1%2`, and can be answered as such; without it nobody could. Such a name means
    nothing on another host and must not be passed on.

    Attributes:
        port: The number that was taken; 0 before `listen`.
        counts: What went through.
    """

    def __init__(self) -> None:
        self.port = 0
        self.counts = UdpCounts()
        self._sockets: dict[int, socket.socket] = {}
        self._receivers: dict[Kind, Receive] = {}
        self._flushes: dict[Kind, Callable[[], None]] = {}
        self._ways: dict[Address, _Way] = {}
        self._landing = memoryview(bytearray(_MAX_DATAGRAM))
        self._merges: set[socket.socket] = set()
        self._segments = False
        self._full: set[socket.socket] = set()
        self._waiting: list[Callable[[], None]] = []
        self._failures = 0
        self._resting: list[asyncio.TimerHandle] = []
        self._door = Door(self._sockets)

    @property
    def ipv6(self) -> bool:
        """Whether IPv6 can be spoken."""
        return socket.AF_INET6 in self._sockets

    @property
    def unknown(self) -> int:
        """Datagrams that were nobody's."""
        return self.counts.unknown

    def route(self, kind: Kind, receive: Receive, flush: Callable[[], None] | None = None) -> None:
        """Say who reads one kind of datagram.

        Args:
            kind: Which.
            receive: Takes them.
            flush: Called once after all datagrams of one wake-up of that kind were handed over.
        """
        self._receivers[kind] = receive
        if flush is not None:
            self._flushes[kind] = flush

    async def listen(self, host: str, port: int, *, exact: bool = False) -> int:
        """Bind; once bound, only tell the port.

        Args:
            host: Numeric address; `0.0.0.0` and `::` both mean all of them, IPv6 included.
            port: The preferred number. If it is taken, any free one is.
            exact: This number or none.

        Raises:
            OSError: The host cannot be listened on at all; EADDRINUSE, if `exact`, when the number
                is taken in either family.
        """
        if self._sockets:
            return self.port
        hosts = ["0.0.0.0", "::"] if host in ("", "0.0.0.0", "::") else [host]
        for wanted in [port] if exact and port else [port] + [0] * _PAIR_ATTEMPTS:
            try:
                self._bind(hosts, wanted)
            except OSError as error:
                self.close()
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            return self.port
        what = f"UDP port {port}" if exact else "every UDP port that was tried"
        raise OSError(errno.EADDRINUSE, f"{what} of {host} is taken")

    def send(self, datagram: bytes, address: Address, *, awaited: bool = False) -> None:
        """Send one datagram; what the system refuses is lost like any other.

        Args:
            datagram: What.
            address: Where to.
            awaited: An answer is waited for: it goes before what strangers say. Not for what is
                sent because a stranger wants it; he would become known by that.
        """
        way = self._ways.get(address) or self._find_way(address)
        if way is None:
            self.counts.refused += 1
            return
        if awaited:
            self._door.spoke_to(address.host)
        try:
            way.sock.sendto(datagram, way.name)
        except OSError:
            self.counts.refused += 1
        else:
            self._count_out(datagram, 1, len(datagram))

    def send_run(self, datagrams: Sequence[bytes], address: Address) -> int:
        """Send datagrams to one address, in few calls of the system if it can.

        For that all must be as long as the first, but the last, which may be shorter. Others are
        sent too, one by one, which costs more. Answers are waited for, see `send`.

        Returns:
            How many were sent, or lost as in `send`; fewer than given when the system's buffer is
            full. Then `when_writable` tells when to try again.
        """
        if not datagrams:
            return 0
        way = self._ways.get(address) or self._find_way(address)
        if way is None:
            self.counts.refused += len(datagrams)
            return len(datagrams)
        self._door.spoke_to(address.host)
        if way.runs and len(datagrams) > 1:
            sizes = list(map(len, datagrams))
            if offload.is_run(sizes):
                return self._send_segments(datagrams, sizes, way)
        return self._send_each(datagrams, way)

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call once, as soon as what `send_run` could not send is worth another try.

        Never called before this returns. Asking again with the same callable while it waits adds
        nothing.
        """
        if callback in self._waiting:
            return
        self._waiting.append(callback)
        loop = asyncio.get_running_loop()
        for sock in self._full:
            loop.add_writer(sock, self._writable, sock)
        if not self._full:
            loop.call_soon(self._wake)

    def close(self) -> None:
        """End; nothing arrives any more, and nobody is called."""
        for rest in self._resting:
            rest.cancel()
        self._door.close()
        with contextlib.suppress(RuntimeError):  # no loop runs any more: it watches nothing either
            loop = asyncio.get_running_loop()
            for sock in self._sockets.values():
                loop.remove_reader(sock)
                loop.remove_writer(sock)
        for sock in self._sockets.values():
            sock.close()
        for kept in (self._sockets, self._ways, self._merges, self._full, self._waiting):
            kept.clear()
        self._resting.clear()
        self.port = 0

    # ---- binding

    def _bind(self, hosts: Sequence[str], port: int) -> None:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                sock = socket.socket(family, socket.SOCK_DGRAM)
            except OSError:
                if host == hosts[-1] and not self._sockets:
                    raise
                continue
            try:
                sock.setblocking(False)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                    set_buffer(sock, option, BUFFER)
                sock.bind((host, port))
            except OSError as error:
                sock.close()
                # Many hosts have one family only; a number that is taken is for the caller.
                if error.errno == errno.EADDRINUSE or (host == hosts[-1] and not self._sockets):
                    raise
                continue
            port = self.port = sock.getsockname()[1]
            self._sockets[family] = sock
            self._segments = offload.can_segment(sock)
            if offload.merge_arrivals(sock):
                self._merges.add(sock)
            asyncio.get_running_loop().add_reader(sock, self._readable, sock)

    # ---- sending

    def _find_way(self, address: Address) -> _Way | None:
        """Read an address; None if it cannot be reached from here, or is no numeric one."""
        host, _, zone = address.host.partition("%")
        mapped = host.lower().removeprefix("::ffff:")
        if "." in mapped:  # IPv4, also as a socket of both families would show it
            host = mapped
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = self._sockets.get(family)
        # A name would make the system ask a server and wait; a wrong port would raise.
        try:
            socket.inet_pton(family, host)
            scope = (int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)) if zone else 0
        except (OSError, ValueError):
            return None
        if sock is None or not 0 < address.port < 65536 or scope >= 2**32:
            return None
        if len(self._ways) >= _MAX_WAYS:
            self._ways.clear()
        name: _Name = (host, address.port)
        if family == socket.AF_INET6:
            name = (host, address.port, 0, scope)
        way = self._ways[address] = _Way(sock, name, runs=self._segments)
        return way

    def _send_segments(self, datagrams: Sequence[bytes], sizes: list[int], way: _Way) -> int:
        step = offload.run_length(sizes[0])
        for start in range(0, len(datagrams), step):
            run = datagrams[start : start + step]
            try:
                offload.send_segments(way.sock, run, sizes[0], way.name)
            except _FULL:
                self._full.add(way.sock)
                return start
            except OSError:
                # Not for these lengths on this path. Singles may pass: the system cuts them into
                # fragments, which it does not do for a run. If they do not, there is no way now.
                refused = self.counts.refused
                sent = self._send_each(datagrams[start:], way)
                way.runs = self.counts.refused > refused
                return start + sent
            self._count_out(run[0], len(run), sum(sizes[start : start + step]))
        return len(datagrams)

    def _send_each(self, datagrams: Sequence[bytes], way: _Way) -> int:
        for number, datagram in enumerate(datagrams):
            try:
                way.sock.sendto(datagram, way.name)
            except _FULL:
                self._full.add(way.sock)
                return number
            except OSError:
                self.counts.refused += 1
            else:
                self._count_out(datagram, 1, len(datagram))
        return len(datagrams)

    def _count_out(self, datagram: bytes, datagrams: int, size: int) -> None:
        kind = kind_of(datagram)
        if kind is not None:
            traffic = self.counts.by_kind[kind]
            traffic.datagrams_out += datagrams
            traffic.bytes_out += size

    def _writable(self, sock: socket.socket) -> None:
        # Watching ends at once: a socket is nearly always writable, and the loop would spin.
        asyncio.get_running_loop().remove_writer(sock)
        self._full.discard(sock)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    # ---- receiving

    def _readable(self, sock: socket.socket) -> None:
        heard: set[Kind] = set()
        batch: list[bytes] = []
        sender: _Name | None = None
        taken, all_of_it = 0, False
        while taken < _BATCH:
            try:
                datagrams, name = self._take(sock)
            except _FULL:
                all_of_it = True
                break
            except OSError:
                # An ICMP error of something sent earlier, or closed by a reader.
                taken += 1
                if self._failed(sock):
                    break
                continue
            self._failures = 0
            if sender is not None and name != sender:
                self._hand_over(batch, sender, heard)
                batch = []
            sender = name
            batch += datagrams
            taken += len(datagrams)
        if sender is not None:
            self._hand_over(batch, sender, heard)
        for kind in heard:
            if kind in self._flushes:
                _guarded(kind, self._flushes[kind])
        self._door.took(taken, all_of_it=all_of_it)

    def _take(self, sock: socket.socket) -> tuple[list[bytes], _Name]:
        """What one call gives: a datagram, or many that the kernel had merged."""
        landing = self._landing
        if sock not in self._merges:
            size, name = sock.recvfrom_into(landing)
            return [landing[:size].tobytes()], name
        size, ancillary, _, name = sock.recvmsg_into([landing], offload.ANCILLARY)
        step = offload.segment_size(ancillary) if ancillary else 0
        if not 0 < step < size:
            return [landing[:size].tobytes()], name
        starts = range(0, size, step)
        return [landing[at : min(at + step, size)].tobytes() for at in starts], name

    def _hand_over(self, batch: list[bytes], sender: _Name, heard: set[Kind]) -> None:
        """Give datagrams of one sender to whom they are for, as long sequences as there are."""
        address = _address(sender)
        start = 0
        while start < len(batch):
            kind = kind_of(batch[start], self._receivers)
            end = start + 1
            while end < len(batch) and kind_of(batch[end], self._receivers) is kind:
                end += 1
            run = batch[start:end]
            start = end
            size = sum(map(len, run))
            if kind is None:
                self.counts.unknown += len(run)
                self.counts.unknown_bytes += size
                continue
            traffic = self.counts.by_kind[kind]
            traffic.datagrams_in += len(run)
            traffic.bytes_in += size
            heard.add(kind)
            _guarded(kind, self._receivers[kind], run, address)

    def _failed(self, sock: socket.socket) -> bool:
        """Note a failure to receive; says whether to stop looking."""
        if sock.fileno() < 0:
            return True
        self.counts.errors += 1
        self._failures += 1
        if self._failures < _MAX_FAILURES:
            return False
        self._failures = 0
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        self._resting = [rest for rest in self._resting if rest.when() > loop.time()]
        self._resting.append(
            loop.call_later(_LOOK_AWAY, loop.add_reader, sock, self._readable, sock)
        )
        return True


def _guarded(kind: Kind, call: Callable[..., None], *arguments: object) -> None:
    """Call a reader. A bug of one is told, and costs the others nothing."""
    try:
        call(*arguments)
    except Exception as error:
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"the reader of {kind.value} datagrams failed", "exception": error}
        )


def _address(name: _Name) -> Address:
    """What the system calls a sender, as an address."""
    host, port = str(name[0]), int(name[1])
    if len(name) == 4 and name[3]:  # link-local: the same text means another host elsewhere
        host = f"{host.partition('%')[0]}%{name[3]}"
    return Address(host, port)
