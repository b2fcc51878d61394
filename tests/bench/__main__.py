"""What `python -m tests.bench` runs."""

from .run import main

raise SystemExit(main())
