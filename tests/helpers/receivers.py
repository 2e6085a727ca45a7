"""A receiver of webhooks on loopback: what came, and what it answers."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Delivery:
    """One request, as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed_with(self, secret: str) -> bool:
        """Whether the signature holds, by the words of the Standard Webhooks specification."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        digest = hmac.digest(key, signed, hashlib.sha256)
        return self.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


@dataclass
class Receiver:
    """Takes everything, unless told otherwise.

    Attributes:
        status: What it answers; 0: nothing, ever.
        answers: Statuses for the next requests, before it goes on with `status`.
    """

    port: int = 0
    status: int = 204
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[Delivery] = field(default_factory=list)
    taken: list[Delivery] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        """Each delivery once, in the order in which they were first taken, as receivers do it."""
        return list(dict.fromkeys(delivery.id for delivery in self.taken))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        delivery = Delivery(headers, await request.read())
        self.requests.append(delivery)
        status = self.answers.pop(0) if self.answers else self.status
        if not status:
            await asyncio.Event().wait()
        if 200 <= status < 300:
            self.taken.append(delivery)
        return web.Response(status=status, headers=self.headers)


@asynccontextmanager
async def receiver(port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver for the time of an `async with`."""
    made = Receiver()
    runner = web.ServerRunner(web.Server(made.answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        await runner.cleanup()
