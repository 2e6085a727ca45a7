import pytest
from tests.helpers.small_web import SmallWeb


@pytest.fixture
async def small_web():
    async with SmallWeb().serving() as hosts:
        yield hosts
