import asyncio
import io
import zipfile
from contextlib import asynccontextmanager

import pytest

from datctl.remote_file import RemoteFile
from datctl.sync_file import SyncFile


@pytest.fixture
def opened():
    """Makes files of the bytes given, buffered as `Client.open` gives them."""
    loop = asyncio.new_event_loop()

    def make(data):
        @asynccontextmanager
        async def opening():
            async def fetch(start, stop):
                return data[start:stop]

            yield RemoteFile(len(data), fetch, etag='"x"')

        return io.BufferedReader(SyncFile(loop.run_until_complete, opening(), "/a.bin"))

    yield make
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_it_is_a_file_as_any_other(opened):
    data = bytes(range(256)) * 1000
    with opened(data) as file:
        assert (file.name, file.mode, file.raw.size, file.raw.etag) == (
            "/a.bin", "rb", len(data), '"x"',
        )  # fmt: skip
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        assert file.read(10) == data[:10]
        assert file.seek(-5, io.SEEK_END) == len(data) - 5
        assert file.read() == data[-5:]
        assert file.read(1) == b""
        file.seek(1_000)
        assert file.peek(4)[:4] == data[1_000:1_004]
        assert file.tell() == 1_000
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        file.read()
    file.close()


def test_texts_and_lines(opened):
    with io.TextIOWrapper(opened("ä,b\n1,2\n".encode())) as file:
        assert list(file) == ["ä,b\n", "1,2\n"]


def test_zip_files_are_read_through_it(opened):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/b.txt", "hello" * 10_000)
    with opened(whole.getvalue()) as file, zipfile.ZipFile(file) as packed:
        assert packed.testzip() is None
        assert packed.read("a/b.txt") == b"hello" * 10_000


def test_whoever_is_interrupted_reads_on_where_he_stood():
    data = bytes(range(256)) * 1000
    loop = asyncio.new_event_loop()
    came: list[int] = []

    @asynccontextmanager
    async def opening():
        async def fetch(start, stop):
            return data[start:stop]

        yield RemoteFile(len(data), fetch)

    def call(work):
        found = loop.run_until_complete(work)
        came.append(1)
        if len(came) == 3:
            raise KeyboardInterrupt  # which comes when the bytes have come
        return found

    with io.BufferedReader(SyncFile(call, opening(), "/a.bin"), 1000) as file:
        assert file.read(1000) == data[:1000]
        with pytest.raises(KeyboardInterrupt):
            file.read(10)
        assert file.read(10) == data[1000:1010]
        assert file.tell() == 1010
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
