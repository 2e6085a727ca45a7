import asyncio
import threading

import pytest

from datd.books.accounts import LOGIN_SECONDS, MAX_LOGINS, Accounts
from datd.books.passwords import Passwords
from datd.books.pins import Pins
from datd.books.secrets import digest
from datd.keys import Key

PASSWORD = "correct horse"


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def book(catalogue, clock):
    async def opened():
        accounts = Accounts(catalogue, clock=clock, passwords=Passwords(log_n=2))
        await accounts.open()
        return accounts

    return opened


async def add(accounts, name="ada"):
    return await accounts.add(name, PASSWORD, max_bytes=10, max_pins=2)


def hash_of(found):
    return digest(found[1].encode())


async def test_an_account_is_one_name_however_it_is_written(book):
    accounts = await book()
    await add(accounts, "Ada")
    assert await add(accounts, "ADA") is None
    for opened in (accounts, await book()):
        assert opened.get("aDa").name == "ada"
        assert (await opened.log_in("ADA", PASSWORD))[0].name == "ada"


async def test_a_login_lasts_over_restarts_and_ends_at_its_time(book, clock):
    accounts = await book()
    await add(accounts)
    found = await accounts.log_in("ada", PASSWORD)
    assert (await book()).logged_in(hash_of(found)).name == "ada"
    clock.now += LOGIN_SECONDS - 1
    assert accounts.logged_in(hash_of(found)) is not None
    clock.now += 1
    assert accounts.logged_in(hash_of(found)) is None


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong"), ("eve", PASSWORD), ("", "")])
async def test_nobody_else_gets_in(book, name, password):
    accounts = await book()
    await add(accounts)
    assert await accounts.log_in(name, password) is None


async def test_who_logs_out_is_out_and_others_are_not(book):
    accounts = await book()
    await add(accounts)
    one, two = [await accounts.log_in("ada", PASSWORD) for _ in range(2)]
    assert one[1] != two[1]
    await accounts.log_out(hash_of(one))
    await accounts.log_out("nothing")
    for opened in (accounts, await book()):
        assert opened.logged_in(hash_of(one)) is None
        assert opened.logged_in(hash_of(two)) is not None


async def test_another_password_logs_everybody_out_and_other_changes_do_not(book):
    accounts = await book()
    account = await add(accounts)
    found = await accounts.log_in("ada", PASSWORD)
    account = await accounts.change(account, max_bytes=99)
    assert accounts.logged_in(hash_of(found)).max_bytes == 99
    await accounts.change(account, password="another horse")
    for opened in (accounts, await book()):
        assert opened.logged_in(hash_of(found)) is None
        assert await opened.log_in("ada", PASSWORD) is None
    assert (await accounts.log_in("ada", "another horse"))[0].max_bytes == 99


async def test_the_oldest_login_makes_room(book, clock, catalogue):
    accounts = await book()
    await add(accounts)
    logins = []
    for _ in range(3):
        logins.append(await accounts.log_in("ada", PASSWORD))
        clock.now += 1
    rows = [(f"{n:064x}", "ada", clock.now + n, clock.now + 1e6) for n in range(MAX_LOGINS - 2)]
    await catalogue.together(
        lambda database: database.executemany("INSERT INTO logins VALUES (?, ?, ?, ?)", rows)
    )
    accounts = await book()
    clock.now += MAX_LOGINS
    newest = await accounts.log_in("ada", PASSWORD)
    alive = [accounts.logged_in(hash_of(one)) is not None for one in (*logins, newest)]
    assert alive == [False, False, True, True]


async def test_an_account_goes_with_its_logins_and_pins(book, catalogue, clock):
    accounts = await book()
    account = await add(accounts)
    found = await accounts.log_in("ada", PASSWORD)
    pins = Pins(catalogue, clock=clock)
    await pins.put("ada", Key(b"\1" * 32), None)
    await accounts.remove(account)
    for opened in (accounts, await book()):
        assert opened.get("ada") is None
        assert opened.logged_in(hash_of(found)) is None
    again = Pins(catalogue, clock=clock)
    await again.open()
    assert again.of("ada") == []


async def test_changes_that_meet_are_both_kept(book):
    accounts = await book()
    ada = await add(accounts)
    await asyncio.gather(
        accounts.change(ada, password="another horse"),
        accounts.change(ada, max_pins=77),
    )
    for opened in (accounts, await book()):
        assert opened.get("ada").max_pins == 77
        assert await opened.log_in("ada", "another horse") is not None


async def test_an_account_that_is_removed_while_it_is_changed_stays_away(book):
    accounts = await book()
    ada = await add(accounts)
    async with asyncio.TaskGroup() as group:
        changing = group.create_task(accounts.change(ada, password="another horse"))
        await asyncio.sleep(0)
        await accounts.remove(ada)
    assert changing.result() is None
    for opened in (accounts, await book()):
        assert opened.get("ada") is None


async def test_an_old_password_lets_nobody_in_while_it_is_replaced(book):
    accounts = await book()
    ada = await add(accounts)
    found, _ = await asyncio.gather(
        accounts.log_in("ada", PASSWORD), accounts.change(ada, password="another horse")
    )
    assert found is None or accounts.logged_in(hash_of(found)) is None


async def test_who_logs_in_while_the_account_is_removed_is_not_let_in(catalogue):
    free = threading.Event()

    def clock() -> float:
        # Asked behind the check of the password: what comes next is in the book's queue by then.
        asyncio.get_running_loop().call_soon(free.set)
        return 1_000_000.0

    accounts = Accounts(catalogue, clock=clock, passwords=Passwords(log_n=2))
    await accounts.open()
    ada = await add(accounts)
    free.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(catalogue.together(lambda _: free.wait(60)))
        group.create_task(accounts.remove(ada))
        entering = group.create_task(accounts.log_in("ada", PASSWORD))
    assert entering.result() is None
