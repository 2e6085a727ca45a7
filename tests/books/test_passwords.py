import asyncio
import time

import pytest

from datd.books.passwords import MAX_WAITING, Passwords
from datd.errors import Busy


async def test_a_password_fits_what_was_kept_of_it_and_no_other_does():
    passwords = Passwords()
    kept = await passwords.kept("correct horse")
    assert kept.startswith("scrypt$")
    assert "correct" not in kept
    assert await passwords.fits("correct horse", kept)
    for other in ("", "Correct horse", "correct horse ", "correct hors"):
        assert not await passwords.fits(other, kept)


async def test_the_same_password_is_never_kept_the_same():
    passwords = Passwords()
    assert await passwords.kept("x") != await passwords.kept("x")


async def test_letters_fit_however_a_keyboard_composes_them():
    passwords = Passwords()
    assert await passwords.fits("caf\u0065\u0301", await passwords.kept("caf\u00e9"))
    assert not await passwords.fits("\udc80", await passwords.kept("x"))


async def test_t42_an_account_that_is_not_there_takes_as_long():
    passwords = Passwords()
    kept = await passwords.kept("x")

    async def took(kept):
        began = time.process_time()  # what others of this machine do does not count
        assert not await passwords.fits("y", kept)
        return time.process_time() - began

    # In turns: what makes the machine slower for a while does so for both.
    absent, wrong = zip(*[(await took(None), await took(kept)) for _ in range(5)], strict=True)
    assert min(absent) > 0.5 * min(wrong)


async def test_t42_a_flood_is_turned_away_and_the_loop_goes_on():
    passwords = Passwords()
    kept = await passwords.kept("x")
    tries = [passwords.fits("x", kept) for _ in range(3 * MAX_WAITING)]
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with asyncio.TaskGroup() as group:
        counting = group.create_task(count())
        found = await asyncio.gather(*tries, return_exceptions=True)
        counting.cancel()
    assert found.count(True) == MAX_WAITING
    assert sum(isinstance(one, Busy) for one in found) == 2 * MAX_WAITING
    assert turns > 100
    assert await passwords.fits("x", kept), "afterwards there is room again"


async def test_how_it_was_hashed_stands_with_the_hash():
    # As made with n = 4, r = 1 by an older or a weaker datd.
    with pytest.raises(ValueError, match="not enough values"):
        await Passwords().fits("x", "scrypt$2")
    import base64
    import hashlib

    found = hashlib.scrypt(b"x", salt=b"salt", n=4, r=1, p=1, dklen=32)
    text = "$".join(base64.b64encode(part).decode() for part in (b"salt", found))
    assert await Passwords().fits("x", f"scrypt$2$1$1${text}")
