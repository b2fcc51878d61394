"""Wall times as texts that sort like the times, for places whose numbers are too small for nanoseconds."""

from __future__ import annotations

_HALF = 2**63


def stamp(at: int) -> str:
    """Wall nanoseconds as a text that sorts like the number."""
    return f"{at + _HALF:020d}"


def unstamp(text: bytes) -> int:
    """The nanoseconds of a :func:`stamp`."""
    return int(text) - _HALF
