"""Times, days, dates and numbers in what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import msgspec

from toolguard.listen.words import longest

if TYPE_CHECKING:
    from toolguard.listen.words import Lexicon

ValueKind: TypeAlias = Literal["time", "weekday", "date", "day", "number"]
"""``day`` counts from today: 0 is today, 1 tomorrow."""

_HOURS = 24
_TWELVE = 12
_THOUSAND = 1000
_MINUTES = 1440
_MINUTES_SAID = range(10, 60)


class Value(msgspec.Struct, frozen=True):
    """One value that was said.

    Attributes:
        kind: What it is.
        number: Minutes of the day, 0-6 from Monday, the day of the month, days from today, or the number itself.
        month: The month of a date, 1 to 12.
        unit: What a number counts (``people``), empty if that was not said.
        either: A time that may be before or after noon.
    """

    kind: ValueKind
    number: float
    month: int = 0
    unit: str = ""
    either: bool = False


def value_at(words: list[str], start: int, lexicon: Lexicon) -> tuple[Value | None, int]:
    """The value that begins at ``start`` and the number of its tokens; (None, 0) if none begins there."""
    for kind, table in (("weekday", lexicon.weekdays), ("day", lexicon.days), ("time", lexicon.fixed)):
        number, length = longest(table, words, start)
        if length:
            return Value(cast("ValueKind", kind), cast("int", number)), length
    month, length = longest(lexicon.months, words, start)
    if length:
        day, more = number_at(words, start + length, lexicon)
        return (Value("date", day, cast("int", month) + 1), length + more) if more and 1 <= day <= 31 else (None, 0)  # noqa: PLR2004
    _, at = longest(lexicon.at, words, start)
    said, length = _time(words, start + at, lexicon, marked=at > 0)
    if said is not None:
        return said, at + length
    return _counted(words, start, lexicon)


def number_at(words: list[str], start: int, lexicon: Lexicon) -> tuple[float, int]:
    """The number, in digits or words, that begins at ``start``; its length is 0 if none does."""
    if start >= len(words):
        return 0, 0
    word = words[start]
    if word[0].isdigit() and ":" not in word and "h" not in word:
        return _scaled(words, start, _plain(word), 1, lexicon)
    number, length = longest(lexicon.numbers, words, start)
    return _scaled(words, start, cast("float", number or 0), length, lexicon)


def _scaled(words: list[str], start: int, number: float, length: int, lexicon: Lexicon) -> tuple[float, int]:
    """``two hundred fifty``: the number grows as long as words that multiply follow."""
    total = 0.0
    while (scale := longest(lexicon.scales, words, start + length))[1]:
        number = (number or 1) * cast("int", scale[0])
        length += scale[1]
        if cast("int", scale[0]) >= _THOUSAND:
            total, number = total + number, 0
        more, further = longest(lexicon.numbers, words, start + length)
        number, length = number + cast("int", more or 0), length + further
    return total + number, length


def _plain(word: str) -> float:
    """``1.200,50``, ``1,200.50``, ``1,200`` and ``1.200`` as numbers."""
    head, mark, tail = word.rpartition(",") if word.rfind(",") > word.rfind(".") else word.rpartition(".")
    whole = head.replace(",", "").replace(".", "")
    return float(f"{whole}.{tail}" if mark and len(tail) != 3 else whole + tail)  # noqa: PLR2004


def _clock(word: str) -> Value | None:
    """``18:00``, ``18h30``, ``6:30``."""
    for mark in ":h.":
        hours, found, minutes = word.partition(mark)
        if found and hours.isdigit() and minutes.isdigit() and len(minutes) == 2:  # noqa: PLR2004
            hour, minute = int(hours), int(minutes)
            if hour < _HOURS and minute < 60:  # noqa: PLR2004
                return Value("time", hour * 60 + minute, either=0 < hour < _TWELVE and not hours.startswith("0"))
    return None


def _time(words: list[str], start: int, lexicon: Lexicon, *, marked: bool) -> tuple[Value | None, int]:
    if start >= len(words):
        return None, 0
    first = words[start]
    _, oclock = longest(lexicon.oclock, words, start + 1)
    if first[0].isdigit() and (":" in first or "h" in first or ("." in first and (marked or oclock))):
        clock = _clock(first)
        if clock is not None:
            return clock, 1 + oclock
    shift, length = longest(lexicon.before, words, start)
    if length:
        hour, more = number_at(words, start + length, lexicon)
        if more and _is_hour(hour):
            _, oclock = longest(lexicon.oclock, words, start + length + more)
            return _at(hour, cast("int", shift)), length + more + oclock
    hour, length = number_at(words, start, lexicon)
    if not length or not _is_hour(hour):
        return None, 0
    return _after_hour(words, start, length, hour, lexicon, marked=marked)


def _after_hour(
    words: list[str], start: int, length: int, hour: float, lexicon: Lexicon, *, marked: bool
) -> tuple[Value | None, int]:
    """A time that begins with its hour: what follows says whether it is one."""
    _, oclock = longest(lexicon.oclock, words, start + length)
    end = start + length + oclock
    shift, after = longest(lexicon.after, words, end)
    if after:
        return _at(hour, cast("int", shift)), end + after - start
    sense, _ = longest(lexicon.senses, words, end)
    if not oclock and longest(lexicon.units, words, end)[1]:
        return None, 0
    minute, more = number_at(words, end, lexicon)
    spoken = oclock or lexicon.minutes_follow
    if more and spoken and minute in _MINUTES_SAID and not _unit_after(words, end + more, lexicon):
        return _at(hour, int(minute)), end + more - start
    if oclock or marked or sense in {"am", "pm"}:
        return _at(hour, 0), end - start
    return None, 0


def _unit_after(words: list[str], start: int, lexicon: Lexicon) -> bool:
    return longest(lexicon.units, words, start)[1] > 0


def _is_hour(number: float) -> bool:
    return 0 <= number <= _HOURS and number == int(number)


def _at(hour: float, shift: int) -> Value:
    return Value("time", (int(hour) * 60 + shift) % _MINUTES, either=0 < hour <= _TWELVE)


def _counted(words: list[str], start: int, lexicon: Lexicon) -> tuple[Value | None, int]:
    sign, shift = longest(lexicon.units, words, start) if words[start] in "$€£₹" else (None, 0)
    number, length = number_at(words, start + shift, lexicon)
    if not length:
        return None, 0
    end = start + shift + length
    if sign is not None:
        return Value("number", number, unit="money"), end - start
    _, ordinal = longest(lexicon.ordinals, words, end)
    month, more = longest(lexicon.months, words, end + ordinal)
    if more and number <= 31:  # noqa: PLR2004
        return Value("date", number, cast("int", month) + 1), end + ordinal + more - start
    if ordinal and words[start].isdigit() and words[end] in {"th", "st", "nd", "rd", "ten", "te"}:
        return Value("date", number), end + ordinal - start
    unit, more = longest(lexicon.units, words, end)
    if not more and words[start] in lexicon.articles:
        return None, 0
    return Value("number", number, unit=cast("str", unit or "")), end + more - start
