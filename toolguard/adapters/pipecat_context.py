"""What an ``LLMContext`` shows of our calls: read, mended in place by tool call id, added to where that is gone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from toolguard.core import outbox
from toolguard.core.envelope import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from toolguard.adapters.pipecat_features import LLMContext
    from toolguard.core.slots import Slot
    from toolguard.core.state import State

INTERIM = frozenset({"still_running", "not_known_yet", "in_doubt"})
"""Answers of ours that are not the last word."""
_OPEN = frozenset({"IN_PROGRESS", "CANCELLED"})
"""What Pipecat writes where a call has no result (``LLMAssistantAggregator``), until its result stands there."""


def written(value: Any) -> str:
    """A result as Pipecat writes it: JSON; one that counts as empty is wrapped, or the model would not be asked."""
    return json.dumps(value or {"result": value}, ensure_ascii=False)


def result_of(state: State, slot: Slot, text: str) -> Any:
    """The value of an answer, for ``result_callback``: the tool's own result, or the envelope's fields."""
    run = state.runs.get(slot.run)
    if run is not None and run.happened and text == plain(run.result):
        value: Any = json.loads(run.result)
    else:
        value = parsed(text)
    return value or {"result": value}


def parsed(text: str) -> Any:
    """A text as the JSON that it is, or as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def outputs(context: LLMContext) -> dict[str, dict[str, Any]]:
    """The tool messages of a context by the call's id."""
    found: dict[str, dict[str, Any]] = {}
    for message in _plain(context):
        if message.get("role") == "tool" and message.get("tool_call_id"):
            found[str(message["tool_call_id"])] = message
    return found


def is_open(content: object) -> bool:
    """Whether Pipecat has left a call without a result: in progress, running beside the conversation, or cancelled."""
    if not isinstance(content, str):
        return False
    return content in _OPEN or _beside(content)[1] in {"running", "cancelled"}


def put(context: LLMContext, call_id: str, text: str) -> bool:
    """Write an answer where the call stands; False where it does not stand in this context."""
    message = outputs(context).get(call_id)
    if message is None:
        return False
    message["content"] = text
    return True


def tell(context: LLMContext, text: str) -> None:
    """Add news at the end, as Pipecat tells of calls that the conversation has left behind."""
    context.add_message(cast("Any", {"role": "developer", "content": text}))


def drop_echoes(context: LLMContext, call_ids: Mapping[str, Any]) -> None:
    """Remove what Pipecat appends about calls of ours that are answered already: each answer stands once (O3)."""
    messages = _all(context)
    kept = [one for one in messages if not _is_echo(one, call_ids)]
    if len(kept) < len(messages):
        context.set_messages(kept)


def drop_last(context: LLMContext, text: str) -> None:
    """Remove the last message with this content, if any."""
    messages = _all(context)
    for at in range(len(messages) - 1, -1, -1):
        if isinstance(messages[at], dict) and messages[at].get("content") == text:
            context.set_messages([*messages[:at], *messages[at + 1 :]])
            return


def drop_repeat(context: LLMContext, call_id: str) -> bool:
    """Keep the first of several calls with one id: providers take no id twice, and it is one call (S5)."""
    seen: set[str] = set()
    kept: list[Any] = []
    for message in _all(context):
        kind = _stands_for(message, call_id)
        if not kind or kind not in seen:
            kept.append(message)
        seen.add(kind)
    dropped = len(kept) < len(_all(context))
    if dropped:
        context.set_messages(kept)
    return dropped


def _stands_for(message: object, call_id: str) -> str:
    """Which half of a call a message is, empty for neither."""
    if not isinstance(message, dict):
        return ""
    one = cast("dict[str, Any]", message)
    if one.get("tool_call_id") == call_id:
        return "output"
    return "call" if any(call.get("id") == call_id for call in one.get("tool_calls") or ()) else ""


def sweep(context: LLMContext, state: State, but: Collection[str] = ()) -> None:
    """Rewrite every call that a context shows without its outcome from the journal, but for those in motion here.

    What a process leaves behind reads ``IN_PROGRESS`` for ever, and the model calls again or waits. The result stands
    in the place of a placeholder then, and its news is dropped (O11).
    """
    waiting = {call_id: one for call_id, one in outputs(context).items() if call_id not in but and _waits(one)}
    if not waiting:
        return
    slots = {slot.call_id: slot for slot in state.slots.values() if slot.call_id in waiting}
    told: set[str] = set()
    for call_id, slot in slots.items():
        answer = outbox.answer_anew(state, slot, set()) or outbox.interim(state, slot)
        waiting[call_id]["content"] = written(result_of(state, slot, answer.text))
        if not answer.interim:
            told.add(state.ref(slot.number))
    kept = [one for one in _all(context) if not _is_news(one, told)]
    context.set_messages(kept)


def interim(content: object) -> bool:
    """Whether a text is an answer of ours that is not the last word."""
    told = parsed(content) if isinstance(content, str) and '"toolguard"' in content else None
    return isinstance(told, dict) and cast("dict[str, Any]", told).get("toolguard") in INTERIM


def _waits(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return is_open(content) or interim(content)


def _is_news(message: object, refs: Collection[str]) -> bool:
    """Whether a message is news of ours about these calls alone."""
    if not refs or not isinstance(message, dict) or cast("dict[str, Any]", message).get("role") != "developer":
        return False
    content = cast("dict[str, Any]", message).get("content")
    told = parsed(content) if isinstance(content, str) and '"toolguard"' in content else None
    about = str(cast("dict[str, Any]", told).get("call", "")) if isinstance(told, dict) else ""
    return bool(about) and set(about.split(", ")) <= set(refs)


def _all(context: LLMContext) -> list[Any]:
    return cast("list[Any]", context.get_messages())


def _plain(context: LLMContext) -> list[dict[str, Any]]:
    """Messages in the common form; a provider's own ones are none of ours."""
    return [message for message in _all(context) if isinstance(message, dict)]


def _beside(content: object) -> tuple[str, str]:
    """Id and status of a message about a call that runs beside the conversation (``cancel_on_interruption=False``)."""
    if not isinstance(content, str) or '"async_tool"' not in content:
        return "", ""
    told = parsed(content)
    if not isinstance(told, dict):
        return "", ""
    about = cast("dict[str, Any]", told)
    return str(about.get("tool_call_id", "")), str(about.get("status", ""))


def _is_echo(message: object, call_ids: Mapping[str, Any]) -> bool:
    if not isinstance(message, dict):
        return False
    one = cast("dict[str, Any]", message)
    call_id, status = _beside(one.get("content"))
    return one.get("role") == "developer" and call_id in call_ids and status in {"finished", "cancelled"}
