"""The frameworks' own test suites, once as they are and once with every tool of theirs guarded in observe mode."""
