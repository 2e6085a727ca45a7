"""PCP and NAT-PMP over UDP: one question to the router, asked again until it answers."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from datd.errors import GatewayError
from datd.gateways import nat_pmp, pcp
from datd.gateways.grants import Grant
from datd.types import Address

T = TypeVar("T")

# RFC 6886, 3.1: the first pauses between tries. It goes on to a minute; a router that is one hop
# away and has not answered four times by then will not.
PAUSES = (0.25, 0.5, 1.0, 2.0)


async def ask(gateway: Address, request: bytes, read: Callable[[bytes], T | None]) -> T:
    """Ask the router and wait for its answer.

    Args:
        gateway: Where it listens. What others send is not even heard: the socket is connected.
        request: A datagram.
        read: Gives what an answer says, or None for one that does not belong to this request.

    Raises:
        GatewayError: It is silent, nothing listens there, or it refuses.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Ear(answer, read), remote_addr=(gateway.host, gateway.port)
        )
    except OSError as error:
        raise GatewayError(f"it cannot be reached: {error.strerror or error}") from error
    try:
        for pause in PAUSES:
            transport.sendto(request)
            done, _ = await asyncio.wait([answer], timeout=pause)
            if done:
                return answer.result()
    finally:
        answer.cancel()
        transport.close()
    raise GatewayError("it does not answer")


class _Ear(asyncio.DatagramProtocol, Generic[T]):
    """Hears one answer."""

    def __init__(self, answer: "asyncio.Future[T]", read: Callable[[bytes], T | None]) -> None:
        self._answer = answer
        self._read = read

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._answer.done():
            return
        try:
            found = self._read(data)
        except GatewayError as error:
            self._answer.set_exception(error)
        else:
            if found is not None:
                self._answer.set_result(found)

    def error_received(self, exc: Exception) -> None:
        # The router says that nobody listens at its port.
        if not self._answer.done():
            self._answer.set_exception(GatewayError("it does not map ports in this way"))


class Pcp:
    """Mappings by PCP."""

    name = "PCP"

    def __init__(self, gateway: Address, own: str, nonce: bytes) -> None:
        """Nothing is asked yet.

        Args:
            gateway: Where the router listens.
            own: This host's address as the router sees it.
            nonce: 12 random bytes; only who knows them can change our mappings.
        """
        self._gateway = gateway
        self._own = own
        self._nonce = nonce

    async def add(self, protocol: str, internal: int, external: int, seconds: int) -> Grant:
        found = await self._map(protocol, internal, external, seconds)
        return Grant(found.host, found.external, found.lifetime)

    async def remove(self, protocol: str, internal: int, external: int) -> None:
        await self._map(protocol, internal, 0, 0)

    async def _map(self, protocol: str, internal: int, external: int, seconds: int) -> pcp.Mapping:
        request = pcp.encode_map(self._own, self._nonce, protocol, internal, external, seconds)
        return await ask(
            self._gateway,
            request,
            lambda datagram: pcp.decode_map(datagram, self._nonce, protocol, internal),
        )


class NatPmp:
    """Mappings by NAT-PMP."""

    name = "NAT-PMP"

    def __init__(self, gateway: Address) -> None:
        self._gateway = gateway

    async def add(self, protocol: str, internal: int, external: int, seconds: int) -> Grant:
        host = await ask(self._gateway, nat_pmp.encode_address_request(), nat_pmp.decode_address)
        found = await self._map(protocol, internal, external, seconds)
        return Grant(host, found.external, found.lifetime)

    async def remove(self, protocol: str, internal: int, external: int) -> None:
        await self._map(protocol, internal, 0, 0)

    async def _map(
        self, protocol: str, internal: int, external: int, seconds: int
    ) -> nat_pmp.Mapping:
        return await ask(
            self._gateway,
            nat_pmp.encode_map(protocol, internal, external, seconds),
            lambda datagram: nat_pmp.decode_map(datagram, protocol, internal),
        )
