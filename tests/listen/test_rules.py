"""The rules of the listener beside the labelled table: partial words, values, calls, limits."""

import time
from typing import Any

import pytest
from heard_makers import CALLS, call, heard

from toolguard.errors import DeclarationError
from toolguard.listen import Heard, Verdict, by_rules

LISTEN = by_rules()


def listen(text: str, *names: str, **rest: Any) -> Verdict:
    verdict = LISTEN(heard(text, *names, **rest))
    assert verdict is not None
    return verdict


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("stop", "stop"),
        ("no wait stop", "stop"),
        ("cancel that", "cancellation"),
        ("wait", "hold_on"),
        ("pare", "stop"),
    ],
)
def test_g4_a_partial_transcript_may_settle_to_a_stop(text: str, kind: str) -> None:
    """G4: nothing that may still be said can make it less."""
    assert listen(text, "book", final=False).kind == kind


@pytest.mark.parametrize(
    "text",
    ["okay", "yeah", "", "[noise]", "um", "no", "also", "what", "cancel my", "no, Tuesday", "stop by the", "six people",
     "don't cancel", "go ahead", "thanks", "make it", "mm-hm"],
)  # fmt: skip
def test_g4_a_partial_transcript_never_settles_to_anything_else(text: str) -> None:
    """G4: "okay" may go on as "okay, but not Monday"."""
    assert LISTEN(heard(text, "book", final=False)) is None


@pytest.mark.parametrize("text", ["mumble mumble", "the purple one", "xyzzy", "日本語", "да", "12 34"])
def test_g4_what_no_rule_covers_is_not_taken_for_consent(text: str) -> None:
    """G4: an unknown settle counts as a correction for an uncommitted write; it must not pass as a backchannel."""
    verdict = listen(text, "book")
    assert verdict.kind in {"unknown", "correction"}
    assert verdict.kind == "correction" or verdict.confidence < 0.5


@pytest.mark.parametrize(
    "text", ["cancel that", "stop", "no", "make it Tuesday", "seven people", "okay", "also a taxi"]
)
def test_words_concern_only_the_calls_given(text: str) -> None:
    """G4: with no call in flight no call is concerned."""
    assert listen(text).concerns == frozenset()
    assert listen(text, "book", "find", "charge").concerns <= {"book", "find", "charge"}


BOOKED: dict[str, Any] = {"people": 6, "at": "18:00", "day": "2026-03-02"}


@pytest.mark.parametrize(
    ("arguments", "text", "same"),
    [
        ({"hour": 18}, "at six", True),
        ({"hour": 18}, "at six in the morning", False),
        ({"at": "18:00"}, "at six am", False),
        ({"at": "6:30 pm"}, "half past six", True),
        ({"at": "6:30 pm"}, "halb sieben", True),
        ({"at": "6:30 pm"}, "om half zeven", True),
        ({"at": "6:30 pm"}, "a las seis y media de la tarde", True),
        ({"at": "6:30 pm"}, "à six heures et demie", True),
        ({"at": "6:30 pm"}, "alle sei e mezza", True),
        ({"at": "6:30 pm"}, "às seis e meia", True),
        ({"at": "6:30 pm"}, "साढ़े छह बजे", True),
        ({"at": "6:30 pm"}, "six thirty", True),
        ({"at": "6:30 pm"}, "18h30", True),
        ({"at": "17:45"}, "quarter to six", True),
        ({"at": "17:45"}, "Viertel vor sechs", True),
        ({"at": "17:45"}, "six heures moins le quart", True),
        ({"at": "17:45"}, "kwart voor zes", True),
        ({"at": "12:00"}, "at noon", True),
        ({"at": "12:00"}, "minuit", False),
        ({"when": "2026-03-02T18:00"}, "Monday at six pm", True),
        ({"when": "2026-03-02T18:00"}, "Tuesday at six pm", False),
        ({"day": "monday"}, "Montag", True),
        ({"day": "monday"}, "martes", False),
        ({"day": "2026-03-05"}, "March 5th", True),
        ({"day": "2026-03-05"}, "5. März", True),
        ({"day": "2026-03-05"}, "5 de abril", False),
        ({"day": "tomorrow"}, "tomorrow", True),
        ({"day": "tomorrow"}, "today", False),
        ({"party_size": 71}, "soixante et onze personnes", True),
        ({"party_size": 21}, "einundzwanzig Personen", True),
        ({"guests": "6"}, "seven guests", False),
        ({"amount": 50.0}, "fifty euros", True),
        ({"amount_cents": 5000}, "fifty euros", True),
        ({"amount_cents": 5000}, "$60", False),
        ({"amount": 1500}, "1.500 Euro", True),
        ({"amount": 2500}, "two thousand five hundred dollars", True),
        ({"order": {"items": [{"quantity": 2}]}}, "3 tickets", False),
    ],
)
def test_words_are_compared_with_the_arguments_of_the_call(arguments: dict[str, Any], text: str, same: bool) -> None:
    """A value that a call has already is an answer; another value for the same slot corrects that call."""
    verdict = LISTEN(Heard(text=text, in_flight=(call("c", "do", arguments),)))
    assert verdict is not None
    expected = ("answer", frozenset[str]()) if same else ("correction", frozenset({"c"}))
    assert (verdict.kind, verdict.concerns) == expected


