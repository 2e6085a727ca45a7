from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.discovery.dns_names import encode_name, first_question

NAME = b"\x03dat\x05local\0"
ASKED = NAME + b"\0\x10\0\x01"


def message(questions: int, records: int, body: bytes) -> bytes:
    return b"\0\x01\0\0" + bytes((0, questions, 0, records)) + bytes(4) + body


def pointer(target: int) -> bytes:
    return (0xC000 | target).to_bytes(2, "big")


def record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + bytes((0, kind, 0, 1, 0, 0, 0, 0)) + len(data).to_bytes(2, "big") + data


def test_names_are_written_in_full():
    assert encode_name("dat.local") == encode_name("dat.local.") == NAME
    assert encode_name("10.99.0.2") == b"\x0210\x0299\x010\x012\0"


def test_the_first_question_is_given_as_it_stands():
    assert first_question(message(1, 0, ASKED)) == ASKED
    assert first_question(message(2, 0, ASKED + pointer(12) + b"\0\x01\0\x01")) == ASKED
    assert first_question(message(0, 0, b"")) == b""


def test_pointers_backward_are_followed():
    assert first_question(message(1, 1, ASKED + record(pointer(12), 16, b""))) == ASKED
    assert first_question(message(1, 1, ASKED + record(b"\x01a" + pointer(16), 16, b""))) == ASKED
    assert first_question(message(1, 1, ASKED + record(NAME, 33, bytes(6) + pointer(12)))) == ASKED


@pytest.mark.parametrize("target", [0, 11, 27, 28, 29, 45, 2000])
def test_t31_pointers_elsewhere_are_refused(target: int):
    body = ASKED + record(pointer(target), 16, b"") + NAME
    assert first_question(message(1, 1, body)) is None


@pytest.mark.parametrize(("target", "fine"), [(11, False), (53, True), (54, False), (60, False)])
def test_t31_pointers_elsewhere_are_refused_inside_data(target: int, fine: bool):
    body = ASKED + record(NAME, 33, bytes(6) + pointer(target)) + NAME
    assert message(1, 1, body).index(pointer(target)) == 54
    assert (first_question(message(1, 1, body)) is not None) == fine


@pytest.mark.parametrize(("pointers", "fine"), [(1, True), (8, True), (9, False), (40, False)])
def test_t31_a_name_takes_8_pointers_at_most(pointers: int, fine: bool):
    body, last = ASKED, 12
    for _ in range(pointers):
        place = 12 + len(body)
        body += record(pointer(last), 16, b"")
        last = place
    assert (first_question(message(1, pointers, body)) is not None) == fine


@pytest.mark.parametrize(
    "body", [b"\x40" + bytes(70), b"\x80" + bytes(70), b"\x05loc", ASKED[:-1], b"\xc0", b""]
)
def test_t31_broken_questions_are_refused(body: bytes):
    assert first_question(message(1, 0, body)) is None


def test_t31_claims_of_more_than_there_is_are_refused():
    assert first_question(b"\0" * 11) is None
    assert first_question(message(255, 0, ASKED * 3)) is None
    assert first_question(message(1, 1, ASKED + record(NAME, 16, b"")[:-1] + b"\x01")) is None


class Counted(bytes):
    """Bytes that count how often they are looked at."""

    looks = 0

    def __getitem__(self, place: Any) -> Any:
        self.looks += 1
        return super().__getitem__(place)


def test_t31_the_work_is_bounded_by_the_size():
    # Every name leads through all labels of the first one.
    long = b"\x01a" * 120 + b"\0"
    body = long + b"\0\x10\0\x01" + (pointer(12) + b"\0\x10\0\x01") * 200
    data = Counted(message(201, 0, body))
    assert first_question(data) is not None
    assert 120 < data.looks < len(data)


@given(st.binary(max_size=1500))
def test_t31_any_bytes_are_taken(data: bytes):
    first = first_question(data)
    assert first is None or first in data


@given(st.lists(st.sampled_from([b"\x01a", b"\0", b"\xc0\x0c", b"\xc0\x14", b"\0\x21\0\x01",
                                 b"\xc0\x1f", b"\0\x10\0\x01", bytes(10), b"\xff"]), max_size=120),
       st.integers(0, 40), st.integers(0, 40))  # fmt: skip
def test_t31_bytes_like_names_are_taken(parts: list[bytes], questions: int, records: int):
    first_question(message(questions, records, b"".join(parts)))
