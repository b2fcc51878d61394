"""S20: compaction, summaries and a change of provider keep a call and its output together."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseInputItemParam
from pydantic import TypeAdapter, ValidationError

from toolguard.testing.scenarios.kit import Saboteur, check, must

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.testing.scenarios.played import Played

_CHAT: TypeAdapter[Any] = TypeAdapter(ChatCompletionMessageParam)
_RESPONSES: TypeAdapter[Any] = TypeAdapter(ResponseInputItemParam)


@check(
    "S20.1",
    saboteur=Saboteur(
        "toolguard/core/compact.py",
        old='if item.kind == "call" and item.open)\n    gone',
        new='if item.kind == "call" and item.open and not item.ref)\n    gone',
    ),
)
def no_cut_parts_a_call_from_its_output(played: Played) -> None:
    """However much is left out, every call has its output right behind it, and the running call is there."""
    cuts: dict[int, list[dict[str, Any]]] = played.app.get("cuts", {})
    must(len(cuts) > 5, f"the history was cut in {len(cuts)} ways only")  # noqa: PLR2004
    for keep, items in cuts.items():
        kinds = [(item["type"], item.get("call_id")) for item in items if item["type"] != "message"]
        calls, outputs = kinds[::2], kinds[1::2]
        must(
            [("function_call_output", call) for _, call in calls] == outputs
            and all(kind == "function_call" for kind, _ in calls),
            f"with {keep} items kept, calls and outputs are parted: {kinds}",
        )
        must(("function_call", "c3") in calls, f"with {keep} items kept, the running call is gone")


@check(
    "S20.2",
    saboteur=Saboteur(
        "toolguard/render/anthropic.py", old='if not turns or turns[-1]["role"] != role:', new="if turns is not None:"
    ),
)
def the_history_is_valid_for_every_provider(played: Played) -> None:
    """The shortened history is valid in at least four providers' forms."""
    forms: dict[str, Any] = played.app.get("changed", {})
    must(len(forms) >= 4, f"it was given to {sorted(forms)} only")  # noqa: PLR2004
    for name, form in forms.items():
        wrong = _RULES[name](form)
        must(not wrong, f"{name}: {wrong}")


@check(
    "S20.3",
    saboteur=Saboteur("toolguard/core/compact.py", old='item.state == "done"]', new='item.state == "failed"]'),
)
def a_summary_keeps_what_was_done(played: Played) -> None:
    """However much is left out, the booking that was made is still named, with its ref and its id."""
    for keep, items in played.app.get("cuts", {}).items():
        text = json.dumps(items)
        must("b-7" in text, f"with {keep} items kept, the id of the booking is gone")
        done = [item for item in items if item["type"] == "function_call" and item["name"] == "book"]
        must(done or "call-1/2" in text, f"with {keep} items kept, the ref of the booking is gone")


# -- what providers ask for -----------------------------------------------------------------------------------------


def _chat(messages: list[dict[str, Any]]) -> str:
    for at, message in enumerate(messages):
        wrong = _unlike(_CHAT, message)
        if wrong:
            return wrong
        for call in message.get("tool_calls", ()):
            answer = messages[at + 1] if at + 1 < len(messages) else {}
            if answer.get("tool_call_id") != call["id"]:
                return f"{call['id']} has no answer right behind it"
        if message["role"] == "tool" and not messages[at - 1].get("tool_calls"):
            return f"{message['tool_call_id']} answers no call"
    return ""


def _responses(items: list[dict[str, Any]]) -> str:
    return next((wrong for item in items if (wrong := _unlike(_RESPONSES, item))), "") or _paired(items)


def _paired(items: list[dict[str, Any]]) -> str:
    for at, item in enumerate(items):
        after = items[at + 1] if at + 1 < len(items) else {}
        if item["type"] == "function_call" and after.get("type") != "function_call_output":
            return f"{item['call_id']} has no output right behind it"
        if item["type"] == "function_call_output" and items[at - 1]["type"] != "function_call":
            return f"{item['call_id']} has an output and no call before it"
    return ""


def _anthropic(request: dict[str, Any]) -> str:
    turns: list[dict[str, Any]] = request["messages"]
    wrong = _alternates([turn["role"] for turn in turns])
    for at, turn in enumerate(turns):
        used = [block["id"] for block in turn["content"] if block["type"] == "tool_use"]
        answered = [block.get("tool_use_id") for block in turns[at + 1]["content"]] if used else []
        if answered[: len(used)] != used:
            return f"{used} have no results at the front of the next turn"
    return wrong


def _gemini(request: dict[str, Any]) -> str:
    turns: list[dict[str, Any]] = request["contents"]
    for at, turn in enumerate(turns):
        called = [part["function_call"]["name"] for part in turn["parts"] if "function_call" in part]
        after: list[dict[str, Any]] = turns[at + 1]["parts"] if called else []
        if [part["function_response"]["name"] for part in after if "function_response" in part] != called:
            return f"{called} have no responses in the next turn"
    return _alternates([turn["role"] for turn in turns])


def _alternates(roles: list[str]) -> str:
    same = any(one == other for one, other in itertools.pairwise(roles))
    return f"the turns are {roles}" if same or roles[0] != "user" or roles[-1] != "user" else ""


def _unlike(adapter: TypeAdapter[Any], value: dict[str, Any]) -> str:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        return str(error)[:200]
    return ""


_RULES: dict[str, Callable[[Any], str]] = {
    "chat_completions": _chat,
    "responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "openai_realtime": _paired,
}
