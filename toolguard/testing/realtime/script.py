"""What a test says in the model's place: a call, a reply, and the request that a reply answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from toolguard.testing.realtime.conversation import Item
    from toolguard.testing.realtime.frames import Event

Status = Literal["completed", "cancelled", "failed", "incomplete"]
"""How a response ends."""

Reason = Literal["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"]
"""Why a response was cancelled or left incomplete."""

ItemStatus = Literal["completed", "incomplete"]
"""How an item of a response ends."""


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call that the scripted model makes.

    Attributes:
        call_id: The id under which the client answers.
        name: The tool.
        arguments: The arguments; a string is sent as it is, valid JSON or not.
    """

    call_id: str
    name: str
    arguments: Mapping[str, Any] | str = "{}"

    @property
    def arguments_text(self) -> str:
        """The arguments as they go over the wire."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(dict(self.arguments))


@dataclass(frozen=True, slots=True)
class Reply:
    """What the scripted model answers to one request.

    Attributes:
        text: What it says, None to say nothing.
        calls: The calls that it makes, after speaking.
        seconds: Loop time from the request to the last word; the response is active meanwhile.
        audio_ms: Length of the speech; as long as ``seconds`` if None.
        status: How the response ends.
        reason: Why, where it does not complete.
    """

    text: str | None = None
    calls: Sequence[Call] = ()
    seconds: float = 0.3
    audio_ms: int | None = None
    status: Status = "completed"
    reason: Reason | None = None

    @property
    def length_ms(self) -> int:
        """Milliseconds of speech."""
        return round(self.seconds * 1000) if self.audio_ms is None else self.audio_ms


OK = Reply(text="ok")
"""What the model says where nothing was scripted."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output that the server took for a call.

    Attributes:
        at: When, on the server's clock.
        call_id: The call that it answers.
        text: The output.
        item: The item as the server holds it.
    """

    at: float
    call_id: str
    text: str
    item: Item


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """A ``response.create`` of the client, or a turn that the server answers by itself.

    Attributes:
        at: When it came, on the server's clock.
        event: The client's event; empty if the server asked itself, after a turn of the caller.
        accepted: Whether a response was started.
        code: The error code, if it was refused.
        response_id: The response that was started, or the one that stood in the way.
        out_of_band: Whether the reply stays outside the conversation.
        caller_speaking: Whether the caller was speaking at that moment.
        problems: What was wrong with the calls and outputs of the conversation at that moment.
    """

    at: float
    event: Event
    accepted: bool
    code: str | None
    response_id: str | None
    out_of_band: bool
    caller_speaking: bool
    problems: tuple[str, ...]
