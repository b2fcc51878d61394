"""Calls and words for the tests of the listener."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolguard.core.call import ToolCall
from toolguard.core.effect import Effect
from toolguard.core.law import Phase
from toolguard.listen import Heard

TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("utterances.json").read_text(encoding="utf-8"))
UTTERANCES: list[dict[str, Any]] = TABLE["utterances"]


def call(
    name: str, tool: str, arguments: Mapping[str, Any], effect: str = "mutation", phase: str = "started"
) -> ToolCall:
    return ToolCall(ref=name, tool=tool, effect=Effect(effect), phase=Phase(phase), arguments=arguments, progress={})


CALLS = {name: call(name, **rest) for name, rest in TABLE["calls"].items()}


def heard(text: str, *names: str, final: bool = True, language: str | None = None) -> Heard:
    return Heard(text=text, final=final, language=language, in_flight=tuple(CALLS[name] for name in names))
