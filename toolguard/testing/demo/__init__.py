"""One phone call, played three times against the scripted server: naive, observed and enforced."""

from toolguard.testing.demo.command import main

__all__ = ["main"]
