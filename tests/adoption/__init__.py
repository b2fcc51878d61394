"""Guarding agents that existed before: what is added to a framework's own example, and whether it then works."""
