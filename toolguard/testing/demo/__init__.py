"""Two phone calls against the scripted server: barge-ins in one process, then a hand-off and a killed process."""

from toolguard.testing.demo.command import main

__all__ = ["main"]
