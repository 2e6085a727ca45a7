from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.libraries import story
from tests.helpers.network import MemoryNetwork

Story = Callable[[Callable[[MemoryNetwork, Path], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def told(tmp_path: Path) -> Story:
    """Runs a story on a network in memory, in virtual time."""

    def tell(of: Callable[[MemoryNetwork, Path], Coroutine[Any, Any, None]]) -> None:
        story(of(MemoryNetwork(0.001), tmp_path))

    return tell
