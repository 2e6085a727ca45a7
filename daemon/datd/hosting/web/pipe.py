"""Two ends of a stream in memory: what speaks HTTP on one side speaks Dat on the other."""

import asyncio

from datd.transport.base import HIGH_WATER, MAX_UNREAD
from datd.types import Address


class _Flow:
    """Bytes in one direction."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = False
        self.news = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()

    def end(self) -> None:
        self.ended = True
        self.news.set()
        self.room.set()


class PipeEnd:
    """One end; a `Stream`."""

    def __init__(self, kind: str, remote: Address, incoming: _Flow, outgoing: _Flow) -> None:
        self._kind = kind
        self._remote = remote
        self._in = incoming
        self._out = outgoing

    @property
    def kind(self) -> str:
        return self._kind

    @property
    def remote(self) -> Address:
        return self._remote

    async def read(self) -> bytes | bytearray:
        flow = self._in
        while not flow.data:
            if flow.ended:
                return b""
            flow.news.clear()
            await flow.news.wait()
        if len(flow.data) <= MAX_UNREAD:
            data, flow.data = flow.data, bytearray()
        else:
            data = flow.data[:MAX_UNREAD]
            del flow.data[:MAX_UNREAD]
        if len(flow.data) <= HIGH_WATER:
            flow.room.set()
        return data

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        flow = self._out
        if flow.ended:
            raise ConnectionResetError("the stream is closed")
        flow.data += data
        if data:
            flow.news.set()
        if len(flow.data) > HIGH_WATER:
            flow.room.clear()
            await flow.room.wait()

    def close(self) -> None:
        self._out.end()

    def abort(self) -> None:
        self._in.data.clear()
        self._in.end()
        self._out.end()


def pipe(kind: str, remote: Address) -> tuple[PipeEnd, PipeEnd]:
    """Two ends of one stream, to both of which the other side is `remote`."""
    there, back = _Flow(), _Flow()
    return PipeEnd(kind, remote, back, there), PipeEnd(kind, remote, there, back)
