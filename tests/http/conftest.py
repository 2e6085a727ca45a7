import pytest
from tests.helpers.api import running_api


@pytest.fixture
async def api(tmp_path):
    async with running_api(tmp_path) as running:
        yield running
