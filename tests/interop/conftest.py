"""Every test here has partners that datd did not make: the original programs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.helpers.lab import Lab, needs_lab
from tests.helpers.reference import Reference


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.interop)
            # One worker for each file: its tests share nothing but time of the processor.
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture
def reference(tmp_path: Path) -> Iterator[Reference]:
    """The original programs; all that are still running are ended with the test."""
    with Reference.installed(tmp_path / "homes") as found:
        yield found


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what a test started in a lab, last things first; without a lab, the test."""
    needs_lab()
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def lan(stack: ExitStack) -> Callable[[int], Lab]:
    """Builds a LAN of so many hosts, removed with the test."""
    return lambda hosts: stack.enter_context(Lab.lan(hosts))
