"""The discovery servers of the configuration: where each is, whether it answers, what it was told.

Pure. Records and small questions about them; what is sent when is decided in `dns_client`.

Source: discovery.md section 3.2.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from datd.discovery.budget import Budget
from datd.discovery.dns_answers import dotted
from datd.types import Address

# Some networks drop unknown UDP but let DNS pass.
DEFAULT_PORTS = (5300, 53)
# Each is asked for every name: more would be a flood of our own making.
MAX_SERVERS = 16
# Queries for names in a second, a server (section 7); sending again is not counted.
QUERIES_PER_SECOND = 10.0
# Pushes in a second that are read, a server: 10,000 invented peers must not keep us busy.
PUSHES_PER_SECOND = 100.0
# A token lives 5 to 10 minutes on the server: after 5 it may be worth nothing.
TOKEN_AGE = 300.0
# A server that is gone is probed after 5 s, then ever more rarely.
FIRST_BACKOFF = 5.0
MAX_BACKOFF = 300.0
# The names of servers are looked up again, so that they can move.
RESOLVE_INTERVAL = 600.0
# Withdrawals kept for a server that does not answer; its records end by themselves.
MAX_WITHDRAWALS = 1000
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")


@dataclass(frozen=True, slots=True)
class ServerName:
    """A server as the user wrote it.

    Attributes:
        text: That very text.
        host: A name, or a dotted address.
        ports: To be tried in this order.
    """

    text: str
    host: str
    ports: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "ServerName":
        """Read `host`, `host:port` or `host:port,port`; without a port 5300 is tried, then 53.

        Raises:
            ValueError: It is none of these; the text says so.
        """
        host, colon, rest = text.strip().partition(":")
        ports: tuple[int, ...] = DEFAULT_PORTS
        if colon:
            words = rest.split(",")
            if not all(re.fullmatch(r"[0-9]{1,5}", word) for word in words):
                raise ValueError(_not_a_server(text))
            ports = tuple(int(word) for word in words)
        if not _HOST.fullmatch(host) or not all(0 < port < 65536 for port in ports):
            raise ValueError(_not_a_server(text))
        return cls(text, host, ports)

    @property
    def numeric(self) -> bool:
        """Whether the host needs no looking up."""
        return dotted(self.host) is not None


def _not_a_server(text: str) -> str:
    return (
        f"{text[:80]!r} is not a discovery server: expected a host name or IPv4 address,"
        " with a port or two if they are not 5300 and 53, such as example.org:5300"
    )


class State(Enum):
    """How it stands with a server."""

    UNKNOWN = auto()  # its name has no address yet
    PROBING = auto()  # nothing is asked before it has answered
    ANSWERING = auto()
    SILENT = auto()  # probed now and then; names cost nothing


@dataclass(frozen=True, slots=True)
class ServerView:
    """A server, to be shown.

    Attributes:
        name: As the user wrote it.
        address: Where it is asked, or None if its name has no address.
        answering: Whether it does.
        last_answer: When it answered last, on the clock of the client; None if it never did.
        queries: Datagrams that were sent to it, pushes' acknowledgements left out.
        answers: Datagrams of it that were taken, pushes included.
        refused: Datagrams from its address that were not: unasked, forged, unreadable, too many.
        announced: How many names it was told that we have.
        sees: Our address as it sees it.
        trouble: Why it is not asked, in a few words, or empty.
    """

    name: str
    address: Address | None
    answering: bool
    last_answer: float | None
    queries: int
    answers: int
    refused: int
    announced: int
    sees: Address | None
    trouble: str


@dataclass(slots=True, eq=False)
class Server:
    """A server at work.

    Attributes:
        number: Its place in the configuration.
        name: As the user wrote it.
        state: See `State`.
        host: Dotted address, once known.
        port: Which of the ports it is asked at.
        port_found: Whether it has answered there: then it stays at it.
        trouble: Why it is silent or unknown.
        retry_at: When it is looked up or probed again while silent or unknown.
        failures: Probes in a row that nobody answered.
        resolve_at: When its name is looked up again, whatever happens.
        token: Proof that we receive at our address; empty if there is none.
        token_since: When it came.
        sees: Our address as it sees it.
        refreshing: Whether a probe is under way while it answers.
        behind: Whether names have to be asked once more that it could not be asked for.
        urgent: Names to ask for, in this order.
        later: Names to ask for when there is nothing else to do.
        withdrawals: (name, port) to be taken back.
        announced: Port by name, for all that it was told.
        turn: Whether a withdrawal goes before a question; they take turns.
        wake_at: When its budget allows more.
        last_answer: When it answered last.
        queries: Datagrams sent.
        answers: Datagrams taken.
        refused: Datagrams refused.
        budget: For queries about names.
        pushes: For reading pushes.
    """

    number: int
    name: ServerName
    state: State = State.UNKNOWN
    host: str = ""
    port: int = 0
    port_found: bool = False
    trouble: str = ""
    retry_at: float = 0.0
    failures: int = 0
    resolve_at: float = float("inf")
    token: str = ""
    token_since: float = 0.0
    sees: Address | None = None
    refreshing: bool = False
    behind: bool = False
    urgent: dict[bytes, None] = field(default_factory=dict)
    later: dict[bytes, None] = field(default_factory=dict)
    withdrawals: dict[tuple[bytes, int], None] = field(default_factory=dict)
    announced: dict[bytes, int] = field(default_factory=dict)
    turn: bool = True
    wake_at: float | None = None
    last_answer: float | None = None
    queries: int = 0
    answers: int = 0
    refused: int = 0
    budget: Budget = field(default_factory=lambda: Budget(QUERIES_PER_SECOND, QUERIES_PER_SECOND))
    pushes: Budget = field(default_factory=lambda: Budget(PUSHES_PER_SECOND, PUSHES_PER_SECOND))

    @property
    def address(self) -> Address:
        """Where it is asked."""
        return Address(self.host, self.port)

    @property
    def pending(self) -> bool:
        """Whether something waits to be asked or taken back."""
        return bool(self.urgent or self.later or self.withdrawals)

    @property
    def waiting(self) -> bool:
        """Whether it is not asked anything until `retry_at`."""
        return self.state in (State.UNKNOWN, State.SILENT)

    @property
    def undecided(self) -> bool:
        """Whether it may soon say where it sees us."""
        finding = self.state is State.UNKNOWN and not self.failures
        return finding or self.refreshing or self.state is State.PROBING

    @property
    def check_at(self) -> float:
        """When it is to be probed, or its name to be looked up."""
        return self.retry_at if self.waiting else self.resolve_at

    def token_good(self, now: float) -> bool:
        """Whether its token is worth sending."""
        return bool(self.token) and now < self.token_since + TOKEN_AGE

    def next_task(self) -> tuple[bytes, int | None]:
        """Take what is pending next: (name, None) to ask for, or (name, port) to take back."""
        self.turn = not self.turn
        if self.withdrawals and (not self.turn or not self.urgent):
            task = next(iter(self.withdrawals))
            del self.withdrawals[task]
            return task
        name = next(iter(self.urgent or self.later))
        self.forget(name)
        return name, None

    def forget(self, name: bytes) -> None:
        """Do not ask for a name any more."""
        self.urgent.pop(name, None)
        self.later.pop(name, None)

    def withdraw(self, name: bytes, port: int) -> None:
        """An announcement is to be taken back."""
        if self.state is not State.ANSWERING and len(self.withdrawals) >= MAX_WITHDRAWALS:
            del self.withdrawals[next(iter(self.withdrawals))]
        self.withdrawals[(name, port)] = None

    # ---- how it goes on

    def place(self, host: str, now: float) -> bool:
        """Its address is known; whether it is another one than before.

        What was learnt or announced at another address does not hold any more.
        """
        moved = self.host != host
        if moved:
            self.behind = self.behind or bool(self.announced)
            self.announced.clear()
            self.host, self.port_found, self.sees = host, False, None
        if not self.name.numeric:
            self.resolve_at = now + RESOLVE_INTERVAL
        return moved

    def probing(self) -> None:
        """It is probed, at the port that it answered at or else at the first one."""
        if not self.port_found:
            self.port = self.name.ports[0]
        self.state, self.token, self.refreshing = State.PROBING, "", False

    def next_port(self) -> bool:
        """Nobody answered at this port: whether there is another one to try."""
        place = self.name.ports.index(self.port) + 1
        if self.port_found or place == len(self.name.ports):
            return False
        self.port = self.name.ports[place]
        return True

    def answering(self) -> None:
        """It has given its token."""
        self.state, self.refreshing, self.failures = State.ANSWERING, False, 0
        self.port_found, self.trouble = True, ""

    def silent(self, now: float, choose: Callable[[int], int]) -> None:
        """It is not there: names cost nothing until it is back, and then all are asked for."""
        self.urgent.clear()
        self.later.clear()
        self.behind = True
        self.token, self.sees, self.refreshing, self.wake_at = "", None, False, None
        self.state = State.SILENT
        self.back_off(now, choose)

    def back_off(self, now: float, choose: Callable[[int], int]) -> None:
        """Try again later, and not in step with everybody else."""
        wait = min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** min(self.failures, 10))
        self.failures += 1
        self.retry_at = now + wait - wait * choose(100) / 1000

    def network_changed(self, now: float) -> None:
        """This host has other addresses: tokens are worth nothing, and all has to be told anew."""
        self.token, self.sees, self.behind, self.failures = "", None, True, 0
        if self.waiting:
            self.retry_at = now

    def view(self) -> ServerView:
        """To be shown."""
        return ServerView(
            name=self.name.text,
            address=self.address if self.host else None,
            answering=self.state is State.ANSWERING,
            last_answer=self.last_answer,
            queries=self.queries,
            answers=self.answers,
            refused=self.refused,
            announced=len(self.announced),
            sees=self.sees,
            trouble=self.trouble,
        )


class Servers:
    """All of them, in the order of the configuration."""

    def __init__(self, names: Sequence[ServerName]) -> None:
        """Nothing is known of any of them.

        Raises:
            ValueError: There are more than 16.
        """
        if len(names) > MAX_SERVERS:
            raise ValueError(f"at most {MAX_SERVERS} discovery servers, not {len(names)}")
        self._all = [Server(number, name) for number, name in enumerate(names)]
        self._at: dict[str, list[Server]] = {}

    def __iter__(self) -> Iterator[Server]:
        return iter(self._all)

    def __getitem__(self, number: int) -> Server:
        return self._all[number]

    def at(self, source: Address) -> Server | None:
        """The server at an address, or else one of that host: it may listen on several ports."""
        here = self._at.get(source.host)
        return next((one for one in here if one.port == source.port), here[0]) if here else None

    def place(self, server: Server, host: str, now: float) -> bool:
        """The address of a server is known; whether it is another one than before."""
        moved = server.place(host, now)
        if moved:
            self._at = {}
            for one in self._all:
                if one.host:
                    self._at.setdefault(one.host, []).append(one)
        return moved

    @property
    def undecided(self) -> bool:
        """Whether one of them may soon say where it sees us."""
        return any(server.undecided for server in self._all)

    def voices(self) -> dict[str, Address]:
        """Where we are seen, by the address of who says so."""
        return {
            server.host: server.sees
            for server in self._all
            if server.state is State.ANSWERING and server.sees is not None
        }
