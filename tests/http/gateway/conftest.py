import pytest
from tests.helpers.gateway import running_gateway


@pytest.fixture
async def gateway(tmp_path):
    async with running_gateway(tmp_path) as running:
        yield running
