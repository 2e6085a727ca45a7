import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datctl.remote_file import READ_AHEAD, RemoteFile

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
    assert asked == [(0, READ_AHEAD)]


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
