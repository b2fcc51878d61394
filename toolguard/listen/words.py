"""How a language is written down for the rules, and how it is made quick to look up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from toolguard.listen.fold import tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Sense: TypeAlias = Literal[
    "filler",  # sounds and politeness that mean nothing by themselves
    "it",  # words that only point at what is going on: that, the booking, everything
    "yes",  # I am listening
    "accept",  # yes, do it
    "no",
    "decline",  # no thanks, that is all
    "not",  # turns what follows round
    "but",
    "hold",
    "stop",
    "cancel",
    "keep",  # do not stop
    "change",  # make it, instead, I meant
    "offer",  # how about
    "also",
    "topic",  # by the way
    "ask",  # the beginning of a question
    "repair",  # pardon? hello?
    "am",
    "pm",
]
"""What a phrase does in a sentence."""


class Language(msgspec.Struct, frozen=True, kw_only=True):
    """The words of one language, as people write them; phrases are separated by commas.

    Attributes:
        code: ``en``.
        phrases: Phrases by what they do.
        numbers: Words for 0 to 99.
        scales: Words that multiply the number before them (hundred).
        articles: Number words that are also articles; they count only before a unit.
        weekdays: Monday first; spellings separated by ``/``.
        months: January first.
        today: Words for today, tomorrow and the day after.
        units: Nouns that are counted, by what they count.
        at: Words before a time.
        oclock: Words after the hour.
        before: Phrases before an hour, by the minutes that they add.
        after: Phrases after an hour, by the minutes that they add.
        noon: Words for 12:00.
        midnight: Words for 0:00.
        minutes_follow: Whether "six thirty" is a time without a word between.
        ordinals: What follows the digits of an ordinal ("5th"), and words between day and month.
    """

    code: str
    phrases: Mapping[Sense, str]
    numbers: Mapping[str, int]
    scales: Mapping[str, int] = {}
    articles: str = ""
    weekdays: str
    months: str
    today: str
    units: Mapping[str, str]
    at: str
    oclock: str
    before: Mapping[str, int] = {}
    after: Mapping[str, int] = {}
    noon: str = ""
    midnight: str = ""
    minutes_follow: bool = False
    ordinals: str = ""


Phrases: TypeAlias = "dict[str, list[tuple[tuple[str, ...], object]]]"
"""Phrases by their first token, the longest first, each with what it stands for."""


class Lexicon(msgspec.Struct, frozen=True):
    """A language made quick to look up: phrase tables by first token, and every word that it knows."""

    code: str
    senses: Phrases
    numbers: Phrases
    scales: Phrases
    weekdays: Phrases
    months: Phrases
    days: Phrases
    units: Phrases
    at: Phrases
    oclock: Phrases
    before: Phrases
    after: Phrases
    fixed: Phrases
    ordinals: Phrases
    articles: frozenset[str]
    minutes_follow: bool
    vocabulary: frozenset[str]


def longest(table: Phrases, words: list[str], start: int) -> tuple[object, int]:
    """The meaning of the longest phrase of a table that begins at ``start``, and its length; (None, 0) if none does."""
    if start < len(words):
        for phrase, meaning in table.get(words[start], ()):
            if len(phrase) == 1 or tuple(words[start : start + len(phrase)]) == phrase:
                return meaning, len(phrase)
    return None, 0


def lexicon(language: Language) -> Lexicon:
    """Make a language quick to look up."""
    senses = _table((phrase, sense) for sense, text in language.phrases.items() for phrase in text.split(","))
    numbers, scales = _table(language.numbers.items()), _table(language.scales.items())
    weekdays, months = _numbered(language.weekdays), _numbered(language.months)
    days = _table((word, at) for at, group in enumerate(language.today.split(",")) for word in group.split("/"))
    units = _table((word, unit) for unit, text in language.units.items() for word in text.split(","))
    fixed = _table(
        (word, minutes) for text, minutes in ((language.noon, 720), (language.midnight, 0)) for word in text.split(",")
    )
    rest = [_table((word, 0) for word in text.split(",")) for text in (language.at, language.oclock, language.ordinals)]
    before, after = _table(language.before.items()), _table(language.after.items())
    tables = (senses, numbers, scales, weekdays, months, days, units, fixed, before, after, *rest)
    return Lexicon(
        code=language.code,
        senses=senses,
        numbers=numbers,
        scales=scales,
        weekdays=weekdays,
        months=months,
        days=days,
        units=units,
        at=rest[0],
        oclock=rest[1],
        before=before,
        after=after,
        fixed=fixed,
        ordinals=rest[2],
        articles=frozenset(tokens(language.articles)),
        minutes_follow=language.minutes_follow,
        vocabulary=frozenset(
            word for table in tables for first in table for phrase, _ in table[first] for word in phrase
        ),
    )


def _numbered(text: str) -> Phrases:
    return _table((word, at) for at, group in enumerate(text.split()) for word in group.split("/"))


def _table(pairs: Iterable[tuple[str, object]]) -> Phrases:
    made: Phrases = {}
    for phrase, meaning in pairs:
        words = tuple(tokens(phrase))
        if words:
            made.setdefault(words[0], []).append((words, meaning))
    for phrases in made.values():
        phrases.sort(key=lambda pair: -len(pair[0]))
    return made
