from collections.abc import Iterator

import pytest

from datd.hosting.descriptors import Descriptors


@pytest.fixture
def pool() -> Iterator[Descriptors]:
    """The daemon's own pool, so small that files are closed and opened all the time."""
    descriptors = Descriptors(limit=3)
    yield descriptors
    descriptors.close()
