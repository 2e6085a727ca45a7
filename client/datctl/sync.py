"""The client for scripts and notebooks: nothing is awaited.

    from datctl.sync import Client

    with Client() as dat:
        for archive in dat.all_archives():
            print(archive.key, archive.state)

It has the methods of the asynchronous client, by the same name and with the same arguments. What
is iterated over there asynchronously is an iterator here, `open` gives a file object of the
standard library's kind, and bytes to write may be an open file.
"""

import inspect
import io
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial, wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from datctl.client import Client as AsyncClient
from datctl.portal import AHEAD, PIECES_AHEAD, Portal, pieces_of
from datctl.routes import DEFAULT_WAIT, Version
from datctl.sync_file import SyncFile

if TYPE_CHECKING:
    # Written from the asynchronous client's methods by `python -m tests.helpers.sync_methods`.
    from datctl.sync_methods import Methods
else:
    Methods = object

# `open` stands here; a SLEEP file, which exports read while it grows, is for asynchronous programs.
_OTHERWISE = {"open", "sleep_file"}
# Small reads become few calls into the other thread.
_BUFFER = 64 * 1024


class Client(Methods):
    """A daemon. Usable from several threads, and where an event loop runs already (in a notebook).

    It connects when it is first used, and runs in a thread of its own until `close`, the end of a
    `with`, or that of the program. A process forked off gets connections and a thread of its own.
    Functions given to its methods are called in that thread: they cannot call the client.
    """

    def __init__(
        self,
        api: str | None = None,
        *,
        token: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Choose a daemon, as `datctl.Client` does; nothing is sent yet."""
        self._make: Callable[[], AsyncClient] = partial(AsyncClient, api, token=token, env=env)
        self._dat = self._make()
        # One for each process: another thread may hold that of the one that this was forked off.
        self._locks: dict[int, threading.RLock] = {}
        self._portal: Portal | None = None
        self._end: weakref.finalize[Any, Any] | None = None
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"<datctl.sync.Client of {self._dat.endpoint.shown}>"

    def __enter__(self) -> Self:
        self._opened()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all requests. The client begins anew if it is used again."""
        with self._locked():
            self._leave_to_the_other_process()
            end, self._portal, self._end = self._end, None, None
            try:
                if end is not None:
                    end()
            except BaseException:
                # Who is interrupted does not know how far that came.
                self._dat = self._make()
                raise

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_") or name in _OTHERWISE:
                raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
            return self._method(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *method_names(self._dat)})

    def open(
        self,
        archive: str,
        path: str,
        *,
        version: Version | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> io.BufferedReader:
        """A file object that reads and seeks, as `open(path, "rb")` of Python gives one.

        Raises:
            NotFound: No such archive, version or file.
            UsageError: It is a folder.
        """
        opening = self._opened().open(archive, path, version=version, wait=wait)
        return io.BufferedReader(SyncFile(self._call, opening, path), _BUFFER)

    def _method(self, name: str) -> Any:
        """A method of the asynchronous client, made to wait."""
        sample = getattr(self._dat, name)
        if not callable(sample):
            return sample

        def found(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            dat = self._opened()
            given = [_fed(arg) for arg in args]
            return getattr(dat, name)(*given, **{key: _fed(arg) for key, arg in kwargs.items()})

        if inspect.iscoroutinefunction(sample):

            @wraps(sample)
            def wait(*args: Any, **kwargs: Any) -> Any:
                return self._call(found(args, kwargs))

            return wait
        if inspect.isasyncgenfunction(sample):

            @wraps(sample)
            def iterate(*args: Any, **kwargs: Any) -> Iterator[Any]:
                return self._iterate(found(args, kwargs), AHEAD)

            return iterate

        @wraps(sample)
        @contextmanager
        def during(*args: Any, **kwargs: Any) -> Iterator[Any]:
            manager = found(args, kwargs)
            with self._current_portal().during(manager) as inside:
                many = isinstance(inside, AsyncIterator)
                yield self._iterate(inside, PIECES_AHEAD) if many else inside

        return during

    def _call(self, work: Any) -> Any:
        return self._current_portal().call(work)

    def _iterate(self, source: AsyncIterator[Any], ahead: int) -> Iterator[Any]:
        return self._current_portal().iterate(source, ahead)

    def _current_portal(self) -> Portal:
        self._opened()
        portal = self._portal
        if portal is None:
            raise ValueError("the client is closed")
        return portal

    def _opened(self) -> AsyncClient:
        """The asynchronous client of this process, with its connections and its thread."""
        with self._locked():
            self._leave_to_the_other_process()
            if self._portal is None:
                portal = Portal()
                try:
                    portal.call(self._dat.__aenter__())
                    # Runs when the program ends, too, before threads do.
                    self._end = weakref.finalize(self, _close, portal, self._dat)
                except BaseException:
                    dat, self._dat = self._dat, self._make()
                    _close(portal, dat)
                    raise
                self._portal = portal
            return self._dat

    def _locked(self) -> threading.RLock:
        return self._locks.setdefault(os.getpid(), threading.RLock())

    def _leave_to_the_other_process(self) -> None:
        """If this one was forked off: connections and thread are not ours."""
        if self._process == os.getpid():
            return
        if self._end is not None:
            self._end.detach()
        self._process = os.getpid()
        self._dat, self._portal, self._end = self._make(), None, None


def method_names(dat: AsyncClient) -> list[str]:
    """What the asynchronous client offers in the same way here."""
    names = {*vars(dat), *dir(type(dat))} - _OTHERWISE
    return sorted(name for name in names if not name.startswith("_"))


def _close(portal: Portal, dat: AsyncClient) -> None:
    try:
        with suppress(RuntimeError):  # by the portal's own thread, which ends all; or after a fork
            portal.call(dat.__aexit__(None, None, None))
    finally:
        portal.close()


def _fed(argument: Any) -> Any:
    """An argument; a file or iterator of bytes as the asynchronous client reads it."""
    if isinstance(argument, Iterator) or hasattr(argument, "read"):
        return pieces_of(argument)
    if isinstance(argument, bytearray | memoryview):
        return bytes(argument)
    return argument
