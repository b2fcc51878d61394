"""What the model reads where a call did not simply end with its result: one small JSON object a form (O6).

Every answer has the keys ``toolguard`` (the form), ``call`` (the ref), ``tool`` and ``message`` (a sentence or two
addressed to the model); ``result``, ``first`` (the ref of the occurrence that stands), ``differs_in`` and ``undo`` are
there where they apply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.core.records import Form

MAX_RESULT = 256 * 1024
"""Bytes of JSON that a result may have; a larger one is kept as a note of its size and its beginning."""

_TEXTS: dict[str, str] = {
    "done": "{tool} is done.",
    "still_running": "{tool} is still running. Do not call it again: its result will follow in this conversation.",
    "needs_approval": "{tool} waits for the caller's yes. Ask them now, in their language: {why} Do not call it again "
    "and do not say that it is done: it goes on when they have answered, and its result will follow.",
    "error": "{tool} failed and nothing was changed: {why}",
    "cancelled": "{tool} was stopped before it did anything: {why}",
    "in_doubt": "It is not known whether {tool} took effect. Do not call it again and do not say that it failed: say "
    "that it is being checked.",
    "not_known_yet": "{tool} takes longer than expected; its outcome is not known yet. Do not call it again: the "
    "outcome will follow.",
    "refused": "{tool} was not run: {why}",
    "differs": "{tool} was not run: {first} stands with other details. Ask the caller whether to change it, to undo "
    "it, or to do both, then call again.",
    "already_done": "{tool} was not run again: {first} has already done this. Tell the caller, and ask before "
    "repeating it.",
    "replayed": "This is the result of {first}, which did exactly this; {tool} was not run again.",
    "superseded": "{tool} was not run: the caller went on speaking before it was decided. Answer what the caller says "
    "now.",
    "incomplete": "{tool} was not run: the call broke off before it was complete. Call it again if it is still wanted.",
    "invalid": "{tool} was not run: {why}",
    "unknown_tool": "There is no tool named {tool}. {why}",
    "conflict": "Nothing was run: the call id was used before with other arguments. Issue a new call.",
    "paused": "{tool} was not run: it is switched off for the moment. {why}",
    "breaker": "{tool} was not run: it was called too often in a row. Do not call it again; talk to the caller.",
    "not_run": "{tool} was not run: {why}",
    "unavailable": "{tool} was not run: its safety record cannot be written at the moment. Apologise and offer to try "
    "again shortly.",
    "withdrawn": "The call was withdrawn.",
    "done_after_all": "{tool} did take effect after all, although it was reported otherwise.",
    "handed_off": "The conversation has been handed over.",
}


def envelope(
    form: Form | str,
    *,
    ref: str,
    tool: str,
    why: str = "",
    first: str = "",
    result: bytes | None = None,
    more: Mapping[str, object] | None = None,
) -> str:
    """Write the answer of one form as JSON text; ``more`` adds keys of its own, empty ones are left out."""
    message = _TEXTS[form].format(tool=tool, why=why, first=first or "an earlier call").strip()
    body: dict[str, object] = {"toolguard": form, "call": ref, "tool": tool, "message": message}
    if first:
        body["first"] = first
    if result is not None:
        body["result"] = msgspec.Raw(result)
    body.update({key: value for key, value in (more or {}).items() if value})
    return msgspec.json.encode(body).decode()


def as_markdown() -> str:
    """Print the forms for people, in Markdown, without a newline at the end."""
    rows = [f"| `{form}` | {text.replace('{', '*').replace('}', '*')} |" for form, text in _TEXTS.items()]
    return "\n".join(["| form | message |", "| --- | --- |", *rows])


def plain(result: bytes) -> str:
    """A done result as the framework would send it unguarded (O6): a string as it is, anything else as JSON."""
    if result[:1] == b'"':
        return msgspec.json.decode(result, type=str)
    return result.decode()


def shortened(result: bytes) -> bytes:
    """A result small enough to keep and to show: itself, or its size and beginning."""
    if len(result) <= MAX_RESULT:
        return result
    head = result[:2048].decode("utf-8", "ignore")
    return msgspec.json.encode({"too_large": True, "bytes": len(result), "beginning": head})
