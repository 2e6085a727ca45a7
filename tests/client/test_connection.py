import asyncio
import contextlib
import gc
import io
import json
import re
import select
import socket
import sys
import threading
import warnings

import aiohttp
import pytest
from tests.helpers.api import TOKEN

from datctl import cli, connection
from datctl.client import Client
from datctl.errors import ApiError, DatdError, NoDaemon, NotFound, TransferError, UsageError


async def answering(answer):
    """A server that reads a request and answers with given bytes, then closes."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(status, body, kind="application/json", length=None):
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", NoDaemon),
        (b"", TransferError),
        (http(200, b"{}"), DatdError),
        (http(200, b"<html>"), DatdError),
        (http(200, b'{"name":', length=500), TransferError),
        (http(302, b""), DatdError),
        (http(404, b"<html>nginx</html>", "text/html"), NotFound),
        (http(502, b"\xff\xfe"), DatdError),
        (http(500, b"[" * 100_000), DatdError),
    ],
)
async def test_whatever_answers_there_the_error_is_ours(answer, error):
    server, api = await answering(answer)
    async with server, Client(api, env={}) as dat:
        with pytest.raises(error):
            await dat.info()


async def test_a_client_must_be_opened_before_it_is_used():
    with pytest.raises(RuntimeError, match="async with"):
        await Client(env={}).info()


async def test_a_name_that_is_no_unicode_is_wrong_usage(dat):
    with pytest.raises(UsageError, match="UTF-8"):
        await dat.create(name="\udcff")


async def test_bytes_that_end_early_say_so_where_they_are_read():
    head = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 100\r\n\r\n'
    server, api = await answering(head + b"begin")
    async with server, Client(api, token="x", env={}) as dat, dat.stream("n", "/a") as pieces:
        assert await anext(pieces) == b"begin"
        with pytest.raises(TransferError, match="ended before"):
            await anext(pieces)


@pytest.mark.parametrize("kind", [aiohttp.ClientConnectionError, aiohttp.ServerTimeoutError])
async def test_errors_of_the_readers_own_connections_stay_his(dat, kind):
    await dat.create(name="n")
    await dat.put("n", "/a", b"x")
    with pytest.raises(kind, match="his own"):
        async with dat.stream("n", "/a"):
            raise kind("his own")


async def failing():
    yield b"x" * 100_000
    raise FileNotFoundError("the writer's own")


async def letters():
    yield "text"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (failing, FileNotFoundError),
        (letters, TypeError),
        (lambda: "text", TypeError),
        (lambda: None, TypeError),
        (lambda: [b"x"], TypeError),
    ],
)
async def test_content_that_cannot_be_sent_is_the_writers_error_and_leaves_no_file(
    dat, content, error
):
    await dat.create(name="n")
    with pytest.raises(error):
        await dat.put("n", "/a", content())
    assert [entry.path async for entry in dat.walk("n")] == []


async def test_content_in_pieces_is_never_sent_a_second_time():
    """Its rest would be taken for the whole."""

    async def pieces():
        yield b"x"

    content = connection._Content(pieces())
    assert [piece async for piece in content] == [b"x"]
    with pytest.raises(ConnectionError):
        [piece async for piece in content]


async def test_a_client_that_is_open_is_not_opened_again(dat):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match="open already"):
            async with dat:
                pass
        gc.collect()
    assert await dat.is_alive()


async def test_a_client_whose_end_was_cancelled_can_be_opened_again(api):
    dat = api.client()
    await dat.__aenter__()
    await dat.info()  # leaves a connection behind that is kept, and takes a moment to close
    async with asyncio.TaskGroup() as group:
        closing = group.create_task(dat.__aexit__(None, None, None))
        await asyncio.sleep(0)
        closing.cancel()
    assert closing.cancelled()
    async with dat:
        assert (await dat.info()).name == "datd"


async def test_a_client_is_of_one_event_loop(dat):
    def elsewhere():
        return asyncio.run(dat.info())

    with pytest.raises(RuntimeError, match="another event loop"):
        await asyncio.to_thread(elsewhere)
    assert await dat.is_alive()


async def test_who_takes_no_connection_is_no_daemon(monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.2)
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        # The place in the queue may be taken a moment after that.
        assert select.select([full], [], [], 60)[0]
        async with Client(f"http://127.0.0.1:{full.getsockname()[1]}", env={}) as dat:
            with pytest.raises(NoDaemon, match="0 s"):
                await dat.info()


async def test_settings_of_a_wrong_type_are_refused_in_words(dat):
    await dat.create(name="n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DatdError, match="networks"):
            await dat.change("n", networks="dns")


class Closing:
    """A server that ends a connection at each `POST`, unread, so many times; then it answers.

    As often as it is told to, it answers at first that the one before is still under way.
    """

    def __init__(self, times, under_way):
        self.times = times
        self.under_way = under_way
        self.asked = []

    async def serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = re.search("content-length: ([0-9]+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                if head.startswith("post"):
                    key = re.search("idempotency-key: (.+)\r\n", head)
                    self.asked.append(key and key[1])
                    if len(self.asked) <= self.times:
                        break
                    if len(self.asked) <= self.times + self.under_way:
                        later = http(409, b"{}").replace(b"\r\n", b"\r\nRetry-After: 1\r\n", 1)
                        writer.write(later)
                        continue
                writer.write(http(404, b"{}"))
        writer.close()


@pytest.fixture
async def closing():
    async with contextlib.AsyncExitStack() as stack:

        async def start(times, under_way=0):
            made = Closing(times, under_way)
            server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
            await stack.enter_async_context(server)
            address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            dat = await stack.enter_async_context(Client(address, env={}))
            with pytest.raises(NotFound):
                await dat.info()  # leaves a connection behind that is kept
            return dat, made

        yield start


@pytest.mark.parametrize("key", ["mine", None])
async def test_what_may_be_sent_twice_is_sent_again_where_the_daemon_just_closed(closing, key):
    dat, server = await closing(1)
    with pytest.raises(NotFound):
        await dat.create(title="x", idempotency_key=key)
    first, second = server.asked
    assert first
    assert first == second == (key or first)


async def test_it_is_sent_again_once_and_no_more(closing):
    dat, server = await closing(9)
    with pytest.raises(TransferError):
        await dat.fork("n")
    assert len(server.asked) == 2


async def test_what_the_daemon_may_have_read_is_not_sent_again(closing):
    dat, server = await closing(1)
    with pytest.raises(TransferError):
        await dat.create_token(name="x")
    assert server.asked == [None]


async def test_while_the_daemon_is_still_at_the_first_one_that_is_waited_for(closing, monkeypatch):
    monkeypatch.setattr(connection, "_AGAIN_SECONDS", 0)
    dat, server = await closing(1, under_way=3)
    with pytest.raises(NotFound):
        await dat.create(title="x")
    assert len(server.asked) == 5
    assert len(set(server.asked)) == 1


async def test_a_conflict_that_was_not_sent_again_is_told_at_once(closing):
    dat, server = await closing(0, under_way=1)
    with pytest.raises(ApiError) as caught:
        await dat.create(title="x")
    assert (caught.value.status, len(server.asked)) == (409, 1)


@pytest.fixture
async def slow():
    """A daemon that answers when it is told to: its address, and how to tell it."""
    answer_now = asyncio.Event()

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await answer_now.wait()
                answer_now.clear()
                writer.write(http(404, b"{}"))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", answer_now


async def test_a_silent_daemon_is_told_once_and_waited_for_all_the_same(slow, monkeypatch):
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 0.1)
    address, answer_now = slow
    told = []

    def tell(text):
        told.append(text)
        answer_now.set()

    async with Client(address, env={}, on_silence=tell) as dat:
        with pytest.raises(NotFound):
            await dat.archive("kitchen")
        [line] = told
        assert address in line
        assert "0.1 s" in line
        assert "after 60 s it is given up" in line
        answer_now.set()
        with pytest.raises(NotFound):
            await dat.archive("kitchen")
    assert told == [line]


async def test_who_waits_for_peers_hears_that_it_may_be_for_them(slow, monkeypatch):
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 0.1)
    address, answer_now = slow
    told = []

    def tell(text):
        told.append(text)
        answer_now.set()

    async with Client(address, env={}, on_silence=tell) as dat:
        with pytest.raises(NotFound):
            await dat.history("kitchen", wait=7)
    [line] = told
    assert "peers, for 7 s at most" in line


async def test_a_daemon_that_answers_in_time_is_not_spoken_of(slow, monkeypatch):
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 600.0)  # in time, however busy we are
    address, answer_now = slow
    told: list[str] = []
    async with Client(address, env={}, on_silence=told.append) as dat:
        answer_now.set()
        with pytest.raises(NotFound):
            await dat.archive("kitchen")
    assert told == []


async def test_verbs_say_what_they_wait_for_and_json_stays_json(api, monkeypatch, capfd):
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 0.1)
    said = threading.Event()

    class Watched(io.StringIO):
        def write(self, text):
            said.set()
            return super().write(text)

    async def relay(reader, writer):
        """Passes all on, once somebody has complained."""
        await asyncio.to_thread(said.wait, 60)
        ours, theirs = await asyncio.open_connection("127.0.0.1", api.port)
        theirs.write(await reader.readuntil(b"\r\n\r\n"))
        head = await ours.readuntil(b"\r\n\r\n")
        _, _, size = head.lower().partition(b"content-length: ")
        writer.write(head + await ours.readexactly(int(size.split()[0])))
        await writer.drain()
        theirs.close()
        writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        line = ["--api", address, "--token", TOKEN, "status", "--json"]
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", watched := Watched())
            assert await asyncio.to_thread(cli.main, line) == 0
    assert watched.getvalue().startswith(f"waiting for {address}: nothing came for 0.1 s")
    assert "archives" in json.loads(capfd.readouterr().out)