@pytest.mark.parametrize("arguments", [{"reservation_id": 4711}, {"phone": "0176 2345"}, {"note": "x" * 200}, {}])
def test_numbers_that_only_identify_are_no_slots(arguments: dict[str, Any]) -> None:
    """ "Seven people" contradicts no reservation number."""
    verdict = LISTEN(Heard(text="seven people", in_flight=(call("c", "do", arguments),)))
    assert verdict is not None
    assert verdict.kind == "unknown"


@pytest.mark.parametrize("day", ["2026-13-45", "2026-02-31", "", "9999999999999", None, True, [[[[1]]]]])
def test_odd_arguments_do_no_harm(day: Any) -> None:
    assert (
        LISTEN(Heard(text="make it Tuesday the 31st at 99:99", in_flight=(call("c", "d", {"day": day}),))) is not None
    )


@pytest.mark.parametrize(
    "text", ["1.2.3,4", "9" * 400, "at 25:99", "$", "12:", "1,,2", "²", "٣", "half", "h", "a" * 5000]
)
def test_odd_words_do_no_harm(text: str) -> None:
    assert LISTEN(heard(text, "book")) is not None


def test_the_platform_s_language_breaks_ties() -> None:
    """German "halt" is a stop; English has no such habit, but knows the word."""
    assert listen("morgen um acht", "book", language="de-DE").rule.startswith("de: ")
    assert listen("no", "book", language="es-MX").rule.startswith("es: ")
    assert listen("no", "book", language="xx").rule.startswith("en: ")


def test_the_languages_can_be_chosen() -> None:
    only = by_rules(["de"])
    assert only(heard("Moment", "book")) == Verdict("hold_on", confidence=0.95, rule="de: asked to wait")
    verdict = only(heard("hang on a minute", "book"))
    assert verdict is not None
    assert verdict.kind == "unknown"
    with pytest.raises(DeclarationError, match="'tlh'"):
        by_rules(["en", "tlh"])
    with pytest.raises(DeclarationError, match="no language"):
        by_rules([])


def test_the_same_words_get_the_same_verdict_however_written() -> None:
    """Case, accents, width and punctuation do not count."""
    for text in ("NÃO, MELHOR NA TERÇA!", "nao melhor na terca", "não; melhor na terça-feira."):
        assert (listen(text, "book").kind, listen(text, "book").concerns) == ("correction", frozenset({"book"}))
    assert listen("ＯＫ", "book").kind == "backchannel"  # noqa: RUF001 - wide letters on purpose


def test_a_classification_is_cheap() -> None:
    """Far below the millisecond of the path; the bound is loose because machines differ."""
    asked = heard("no, make it Tuesday at seven please", *CALLS)
    best = min(_timed(asked) for _ in range(5))
    assert best < 0.001


def _timed(asked: Heard) -> float:
    began = time.perf_counter()
    for _ in range(50):
        LISTEN(asked)
    return (time.perf_counter() - began) / 50
