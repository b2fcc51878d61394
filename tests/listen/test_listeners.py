"""One's own listener before the rules, the number words, and the walls."""

import ast
import inspect
from collections import Counter
from pathlib import Path

import pytest
from heard_makers import heard

from toolguard.errors import DeclarationError
from toolguard.listen import Heard, Verdict, by_rules, first_of, numbers
from toolguard.listen.fold import fold, tokens
from toolguard.listen.rules import LANGUAGES
from toolguard.listen.words import Language

MINE = Verdict("stop", confidence=1.0, rule="mine")


def mine(asked: Heard) -> Verdict | None:
    return MINE if "pineapple" in asked.text else None


async def slowly(asked: Heard) -> Verdict | None:
    return mine(asked)


def test_the_first_opinion_counts_and_comes_at_once() -> None:
    listener = first_of(mine, by_rules())
    assert listener(heard("pineapple")) is MINE
    said = listener(heard("okay"))
    assert isinstance(said, Verdict)
    assert said.kind == "backchannel"
    assert first_of(mine)(heard("okay")) is None


async def test_a_listener_that_waits_makes_the_rest_wait() -> None:
    for listener, text, expected in (
        (first_of(slowly, by_rules()), "pineapple", "stop"),
        (first_of(slowly, by_rules()), "okay", "backchannel"),
        (first_of(slowly, slowly, mine, by_rules()), "okay", "backchannel"),
    ):
        said = listener(heard(text))
        assert inspect.isawaitable(said)
        verdict = await said
        assert verdict is not None
        assert verdict.kind == expected
    assert isinstance(first_of(by_rules(), slowly)(heard("okay")), Verdict)


def test_first_of_needs_a_listener() -> None:
    with pytest.raises(DeclarationError, match="no listener"):
        first_of()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (numbers.english(), {"forty two": 42, "nineteen": 19, "ninety nine": 99}),
        (numbers.german(), {"zweiundvierzig": 42, "siebzehn": 17, "dreissig": 30}),
        (numbers.dutch(), {"tweeenveertig": 42, "dertien": 13, "negenennegentig": 99}),
        (numbers.spanish(), {"veintidos": 22, "cuarenta y dos": 42, "dieciseis": 16}),
        (numbers.portuguese(), {"vinte e dois": 22, "quarenta e duas": 42, "dezenove": 19}),
        (numbers.italian(), {"ventuno": 21, "ventotto": 28, "quarantadue": 42, "novantanove": 99}),
        (numbers.french(), {"vingt et un": 21, "soixante et onze": 71, "quatre vingt onze": 91, "quatre vingts": 80}),
        (numbers.hindi(), {"बयालीस": 42, "bayalis": 42, "पचास": 50, "निन्यानवे": 99, "pachas": 50}),
    ],
)
def test_every_number_below_a_hundred_has_its_words(table: dict[str, int], words: dict[str, int]) -> None:
    assert set(table.values()) == set(range(100))
    assert {word: table.get(word) for word in words} == words


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=lambda language: language.code)
def test_a_phrase_does_one_thing_in_a_language(language: Language) -> None:
    """A phrase under two senses would count as the first, and nobody would notice."""
    said = Counter(
        (tuple(tokens(phrase)), sense)
        for sense, text in language.phrases.items()
        for phrase in dict.fromkeys(" ".join(tokens(one)) for one in text.split(","))
    )
    assert not [phrase for phrase, times in Counter(phrase for phrase, _ in said).items() if times > 1]


def test_what_is_no_speech_has_no_tokens() -> None:
    assert tokens("[noise] (laughs) <unk> *cough* ... !?") == []
    assert tokens("It's 18:30, o’clock — ok") == ["it", "s", "18:30", "o", "clock", "ok"]  # noqa: RUF001
    assert fold("Straße ÉTÉ") == "strasse ete"
    assert tokens("साढ़े ७") == [fold("साढ़े"), "7"]


ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", sorted((ROOT / "toolguard" / "listen").glob("*.py")), ids=lambda path: path.name)
def test_the_listener_imports_only_the_core_and_the_errors(path: Path) -> None:
    """The wall of the house; and no clock, file, loop or log on the path of an interrupt."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        for name in names:
            head = name.split(".")[0]
            assert head not in {"asyncio", "time", "logging", "pathlib", "os", "random", "socket"}, name
            if head == "toolguard":
                assert name.startswith(("toolguard.core", "toolguard.errors", "toolguard.listen")), name
