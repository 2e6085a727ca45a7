"""Protobuf, read strictly: what its runtime lets through is refused here. Knows no message.

The runtime neither insists on required fields nor minds a known field of another wire type, which
it files as unknown; and it makes an object of every two bytes if a stranger wants it to.

Source: wire.md section 3, "decode strictly".
"""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from datd import varint
from datd.errors import ProtocolError

# What a message may hold beside a block's value or a bitfield: 128 nodes of 56 bytes and a
# signature fit. 8 MiB of empty nodes would become four million objects.
MAX_FIELDS = 8 * 2**10

# In front of the field that may be large stand at most two numbers with their tags.
_MAX_BEFORE_LARGE_FIELD = 22

_GROUP_WIRE_TYPE = 3

_Parsed = TypeVar("_Parsed", bound=Message)


class MalformedMessage(ProtocolError):
    """A body that makes no sense. The reference ignores such a message; the session counts it."""


def parse(schema: type[_Parsed], body: bytes | memoryview, *, limit: int = MAX_FIELDS) -> _Parsed:
    """Parse a body of at most `limit` bytes.

    Raises:
        MalformedMessage: It is longer, cut, lacks a required field, holds a group, or has a known
            field in another wire type.
    """
    if len(body) > limit:
        raise MalformedMessage(
            f"{len(body)} bytes of fields: {schema.DESCRIPTOR.name} needs at most {limit}"
        )
    try:
        parsed = schema.FromString(bytes(body))
    except (DecodeError, UnicodeDecodeError):  # the latter where protobuf runs in plain Python
        raise MalformedMessage(f"{len(body)} bytes are no {schema.DESCRIPTOR.name}") from None
    if not parsed.IsInitialized():
        raise MalformedMessage(f"{schema.DESCRIPTOR.name} lacks a required field")
    check_unknown(parsed)
    return parsed


def check_unknown(parsed: Message) -> None:
    """Let fields pass that we do not know, but no known one in disguise and no group.

    `parse` does it for a message, not for the messages inside it.

    Raises:
        MalformedMessage: There is one.
    """
    unknown = UnknownFieldSet(parsed)
    for place in range(len(unknown)):
        number, wire_type = unknown[place].field_number, unknown[place].wire_type
        if number in parsed.DESCRIPTOR.fields_by_number or wire_type == _GROUP_WIRE_TYPE:
            raise MalformedMessage(
                f"{parsed.DESCRIPTOR.name} has field {number} in wire type {wire_type}"
            )


def cut_out(body: bytes | memoryview, tag: int) -> tuple[bytes, bytes]:
    """Take the one large field out of a body before protobuf sees it.

    It saves a copy, and `parse` can hold the rest to its limit. The field must stand in its place,
    behind numbers only: every encoder writes fields in order.

    Returns:
        The field's bytes, and the body without the field.

    Raises:
        MalformedMessage: It is not there, or cut short.
    """
    view = memoryview(body)
    position = 0
    try:
        while view[position] != tag:
            # A tag of one byte in wire type 0 comes before a number.
            if view[position] & 0x87 or position > _MAX_BEFORE_LARGE_FIELD:
                raise MalformedMessage(f"{len(body)} bytes without the field that may be large")
            _, position = varint.decode(view, position + 1) or (0, len(view))
        size, start = varint.decode(view, position + 1) or (0, len(view) + 1)
    except (IndexError, ValueError):
        raise MalformedMessage("a field is cut short") from None
    stop = start + size
    if stop > len(view):
        raise MalformedMessage(f"a field of {size} bytes runs past the end of its message")
    return bytes(view[start:stop]), bytes(view[:position]) + bytes(view[stop:])
