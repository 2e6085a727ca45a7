"""What a discovery server remembers: who has a name, or wants to hear of it, and until when.

Pure: time and chance are arguments. Whatever strangers write here meets the limits of T-34.

Source: discovery.md section 4. Unlike in the reference, a record that has expired is gone: it can
be written again.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from datd.types import Address

# T-34. A record takes 0.7 kB here; the reference holds as many.
MAX_RECORDS = 10_000
# Eight times what one answer can tell.
MAX_RECORDS_OF_A_NAME = 256
# An archive is one record of a host, so this is also how many names it can have here.
MAX_RECORDS_OF_A_HOST = 500
# Hosts behind one NAT that have the same archive, each with a port of its own. Without this limit
# one address could be all that a name's askers hear of.
MAX_PORTS = 16


class Stored(Enum):
    """What became of a record."""

    NEW = "new"
    RENEWED = "renewed"
    REFUSED = "refused"  # its host has too many


@dataclass(slots=True)
class _Record:
    expires: float
    door: int


class RecordStore:
    """Addresses by name. Names are 20 bytes.

    Three views of the same records: all of them and those of a name, each with the one renewed
    longest ago first, and their number for each host. The name used longest ago is the first one.

    Attributes:
        evicted: Records that had to go before their time, to make room for others.
    """

    def __init__(
        self,
        *,
        lifetime: float,
        capacity: int = MAX_RECORDS,
        host_capacity: int = MAX_RECORDS_OF_A_HOST,
    ) -> None:
        """Start empty.

        Args:
            lifetime: Seconds that a record lives unless renewed.
            capacity: Records in all.
            host_capacity: Records of one host.
        """
        self.evicted = 0
        self._lifetime = lifetime
        self._capacity = capacity
        self._host_capacity = host_capacity
        # Queues: the first of a plain dict is slow to find once many before it are gone.
        self._records: OrderedDict[tuple[bytes, Address], _Record] = OrderedDict()
        self._names: OrderedDict[bytes, dict[Address, None]] = OrderedDict()
        self._hosts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._records)

    @property
    def names(self) -> int:
        """Names that have records."""
        return len(self._names)

    def add(self, name: bytes, address: Address, now: float, *, door: int = 0) -> Stored:
        """Write or renew a record.

        Args:
            name: 20 bytes.
            address: Who has it, or wants to hear of it.
            now: Seconds.
            door: Which of the server's sockets they talk to.
        """
        self.expire(now)
        known = (name, address) in self._records
        if known:
            self.remove(name, address)
        elif self._hosts[address.host] >= self._host_capacity:
            return Stored.REFUSED
        else:
            self._make_room(name, address.host)
        self._records[name, address] = _Record(now + self._lifetime, door)
        self._use(name)[address] = None
        self._hosts[address.host] += 1
        return Stored.RENEWED if known else Stored.NEW

    def remove(self, name: bytes, address: Address) -> bool:
        """Forget a record; whether there was one."""
        if self._records.pop((name, address), None) is None:
            return False
        addresses = self._names[name]
        del addresses[address]
        if not addresses:
            del self._names[name]
        self._hosts[address.host] -= 1
        if not self._hosts[address.host]:
            del self._hosts[address.host]
        return True

    def sample(
        self, name: bytes, most: int, now: float, choose: Callable[[int], int]
    ) -> list[Address]:
        """Take records of a name at random.

        Args:
            name: 20 bytes.
            most: How many at most.
            now: Seconds.
            choose: Gives a random number from 0 up to, not including, its argument.
        """
        self.expire(now)
        if name not in self._names:
            return []
        addresses = list(self._use(name))
        count = min(most, len(addresses))
        for place in range(count):
            other = place + choose(len(addresses) - place)
            addresses[place], addresses[other] = addresses[other], addresses[place]
        return addresses[:count]

    def door(self, name: bytes, address: Address) -> int:
        """At which socket of the server somebody was last heard. The record must be there."""
        return self._records[name, address].door

    def expire(self, now: float) -> None:
        """Drop what has lived long enough."""
        while self._records:
            (name, address), record = next(iter(self._records.items()))
            if record.expires > now:
                return
            self.remove(name, address)

    def _use(self, name: bytes) -> dict[Address, None]:
        addresses = self._names.pop(name, {})
        self._names[name] = addresses
        return addresses

    def _make_room(self, name: bytes, host: str) -> None:
        addresses = self._names.get(name, {})
        own = [address for address in addresses if address.host == host]
        if len(own) >= MAX_PORTS:
            self._evict(name, own[0])
        elif len(addresses) >= MAX_RECORDS_OF_A_NAME:
            # Whoever takes most of the room gives way, and not who was there first.
            (greedy, _), *_ = Counter(address.host for address in addresses).most_common(1)
            self._evict(name, next(one for one in addresses if one.host == greedy))
        elif len(self._records) >= self._capacity:
            stale = next(iter(self._names))
            self._evict(stale, next(iter(self._names[stale])))

    def _evict(self, name: bytes, address: Address) -> None:
        self.remove(name, address)
        self.evicted += 1
