import itertools

from datd.books.accounts import Accounts
from datd.books.passwords import Passwords
from datd.books.pins import Pins
from datd.keys import Key

A, B = Key(b"\1" * 32), Key(b"\2" * 32)


async def test_pins_are_kept_by_account_and_by_archive(catalogue):
    clock = itertools.count(1.0).__next__
    accounts = Accounts(catalogue, clock=clock, passwords=Passwords(log_n=2))
    for name in ("ada", "ben"):
        await accounts.add(name, "correct horse", max_bytes=1, max_pins=1)
    pins = Pins(catalogue, clock=clock)
    first = await pins.put("ada", A, "one")
    await pins.put("ada", B, None)
    await pins.put("ben", A, None)
    renamed = await pins.put("ada", A, "two")
    assert renamed.added_at == first.added_at
    await pins.remove("ada", B)
    await pins.remove("ben", B)
    again = Pins(catalogue, clock=clock)
    await again.open()
    for book in (pins, again):
        assert [(pin.key, pin.name) for pin in book.of("ada")] == [(A, "two")]
        assert book.accounts(A) == {"ada", "ben"}
        assert book.accounts(B) == set()
        assert book.get("ben", B) is None
        assert book.of("eve") == []
