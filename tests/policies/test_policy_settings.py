"""A policy written as settings."""

from pathlib import Path
from typing import Any

import pytest
from policy_makers import ALL_CALLS, ALL_INTERRUPTS, ONSET, ask, call, settled

from toolguard.core.effect import Effect
from toolguard.core.law import Phase
from toolguard.errors import DeclarationError
from toolguard.policies import as_livekit, by_effect, settings

READ, NOTE, WRITE, CHARGE = (
    call(Effect.READ),
    call(Effect.IDEMPOTENT_WRITE),
    call(Effect.MUTATION),
    call(Effect.MUTATION, tool="charge"),
)
TOML = """
otherwise = "as_livekit"

[effects.write]
onset = "hold"

[effects.mutation]
onset = "stop"

[tools.charge]
onset = { run = "hold", at_most = 8.0, reason = "money waits" }
correction = "stop"
"""


def test_a_tool_goes_before_its_effect_and_an_effect_before_write(tmp_path: Path) -> None:
    path = tmp_path / "policies.toml"
    path.write_text(TOML)
    policy = settings(path)
    path.unlink()  # read once, when the policy is made
    assert policy.__name__ == "settings(policies.toml)"
    assert (ask(policy, CHARGE, ONSET).at_most, ask(policy, CHARGE, ONSET).reason) == (8.0, "money waits")
    assert ask(policy, WRITE, ONSET).run == "stop"
    assert ask(policy, WRITE, ONSET).reason == "set in policies.toml: effects.mutation.onset"
    assert ask(policy, NOTE, ONSET).run == "hold"
    assert policy(READ, ONSET) == as_livekit()(READ, ONSET)
    assert ask(policy, WRITE, settled("correction")).run == "go_on"


def test_without_settings_the_default_decides() -> None:
    for one in ALL_CALLS:
        for interrupt in ALL_INTERRUPTS:
            assert settings({})(one, interrupt) == by_effect()(one, interrupt)
    assert settings({"otherwise": "no_opinion"})(WRITE, ONSET) is None


def test_l1_a_set_stop_is_for_calls_before_their_commit() -> None:
    """L1: past the commit the default tells the truth and offers the undo."""
    policy = settings({"effects": {"mutation": {"cancellation": "stop"}}})
    past = call(Effect.MUTATION, Phase.DONE)
    assert ask(policy, past, settled("stop", concerns=frozenset({past.ref}))).offer_undo


@pytest.mark.parametrize(
    ("given", "named", "allowed"),
    [
        ({"tools": {"charge": {"onst": "hold"}}}, "tools.charge.onst", "'onset'"),
        ({"tools": {"charge": {"onset": "wait"}}}, "tools.charge.onset.run", "'go_on', 'hold' or 'stop'"),
        ({"tools": {"charge": {"onset": 3}}}, "tools.charge.onset", "go_on, hold, stop"),
        ({"tools": {"charge": {"onset": {"run": "hold", "reson": ""}}}}, "tools.charge.onset.reson", "reason"),
        ({"tools": {"charge": {"onset": {"run": "hold", "at_most": 0}}}}, "tools.charge.onset.at_most", "than 0"),
        ({"tools": {"charge": {"onset": {"run": "go_on", "announce": "now"}}}}, "onset.announce", "'when_idle'"),
        ({"effects": {"mutations": {"onset": "hold"}}}, "effects.mutations", "'mutation'"),
        ({"otherwise": "default"}, "otherwise", "'by_effect'"),
        ({"tool": {}}, "tool", "tools, effects, otherwise"),
        ({"tools": 3}, "tools", "table"),
    ],
)
def test_an_error_names_the_key_and_the_words_that_are_allowed(given: dict[str, Any], named: str, allowed: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        settings(given)
    assert named in str(caught.value)
    assert allowed in str(caught.value)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("onset: hold")
    with pytest.raises(DeclarationError, match=r"mine[.]toml is no TOML"):
        settings(path)
    with pytest.raises(FileNotFoundError):
        settings(tmp_path / "none.toml")
