"""What holds for all tests: none is judged by how busy the machine is."""

import os
import signal
import tracemalloc
from collections.abc import Iterator

import hypothesis
import pytest

# Two cores may run two workers and the original programs beside them, so an example has no deadline
# of its own, nor has the making of it: pytest's `timeout` ends what hangs. CI tries the same
# examples each time.
NOT_TIMED = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("here", NOT_TIMED)
hypothesis.settings.register_profile("ci", NOT_TIMED, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("DATD_CI") == "1" else "here")

# What shells start in the background ignores Ctrl-C, and so would all programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def memory_is_traced_by_one_test_only() -> Iterator[None]:
    """A test that failed while it traced memory must not make others slow, and fail."""
    yield
    if tracemalloc.is_tracing():
        tracemalloc.stop()
