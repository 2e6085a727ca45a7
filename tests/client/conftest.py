import pytest
from tests.helpers.api import running_api
from tests.helpers.shell import Shell


@pytest.fixture
async def api(tmp_path):
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture
def shell(api, capfdbinary):
    return Shell(api, capfdbinary)
