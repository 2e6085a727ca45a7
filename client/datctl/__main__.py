"""The command `datctl`, also as `python -m datctl`."""

import sys

# As `cli.Exit` has it, which may not be here yet.
_INTERRUPTED = 130


def main() -> int:
    """Run it; what shells ask at each Tab is answered without loading any verb."""
    try:
        if sys.argv[1:2] == ["__complete"]:
            from datctl import completing

            return completing.main(sys.argv[2:])
        from datctl.cli import main as run

        return run()
    except KeyboardInterrupt:  # while it was still being loaded
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
