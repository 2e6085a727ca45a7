"""The header and the entries of a metadata feed, as bytes and as values. No feed, no look-up.

Block 0 is the header, each later block one change to one path. Source: archives.md sections 1-3.
"""

import stat as file_mode
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from datd.archive import schema_pb2
from datd.archive.rows import Rows, encode_rows
from datd.errors import ArchiveFormatError

HYPERDRIVE = "hyperdrive"

# Numbers of a Stat stay exact in every JavaScript peer; sums of two must as well.
MAX_NUMBER = 2**53
# No file system takes a path of 64 KiB (Linux: 4,096); listings of such names stay bounded.
MAX_NAME_SIZE = 64 * 1024
# A path of this depth fits no file system either; look-ups and walks go no deeper.
MAX_DEPTH = 1000
# mkdir entries of the reference, and folders that no entry names, have these permissions.
DIRECTORY_MODE = file_mode.S_IFDIR | 0o755

_PLAIN_FEED = "this is a plain feed: it is hosted, but it has no files"
# Text that is no UTF-8 comes out as bytes with protobuf's C core, its Python core refuses it.
_UNDECODABLE = (DecodeError, UnicodeDecodeError)
_DECODE_NODE = schema_pb2.Node.FromString
_DECODE_STAT = schema_pb2.Stat.FromString


@dataclass(frozen=True, slots=True)
class Header:
    """Block 0 of a metadata feed.

    Attributes:
        type: `hyperdrive` for an archive.
        content_key: Public key of the content feed as it was found, of any length; b"" if absent.
    """

    type: str
    content_key: bytes

    @classmethod
    def decode(cls, data: bytes) -> "Header":
        """Read block 0.

        Raises:
            ArchiveFormatError: It is no header; the feed is a plain one.
        """
        try:
            message = schema_pb2.Index.FromString(data)
        except _UNDECODABLE:
            raise ArchiveFormatError(_PLAIN_FEED) from None
        if not message.HasField("type") or not isinstance(message.type, str):
            raise ArchiveFormatError(_PLAIN_FEED)
        return cls(message.type, message.content)

    def encode(self) -> bytes:
        """Give the bytes the reference writes: 46 for an archive."""
        return schema_pb2.Index(type=self.type, content=self.content_key).SerializeToString()


@dataclass(frozen=True, slots=True)
class Stat:
    """What an entry says of a file or directory.

    Attributes:
        mode: Type and permission bits, as in POSIX.
        size: Bytes of the file.
        blocks: Content blocks of the file.
        offset: First content block.
        byte_offset: First content byte.
        mtime: Milliseconds since 1970.
        ctime: Milliseconds since 1970.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    blocks: int = 0
    offset: int = 0
    byte_offset: int = 0
    mtime: int = 0
    ctime: int = 0

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return file_mode.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        """Whether it is a folder, with an entry of its own or implied."""
        return file_mode.S_ISDIR(self.mode)

    @classmethod
    def decode(cls, data: bytes) -> "Stat":
        """Read the value of an entry; absent numbers are 0.

        Raises:
            ArchiveFormatError: It cannot be read, has no mode, or its numbers reach 2^53.
        """
        try:
            raw = _DECODE_STAT(data)
        except DecodeError:
            raise ArchiveFormatError("a Stat cannot be decoded") from None
        found = cls(
            raw.mode,
            raw.uid,
            raw.gid,
            raw.size,
            raw.blocks,
            raw.offset,
            raw.byteOffset,
            raw.mtime,
            raw.ctime,
        )
        if not raw.IsInitialized():
            raise ArchiveFormatError("a Stat without mode")
        if (
            found.offset + found.blocks >= MAX_NUMBER
            or found.byte_offset + found.size >= MAX_NUMBER
            or found.mtime >= MAX_NUMBER
            or found.ctime >= MAX_NUMBER
        ):
            raise ArchiveFormatError("a Stat claims numbers of 2^53 or more")
        return found

    def encode(self) -> bytes:
        """Give the bytes the reference writes.

        A directory carries no size and blocks, and no owner unless there is one; everything else
        carries all nine fields, zeros included.
        """
        message = schema_pb2.Stat(
            mode=self.mode,
            offset=self.offset,
            byteOffset=self.byte_offset,
            mtime=self.mtime,
            ctime=self.ctime,
        )
        directory = self.is_directory
        if self.uid or not directory:
            message.uid = self.uid
        if self.gid or not directory:
            message.gid = self.gid
        if not directory:
            message.size = self.size
            message.blocks = self.blocks
        return message.SerializeToString()


IMPLIED_DIRECTORY = Stat(DIRECTORY_MODE)
"""What `stat` says of a folder that no entry names."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One change to one path: block `seq` of a metadata feed.

    Attributes:
        seq: Its number, that of its block.
        name: The path as written; nothing is normalised.
        stat: What the path is now. None: deleted here, or the author's Stat makes no sense.
        rows: The index of the archive after this change.
    """

    seq: int
    name: str
    stat: Stat | None
    rows: Rows

    @property
    def components(self) -> tuple[str, ...]:
        """The name, split (see `split_name`)."""
        return split_name(self.name)

    @classmethod
    def decode(cls, seq: int, data: bytes) -> "Entry":
        """Read one metadata block.

        Rows are checked only when they are asked for, and a Stat that makes no sense is none:
        what one author's program wrote wrongly must not hide the entry's siblings.

        Raises:
            ArchiveFormatError: The block is no entry, or its name no text of at most 64 KiB.
        """
        try:
            node = _DECODE_NODE(data)
        except _UNDECODABLE:
            raise ArchiveFormatError(f"entry {seq} cannot be decoded") from None
        name = node.name
        if not node.HasField("name") or not isinstance(name, str):
            raise ArchiveFormatError(f"entry {seq} has no readable name")
        if len(name) > MAX_NAME_SIZE // 4 and len(name.encode()) > MAX_NAME_SIZE:
            raise ArchiveFormatError(f"the name of entry {seq} is longer than 64 KiB")
        stat = None
        if value := node.value:
            try:
                stat = Stat.decode(value)
            except ArchiveFormatError:
                stat = None
        return cls(seq, name, stat, Rows.decode(seq, node.paths))


def encode_entry(seq: int, name: str, stat: Stat | None, rows: Sequence[Sequence[int]]) -> bytes:
    """Give the block of a change, byte for byte as the reference writes it.

    Args:
        seq: Number of the entry.
        name: The path, starting with `/`.
        stat: None for a deletion.
        rows: Row i is that of folder i, as in `Rows`.
    """
    return encode_node(name, stat, encode_rows(seq, rows))


def encode_node(name: str, stat: Stat | None, paths: bytes) -> bytes:
    """Give the block of a change whose index is encoded already; else as `encode_entry`."""
    message = schema_pb2.Node(name=name, paths=paths)
    if stat is not None:
        message.value = stat.encode()
    return message.SerializeToString()


def split_name(name: str) -> tuple[str, ...]:
    """Cut a stored name into components, as the index counts them.

    One empty part at the front and one at the end do not count; others do, and nothing else is
    normalised. `/` has no components.
    """
    parts = name.split("/")
    first = 0 if parts[0] else 1
    last = len(parts) if parts[-1] else -1
    return tuple(parts[first:last])
