"""``python -m toolguard.testing.demo``."""

import sys

from toolguard.testing.demo.command import main

sys.exit(main(sys.argv[1:]))
