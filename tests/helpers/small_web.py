"""The web of a test: one HTTPS server on loopback that plays every host, and its own CA."""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

LOOPBACK = "127.0.0.1"


@dataclass
class Reply:
    """What a host says."""

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Answer = Reply | Callable[[web.BaseRequest], Awaitable[Reply]]


class SmallWeb(AbstractResolver):
    """All hosts of a test. Names lead to loopback, or where a test lets them lead."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.port = 0
        self.replies: dict[tuple[str, str], Answer] = {}
        self.requests: list[web.BaseRequest] = []
        self.together: asyncio.Barrier | None = None
        self.at_once = self.most_at_once = 0
        self.addresses: dict[str, list[str]] = defaultdict(lambda: [LOOPBACK])
        self.lookups: list[str] = []
        self.trusting = ssl.create_default_context()
        self.authority.configure_trust(self.trusting)

    def put(self, host: str, answer: Answer, path: str = "/.well-known/dat") -> None:
        self.replies[host, path] = answer

    def asked(self) -> list[str]:
        """Host and path of each request so far."""
        return [f"{request.host.partition(':')[0]}{request.path}" for request in self.requests]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.together is not None:
            await self.together.wait()
        self.at_once -= 1
        given = self.replies.get((request.host.partition(":")[0], request.path), Reply(status=404))
        reply = given if isinstance(given, Reply) else await given(request)
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        return web.Response(status=reply.status, body=body, headers=reply.headers)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["SmallWeb"]:
        """Listen until the end."""
        runner = await self.start()
        try:
            yield self
        finally:
            await runner.cleanup()

    async def start(self) -> web.ServerRunner:
        server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        # No program takes *.example for every host below a top-level domain.
        names = ("a.example", "b.example", "dns.example", "*.names.example", LOOPBACK)
        self.authority.issue_cert(*names).configure_cert(server_side)
        runner = web.ServerRunner(web.Server(self.answer))
        await runner.setup()
        site = web.TCPSite(runner, LOOPBACK, 0, ssl_context=server_side)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    def write_authority(self, path: Path) -> Path:
        self.authority.cert_pem.write_to_path(str(path))
        return path

    # ---- the name server

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        self.lookups.append(host)
        if not self.addresses[host]:
            raise OSError(f"nobody knows {host}")
        return [
            ResolveResult(
                hostname=host, host=address, port=port, proto=0, flags=0,
                family=10 if ":" in address else 2,
            )
            for address in self.addresses[host]
        ]  # fmt: skip

    async def close(self) -> None:
        return None
