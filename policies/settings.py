"""A policy written as settings: a mapping or a TOML file, checked word by word."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from toolguard.core.decision import Announce, Decision, RunChoice
from toolguard.core.effect import Effect
from toolguard.core.policy import named
from toolguard.errors import DeclarationError
from toolguard.policies.columns import Column, column
from toolguard.policies.effects import by_effect
from toolguard.policies.frameworks import as_inworld, as_livekit, as_pipecat

if TYPE_CHECKING:
    import os

    from toolguard.core.call import ToolCall
    from toolguard.core.interrupt import Interrupt
    from toolguard.core.policy import Policy

_Otherwise = Literal["by_effect", "as_pipecat", "as_livekit", "as_inworld", "no_opinion"]
_EffectName = Literal["read", "idempotent_write", "mutation", "write"]


class _Setting(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    run: RunChoice
    reason: str = ""
    announce: Announce | None = None
    offer_undo: bool = False
    at_most: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _a_word_is_a_run(cls, given: Any) -> Any:
        return {"run": given} if isinstance(given, str) else given

    def decision(self, where: str) -> Decision:
        return Decision(self.run, self.reason or f"set in {where}", self.announce, self.offer_undo, self.at_most)


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    tools: dict[str, dict[Column, _Setting]] = {}
    effects: dict[_EffectName, dict[Column, _Setting]] = {}
    otherwise: _Otherwise = "by_effect"


def settings(source: Mapping[str, Any] | str | os.PathLike[str]) -> Policy:
    """Make a policy from settings.

    A tool's setting goes before one of its effect, ``mutation`` and ``idempotent_write`` before ``write``; what no
    setting decides goes to ``otherwise`` (``by_effect`` if not given). A setting of ``hold`` or ``stop`` is for calls
    before their commit; past it ``otherwise`` is asked. The file is read once, here. For example::

        otherwise = "as_livekit"

        [effects.mutation]
        onset = "hold"
        correction = "stop"

        [tools.charge]
        onset = { run = "hold", at_most = 8.0, reason = "money waits" }

    Args:
        source: A mapping, or the path of a TOML file.

    Raises:
        DeclarationError: A key or a word is not known (the message names it and the words that are allowed), or the
            file is no TOML.
        OSError: The file cannot be read.
    """
    shown, given = ("settings", source) if isinstance(source, Mapping) else _read(Path(source))
    try:
        checked = _Settings.model_validate(given)
    except ValidationError as error:
        raise DeclarationError(
            f"{shown} cannot be used: {'; '.join(_explain(one) for one in error.errors())}.",
            advice="Correct what is named.",
        ) from None
    cells = {
        (kind, name, where): setting.decision(f"{shown}: {kind}.{name}.{where}")
        for kind, group in (("tools", checked.tools), ("effects", checked.effects))
        for name, columns in group.items()
        for where, setting in columns.items()
    }
    rest = _OTHERWISE[checked.otherwise]

    def policy(call: ToolCall, interrupt: Interrupt) -> Decision | None:
        where = column(interrupt, call)
        for kind, name in _keys(call):
            made = cells.get((kind, name, where))
            if made is not None and (made.run == "go_on" or not call.committed):
                return made
        return None if rest is None else rest(call, interrupt)

    return named(policy, "settings" if isinstance(source, Mapping) else f"settings({shown})")


_OTHERWISE: dict[_Otherwise, Policy | None] = {
    "by_effect": by_effect(),
    "as_pipecat": as_pipecat(),
    "as_livekit": as_livekit(),
    "as_inworld": as_inworld(),
    "no_opinion": None,
}


def _keys(call: ToolCall) -> tuple[tuple[str, str], ...]:
    own = ("tools", call.tool), ("effects", call.effect.value)
    return own if call.effect is Effect.READ else (*own, ("effects", "write"))


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        return path.name, tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{path.name} is no TOML: {error}.", advice="Correct the file.") from None


def _explain(error: Any) -> str:
    keys = [str(key) for key in error["loc"] if key != "[key]"]
    message = str(error["msg"]).replace("valid dictionary", "table")
    if error["type"] == "extra_forbidden":
        allowed = _Settings.model_fields if len(keys) == 1 else _Setting.model_fields
        message = f"no such key; use one of {', '.join(allowed)}"
    elif error["type"] == "model_type":
        message = f"use one of {', '.join(get_args(RunChoice))}, or a table with the key run"
    return f"{'.'.join(keys) or 'it'}: {message[0].lower()}{message[1:]} (given: {error['input']!r})"
