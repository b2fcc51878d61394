"""Fast rules that say what the caller meant, from word tables and from the running calls' own arguments."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from toolguard.errors import DeclarationError
from toolguard.listen.fold import tokens
from toolguard.listen.heard import Verdict
from toolguard.listen.reading import best
from toolguard.listen.slots import Slots
from toolguard.listen.words import lexicon
from toolguard.listen.words_de import GERMAN
from toolguard.listen.words_en import ENGLISH
from toolguard.listen.words_es import SPANISH
from toolguard.listen.words_fr import FRENCH
from toolguard.listen.words_hi import HINDI
from toolguard.listen.words_it import ITALIAN
from toolguard.listen.words_nl import DUTCH
from toolguard.listen.words_pt import PORTUGUESE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from toolguard.core.interrupt import Kind
    from toolguard.listen.heard import Heard
    from toolguard.listen.reading import Reading
    from toolguard.listen.words import Lexicon

LANGUAGES = {one.code: one for one in (ENGLISH, GERMAN, SPANISH, FRENCH, ITALIAN, PORTUGUESE, DUTCH, HINDI)}
"""Every language that the rules know, by its code."""

_NOTHING = frozenset({"filler", "it"})
_LISTENING = frozenset({"yes", "filler", "it"})
_ENDING = frozenset({"stop", "cancel", "hold", "no", "filler", "yes"})
_FEW = 3
_LAST_WORDS = 200
"""How much of a long speech is read, from its end: what was said last stands, and the time stays bounded."""


def by_rules(languages: Iterable[str] = tuple(LANGUAGES)) -> Callable[[Heard], Verdict | None]:
    """Make the listener of rules; it answers at once, in some tens of microseconds.

    It compares what is said with the arguments of the calls in flight: "seven people" contradicts
    ``book(people=6)`` and so concerns that call. What no rule covers is ``unknown`` with a low confidence, which
    counts as a correction for an uncommitted write (G4). A partial transcript gets a verdict only if it is nothing
    but a stop, a cancellation or a request to wait; otherwise the answer is None.

    Args:
        languages: Codes of the languages to expect, the most likely first.

    Raises:
        DeclarationError: A language is not known.
    """
    chosen = tuple(_known(code) for code in languages)
    if not chosen:
        raise DeclarationError("by_rules() was given no language.", advice=f"Choose from {', '.join(LANGUAGES)}.")

    def listener(heard: Heard) -> Verdict | None:
        words = tokens(heard.text)[-_LAST_WORDS:]
        if not words:
            return Verdict("noise", rule="no words") if heard.final else None
        reading = best(words, chosen, heard.language)
        if not heard.final and not _clear_ending(reading):
            return None
        other = tuple(one for one in chosen if one.code in {reading.code, "en"})
        sentence = _Sentence(reading, [Slots(call, other) for call in heard.in_flight])
        for rule in _RULES:
            verdict = rule(sentence)
            if verdict is not None:
                return msgspec.structs.replace(verdict, rule=f"{reading.code}: {verdict.rule}")
        return Verdict("unknown", confidence=0.2, rule=f"{reading.code}: no rule")

    return listener


@cache
def _known(code: str) -> Lexicon:
    language = LANGUAGES.get(code)
    if language is None:
        raise DeclarationError(
            f"by_rules() does not know the language {code!r}.", advice=f"Use {', '.join(LANGUAGES)}."
        )
    return lexicon(language)


def _clear_ending(reading: Reading) -> bool:
    """Whether a partial transcript already says all that a stop, a cancellation or a wait needs (G4)."""
    senses = frozenset(reading.senses)
    return not reading.rest and not reading.values and senses <= _ENDING and bool(senses & {"stop", "cancel", "hold"})


class _Sentence:
    """A reading beside the calls: which of them it contradicts, repeats or names."""

    __slots__ = ("has", "maybe", "named", "only", "other", "quoted", "reading", "same")

    def __init__(self, reading: Reading, calls: list[Slots]) -> None:
        self.reading = reading
        self.has = frozenset(reading.senses)
        words = set(reading.words)
        related = [(slots.ref, slots.relation(value)) for slots in calls for value in reading.values]
        self.same, self.other, self.maybe = (
            frozenset(ref for ref, relation in related if relation == wanted) for wanted in ("same", "other", "maybe")
        )
        self.named = frozenset(slots.ref for slots in calls if slots.named_by(words))
        self.quoted = frozenset(slots.ref for slots in calls if slots.mentions(words.intersection(reading.rest)))
        self.only = frozenset(slots.ref for slots in calls) if len(calls) == 1 else frozenset[str]()

    @property
    def concerns(self) -> frozenset[str]:
        """The calls that the words are about: contradicted, quoted or named ones, else the only one."""
        return self.other or self.maybe or self.quoted or self.named or self.only

    @property
    def aside(self) -> bool:
        """Whether the words add something or turn to something else."""
        return bool(self.has & {"also", "topic"})

    @property
    def asks(self) -> bool:
        """Whether the first words that mean something begin a question."""
        first = next((sense for sense in self.reading.senses if sense not in {"filler", "yes", "hold", "it"}), None)
        return first == "ask"


def _nothing_said(said: _Sentence) -> Verdict | None:
    if said.has <= {"filler"} and not said.reading.rest and not said.reading.values and not said.reading.dictated:
        return Verdict("noise", confidence=0.7, rule="only a sound")
    if "keep" in said.has and "change" not in said.has:
        return Verdict("answer", confidence=0.8, rule="asked to go on")
    return None


def _contradicts(said: _Sentence) -> Verdict | None:
    """A value that differs from an argument of a call (or may), alone or with a word that changes something."""
    differs = said.other or said.maybe
    if "cancel" in said.has and "change" not in said.has:
        return None
    if "change" in said.has and (differs or "cancel" not in said.has) and not (said.asks and not differs):
        if said.aside and not differs:
            return None
        return _about("correction", said.concerns, 0.9 if differs else 0.75, "asked for a change")
    if not differs or said.aside or said.asks:
        return None
    if said.has & {"no", "not", "offer", "hold", "but"}:
        return _about("correction", differs, 0.85, "denied, with another value")
    return _about("correction", said.other, 0.65, "said another value") if said.other else None


def _aside(said: _Sentence) -> Verdict | None:
    if said.has & {"cancel", "stop"}:
        return None
    if "also" in said.has:
        return Verdict("addition", confidence=0.85, rule="asked for more")
    return Verdict("other_topic", confidence=0.85, rule="turned to something else") if "topic" in said.has else None


def _ends(said: _Sentence) -> Verdict | None:
    """A stop or a cancellation; one that is about a thing which no call names is not understood."""
    if "decline" in said.has and not said.has & {"cancel", "stop"}:
        return Verdict("answer", confidence=0.8, rule="declined")
    if "stop" in said.has and "cancel" not in said.has:
        return _about("stop", said.concerns, 0.7 if said.reading.rest else 0.95, "said stop")
    if "cancel" in said.has:
        if (said.reading.rest or said.other) and not (said.named or said.quoted or said.same):
            return Verdict("unknown", confidence=0.4, rule="cancelled something that no call names")
        return _about("cancellation", said.same or said.concerns, 0.95, "cancelled")
    if "not" in said.has and said.named and not said.reading.values:
        return _about("cancellation", said.named, 0.8, "forbade it")
    return None


def _denies(said: _Sentence) -> Verdict | None:
    if said.has & {"no", "not"} and said.quoted:
        return _about("correction", said.quoted, 0.8, "denied what the call says")
    if "not" in said.has and said.same:
        return _about("correction", said.same, 0.75, "denied the call's value")
    if "not" in said.has and said.has <= {"not", *_NOTHING} and not said.reading.rest:
        return _about("cancellation", said.concerns, 0.6, "said not")
    if "no" not in said.has or ("hold" in said.has and not said.reading.rest):
        return None
    if said.same:
        return Verdict("unknown", confidence=0.3, rule="said no and repeated the call's value")
    if said.has & {"yes", "accept"} and not said.reading.rest:
        return Verdict("unknown", confidence=0.4, rule="said yes and no")
    return _about("correction", said.concerns, 0.6, "said no")


def _waits_or_asks(said: _Sentence) -> Verdict | None:
    if "hold" in said.has:
        return Verdict("hold_on", confidence=0.8 if said.reading.rest else 0.95, rule="asked to wait")
    if "repair" in said.has and not said.reading.values:
        return Verdict("other_topic", confidence=0.85, rule="did not hear or was not sure to be heard")
    if said.asks or "offer" in said.has:
        return Verdict("other_topic", confidence=0.75, rule="asked something")
    return None


def _agrees(said: _Sentence) -> Verdict | None:
    """Listening, agreeing, repeating what the call says, or dictating a number."""
    if said.has & {"not", "but"}:
        return None
    few = len(said.reading.rest) <= _FEW
    if said.reading.dictated:
        return Verdict("answer", confidence=0.7, rule="dictated a number")
    if "accept" in said.has and few:
        return Verdict("answer", confidence=0.8, rule="agreed")
    if (said.same or said.quoted) and few:
        return Verdict("answer", confidence=0.7, rule="repeated what the call says")
    if "yes" in said.has and not said.reading.values and few:
        if said.reading.rest:
            return Verdict("answer", confidence=0.55, rule="agreed and said something")
        return Verdict("backchannel", confidence=0.95, rule="listens") if said.has <= _LISTENING else None
    return None


def _about(kind: Kind, concerns: frozenset[str], confidence: float, rule: str) -> Verdict:
    return Verdict(kind, concerns, confidence, rule)


_RULES = (_nothing_said, _contradicts, _aside, _ends, _denies, _waits_or_asks, _agrees)
"""Asked in this order; the first that has an opinion decides."""
