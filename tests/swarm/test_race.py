"""TCP and uTP to the same address, in virtual time (transports.md section 5)."""

import asyncio
from collections.abc import Callable

import pytest
from tests.helpers.virtual_time import in_virtual_time

from datd.swarm.race import race
from datd.transport.base import Stream
from datd.types import Address

THERE = Address("198.51.100.1", 3282)
REFUSED = ConnectionRefusedError(111, "refused")
UNREACHABLE = OSError(113, "no route")
NEVER = 1000.0


class Line:
    """A stream, of which only the end is looked at."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.remote = THERE
        self.aborted = False

    async def read(self) -> bytes:
        return b""

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        raise AssertionError("nobody talks here")

    def close(self) -> None:
        self.aborted = True

    def abort(self) -> None:
        self.aborted = True


class Dialler:
    """A transport that answers after a while, one way or the other."""

    def __init__(self, kind: str, after: float, error: OSError | None = None) -> None:
        self.kind = kind
        self.line = Line(kind)
        self.connected = False
        self.given_up = False
        self._after = after
        self._error = error

    async def listen(self, host: str, port: int, on_stream: Callable[[Stream], None]) -> int:
        return port

    async def dial(self, address: Address) -> Stream:
        assert address == THERE
        try:
            await asyncio.sleep(self._after)
        except asyncio.CancelledError:
            self.given_up = True
            raise
        if self._error is not None:
            raise self._error
        self.connected = True
        return self.line

    async def close(self) -> None:
        pass

    @property
    def trace(self) -> bool:
        """Whether something of a lost dial is left."""
        return self.connected and not self.line.aborted


def run(*diallers: Dialler) -> tuple[str, float, dict[str, object]]:
    """Who won or what went wrong, after how many seconds, and what was reported."""
    reports: dict[str, object] = {}

    async def story() -> tuple[str, float]:
        clock = asyncio.get_running_loop().time
        start = clock()
        try:
            result = (await race(diallers, THERE, report=reports.__setitem__)).kind
        except OSError as error:
            result = type(error).__name__
        elapsed = round(clock() - start, 3)
        own = asyncio.current_task()
        assert [task for task in asyncio.all_tasks() if task is not own] == []
        return result, elapsed

    result, elapsed = in_virtual_time(story())
    for dialler in diallers:
        assert dialler.trace == (dialler.kind == result)
    return result, elapsed, reports


@pytest.mark.parametrize(
    ("tcp", "utp", "winner", "seconds"),
    [
        ((0.1, None), (0.2, None), "tcp", 0.1),
        ((0.1, None), (NEVER, None), "tcp", 0.1),
        ((0.3, None), (0.1, None), "tcp", 0.3),  # uTP waits for TCP
        ((0.7, None), (0.1, None), "utp", 0.6),  # but 500 ms only
        ((NEVER, None), (0.1, None), "utp", 0.6),
        ((0.05, REFUSED), (0.1, None), "utp", 0.1),  # TCP has failed: nothing to wait for
        ((0.3, REFUSED), (0.1, None), "utp", 0.3),
        ((NEVER, None), (2.8, None), "utp", 3.0),  # no longer than 3 s in all
        ((2.9, None), (2.8, None), "tcp", 2.9),
        ((0.1, REFUSED), (0.2, UNREACHABLE), "ConnectionRefusedError", 0.2),
        ((0.2, REFUSED), (0.1, UNREACHABLE), "ConnectionRefusedError", 0.2),
        ((0.1, REFUSED), (NEVER, None), "ConnectionRefusedError", 3.0),
        ((NEVER, None), (NEVER, None), "TimeoutError", 3.0),
        ((NEVER, None), (0.1, UNREACHABLE), "OSError", 3.0),
        ((0.2, None), (0.2, None), "tcp", 0.2),
    ],
)
def test_who_wins(tcp, utp, winner, seconds):
    result, elapsed, _ = run(Dialler("tcp", *tcp), Dialler("utp", *utp))
    assert (result, elapsed) == (winner, seconds)


def test_the_loser_is_given_up_without_a_trace():
    tcp, utp = Dialler("tcp", 0.1), Dialler("utp", 2.0)
    assert run(tcp, utp)[0] == "tcp"
    assert utp.given_up
    late, early = Dialler("tcp", 5.0), Dialler("utp", 0.1)
    assert run(late, early)[0] == "utp"
    assert late.given_up


@pytest.mark.parametrize("kind", ["tcp", "utp"])
def test_a_single_transport_is_taken_or_fails_at_once(kind):
    assert run(Dialler(kind, 0.1))[:2] == (kind, 0.1)
    assert run(Dialler(kind, 0.1, REFUSED))[:2] == ("ConnectionRefusedError", 0.1)


def test_without_a_transport_nobody_is_reached():
    assert run()[0] == "TimeoutError"


def test_how_each_fared_is_told():
    _, _, reports = run(Dialler("tcp", 0.1, REFUSED), Dialler("utp", 0.2))
    assert reports == {"tcp": REFUSED, "utp": None}
    _, _, reports = run(Dialler("tcp", 0.1), Dialler("utp", 0.2))
    assert reports == {"tcp": None}  # the other one came to no end of its own


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.1, 0.15, 0.2, 0.299])
def test_who_stops_waiting_leaves_nothing_behind(moment):
    diallers = Dialler("tcp", 0.3), Dialler("utp", 0.1)

    async def story() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(moment):
                await race(diallers, THERE)
        assert not any(dialler.trace for dialler in diallers)
        assert len(asyncio.all_tasks()) == 1

    in_virtual_time(story())


def test_a_fault_of_a_transport_shows():
    class Broken(Dialler):
        async def dial(self, address: Address) -> Stream:
            raise KeyError("a bug")

    async def story() -> None:
        with pytest.raises(BaseExceptionGroup):
            await race([Broken("tcp", 0.0), Dialler("utp", 0.1)], THERE)

    in_virtual_time(story())
