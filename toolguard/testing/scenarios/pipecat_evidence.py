"""What a judge reads of plays over Pipecat: the contexts, as they grew, and what the model was shown of them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from toolguard.testing.scenarios.evidence import problems_of
from toolguard.testing.scenarios.ledger import acts_in
from toolguard.testing.scenarios.played import Cut, Item, Played, Sent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from toolguard.testing.pipecat import Line
    from toolguard.testing.scenarios.pipecat_setting import PipecatSetting

_UNANSWERED = "IN_PROGRESS"


def items_of(messages: Sequence[Any]) -> tuple[Item, ...]:
    """A context's messages as every judge reads them."""
    items: list[Item] = []
    seen: Counter[str] = Counter()
    for message in messages:
        if isinstance(message, dict):
            items.extend(_items(cast("dict[str, Any]", message), seen))
    return tuple(items)


def _items(message: Mapping[str, Any], seen: Counter[str]) -> list[Item]:
    content, role = str(message.get("content") or ""), str(message.get("role"))
    if role == "tool":
        call = str(message["tool_call_id"])
        return [Item("output", _id(f"output-{call}", seen), content, call=call)]
    made: list[Item] = []
    if content:
        made.append(Item("message", _id(f"{role}-{content}", seen), content, role=role))
    for one in message.get("tool_calls") or ():
        called, call = one["function"], str(one["id"])
        text = f"{called['name']} {called['arguments']}"
        made.append(Item("call", _id(f"call-{call}", seen), text, call=call))
    return made


def _id(name: str, seen: Counter[str]) -> str:
    """Messages have no ids: they are told apart by what they say, and how often that was said before."""
    seen[name] += 1
    return f"{name}/{seen[name]}"


class Watch:
    """Looks at the contexts of a play, and notes each answer and each piece of news when it is first there.

    Args:
        setting: The play.
    """

    def __init__(self, setting: PipecatSetting) -> None:
        self._setting = setting
        self._known: set[tuple[int, str, str]] = set()
        self.outputs: list[Sent] = []
        self.notes: list[Sent] = []

    def idle(self) -> bool:
        """The loop has nothing to do at this moment, so that the contexts stand; nothing is busy because of it."""
        self.look()
        return False

    def look(self) -> None:
        """Look now."""
        for number, line in enumerate(self._setting.lines):
            for item in items_of(line.context.get_messages()):
                key = number, item.id, item.text if item.kind == "output" else ""
                if key in self._known or item.text == _UNANSWERED or _runs_beside(item.text):
                    continue
                self._known.add(key)
                at = round(self._setting.stage.now(), 3)
                if item.kind == "output":
                    self.outputs.append(Sent(at, item.text, item.id, item.call, number))
                elif item.role in {"developer", "system"}:
                    self.notes.append(Sent(at, item.text, item.id, line=number))


def _runs_beside(text: str) -> bool:
    """Whether it is what Pipecat itself writes for a call that runs beside the conversation."""
    if '"async_tool"' not in text:
        return False
    told: dict[str, Any] = json.loads(text)
    return told.get("status") == "running"


def collect(setting: PipecatSetting, adapter: str, *, guarded: bool) -> Played:
    """Everything but the journal, which is read when the store is closed."""
    stage, watch = setting.stage, setting.watch
    watch.look()
    shown = [items_of(line.context.get_messages()) for line in setting.lines]
    return Played(
        script=setting.script,
        adapter=adapter,
        guarded=guarded,
        requests=tuple(stage.requests),
        responses=tuple(stage.responses),
        outputs=tuple(watch.outputs),
        notes=tuple(watch.notes),
        items=shown[-1],
        problems=[problem for items in shown for problem in problems_of(items)],
        given=tuple(watch.outputs),
        cuts=[cut for line in setting.lines for cut in _cuts(line, setting)],
        floors=tuple(setting.floors),
        onsets=tuple(setting.side.onsets),
        acts=acts_in(setting.ledger),
        faults=tuple(setting.faults),
        lag=stage.lag,
        app=setting.app,
    )


def _cuts(line: Line, setting: PipecatSetting) -> list[Cut]:
    cuts = [one for one in line.voice.cuts if one[2] > 0]
    return [Cut((at - setting.base) * 1000, text, round(seconds * 1000)) for at, text, seconds in cuts]
