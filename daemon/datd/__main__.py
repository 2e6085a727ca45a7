"""The command `datd`, also as `python -m datd`."""

import signal
import sys


def main() -> int:
    """Run it. Whoever presses Ctrl-C while it is still being loaded sees no traceback."""
    # Until the daemon handles it, there is nothing to tidy up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from datd.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
