from datd.books import settings as book
from datd.catalogue import Catalogue


async def test_changes_come_back_and_can_be_taken_back(tmp_path):
    catalogue = Catalogue(tmp_path / "catalogue.sqlite3")
    await catalogue.open()
    changes = {"network.upload_limit": 2**53 - 1, "log.level": "debug"}
    await catalogue.together(lambda database: book.save(database, changes))
    await catalogue.together(lambda database: book.save(database, {"log.level": "error"}))
    await catalogue.close()

    catalogue = Catalogue(tmp_path / "catalogue.sqlite3")
    await catalogue.open()
    assert await catalogue.together(book.load) == changes | {"log.level": "error"}
    taken_back = {"log.level": None, "storage.max_bytes": None}
    await catalogue.together(lambda database: book.save(database, taken_back))
    assert await catalogue.together(book.load) == {"network.upload_limit": 2**53 - 1}
    await catalogue.close()
