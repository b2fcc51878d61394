"""Collects what a judge reads from a line of the Realtime server and the ledger file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from toolguard.testing.scenarios.ledger import acts_in
from toolguard.testing.scenarios.played import Cut, Item, Played, Request, Responded, Sent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from toolguard.testing.realtime import Line, RealtimeServer
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.realtime_stage import RealtimeStage

_YOU_ARE = re.compile(r"You are (\w+)")


def items_of(conversation: Sequence[Mapping[str, Any]]) -> tuple[Item, ...]:
    """The server's items as every judge reads them."""
    return tuple(_item(one) for one in conversation)


def _item(raw: Mapping[str, Any]) -> Item:
    identity = {"id": str(raw.get("id")), "status": str(raw.get("status", "completed"))}
    if raw["type"] == "function_call":
        return Item(kind="call", text=f"{raw['name']} {raw['arguments']}", call=str(raw["call_id"]), **identity)
    if raw["type"] == "function_call_output":
        return Item(kind="output", text=str(raw["output"]), call=str(raw["call_id"]), **identity)
    return Item(kind="message", text=_words(raw), role=str(raw.get("role")), **identity)


def _words(message: Mapping[str, Any]) -> str:
    parts: list[dict[str, Any]] = message.get("content") or []
    return " ".join(str(part.get("transcript") or part.get("text") or "") for part in parts)


def collect(
    script: Script,
    adapter: str,
    *,
    guarded: bool,
    server: RealtimeServer,
    stage: RealtimeStage,
    ledger: Path,
    faults: Sequence[str],
    app: Mapping[str, Any],
) -> Played:
    """Everything but the journal, which is read when the store is closed; of the items only the last connection's."""
    lines, base = server.lines, stage.base

    def ms(at: float) -> float:
        return round((at - base) * 1000, 3)

    return Played(
        script=script,
        adapter=adapter,
        guarded=guarded,
        requests=sorted([*stage.requests, *(no for line in lines for no in _refused(line, base))], key=_time),
        responses=[_responded(one.id, line, stage, base) for line in lines for one in line.responses],
        outputs=[
            Sent(ms(one.at), one.text, str(one.item.get("id")), one.call_id, number)
            for number, line in enumerate(lines)
            for one in line.accepted_outputs
        ],
        notes=[note for number, line in enumerate(lines) for note in _notes(line, number, base)],
        items=items_of(stage.line.conversation),
        problems=[problem for line in lines for problem in line.conversation_problems()],
        violations=[one.problem for one in server.violations],
        errors=[(str(one.get("code")), str(one.get("message"))) for line in lines for one in line.errors],
        given=[one for number, line in enumerate(lines) for one in _given(line, number, base)],
        cuts=[one for line in lines for one in _cuts(line, base)],
        floors=[one for line in lines for one in _floors(line, base)],
        onsets=[ms(one.at) for line in lines for one in line.sent if one.type == "input_audio_buffer.speech_started"],
        acts=acts_in(ledger),
        faults=tuple(faults),
        lag=stage.lag,
        app=app,
    )


def _time(request: Request) -> float:
    return request.at


def _refused(line: Line, base: float) -> list[Request]:
    return [
        Request((one.at - base) * 1000, "client", accepted=False, speaking=one.caller_speaking, problems=one.problems)
        for one in line.response_creates
        if not one.accepted
    ]


def _responded(response: str, line: Line, stage: RealtimeStage, base: float) -> Responded:
    began = ended = float("nan")
    status, aside = "in_progress", False
    for frame in line.sent:
        if frame.type not in {"response.created", "response.done"} or frame.event["response"]["id"] != response:
            continue
        at = (frame.at - base) * 1000
        if frame.type == "response.created":
            began, aside = at, frame.event["response"]["conversation_id"] is None
        else:
            ended, status = at, frame.event["response"]["status"]
    return Responded(began, ended, status, stage.names.get(response, ""), aside)


def _notes(line: Line, number: int, base: float) -> list[Sent]:
    kept = {str(item["id"]) for item in line.conversation}
    notes: list[Sent] = []
    for frame in line.received:
        item: dict[str, Any] = frame.event.get("item") or {}
        if frame.type == "conversation.item.create" and item.get("type") == "message" and item.get("id") in kept:
            notes.append(Sent((frame.at - base) * 1000, _words(item), str(item["id"]), line=number))
            kept.discard(str(item["id"]))
    return notes


def _given(line: Line, number: int, base: float) -> list[Sent]:
    """Every output that the client sent, taken or not."""
    sent = [(one.at, one.event["item"]) for one in line.received if one.type == "conversation.item.create"]
    return [
        Sent((at - base) * 1000, str(item["output"]), str(item.get("id")), str(item["call_id"]), number)
        for at, item in sent
        if "output" in item
    ]


def _cuts(line: Line, base: float) -> list[Cut]:
    """Truncations, with the words of what was cut."""
    words = {str(one.event["item_id"]): str(one.event["transcript"]) for one in line.sent if "transcript" in one.event}
    return [
        Cut((one.at - base) * 1000, words.get(str(one.event["item_id"]), ""), int(one.event["audio_end_ms"]))
        for one in line.received
        if one.type == "conversation.item.truncate"
    ]


def _floors(line: Line, base: float) -> list[tuple[float, str]]:
    """When another agent was given the floor, and which: the application says so in its instructions."""
    return [
        ((one.at - base) * 1000, found[1])
        for one in line.received
        if one.type == "session.update" and (found := _YOU_ARE.search(str(one.event)))
    ]
