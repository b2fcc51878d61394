"""What is wrong with arguments, in words that a model can use and that show none of the values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError

ADVICE = "Nothing ran. Call it again with the arguments corrected."
_MOST = 8
_LONGEST = 60
_NOT_AN_OBJECT = {"model_type", "model_attributes_type", "dict_type"}
_MAY_ECHO = {"value_error", "assertion_error", "union_tag_invalid"}


def explain(tool: str, names: Sequence[str], error: ValidationError) -> InvalidArguments:
    """Turn pydantic's errors into one that names every wrong argument and what was expected of it.

    The values are never repeated: they may be secrets, and the text goes to logs and models.
    """
    problems = error.errors(include_url=False)
    told = [_sentence(names, problem) for problem in problems[:_MOST]]
    if len(problems) > _MOST:
        told.append(f"and {len(problems) - _MOST} more")
    return InvalidArguments(f"{tool}: {'; '.join(told)}.", advice=ADVICE)


def _sentence(names: Sequence[str], problem: Any) -> str:
    kind, path = problem["type"], _path(problem["loc"])
    if kind == "missing":
        return f"{path} is missing"
    if kind == "extra_forbidden":
        if len(problem["loc"]) > 1:
            return f"{path} is not known"
        known = f"its arguments are {', '.join(names)}" if names else "it takes none"
        return f"{path} is not an argument ({known})"
    if kind == "json_invalid":
        return f"the arguments are not complete, valid JSON ({_message(problem)})"
    if not path and kind in _NOT_AN_OBJECT:
        return "the arguments have to be one JSON object"
    return f"{path}: {_message(problem)}" if path else _message(problem)


def _path(parts: Sequence[int | str]) -> str:
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part[:_LONGEST]}" if text else part[:_LONGEST]
    return text


def _message(problem: Any) -> str:
    message = str(problem["msg"])
    if problem["type"] in _MAY_ECHO:  # a validator's own words, which may repeat what they refuse
        for value in _spellings(problem.get("input")):
            message = message.replace(value, "(the value)")
    return message.rstrip(".")


def _spellings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in _spellings(part)]  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [text for part in value for text in _spellings(part)]  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    if value is None or isinstance(value, bool):
        return []
    text = str(value)
    return [text] if text else []
