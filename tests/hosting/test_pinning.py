import asyncio
from contextlib import asynccontextmanager

import pytest
from tests.helpers.libraries import node, source, state, until

from datd.books.accounts import Accounts
from datd.books.passwords import Passwords
from datd.books.pins import Pins
from datd.errors import QuotaUsedUp, StorageError, UnknownArchive
from datd.hosting.pinning import PINNED_TAG, Pinning, keep_for_operator
from datd.keys import Key
from datd.words import size_text

A, B, C = (Key(bytes([number]) * 32) for number in (1, 2, 3))


class Service:
    """A node with accounts."""

    def __init__(self, here):
        self.here = here
        clock = here.services.wall_clock
        self.accounts = Accounts(here.catalogue, clock=clock, passwords=Passwords(log_n=2))
        self.pins = Pins(here.catalogue, clock=clock)
        self.pinning = Pinning(here.library, self.accounts, self.pins, clock=here.services.clock)
        here.services.allowance = self.pinning.refusal

    async def account(self, name="ada", max_bytes=10**6, max_pins=100):
        return await self.accounts.add(
            name, "correct horse", max_bytes=max_bytes, max_pins=max_pins
        )

    async def pin(self, account, key):
        return await self.pinning.pin(account, key, None)

    @property
    def hosted(self):
        return [archive.key for archive in self.here.library.archives()]


@asynccontextmanager
async def service(network, folder, host="10.0.0.1", **options):
    async with node(network, folder, host, **options) as here:
        yield Service(here)


def test_an_archive_comes_with_the_first_pin_and_goes_with_the_last(told):
    async def of(network, folder):
        async with service(network, folder) as there:
            ada, ben = await there.account(), await there.account("ben")
            archive, _ = await there.pin(ada, A)
            assert archive.record.tags == [PINNED_TAG]
            await there.pin(ben, A)
            await there.pin(ada, A)
            await there.pinning.unpin(ada, A)
            assert there.hosted == [A]
            with pytest.raises(UnknownArchive):
                there.pinning.find(ada, A)
            await there.pinning.unpin(ben, A)
            assert there.hosted == []

    told(of)


def test_an_account_sees_and_lets_go_of_its_own_only(told):
    async def of(network, folder):
        async with service(network, folder) as there:
            ada, ben = await there.account(), await there.account("ben")
            await there.pin(ada, A)
            await there.here.add(B)
            assert there.pinning.of(ben) == []
            for key in (A, B, C):
                with pytest.raises(UnknownArchive) as caught:
                    await there.pinning.unpin(ben, key)
                assert str(caught.value) == f"no archive {key.hex!r} is pinned by this account"
                with pytest.raises(UnknownArchive):
                    await there.pinning.rename(ben, key, "mine")
            assert there.hosted == [A, B]

    told(of)


def test_what_the_operator_hosts_stays_when_pins_go(told):
    async def of(network, folder):
        async with service(network, folder) as there:
            ada = await there.account()
            await there.here.add(A, tags=["mine"])
            await there.pin(ada, A)
            later, _ = await there.pin(ada, B)
            await keep_for_operator(there.here.library, later)
            await there.pinning.unpin(ada, A)
            await there.pinning.unpin(ada, B)
            assert there.hosted == [A, B]
            assert [one.record.tags for one in there.here.library.archives()] == [["mine"], []]

    told(of)


def test_what_the_operator_removed_is_no_pin_any_more_until_it_is_added_anew(told):
    async def of(network, folder):
        async with service(network, folder) as there:
            ada = await there.account(max_pins=1)
            archive, _ = await there.pin(ada, A)
            await there.here.library.remove(archive)
            assert there.pinning.of(ada) == []
            assert there.pinning.usage(ada).pins == 0
            await there.pin(ada, B)
            with pytest.raises(QuotaUsedUp):
                await there.pin(ada, A)

    told(of)


def test_an_account_goes_with_what_is_here_for_it_alone(told):
    async def of(network, folder):
        async with service(network, folder) as there:
            ada, ben = await there.account(), await there.account("ben")
            for key in (A, B):
                await there.pin(ada, key)
            await there.pin(ben, B)
            await there.pinning.drop_account(ada)
            assert there.hosted == [B]
            assert there.accounts.get("ada") is None
            assert there.pins.of("ada") == []

    told(of)


def test_no_more_archives_than_the_quota_says(told):
    async def of(network, folder):
        async with service(network, folder) as there:
            ada = await there.account(max_pins=2)
            for key in (A, B, A):
                await there.pin(ada, key)
            with pytest.raises(QuotaUsedUp, match="2 archives"):
                await there.pin(ada, C)
            assert there.hosted == [A, B]
            await there.pinning.unpin(ada, A)
            await there.pin(ada, C)

    told(of)


def test_an_account_that_used_up_its_bytes_fetches_and_pins_no_more_until_it_has_room(told):
    async def of(network, folder):
        # More than is asked for at once: what is on its way when the quota is reached comes in.
        made = source({f"{n}.bin": [bytes([n, b]) * 4_096 for b in range(250)] for n in range(4)})
        whole = sum(feed.byte_length for feed in made.feeds)
        async with (
            node(network, folder / "seeder", "10.0.0.2") as seeder,
            service(network, folder / "here") as there,
        ):
            made.plant(seeder)
            await seeder.seeding(made.key)
            ada = await there.account(max_bytes=whole // 2)
            archive, _ = await there.pin(ada, made.key)
            await archive.add_peer(seeder.address)
            await until(lambda: state(archive) == "error", 60)
            assert "quota" in (await archive.view()).error
            held = there.pinning.usage(ada).bytes
            assert whole // 2 <= held < whole
            with pytest.raises(QuotaUsedUp, match=f"hold {size_text(held)} and may hold"):
                await there.pin(ada, A)
            await there.pin(ada, made.key)  # what is pinned already may be pinned again

            ben = await there.account("ben", max_bytes=2 * whole)
            await there.pin(ben, made.key)
            assert there.pinning.refusal(archive.record, held) is None
            await there.here.library.tidy()

            async def more():
                async with archive.opened():
                    return there.pinning.usage(ben).bytes > held

            async with asyncio.timeout(600):
                while not await more():
                    await asyncio.sleep(5)
                    await there.here.library.tidy()

    told(of)


def test_quotas_do_not_hold_up_what_the_operator_hosts(told):
    async def of(network, folder):
        made = source()
        async with (
            node(network, folder / "seeder", "10.0.0.2") as seeder,
            service(network, folder / "here") as there,
        ):
            made.plant(seeder)
            await seeder.seeding(made.key)
            await there.here.add(made.key, seeder)
            await there.pin(await there.account(max_bytes=1), made.key)
            archive = there.here.library.archives()[0]
            await until(lambda: state(archive) == "seeding", 60)

    told(of)


def test_archives_that_the_operator_calls_pinned_are_still_his(told):
    async def of(network, folder):
        async with service(network, folder) as there:
            await there.here.library.add(A, tags=["pinned"])
            ada = await there.account()
            await there.pin(ada, A)
            await there.pinning.unpin(ada, A)
            assert there.hosted == [A]

    told(of)


def test_a_pin_whose_archive_cannot_be_hosted_leaves_nothing(told):
    async def of(network, folder):
        async with service(network, folder) as there:
            ada = await there.account()
            await there.here.catalogue.together(
                lambda database: database.execute("ALTER TABLE archives RENAME TO elsewhere")
            )
            with pytest.raises(StorageError):
                await there.pin(ada, A)
            assert there.pins.of("ada") == []
            assert there.hosted == []

    told(of)
