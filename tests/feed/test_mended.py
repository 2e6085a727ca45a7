from datd.feed.mended import MendedFile
from datd.storage.memory import MemoryFile

HEADER = bytes(range(100, 132))


def test_it_reads_as_if_it_began_with_the_right_header():
    file = MendedFile(MemoryFile(bytes(32) + b"entries"), HEADER)
    assert file.read(0, 100) == HEADER + b"entries"
    assert file.read(0, 8) == HEADER[:8]
    assert file.read(30, 4) == HEADER[30:] + b"en"
    assert file.read(34, 100) == b"tries"


def test_the_file_itself_is_changed_only_on_demand():
    under = MemoryFile(b"x" * 40)
    file = MendedFile(under, HEADER)
    file.read(0, 40)
    file.write(36, b"y")
    assert under.read(0, 40) == b"x" * 36 + b"y" + b"x" * 3
    file.write_header()
    assert under.read(0, 40) == HEADER + b"xxxx" + b"y" + b"xxx"
