"""Reads what people write for a time: ``yesterday``, ``2h``, ``2026-03-01``, ``2026-03-01T10:30``."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_AGO = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_of(text: str) -> datetime:
    """The aware time that ``text`` means; without a time zone it is local time.

    Args:
        text: ``now``, ``today`` (its beginning), ``yesterday`` (its beginning), an age such as ``30m``, ``2h``,
            ``3d``, ``1w``, or an ISO date or time.

    Raises:
        ValueError: It means no time.
    """
    words = text.strip().lower()
    now = datetime.now().astimezone()
    if words == "now":
        return now
    if words in {"today", "yesterday"}:
        day = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        return (day - timedelta(days=words == "yesterday")).astimezone()
    ago = _AGO.fullmatch(words)
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{text!r} is no time; write yesterday, today, 30m, 2h, 3d, 2026-03-01 or 2026-03-01T10:30"
        ) from None
