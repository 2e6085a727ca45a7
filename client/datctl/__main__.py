"""The command `datctl`, also as `python -m datctl`."""

import sys


def main() -> int:
    """Run it; what shells ask at each Tab is answered without loading any verb."""
    if sys.argv[1:2] == ["__complete"]:
        from datctl import completing

        return completing.main(sys.argv[2:])
    from datctl.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
