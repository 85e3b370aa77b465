"""``python -m semivox``."""

import sys

from semivox.cli import main

sys.exit(main())
