"""What is a yes and what is a no to a question, and what is neither."""

import pytest

from toolguard.listen.consent import consent


@pytest.mark.parametrize(
    "words", ["yes", "yes please", "Sure, charge the card.", "ja", "sí", "oui", "sì", "sim", "ja graag", "haan", "okay"]
)
def test_a_plain_yes(words):
    assert consent(words, "Shall I charge the card?") is True


@pytest.mark.parametrize("words", ["no", "no thanks", "nein danke", "don't charge it", "stop", "non", "não", "nee"])
def test_a_plain_no(words):
    assert consent(words, "Shall I charge the card?") is False


@pytest.mark.parametrize(
    "words",
    ["", "mhm", "thanks", "I see", "yes but not today", "yes, wait", "yes and no", "yes my daughter called earlier",
     "what?", "yes, how much is it?", "no, what is it?", "yes, make it Tuesday"],
)  # fmt: skip
def test_everything_else_is_neither(words):
    assert consent(words, "Shall I charge the card?") is None
