import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileOptions
from hypothesis import given
from hypothesis import strategies as st

from datd.wire.parsing import MAX_FIELDS, MalformedMessage, cut_out, parse

# Any proto2 schemas do; these come with the runtime. Field 1 of the first is a string.
NAME_FIELD = b"\x0a\x01a"


def test_a_field_of_another_wire_type_is_malformed():
    with pytest.raises(MalformedMessage, match="field 1 in wire type 0"):
        parse(FileDescriptorProto, b"\x08\x01")


def test_a_group_is_malformed_even_if_complete():
    with pytest.raises(MalformedMessage, match="wire type 3"):
        parse(FileDescriptorProto, NAME_FIELD + b"\xfb\x7d\xfc\x7d")


def test_a_missing_required_field_is_malformed():
    # UninterpretedOption.NamePart requires both of its fields.
    with pytest.raises(MalformedMessage, match="lacks"):
        parse(FileOptions, b"\xba\x3e\x05\x12\x03\x0a\x01a")


def test_unknown_fields_pass():
    assert parse(FileDescriptorProto, NAME_FIELD + b"\xf8\x7d\x05").name == "a"


def test_l14_a_body_beyond_the_limit_is_not_parsed():
    parse(FileDescriptorProto, b"\x1a\x00" * (MAX_FIELDS // 2))
    with pytest.raises(MalformedMessage):
        parse(FileDescriptorProto, b"\x1a\x00" * (MAX_FIELDS // 2) + NAME_FIELD)


def test_the_large_field_is_cut_out_and_the_rest_kept():
    body = b"\x08\x05\x10\x80\x01\x1a\x03abc\x20\x01"
    assert cut_out(body, 0x1A) == (b"abc", b"\x08\x05\x10\x80\x01\x20\x01")
    assert cut_out(memoryview(body), 0x1A) == cut_out(body, 0x1A)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x08",
        b"\x08\x80",
        b"\x08\x05",
        b"\x08\x05\x1a",
        b"\x08\x05\x1a\x04abc",
        b"\x08\x05\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\x01a\x1a\x01b",
        b"\x08\x05" * 1000 + b"\x1a\x01b",
    ],
)
def test_a_large_field_that_is_not_in_its_place_is_malformed(body):
    with pytest.raises(MalformedMessage):
        cut_out(body, 0x1A)


@given(st.binary(max_size=60))
def test_any_bytes_are_cut_or_malformed(body):
    try:
        large, rest = cut_out(body, 0x12)
    except MalformedMessage:
        return
    assert len(large) + len(rest) < len(body)
