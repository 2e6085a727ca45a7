import pytest
from tests.helpers.small_web import SmallWeb

from datd.naming import resolver, web


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch):
    """Nobody is silent in these tests; how long a busy machine takes to answer is no matter."""
    for deadline in ("RESOLVER_SECONDS", "HOST_SECONDS", "PAGE_SECONDS"):
        monkeypatch.setattr(resolver, deadline, 120.0)
    monkeypatch.setattr(web, "CONNECT_SECONDS", 120.0)


@pytest.fixture
async def small_web():
    async with SmallWeb().serving() as hosts:
        yield hosts
