"""The labelled table: what people say while calls are in flight, in eight languages."""

from collections import Counter
from typing import Any

import pytest
from heard_makers import UTTERANCES, heard

from toolguard.listen import by_rules

LISTEN = by_rules()


@pytest.mark.parametrize("line", UTTERANCES, ids=lambda line: f"{line['language']}: {line['text']}")
@pytest.mark.parametrize("hint", [False, True], ids=["guessed", "hinted"])
def test_g4_what_is_said_gets_its_kind_and_its_calls(line: dict[str, Any], hint: bool) -> None:
    """G4: kind and concerned calls, with and without the platform's guess of the language."""
    verdict = LISTEN(heard(line["text"], *line["calls"], language=line["language"] if hint else None))
    assert verdict is not None
    assert (verdict.kind, sorted(verdict.concerns)) == (line["kind"], sorted(line["concerns"])), verdict.rule
    assert (verdict.confidence >= 0.5) == (line["kind"] != "unknown")
    assert verdict.rule


def test_the_table_is_large_and_every_language_is_right(
    record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accuracy per language, for people to read (``pytest -s``)."""
    right, asked = Counter[str](), Counter[str]()
    for line in UTTERANCES:
        verdict = LISTEN(heard(line["text"], *line["calls"]))
        asked[line["language"]] += 1
        right[line["language"]] += verdict is not None and verdict.kind == line["kind"]
    shares = {language: right[language] / count for language, count in asked.items()}
    for language, share in shares.items():
        record_property(f"accuracy_{language}", share)
    with capsys.disabled():
        if min(shares.values()) < 1:
            print(shares)
    assert asked.total() >= 150
    assert set(asked) == {"en", "de", "es", "fr", "it", "pt", "nl", "hi"}
    assert shares == dict.fromkeys(asked, 1.0)
