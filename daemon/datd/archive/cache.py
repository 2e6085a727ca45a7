"""A map that forgets what was not used for longest once its contents weigh too much."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Least recently used values, bounded by their weight and not by their number.

    Weights are what the caller says, in any unit: entries of wide folders are thousands of times
    larger than others, so counting them would bound nothing.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def weight(self) -> int:
        """Sum of the weights held."""
        return self._weight

    def get(self, key: K) -> V | None:
        """Give what is held for a key, and count that as use."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Hold a value; others go for it. What is heavier than half of the limit is not held."""
        self.forget(key)
        if weight > self._limit // 2:
            return
        self._values[key] = (value, weight)
        self._weight += weight
        while self._weight > self._limit:
            _, (_, gone) = self._values.popitem(last=False)
            self._weight -= gone

    def forget(self, key: K) -> None:
        """Drop a key, if it is held."""
        held = self._values.pop(key, None)
        if held is not None:
            self._weight -= held[1]
