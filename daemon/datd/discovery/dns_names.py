"""Names inside DNS datagrams: how they are written, and whether those of a stranger are sane.

Pure. Nothing here reads the text of a name, zeroconf does that. It follows pointers forwards as
well, and through as many hops as there are; this file says beforehand which datagrams it may see.

Source: discovery.md section 14; RFC 1035, section 4.1.4.
"""

HEADER = 12
# T-31: no program chains more than two pointers; a name cannot usefully have more.
MAX_POINTERS = 8
# RFC 1035, section 2.3.4.
MAX_LABEL = 63
_POINTER = 0xC0
_QUESTION_TAIL = 4  # type, class
_RECORD_TAIL = 10  # type, class, time to live, length of the data
# Records whose data ends in a name, and how many bytes stand before it.
_BEFORE_NAME = {2: 0, 5: 0, 12: 0, 33: 6, 47: 0}  # NS, CNAME, PTR, SRV, NSEC


class _Refused(Exception):
    """The datagram is not to be looked at."""


def encode_name(text: str) -> bytes:
    """A name in full, as dat programs write it.

    Args:
        text: Labels with dots between; at most 63 bytes each.
    """
    labels = [label.encode() for label in text.strip(".").split(".")]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def first_question(datagram: bytes) -> bytes | None:
    """Check every name of a datagram.

    A pointer leads to what stood before its name, past the header, and no name takes more than 8 of
    them. Each byte is looked at once at most, however many pointers lead to it.

    Returns:
        The first question as it stands there (it cannot contain a pointer), empty if there is none;
        or None: the datagram is not to be read.
    """
    if len(datagram) < HEADER:
        return None
    try:
        return _first_question(datagram)
    except (_Refused, IndexError):
        return None


def _first_question(data: bytes) -> bytes:
    questions = data[4] << 8 | data[5]
    records = sum(data[at] << 8 | data[at + 1] for at in (6, 8, 10))
    hops: dict[int, int] = {}
    position, first = HEADER, b""
    for number in range(questions):
        position = _skip_name(data, position, hops) + _QUESTION_TAIL
        if position > len(data):
            raise _Refused
        if number == 0:
            first = data[HEADER:position]
    for _ in range(records):
        position = _skip_name(data, position, hops)
        kind = data[position] << 8 | data[position + 1]
        size = data[position + 8] << 8 | data[position + 9]
        position += _RECORD_TAIL
        before = _BEFORE_NAME.get(kind)
        if before is not None and size > before:
            _skip_name(data, position + before, hops)
        position += size
        if position > len(data):
            raise _Refused
    return first


def _skip_name(data: bytes, start: int, hops: dict[int, int]) -> int:
    """Where the bytes of a name end.

    Args:
        data: The datagram.
        start: Where the name begins.
        hops: How many pointers follow from each place known so far; added to.

    Raises:
        _Refused: Its pointers are too many, or lead forwards.
        IndexError: It ends outside of the datagram.
    """
    passed: list[tuple[int, int]] = []
    position, floor, taken, end = start, start, 0, 0
    while position not in hops:
        passed.append((position, taken))
        length = data[position]
        if length == 0:
            hops[position] = 0
            end = end or position + 1
            break
        if length <= MAX_LABEL:
            position += 1 + length
            continue
        if length < _POINTER:
            raise _Refused
        end = end or position + 2
        target = (length & ~_POINTER) << 8 | data[position + 1]
        taken += 1
        if not HEADER <= target < floor:
            raise _Refused
        position = floor = target
    total = taken + hops[position]
    if total > MAX_POINTERS:
        raise _Refused
    for place, before in passed:
        hops[place] = total - before
    if not end:
        # It runs into bytes of an earlier name without a pointer: only data that overlap do that.
        raise _Refused
    return end
