"""Bencode: the encoding of everything that DHT nodes say. Pure.

Source: BEP 3 (the encoding), BEP 5 (its use), T-36 for the limits.
"""

from typing import TypeAlias, Union

from datd.errors import ProtocolError

Value: TypeAlias = Union[int, bytes, list["Value"], dict[bytes, "Value"]]  # noqa: UP007
Dictionary: TypeAlias = dict[bytes, Value]

# T-36. A message of the DHT is three deep; values put there by others (BEP 44) may be deeper.
MAX_DEPTH = 16
# T-36: a 64-bit number has 20 digits; Python would read, slowly, one of any length.
MAX_DIGITS = 20

_INTEGER, _LIST, _DICTIONARY, _END = b"ilde"
_ZERO, _NINE = b"09"


def decode(data: bytes) -> Value:
    """Read one value that fills all of `data`.

    Keys may stand in any order, as long as none comes twice: some nodes do not sort them.

    Raises:
        ProtocolError: It is no bencode, or beyond the limits.
    """
    try:
        value, end = _value(data, 0, MAX_DEPTH)
    except IndexError:
        raise ProtocolError("bencode: it ends in the middle") from None
    if end != len(data):
        raise ProtocolError("bencode: bytes after the end")
    return value


def encode(value: Value) -> bytes:
    """Write a value in the one canonical way: keys sorted."""
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _value(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    kind = data[at]
    if _ZERO <= kind <= _NINE:
        return _string(data, at)
    if kind == _INTEGER:
        return _integer(data, at + 1)
    if kind not in (_LIST, _DICTIONARY):
        raise ProtocolError(f"bencode: a value cannot begin with byte {kind}")
    if not depth:
        raise ProtocolError(f"bencode: more than {MAX_DEPTH} deep")
    if kind == _LIST:
        return _list(data, at + 1, depth - 1)
    return _dictionary(data, at + 1, depth - 1)


def _list(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    values: list[Value] = []
    while data[at] != _END:
        value, at = _value(data, at, depth)
        values.append(value)
    return values, at + 1


def _dictionary(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    values: Dictionary = {}
    while data[at] != _END:
        key, at = _string(data, at)
        if key in values:
            raise ProtocolError("bencode: a key comes twice")
        values[key], at = _value(data, at, depth)
    return values, at + 1


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    colon = data.find(b":", at, at + MAX_DIGITS + 1)
    if colon < 0:
        raise ProtocolError("bencode: a string has no length")
    begin = colon + 1
    end = begin + _number(data[at:colon])
    if end > len(data):
        raise ProtocolError("bencode: a string is longer than the data")
    return data[begin:end], end


def _integer(data: bytes, at: int) -> tuple[int, int]:
    end = data.find(b"e", at, at + MAX_DIGITS + 2)
    if end < 0:
        raise ProtocolError("bencode: a number has no end")
    if data[at : at + 1] != b"-":
        return _number(data[at:end]), end + 1
    number = _number(data[at + 1 : end])
    if not number:
        raise ProtocolError("bencode: zero has no sign")
    return -number, end + 1


def _number(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > MAX_DIGITS or (digits[0] == _ZERO and digits != b"0"):
        raise ProtocolError(f"bencode: {digits[:MAX_DIGITS]!r} is no number")
    return int(digits)


def _write(value: Value, parts: list[bytes]) -> None:
    if isinstance(value, bytes):
        parts.append(b"%d:%b" % (len(value), value))
    elif isinstance(value, int):
        parts.append(b"i%de" % value)
    elif isinstance(value, list):
        parts.append(b"l")
        for one in value:
            _write(one, parts)
        parts.append(b"e")
    else:
        parts.append(b"d")
        for key in sorted(value):
            parts.append(b"%d:%b" % (len(key), key))
            _write(value[key], parts)
        parts.append(b"e")
