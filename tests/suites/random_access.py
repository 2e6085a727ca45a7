"""What every RandomAccess does. A test class inherits a suite and gives the fixture `file`."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datd.storage.base import RandomAccess

OFFSETS = st.integers(0, 300)
PIECES = st.binary(max_size=40)
STEPS = st.one_of(
    st.tuples(st.just("write"), OFFSETS, PIECES),
    st.tuples(st.just("truncate"), OFFSETS, st.just(b"")),
    st.tuples(st.just("punch"), OFFSETS, PIECES),
)


class PositionedBytesSuite:
    """Reading and writing at offsets; at least 1,000 bytes can be written."""

    def test_bytes_come_back_from_their_place(self, file: RandomAccess):
        file.write(7, b"hello")
        assert file.read(7, 5) == b"hello"
        assert file.read(9, 2) == b"ll"

    def test_reading_what_is_not_there_gives_nothing_and_makes_nothing(self, file: RandomAccess):
        assert file.read(0, 10) == b""
        assert file.read(999, 1) == b""

    def test_a_read_stops_where_the_bytes_stop(self, file: RandomAccess):
        file.write(0, b"abc")
        assert file.read(1, 100) == b"bc"
        assert file.read(3, 100) == b""

    def test_gaps_read_as_zeros(self, file: RandomAccess):
        file.write(100, b"x")
        assert file.read(98, 3) == b"\0\0x"

    def test_later_pieces_win_where_they_overlap(self, file: RandomAccess):
        file.write_many([(0, b"aaaa"), (2, b"bb"), (4, b"cc"), (1, b"d")])
        assert file.read(0, 10) == b"adbbcc"

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_kind_of_bytes_can_be_written(self, file: RandomAccess, kind):
        file.write_many([(0, kind(b"ab")), (2, kind(b"cd"))])
        assert file.read(0, 4) == b"abcd"

    def test_thousands_of_neighbouring_pieces_arrive(self, file: RandomAccess):
        file.write_many((at, bytes([at % 256])) for at in range(1000))
        assert file.read(0, 1000) == bytes(at % 256 for at in range(1000))

    def test_writing_nothing_changes_nothing(self, file: RandomAccess):
        file.write(5, b"")
        file.write_many([])
        assert file.read(0, 10) == b""

    def test_it_goes_on_after_close(self, file: RandomAccess):
        file.write(0, b"one")
        file.close()
        assert file.read(0, 3) == b"one"
        file.write(3, b"two")
        file.sync()
        file.close()
        assert file.read(0, 6) == b"onetwo"

    def test_sync_of_nothing_is_fine(self, file: RandomAccess):
        file.sync()
        assert file.read(0, 1) == b""

    def test_it_has_a_name_for_messages(self, file: RandomAccess):
        assert file.name


class RandomAccessSuite(PositionedBytesSuite):
    """The same, and one file with an end."""

    def test_an_absent_file_has_no_bytes(self, file: RandomAccess):
        assert file.size() == 0
        file.write(3, b"")
        assert file.size() == 0

    def test_size_is_behind_the_last_byte_written(self, file: RandomAccess):
        file.write(10, b"abc")
        assert file.size() == 13
        file.write(0, b"abc")
        assert file.size() == 13

    def test_truncate_cuts_and_extends(self, file: RandomAccess):
        file.write(0, b"abcdef")
        file.truncate(3)
        assert (file.read(0, 10), file.size()) == (b"abc", 3)
        file.truncate(5)
        assert (file.read(0, 10), file.size()) == (b"abc\0\0", 5)

    @pytest.mark.parametrize(("offset", "length"), [(0, 4), (2, 3), (4, 6), (4, 60), (10, 5)])
    def test_punched_bytes_are_zeros_and_the_size_stays(
        self, file: RandomAccess, offset: int, length: int
    ):
        file.write(0, b"abcdefghij")
        file.punch(offset, length)
        left = [0 if offset <= at < offset + length else 97 + at for at in range(10)]
        assert file.read(0, 20) == bytes(left)
        assert file.size() == 10

    def test_punching_what_is_not_there_makes_nothing(self, file: RandomAccess):
        file.punch(0, 100)
        assert file.size() == 0

    @given(steps=st.lists(STEPS, max_size=12))
    @settings(
        max_examples=60,
        deadline=None,
        # One suite for several classes is the point; each example begins with an emptied file.
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,  # a busy machine
        ],
    )
    def test_any_history_gives_the_bytes_of_a_model(self, file: RandomAccess, steps):
        file.truncate(0)
        model = bytearray()
        for step, offset, piece in steps:
            if step == "write":
                file.write(offset, piece)
                if piece:
                    model.extend(bytes(max(0, offset - len(model))))
                    model[offset : offset + len(piece)] = piece
            elif step == "truncate":
                file.truncate(offset)
                model = model[:offset].ljust(offset, b"\0")
            else:
                file.punch(offset, len(piece))
                model[offset : offset + len(piece)] = bytes(
                    len(model[offset : offset + len(piece)])
                )
        assert file.read(0, 1000) == model
        assert file.size() == len(model)
