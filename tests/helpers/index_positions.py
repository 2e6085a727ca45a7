"""The index area of bitfield pages, worked out the slow way."""


def positions(haves: list[bytes], area: int) -> bytes:
    """Every position by its definition, one at a time: sleep.md section 8."""
    have = b"".join(haves)
    end = area * len(haves)
    made: dict[int, int] = {}

    def tuple_of(value: int, full: int) -> int:
        return 0b11 if value == full else 0b01 if value else 0b00

    def at(position: int) -> int:
        if position >= end:
            return 0
        if position not in made:
            made[position] = below(position)
        return made[position]

    def below(position: int) -> int:
        value = 0
        if position % 2 == 0:
            for byte in have[2 * position : 2 * position + 4]:
                value = value << 2 | tuple_of(byte, 0xFF)
            return value
        half = (position + 1 & -(position + 1)) // 2
        for child in (at(position - half), at(position + half)):
            value = value << 2 | tuple_of(child >> 4, 0xF)
            value = value << 2 | tuple_of(child & 0xF, 0xF)
        return value

    return bytes(at(position) for position in range(end))
