"""What a router grants, and how it is asked. Pure."""

from typing import NamedTuple, Protocol


class Grant(NamedTuple):
    """A port that a router passes on.

    Attributes:
        host: The router's address outside, or "" if it does not say.
        port: The port there.
        seconds: How long this holds; 0: until somebody ends it.
    """

    host: str
    port: int
    seconds: int


class Way(Protocol):
    """One protocol for asking a router; each is a class of this room.

    Both methods raise GatewayError if the router is silent or refuses. Protocols are "tcp", "udp".
    """

    name: str

    async def add(self, protocol: str, internal: int, external: int, seconds: int) -> Grant:
        """Ask for a mapping, or for more time of one.

        Args:
            protocol: Of the two.
            internal: Port of this host.
            external: Port wanted outside. PCP and NAT-PMP may grant another one.
            seconds: How long it should hold.
        """
        ...

    async def remove(self, protocol: str, internal: int, external: int) -> None:
        """End a mapping."""
        ...
