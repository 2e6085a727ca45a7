import asyncio

import pytest

from datd.books.secrets import digest
from datd.books.tokens import USED_SECONDS, Tokens


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def book(catalogue, clock):
    """Opens the book anew; what it leaves to others is done when the test ends."""
    async with asyncio.TaskGroup() as group:
        made = []

        async def opened():
            tokens = Tokens(catalogue, clock=clock, spawn=group.create_task)
            await tokens.open()
            made.append(tokens)
            return tokens

        yield opened


async def test_a_token_is_found_by_the_hash_of_its_secret_only(book):
    tokens = await book()
    token, secret = await tokens.make("x", "control", archives=["ab" * 32], expires_at=2e6)
    assert secret not in repr(token)
    for opened in (tokens, await book()):
        found = opened.valid(digest(secret.encode()))
        assert (found.id, found.scope, found.archives) == (token.id, "control", ("ab" * 32,))
        assert opened.valid(digest(token.id.encode())) is None
        assert opened.valid(token.id) is None


async def test_a_token_ends_at_its_time_and_is_listed_all_the_same(book, clock):
    tokens = await book()
    token, _ = await tokens.make("x", "read", expires_at=clock.now + 10)
    clock.now += 9.9
    assert tokens.valid(token.hash) is not None
    clock.now += 0.1
    assert tokens.valid(token.hash) is None
    assert [one.id for one in tokens.all()] == [token.id]


async def test_the_last_use_is_noted_coarsely_and_kept(book, clock, catalogue):
    tokens = await book()
    token, _ = await tokens.make("x", "read")
    first = clock.now
    for _ in range(3):
        tokens.valid(token.hash)
        clock.now += USED_SECONDS / 3 - 1
    assert tokens.get(token.id).last_used_at == first
    clock.now += 10
    tokens.valid(token.hash)
    assert tokens.get(token.id).last_used_at == clock.now
    await catalogue.together(lambda database: None)  # what was left to the thread is behind us
    assert (await book()).get(token.id).last_used_at == clock.now


async def test_a_removed_token_stays_away(book):
    tokens = await book()
    token, _ = await tokens.make("x", "admin")
    await tokens.remove(token)
    for opened in (tokens, await book()):
        assert opened.valid(token.hash) is None
        assert opened.get(token.id) is None


async def test_a_disk_that_takes_nothing_does_not_end_the_daemon_when_a_token_is_used(
    book, catalogue
):
    tokens = await book()
    token, _ = await tokens.make("x", "read")
    await catalogue.together(lambda database: database.execute("DROP TABLE tokens"))
    assert tokens.valid(token.hash) is not None
