"""What the server does with each frame of a client: one function per event, and the error where a rule forbids it."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, cast

from toolguard.testing.realtime.conversation import Refusal
from toolguard.testing.realtime.frames import Malformed, Violation, parse_client_frame
from toolguard.testing.realtime.script import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.testing.realtime.frames import Event
    from toolguard.testing.realtime.line import Line

_PCM_BYTES_PER_MS = 48


def obey(line: Line, raw: str | bytes) -> Violation | None:
    """Acts on one frame of the client.

    Args:
        line: The connection that it came on.
        raw: The frame.

    Returns:
        What is wrong with the frame, if the official types do not allow it.
    """
    try:
        event = parse_client_frame(raw)
    except Malformed as bad:
        line.error(bad.code, bad.problem, param=bad.param, event_id=bad.event_id if line.echo_event_ids else None)
        text = raw if isinstance(raw, str) else raw.decode(errors="replace")
        return Violation(line.clock(), line.number, text, bad.problem)
    if not line.loses(event):
        try:
            _DOES[event["type"]](line, event)
        except Refusal as no:
            event_id = event.get("event_id") if line.echo_event_ids else None
            line.error(no.code, no.message, param=no.param, event_id=event_id)
    line.wake()
    return None


def _update_session(line: Line, event: Event) -> None:
    line.session = _merged(line.session, event["session"])
    line.send({"type": "session.updated", "session": line.session})


def _create_item(line: Line, event: Event) -> None:
    item = {"id": line.new_id("item"), "object": "realtime.item", "status": "completed", **event["item"]}
    if not line.held.create(item, event.get("previous_item_id")):
        return
    if item["type"] == "function_call_output":
        line.accepted_outputs.append(Output(line.clock(), item["call_id"], item["output"], item))
    line.confirm(item)


def _retrieve_item(line: Line, event: Event) -> None:
    line.send({"type": "conversation.item.retrieved", "item": line.held.retrieve(event["item_id"])})


def _delete_item(line: Line, event: Event) -> None:
    line.held.delete(event["item_id"])
    line.send({"type": "conversation.item.deleted", "item_id": event["item_id"]})


def _truncate_item(line: Line, event: Event) -> None:
    cut = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
    line.held.truncate(**cut)
    line.send({"type": "conversation.item.truncated", **cut})


def _create_response(line: Line, event: Event) -> None:
    request = line.request_reply(event)
    if not request.accepted:
        wait = "Wait until the response is finished before creating a new one."
        words = f"Conversation already has an active response in progress: {request.response_id}. {wait}"
        raise Refusal("conversation_already_has_active_response", words)


def _cancel_response(line: Line, event: Event) -> None:
    line.find_response(event.get("response_id")).finish("cancelled", "client_cancelled")


def _append_audio(line: Line, event: Event) -> None:
    try:
        sound = base64.b64decode(event["audio"], validate=True)
    except binascii.Error as bad:
        raise Refusal("invalid_value", "Invalid 'audio'. Expected base64-encoded audio bytes.", "audio") from bad
    line.buffered_audio_ms += len(sound) / _PCM_BYTES_PER_MS


def _commit_audio(line: Line, _event: Event) -> None:
    if not line.buffered_audio_ms:
        words = "Error committing input audio buffer: buffer too small. The buffer has 0.00ms of audio."
        raise Refusal("input_audio_buffer_commit_empty", words)
    line.commit_audio(line.new_id("item"))


def _clear_input(line: Line, _event: Event) -> None:
    line.buffered_audio_ms = 0.0
    line.send({"type": "input_audio_buffer.cleared"})


def _clear_output(_line: Line, _event: Event) -> None:
    raise Refusal("invalid_value", "output_audio_buffer.clear is for WebRTC and SIP connections only.", "type")


_DOES: dict[str, Callable[[Line, Event], None]] = {
    "session.update": _update_session,
    "conversation.item.create": _create_item,
    "conversation.item.retrieve": _retrieve_item,
    "conversation.item.delete": _delete_item,
    "conversation.item.truncate": _truncate_item,
    "response.create": _create_response,
    "response.cancel": _cancel_response,
    "input_audio_buffer.append": _append_audio,
    "input_audio_buffer.commit": _commit_audio,
    "input_audio_buffer.clear": _clear_input,
    "output_audio_buffer.clear": _clear_output,
}


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The old mapping with the new one's fields in it; nested mappings are merged, everything else replaced."""
    both = dict(old)
    for name, value in new.items():
        before = both.get(name)
        nested = isinstance(before, dict) and isinstance(value, dict)
        both[name] = _merged(cast("Event", before), cast("Event", value)) if nested else value
    return both
