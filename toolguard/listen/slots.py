"""What the arguments of a running call say, so that words can be compared with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from toolguard.listen.fold import tokens
from toolguard.listen.values import Value, value_at
from toolguard.listen.words import longest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from toolguard.core.call import ToolCall
    from toolguard.listen.words import Lexicon

Relation: TypeAlias = Literal["same", "other", "maybe"]
"""How a value relates to a call: it says the same, something else, or something else perhaps."""

_UNITS = {
    "people": "people persons person guests guest party size seats covers pax adults attendees headcount personen",
    "nights": "nights night",
    "days": "days",
    "hours": "hours",
    "minutes": "minutes",
    "money": "amount price total sum cost fee euros dollars eur usd deposit tip",
    "cents": "cents",
    "count": "quantity qty count tickets number rooms",
    "time": "hour time",
}
_NAMES = {name: unit for unit, names in _UNITS.items() for name in names.split()}
_OPAQUE = frozenset({"id", "phone", "code", "zip", "version", "key", "card", "account", "year"})
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2}))?")
_WORDS_IN_NAMES = re.compile(r"[A-Z]?[a-z]+|\d+")
_LONG = 80
_CENTS = 100
_STEM = 4
_DEEP = 5


class Slots:
    """The comparable content of one call: times, dates, numbers, and the words of its arguments and its tool."""

    __slots__ = ("dates", "days", "numbers", "ref", "times", "tool", "weekdays", "words")

    def __init__(self, call: ToolCall, lexicons: tuple[Lexicon, ...]) -> None:
        self.ref = call.ref
        self.tool = frozenset(part.lower() for part in _WORDS_IN_NAMES.findall(call.tool))
        self.times: list[tuple[float, bool]] = []
        self.weekdays: set[float] = set()
        self.dates: list[tuple[int, float]] = []
        self.days: set[float] = set()
        self.numbers: list[tuple[str, float]] = []
        self.words: set[str] = set()
        for name, leaf in _leaves(call.arguments, "", 0):
            if isinstance(leaf, str):
                self._text(leaf, name, lexicons)
            elif not isinstance(leaf, bool) and isinstance(leaf, int | float):
                self._number(leaf, name)

    def _number(self, number: float, name: str) -> None:
        parts = [part.lower() for part in _WORDS_IN_NAMES.findall(name)]
        if not _OPAQUE.intersection(parts):
            unit = next((_NAMES[part] for part in parts if part in _NAMES), "")
            if unit == "time":
                self.times.append((number * 60, False))
            else:
                self.numbers.append(("money", number / _CENTS) if "cents" in parts else (unit, number))

    def _text(self, text: str, name: str, lexicons: tuple[Lexicon, ...]) -> None:
        stamp = _DATE.match(text)
        if stamp:
            year, month, day = (int(part) for part in stamp.groups()[:3])
            self.dates.append((month, day))
            try:
                self.weekdays.add(date(year, month, day).weekday())
            except ValueError:
                return
            if stamp[4]:
                self.times.append((int(stamp[4]) * 60 + int(stamp[5]), False))
            return
        words = tokens(text[:_LONG])
        self.words.update(words)
        if len(text) > _LONG or (len(words) == 1 and words[0].isdigit()):
            if words and len(words[0]) <= 3 and len(text) <= _LONG:  # noqa: PLR2004 - "6", not an account number
                self._number(float(words[0]), name)
            return
        for lexicon in lexicons:
            if self._values(words, name, lexicon):
                return

    def _values(self, words: list[str], name: str, lexicon: Lexicon) -> bool:
        at, found = 0, False
        while at < len(words):
            value, length = value_at(words, at, lexicon)
            if value is None:
                at += 1
                continue
            found, at = True, at + length
            if value.kind == "time":
                value = in_half(value, _half(words, lexicon))
                self.times.append((value.number, value.either))
            elif value.kind == "weekday":
                self.weekdays.add(value.number)
            elif value.kind == "date":
                self.dates.append((value.month, value.number))
            elif value.kind == "day":
                self.days.add(value.number)
            elif value.unit:
                self.numbers.append((value.unit, value.number))
            else:
                self._number(value.number, name)
        return found

    def relation(self, value: Value) -> Relation | None:
        """How a value that was said relates to the call; None if the call has nothing like it."""
        if value.kind == "time":
            return _any(_same_time(value, time, either=either) for time, either in self.times)
        if value.kind == "weekday":
            if self.weekdays or not (self.dates or self.days):
                return _any(value.number == day for day in self.weekdays)
            return "other"
        if value.kind == "date":
            fits = [value.number == day and value.month in {0, month} for month, day in self.dates]
            return _any(fits) or ("maybe" if self.days or self.weekdays else None)
        if value.kind == "day":
            return _any(value.number == day for day in self.days) or ("maybe" if self.dates or self.weekdays else None)
        return self._counted(value)

    def _counted(self, value: Value) -> Relation | None:
        if value.unit:
            own = [number for unit, number in self.numbers if unit == value.unit]
            own = own or [number for unit, number in self.numbers if not unit]
            return _any(value.number == number for number in own)
        hour = Value("time", value.number * 60 % 1440, either=0 < value.number <= 12)  # noqa: PLR2004
        fits = [value.number == number for _, number in self.numbers]
        fits += [_same_time(hour, time, either=either) for time, either in self.times]
        fits += [value.number == day for _, day in self.dates]
        return _any(fits)

    def mentions(self, words: set[str]) -> bool:
        """Whether words of the call's arguments are among those said."""
        return any(len(word) >= 3 and word in words for word in self.words)  # noqa: PLR2004

    def named_by(self, words: set[str]) -> bool:
        """Whether the tool is named: ``booking`` names ``book_table``."""
        return any(
            word == part
            or (len(part) >= _STEM and word.startswith(part))
            or (len(word) > _STEM and part.startswith(word))
            for word in words
            for part in self.tool
            if len(part) >= _STEM
        )


def in_half(value: Value, half: str) -> Value:
    """Put a time that may be either before or after noon into the half of the day that was said."""
    if not half or not (value.either or 720 <= value.number < 780):  # noqa: PLR2004 - twelve o'clock is both
        return value
    hour = value.number % 720
    return Value("time", hour if half == "am" else hour + 720)


def _half(words: list[str], lexicon: Lexicon) -> str:
    for at in range(len(words)):
        sense, _ = longest(lexicon.senses, words, at)
        if sense in {"am", "pm"}:
            return str(sense)
    return ""


def _same_time(said: Value, time: float, *, either: bool) -> bool:
    return (said.number - time) % (720 if said.either or either else 1440) == 0


def _any(fits: Iterable[bool]) -> Relation | None:
    found = list(fits)
    return ("same" if any(found) else "other") if found else None


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEP:
        return
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, Any]", value).items():
            yield from _leaves(inner, str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for inner in cast("list[Any]", value)[:20]:
            yield from _leaves(inner, name, depth + 1)
    else:
        yield name, value
