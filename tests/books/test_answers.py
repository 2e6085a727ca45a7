import sqlite3

import pytest

from datd.books import answers as book
from datd.books.answers import Answer, Page
from datd.migrations import MIGRATIONS

ANSWER = Answer(201, {"Location": "/ä", "Content-Type": "application/json"}, '{"name": "ä"}')


@pytest.fixture
def database():
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.row_factory = sqlite3.Row
    for script in MIGRATIONS:
        made.executescript(script)
    yield made
    made.close()


def test_pages_are_read_back_as_they_were_written_the_latest_last(database):
    first = Page("one", "aa", None, ANSWER)
    second = Page("two", "bb", "cc" * 32, None)
    book.save(database, first)
    book.save(database, second)
    assert book.load(database) == [first, second]
    whole = Page("one", "aa", "dd" * 32, ANSWER)
    book.save(database, whole)
    assert book.load(database) == [second, whole]


def test_pages_are_torn_out(database):
    for name in ("one", "two", "three"):
        book.save(database, Page(name, "aa", None, ANSWER))
    book.forget(database, ["one", "three", "never there"])
    assert [page.name for page in book.load(database)] == ["two"]


def test_a_page_that_was_rolled_back_is_not_there(database):
    database.execute("BEGIN")
    book.save(database, Page("one", "aa", "cc" * 32, None))
    database.execute("ROLLBACK")
    assert book.load(database) == []
