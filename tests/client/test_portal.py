import asyncio
import gc
import io
import signal
import threading
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, suppress

import pytest

from datctl.portal import Portal, pieces_of


@pytest.fixture
def portal():
    portal = Portal()
    yield portal
    portal.close()


async def numbers(stop, ended=None):
    try:
        for number in range(stop):
            if number % 100 == 0:
                await asyncio.sleep(0)
            yield number
    finally:
        if ended is not None:
            ended.set()


def test_results_and_errors_come_back(portal):
    async def answer():
        return 42

    async def fail():
        raise KeyError("it")

    assert portal.call(answer()) == 42
    with pytest.raises(KeyError, match="it"):
        portal.call(fail())


def test_what_is_inside_is_left_at_the_end_by_the_task_that_entered(portal):
    seen = []

    @asynccontextmanager
    async def room(*, locked=False):
        if locked:
            raise KeyError("locked")
        seen.append(asyncio.current_task())
        try:
            yield "inside"
        finally:
            seen.append(asyncio.current_task())

    with portal.during(room()) as inside:
        assert inside == "inside"
    with pytest.raises(ZeroDivisionError), portal.during(room()):
        raise ZeroDivisionError
    with pytest.raises(KeyError, match="locked"), portal.during(room(locked=True)):
        pass
    with portal.during(room()):
        portal.close()
        assert len(seen) == 6
    assert seen[::2] == seen[1::2]


async def test_it_works_where_a_loop_runs_already(portal):
    async def answer():
        return threading.current_thread().name

    assert portal.call(answer()) == "datctl"


def test_a_callback_that_would_wait_for_itself_is_refused(portal):
    async def nothing():
        pass

    async def calls():
        portal.call(nothing())

    with pytest.raises(RuntimeError, match="callback"):
        portal.call(calls())


def test_who_is_interrupted_takes_the_work_back(portal):
    began, ended = threading.Event(), threading.Event()

    async def work():
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    def interrupt(number, frame):
        raise KeyboardInterrupt

    main = threading.get_ident()

    def send():
        began.wait(60)
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            portal.call(work())
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert ended.wait(60)


def test_items_come_in_order_and_errors_after_them(portal):
    async def fails():
        yield 1
        yield 2
        raise KeyError("it")

    assert list(portal.iterate(numbers(10_000))) == list(range(10_000))
    found = []
    with pytest.raises(KeyError):
        found.extend(portal.iterate(fails()))
    items = portal.iterate(fails())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyError):
        next(items)


def test_who_has_enough_ends_the_work(portal):
    ended = threading.Event()
    items = portal.iterate(numbers(10**9, ended))
    assert next(items) == 0
    items.close()
    assert ended.wait(60)
    ended.clear()
    items = portal.iterate(numbers(10**9, ended))
    assert next(items) == 0
    del items
    gc.collect()
    assert ended.wait(60)


def test_no_more_is_fetched_ahead_than_agreed(portal):
    made = []

    async def endless():
        while True:
            made.append(1)
            yield len(made)
            await asyncio.sleep(0)

    items = portal.iterate(endless(), 16)
    assert next(items) == 1

    async def settle():
        for _ in range(100):
            await asyncio.sleep(0)

    portal.call(settle())
    assert len(made) <= 34  # what was taken at once, what waits, and one in hand
    items.close()


def test_a_closed_portal_ends_what_it_ran_and_says_so():
    portal, ended = Portal(), threading.Event()
    items = portal.iterate(numbers(10**9, ended))
    next(items)
    portal.close()
    portal.close()
    assert ended.wait(60)
    assert not any(thread.name == "datctl" and thread.is_alive() for thread in [portal._thread])
    items.close()

    async def nothing():
        pass

    with pytest.raises(RuntimeError, match="closed"):
        portal.call(nothing())


class Interrupted(Portal):
    """A portal whose caller is interrupted just when an answer has come."""

    strike = False

    def call(self, work):
        found = super().call(work)
        if self.strike:
            self.strike = False
            raise KeyboardInterrupt
        return found


def test_what_was_begun_for_whoever_was_interrupted_is_ended():
    portal, left, ended = Interrupted(), threading.Event(), threading.Event()

    @asynccontextmanager
    async def room():
        try:
            yield
        finally:
            left.set()

    portal.strike = True
    with pytest.raises(KeyboardInterrupt), portal.during(room()):
        pass
    assert left.wait(60)
    portal.strike = True
    with pytest.raises(KeyboardInterrupt):
        next(portal.iterate(numbers(10**9, ended)))
    assert ended.wait(60)
    portal.close()


def test_who_asks_while_it_is_closed_hears_of_that():
    portal, heard = Portal(), []

    def ask():
        try:
            portal.call(asyncio.Event().wait())
        except RuntimeError as error:
            heard.append(str(error))

    asking = threading.Thread(target=ask, daemon=True)

    async def last():
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            # The loop stands still until the other thread has asked.
            ready = vars(portal._loop)["_ready"]
            waiting = len(ready)
            asking.start()
            while len(ready) == waiting:
                asking.join(0.001)

    def hold():
        with suppress(CancelledError):
            portal.call(last())

    begun, holding = threading.Event(), threading.Thread(target=hold, daemon=True)
    holding.start()
    assert begun.wait(60)
    portal.close()
    asking.join(60)
    assert heard == ["the client is closed"]


def test_a_source_that_ends_otherwise_leaves_nobody_waiting(portal):
    async def cancelled():
        yield 1
        raise asyncio.CancelledError

    items = portal.iterate(cancelled())
    found = []
    with pytest.raises(CancelledError):
        found.extend(items)
    assert found == [1]


def test_many_items_cross_together():
    class Counting(Portal):
        calls = 0

        def call(self, work):
            self.calls += 1
            return super().call(work)

    portal = Counting()
    assert sum(1 for _ in portal.iterate(numbers(100_000))) == 100_000
    portal.close()
    # Each takes 40 µs or more; one for each item would be 4 s.
    assert portal.calls < 5_000


async def test_pieces_of_files_and_iterators():
    assert b"".join([p async for p in pieces_of(io.BytesIO(b"x" * 600_000))]) == b"x" * 600_000
    assert [p async for p in pieces_of(iter([b"a", b"", b"b"]))] == [b"a", b"b"]
