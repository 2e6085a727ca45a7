"""The book of pins: which account wants which archives kept."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from datd.catalogue import Catalogue
from datd.keys import Key


@dataclass(frozen=True, slots=True)
class Pin:
    """One archive that an account wants kept.

    Attributes:
        account: Whose.
        key: The archive.
        name: What the account calls it; nobody else sees that.
        added_at: Seconds since 1970.
    """

    account: str
    key: Key
    name: str | None
    added_at: float


class Pins:
    """All pins, in memory and in the catalogue."""

    def __init__(self, catalogue: Catalogue, *, clock: Callable[[], float]) -> None:
        """An empty book, until it is opened; `clock` gives seconds since 1970."""
        self._catalogue = catalogue
        self._clock = clock
        self._by_account: dict[str, dict[Key, Pin]] = {}
        self._by_key: dict[Key, set[str]] = {}

    async def open(self) -> None:
        """Read the book."""
        for pin in await self._catalogue.together(_read):
            self._enter(pin)

    def of(self, account: str) -> list[Pin]:
        """The pins of an account, the oldest first."""
        return list(self._by_account.get(account, {}).values())

    def get(self, account: str, key: Key) -> Pin | None:
        """An account's pin of an archive."""
        return self._by_account.get(account, {}).get(key)

    def accounts(self, key: Key) -> set[str]:
        """Who pins an archive."""
        return self._by_key.get(key, set())

    async def put(self, account: str, key: Key, name: str | None) -> Pin:
        """Add a pin, or call it otherwise."""
        known = self.get(account, key)
        pin = Pin(account, key, name, self._clock() if known is None else known.added_at)
        values = (account, key.hex, name, pin.added_at)
        await self._catalogue.together(
            lambda database: database.execute(
                "INSERT OR REPLACE INTO pins VALUES (?, ?, ?, ?)", values
            )
        )
        self._enter(pin)
        return pin

    async def remove(self, account: str, key: Key) -> None:
        """Forget a pin."""
        values = (account, key.hex)
        await self._catalogue.together(
            lambda database: database.execute(
                "DELETE FROM pins WHERE account = ? AND key = ?", values
            )
        )
        self._by_account.get(account, {}).pop(key, None)
        mine = self._by_key.get(key, set())
        mine.discard(account)
        if not mine:
            self._by_key.pop(key, None)

    def _enter(self, pin: Pin) -> None:
        self._by_account.setdefault(pin.account, {})[pin.key] = pin
        self._by_key.setdefault(pin.key, set()).add(pin.account)


def _read(database: sqlite3.Connection) -> list[Pin]:
    return [
        Pin(row["account"], Key(bytes.fromhex(row["key"])), row["name"], row["added_at"])
        for row in database.execute("SELECT * FROM pins ORDER BY added_at, key")
    ]
