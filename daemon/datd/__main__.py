"""`python -m datd` is the command `datd`."""

import sys

from datd.cli import main

sys.exit(main())
