"""Who may be dialled, and who may call at all: addresses, the operator's rules, and ourselves.

Pure; time is given.
"""

from collections.abc import Callable, Iterable

from datd.swarm import addresses
from datd.swarm.limits import SELF_BAN
from datd.swarm.rules import AddressRules, Network
from datd.types import Address

# Rule 4 of the limits: strangers name addresses at which we may meet ourselves.
MAX_SELVES = 64
# Interfaces come and go; to ask for them takes a fraction of a millisecond.
_LOOK_EVERY = 10.0


class Gate:
    """Looked at before anything is remembered of an address.

    Attributes:
        rules: The operator's; may be replaced.
    """

    def __init__(
        self,
        rules: AddressRules,
        allow_networks: Iterable[Network],
        own_hosts: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """Nothing is known yet.

        Args:
            rules: The operator's.
            allow_networks: Private networks that discovery may name from anywhere.
            own_hosts: Gives the addresses of this host's interfaces.
        """
        self.rules = rules
        self._look = own_hosts
        self._own: frozenset[str] = frozenset()
        self._looked_at = float("-inf")
        self._allow_networks = tuple(allow_networks)
        self._selves: dict[Address, float] = {}
        self._public: Address | None = None

    def refusal(self, host: str) -> str | None:
        """Why the operator keeps a host out, dialled or calling; None if it is welcome."""
        return self.rules.refusal(host)

    def objection(self, address: Address) -> str | None:
        """Why an address cannot be dialled, even if somebody gave it by hand."""
        return addresses.impossible(address) or self.refusal(address.host)

    def welcome(self, address: Address, told_by: Address, now: float) -> bool:
        """Whether an address may be dialled that a network told of."""
        if self.is_self(address, now) or self.refusal(address.host) is not None:
            return False
        if not addresses.dialable(address, told_by, self._allow_networks):
            return False
        # A server must not send us to what listens on this very host, behind its firewall. Another
        # daemon here is found by multicast, which comes from here.
        return self._is_here(told_by.host, now) or not self._is_here(address.host, now)

    def is_self(self, address: Address, now: float) -> bool:
        """Whether this daemon is there, as far as it is known."""
        return address == self._public or self._selves.get(address, now) > now

    def _is_here(self, host: str, now: float) -> bool:
        if addresses.loopback(host):
            return True
        if now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            self._own = frozenset(addresses.plain(one) for one in self._look())
        return addresses.plain(host) in self._own

    def met_self(self, address: Address, now: float) -> float:
        """A dial led back here. Gives the time until which that is believed."""
        self._selves[address] = now + SELF_BAN
        if len(self._selves) > MAX_SELVES:
            del self._selves[next(iter(self._selves))]
        return now + SELF_BAN

    def seen_at(self, host: str | None, port: int | None) -> Address | None:
        """Note where others see us, in place of what was known; None where it is not known."""
        self._public = Address(host, port) if host and port else None
        return self._public
