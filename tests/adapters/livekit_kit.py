"""What the tests of the LiveKit adapter share: the scripted line of the product, in virtual time."""

import asyncio
from contextlib import contextmanager

from toolguard.testing.livekit import ENDPOINTING, Call, Line, Request, line, one_clock, until

__all__ = ["ENDPOINTING", "Call", "Line", "Request", "line", "now", "until", "wall_follows_loop"]


@contextmanager
def wall_follows_loop():
    """Let ``time.time()`` run with the loop: LiveKit mixes both when it waits for the end of a turn."""
    with one_clock():
        yield


def now():
    return asyncio.get_running_loop().time()
