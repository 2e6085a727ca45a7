import pytest

from datd.catalogue import Catalogue


@pytest.fixture
async def catalogue(tmp_path):
    book = Catalogue(tmp_path / "catalogue.sqlite3")
    await book.open()
    yield book
    await book.close()
