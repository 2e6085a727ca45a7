"""Where other hosts see us: what discovery servers and port mappings tell, shared by who announces.

Pure.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from datd.types import Address


@dataclass(frozen=True, slots=True)
class Seen:
    """Where others see us; None for what is not known."""

    host: str | None
    port: int | None


class PublicAddress:
    """The address of this host as seen from outside, as far as it is known.

    A router that was asked to pass a port on knows better than servers that see where queries come
    from: what it says counts as long as it says anything.

    Attributes:
        host: Dotted IPv4, or None while unknown.
        port: The port at which others reach us from outside, or None while unknown.
    """

    def __init__(self) -> None:
        self.host: str | None = None
        self.port: int | None = None
        self._seen = Seen(None, None)
        self._mapped = Seen(None, None)
        self._watchers: list[Callable[[], None]] = []

    def watch(self, changed: Callable[[], None]) -> None:
        """Have something called after each change."""
        self._watchers.append(changed)

    def learn(self, host: str | None, port: int | None) -> None:
        """Take in where servers see us; None where they do not know (any more)."""
        self._seen = Seen(host, port)
        self._update()

    def mapped(self, host: str | None, port: int | None) -> None:
        """Take in what the router passes on to us; None for both when it does not any more."""
        self._mapped = Seen(host, port)
        self._update()

    def _update(self) -> None:
        host = self._mapped.host or self._seen.host
        port = self._mapped.port or self._seen.port
        if (host, port) != (self.host, self.port):
            self.host, self.port = host, port
            for changed in self._watchers:
                changed()

    def announced(self, local_port: int) -> int:
        """The port to tell others."""
        return self.port or local_port


def agreed(voices: Mapping[str, Address], before: Seen) -> Seen:
    """What servers together know of our address: whoami (discovery.md section 3.2).

    One server tells the address, but not whether others see the same port. Two at different
    addresses that see the same port show that the NAT, if there is one, gives everybody the same.
    Where they differ in the address the one with most voices counts, and without one nothing.

    Args:
        voices: Where we are seen, by the address of the server that says so.
        before: What they agreed on last; to confirm it one is enough.
    """
    ranking = Counter(seen.host for seen in voices.values()).most_common(2)
    if not ranking or (len(ranking) == 2 and ranking[0][1] == ranking[1][1]):
        return Seen(None, None)
    host, count = ranking[0]
    ports = {seen.port for seen in voices.values() if seen.host == host}
    if len(ports) > 1:
        return Seen(host, None)
    only = Seen(host, ports.pop())
    return only if count >= 2 or only == before else Seen(host, None)
