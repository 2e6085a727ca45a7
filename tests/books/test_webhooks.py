from dataclasses import replace

from datd.books import webhooks as book
from datd.books.webhooks import Progress, Webhook
from datd.catalogue import Catalogue

HOOK = Webhook("1f", "https://a.example/", "whsec_x", 5.0, ("archive.*",), "aa" * 32, "/p", "t")


async def test_webhooks_come_back_as_they_were_the_oldest_first(tmp_path):
    catalogue = Catalogue(tmp_path / "catalogue.sqlite3")
    await catalogue.open()
    older = replace(HOOK, id="2e", created_at=4.0, enabled=False)
    progress = Progress("41.7", 3, 9.5, None, 500, "why")
    await catalogue.together(lambda database: book.save(database, HOOK, progress))
    await catalogue.together(lambda database: book.save(database, older, Progress("0")))
    await catalogue.close()

    catalogue = Catalogue(tmp_path / "catalogue.sqlite3")
    await catalogue.open()
    assert await catalogue.together(book.load) == [(older, Progress("0")), (HOOK, progress)]
    await catalogue.together(lambda database: book.save(database, HOOK, Progress("42")))
    await catalogue.together(lambda database: book.remove(database, "2e"))
    assert await catalogue.together(book.load) == [(HOOK, Progress("42"))]
    await catalogue.close()
