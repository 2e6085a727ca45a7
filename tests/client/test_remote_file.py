import asyncio
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datctl.remote_file import RemoteFile
from datctl.windows import LEAST

DATA = bytes(range(256)) * 4096


def opened(data=DATA):
    asked = []

    async def fetch(start, stop):
        asked.append((start, stop))
        return data[start:stop]

    return RemoteFile(len(data), fetch), asked


async def test_small_reads_in_a_row_are_one_request():
    file, asked = opened()
    assert [await file.read(10) for _ in range(3)] == [DATA[:10], DATA[10:20], DATA[20:30]]
    assert asked == [(0, LEAST)]


async def test_seeking_fetches_nothing_and_reading_ends_at_the_end():
    file, asked = opened()
    assert file.seek(-5, io.SEEK_END) == len(DATA) - 5
    assert not asked
    assert await file.read(100) == DATA[-5:]
    assert await file.read() == b""
    assert file.tell() == len(DATA)
    file.seek(len(DATA) + 10)
    assert await file.read() == b""


def test_there_is_nothing_before_the_beginning():
    file, _ = opened()
    with pytest.raises(ValueError, match="before the beginning"):
        file.seek(-1)
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 3)


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2]), st.integers(-50, 1000), st.integers(-1, 2000)),
        max_size=20,
    )
)
async def test_it_behaves_as_a_file_of_the_standard_library(steps):
    data = DATA[:1500]
    file, _ = opened(data)
    model = io.BytesIO(data)
    for whence, offset, size in steps:
        try:
            expected = model.seek(offset, whence)
        except ValueError:
            continue
        # BytesIO moves to the beginning where a real file refuses.
        if {0: 0, 1: file.tell(), 2: len(data)}[whence] + offset < 0:
            model.seek(file.tell())
            continue
        assert file.seek(offset, whence) == expected
        assert await file.read(size) == model.read(size)


async def test_lines_are_those_of_the_standard_library():
    data = b"one\n\ntwo\r\n" + b"x" * 200_000 + b"\nno end"
    file, asked = opened(data)
    model = io.BytesIO(data)
    assert await file.readline() == model.readline()
    assert await file.readline(-1) == model.readline()
    assert await file.readline(3) == model.readline(3)
    assert file.tell() == model.tell()
    assert [line async for line in file] == model.readlines()
    assert await file.readline() == b""
    file.seek(5)
    assert await file.readlines() == io.BytesIO(data[5:]).readlines()
    # Each byte was fetched once, beside those of the second pass that were not kept.
    assert sum(stop - start for start, stop in asked) <= 2 * len(data)


async def test_it_fills_buffers():
    file, _ = opened(b"0123456789")
    buffer = bytearray(4)
    assert [await file.readinto(buffer) for _ in range(4)] == [4, 4, 2, 0]
    assert buffer == b"8967"
    file.seek(0)
    assert await file.read(None) == b"0123456789"


async def test_a_closed_file_says_so_and_a_whole_one_what_it_can():
    file, _ = opened()
    async with file as same:
        assert same is file
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        assert not file.closed
    assert file.closed
    for call in (file.tell, file.readable, file.seekable, file.writable, lambda: file.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            call()
    for read in (file.read, file.readline, file.__aenter__):
        with pytest.raises(ValueError, match="closed"):
            await read()


async def test_the_whole_is_read_without_being_kept():
    data = bytes(20 * 2**20)
    file, asked = opened(data)
    assert len(await file.read()) == len(data)
    assert asked == [(0, len(data))]
    assert file._windows._kept == {}


async def test_tasks_that_read_one_file_get_bytes_of_their_own():
    async def fetch(start, stop):
        await asyncio.sleep(0)
        return DATA[start:stop]

    file = RemoteFile(len(DATA), fetch)
    found = await asyncio.gather(*(file.read(100_000) for _ in range(12)))
    assert b"".join(found) == DATA
    file.seek(0)
    lines = await asyncio.gather(*(file.readline() for _ in range(3)))
    assert lines == io.BytesIO(DATA).readlines()[:3]


async def test_a_line_that_could_not_be_fetched_is_whole_the_next_time():
    data = b"x" * 100_000 + b"\n"
    troubles = [None, ConnectionError()]

    async def fetch(start, stop):
        if troubles and (error := troubles.pop(0)):
            raise error
        return data[start:stop]

    file = RemoteFile(len(data), fetch)
    with pytest.raises(ConnectionError):
        await file.readline()
    assert file.tell() == 0
    assert await file.readline() == data
