"""Whether words say yes or no to what was just asked: stricter than listening, for an effect hangs on it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from toolguard.listen.fold import tokens
from toolguard.listen.reading import best
from toolguard.listen.rules import LANGUAGES
from toolguard.listen.words import lexicon

if TYPE_CHECKING:
    from toolguard.listen.words import Lexicon

_YES = {
    "en": "yes yeah yep yup sure ok okay alright",
    "de": "ja jo jawohl klar ok okay genau richtig",
    "es": "sí si claro vale ok okay",
    "fr": "oui ouais ok okay",
    "it": "sì si certo ok okay",
    "pt": "sim claro ok okay",
    "nl": "ja jawel ok oké okay natuurlijk",
    "hi": "haan han ji ok okay bilkul हाँ हां जी ओके बिल्कुल",
}
"""Words that agree; "I see", "thanks" and "mhm" only show that somebody listens."""
_NO = frozenset({"no", "decline", "stop", "cancel"})
_OPEN = frozenset({"not", "but", "hold", "change", "offer", "also", "topic", "ask", "repair"})
"""What turns a yes round, puts it off, or goes on to something else."""


@cache
def _languages() -> tuple[Lexicon, ...]:
    return tuple(lexicon(one) for one in LANGUAGES.values())


def consent(text: str, question: str) -> bool | None:
    """Read an answer.

    Args:
        text: What the caller said, complete.
        question: What they were asked; words of it may stand in a yes ("yes, charge the card").

    Returns:
        True for a plain yes, False for a plain no, None for everything else.
    """
    words = tokens(text)
    if not words:
        return None
    reading = best(words, _languages(), None)
    has = frozenset(reading.senses)
    agrees = "accept" in has or bool(reading.words & frozenset(tokens(_YES[reading.code])))
    if "ask" in has or "repair" in has:
        return None
    if has & _NO or ("not" in has and not agrees):
        return None if agrees else False
    if not agrees or has & _OPEN:
        return None
    return True if set(reading.rest) <= set(tokens(question)) else None
