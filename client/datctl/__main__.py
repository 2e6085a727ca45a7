"""Run the command line as `python -m datctl`."""

import sys

from datctl.cli import main

sys.exit(main())
