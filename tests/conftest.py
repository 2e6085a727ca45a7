"""What holds for all tests: none is judged by how busy the machine is."""

import os

import hypothesis

# Two cores may run two workers and the original programs beside them, so an example has no deadline
# of its own: pytest's `timeout` ends what hangs. CI tries the same examples each time.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("DATD_CI") == "1" else "here")
