"""What `python -m tests.frameworks` runs."""

from .run import main

raise SystemExit(main())
