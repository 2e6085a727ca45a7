from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Index(_message.Message):
    __slots__ = ("type", "content")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    type: str
    content: bytes
    def __init__(self, type: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("name", "value", "paths")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: bytes
    paths: bytes
    def __init__(self, name: _Optional[str] = ..., value: _Optional[bytes] = ..., paths: _Optional[bytes] = ...) -> None: ...

class Stat(_message.Message):
    __slots__ = ("mode", "uid", "gid", "size", "blocks", "offset", "byteOffset", "mtime", "ctime")
    MODE_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    GID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    BYTEOFFSET_FIELD_NUMBER: _ClassVar[int]
    MTIME_FIELD_NUMBER: _ClassVar[int]
    CTIME_FIELD_NUMBER: _ClassVar[int]
    mode: int
    uid: int
    gid: int
    size: int
    blocks: int
    offset: int
    byteOffset: int
    mtime: int
    ctime: int
    def __init__(self, mode: _Optional[int] = ..., uid: _Optional[int] = ..., gid: _Optional[int] = ..., size: _Optional[int] = ..., blocks: _Optional[int] = ..., offset: _Optional[int] = ..., byteOffset: _Optional[int] = ..., mtime: _Optional[int] = ..., ctime: _Optional[int] = ...) -> None: ...
