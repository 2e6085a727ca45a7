"""Archives that pinning accounts want kept: who pins what, and how much of it may be here.

An archive that is here for pins only has a tag. It goes when the last account lets go; whoever
takes the tag away, or adds the archive for himself, keeps it.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from datd.books.accounts import Account, Accounts
from datd.books.pins import Pin, Pins
from datd.errors import ArchiveExists, QuotaUsedUp, UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.hosting.changes import Changes
from datd.hosting.library import Library
from datd.keys import Key
from datd.records import Record
from datd.words import counted, size_text

# What tells an archive that is here for pins only. No word that an operator would choose himself:
# what has it goes when nobody pins it any more.
PINNED_TAG = "pinned-by-accounts"
USED_UP = "the accounts that pin it have used up their quotas: raise one, or unpin something"
# Adding up an account's archives for each batch of blocks would cost more than the batch.
COUNT_EVERY = 2.0


class Usage(NamedTuple):
    """What an account uses of its quotas."""

    bytes: int
    pins: int


class Pinning:
    """Adds, names and drops pins, and holds accounts to their quotas."""

    def __init__(
        self, library: Library, accounts: Accounts, pins: Pins, *, clock: Callable[[], float]
    ) -> None:
        """A pinning service over a library; `clock` gives seconds and only goes forward."""
        self._library = library
        self._accounts = accounts
        self._pins = pins
        self._clock = clock
        self._changing = asyncio.Lock()
        self._counted: dict[tuple[str, Key], tuple[float, int]] = {}

    def usage(self, account: Account) -> Usage:
        """What the archives of an account hold, and how many they are."""
        hosted = self.of(account)
        return Usage(sum(_held(archive) for archive, _ in hosted), len(hosted))

    def of(self, account: Account) -> list[tuple[HostedArchive, Pin]]:
        """What an account pins, the oldest first. What the operator removed is gone."""
        found = ((self._hosted(pin.key), pin) for pin in self._pins.of(account.name))
        return [(archive, pin) for archive, pin in found if archive is not None]

    def find(self, account: Account, key: Key) -> tuple[HostedArchive, Pin]:
        """One pin of an account.

        Raises:
            UnknownArchive: The account has none of it; whether others have is not told.
        """
        archive, pin = self._hosted(key), self._pins.get(account.name, key)
        if archive is None or pin is None:
            raise UnknownArchive(f"no archive {key.hex!r} is pinned by this account")
        return archive, pin

    async def pin(self, account: Account, key: Key, name: str | None) -> tuple[HostedArchive, Pin]:
        """Have an archive kept; if it is pinned already, `name` is what may change.

        Raises:
            QuotaUsedUp: The account may not pin more; nothing changed.
        """
        async with self._changing:
            known = self._pins.get(account.name, key)
            archive = self._hosted(key)
            if known is None or archive is None:
                self._require_room(self._accounts.get(account.name) or account)
            if name is None and known is not None:
                name = known.name
            # The pin is first: the archive would be held to no quota without it.
            pin = await self._pins.put(account.name, key, name)
            if archive is None:
                archive = await self._host(pin, new=known is None)
            return archive, pin

    async def rename(
        self, account: Account, key: Key, name: str | None
    ) -> tuple[HostedArchive, Pin]:
        """Call a pin otherwise.

        Raises:
            UnknownArchive: The account has no such pin.
        """
        async with self._changing:
            archive, _ = self.find(account, key)
            return archive, await self._pins.put(account.name, key, name)

    async def unpin(self, account: Account, key: Key) -> None:
        """Let an archive go; it is removed if it is here for nobody else.

        Raises:
            UnknownArchive: The account has no such pin.
        """
        async with self._changing:
            self.find(account, key)
            await self._drop(account.name, key)

    async def drop_account(self, account: Account) -> None:
        """Let everything go that an account pinned, and forget the account."""
        async with self._changing:
            for pin in self._pins.of(account.name):
                await self._drop(account.name, pin.key)
            await self._accounts.remove(account)

    def refusal(self, record: Record, held: int) -> str | None:
        """Why an archive that is here for pins only may not take more; None if it may.

        It may as long as one of the accounts that pin it has room.

        Args:
            record: The archive.
            held: Bytes of it that are here.
        """
        if PINNED_TAG not in record.tags:
            return None
        names = self._pins.accounts(record.key)
        accounts = [found for name in names if (found := self._accounts.get(name)) is not None]
        if not accounts or any(
            self._others(account, record.key) + held < account.max_bytes for account in accounts
        ):
            return None
        return USED_UP

    def _others(self, account: Account, key: Key) -> int:
        """Bytes of all archives of an account but one."""
        now = self._clock()
        counted_at, others = self._counted.get((account.name, key), (float("-inf"), 0))
        if now - counted_at >= COUNT_EVERY:
            others = sum(_held(one) for one, _ in self.of(account) if one.key != key)
            self._counted[account.name, key] = now, others
        return others

    def _require_room(self, account: Account) -> None:
        used = self.usage(account)
        if used.pins >= account.max_pins:
            raise QuotaUsedUp(
                f"this account may pin {counted(account.max_pins, 'archive')} and does: "
                "remove one first"
            )
        if used.bytes >= account.max_bytes:
            raise QuotaUsedUp(
                f"the archives of this account hold {size_text(used.bytes)} and may hold "
                f"{size_text(account.max_bytes)}: remove one first"
            )

    async def _drop(self, account: str, key: Key) -> None:
        archive = self._hosted(key)
        await self._pins.remove(account, key)
        self._counted.pop((account, key), None)
        alone = not self._pins.accounts(key)
        if archive is not None and alone and PINNED_TAG in archive.record.tags:
            # Unless the operator takes it over in this moment.
            await self._library.remove(archive, still=lambda one: PINNED_TAG in one.tags)

    async def _host(self, pin: Pin, *, new: bool) -> HostedArchive:
        try:
            archive, _ = await self._library.add(pin.key, tags=[PINNED_TAG])
        except ArchiveExists:
            # The operator added it in this moment: then it is his.
            archive, _ = await self._library.add(pin.key)
        except BaseException:
            if new:
                await self._pins.remove(pin.account, pin.key)
            raise
        return archive

    def _hosted(self, key: Key) -> HostedArchive | None:
        return self._library.of_discovery_key(key.discovery_key.raw)


def _held(archive: HostedArchive) -> int:
    return archive.record.summary.bytes_have


async def keep_for_operator(library: Library, archive: HostedArchive) -> None:
    """The operator wants an archive, too: it stays when the last pin goes."""
    if PINNED_TAG in archive.record.tags:
        tags = [tag for tag in archive.record.tags if tag != PINNED_TAG]
        await library.change(archive, Changes({"tags": tags}))
