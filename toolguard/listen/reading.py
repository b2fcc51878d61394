"""One reading of what was heard: in which language, which phrases, which values, and what is left over."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from toolguard.listen.slots import in_half
from toolguard.listen.values import Value, value_at
from toolguard.listen.words import Sense, longest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.listen.words import Lexicon

_DICTATED = 4


class Reading(msgspec.Struct, frozen=True):
    """What the words are made of.

    Attributes:
        code: The language in which they were read.
        senses: What the phrases do, in order.
        values: Times, days, dates and numbers.
        rest: Words that the language's table does not know.
        words: All words, for comparing them with the calls.
        dictated: Whether a number was dictated digit by digit.
    """

    code: str
    senses: tuple[Sense, ...]
    values: tuple[Value, ...]
    rest: tuple[str, ...]
    words: frozenset[str]
    dictated: bool = False


def best(words: list[str], lexicons: Sequence[Lexicon], hint: str | None) -> Reading:
    """Read words in the language that knows most of them; the platform's guess counts for one and a half words more.

    Where several know as many, the one that leaves fewest words over, and then the one with the longest phrases,
    reads them: "très bien" is one French phrase and no Spanish three.
    """
    code = (hint or "")[:2].lower()
    known = [sum(word in one.vocabulary for word in words) + 1.5 * (one.code == code) for one in lexicons]
    most = max(known)
    readings = [read(words, one) for one, count in zip(lexicons, known, strict=True) if count == most]
    return min(readings, key=lambda one: (len(one.rest), len(one.senses) + len(one.values)))


def read(words: list[str], lexicon: Lexicon) -> Reading:
    """Read words in one language: at every place the longest phrase or value counts, a phrase before a value."""
    senses: list[Sense] = []
    values: list[Value] = []
    rest: list[str] = []
    digits = dictated = at = 0
    while at < len(words):
        sense, length = longest(lexicon.senses, words, at)
        value, more = value_at(words, at, lexicon)
        bare = value is not None and value.kind == "number" and not value.unit
        if value is not None and (more > length or (more == length and sense in {"it", "filler"})):
            values.append(value)
            digits = digits + 1 if bare else 0
            dictated = max(dictated, digits)
            at += more
            continue
        if length:
            senses.append(cast("Sense", sense))
            at += length
        else:
            rest.append(words[at])
            at += 1
        digits = 0
    half = next((sense for sense in senses if sense in {"am", "pm"}), "")
    return Reading(
        lexicon.code,
        tuple(senses),
        () if dictated >= _DICTATED else tuple(in_half(value, half) for value in values),
        tuple(rest),
        frozenset(words),
        dictated >= _DICTATED,
    )
