"""What a test says in the model's place: speech, calls, and the request that they answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from livekit.agents.llm import ChatContext

SECONDS_PER_LETTER = 0.02
By = Literal["client", "platform"]


@dataclass(frozen=True, slots=True)
class Say:
    """Something that the model says.

    Attributes:
        text: The words.
        seconds: Length of the speech; by default as long as its text.
    """

    text: str
    seconds: float | None = None

    @property
    def length(self) -> float:
        """Seconds of speech."""
        return len(self.text) * SECONDS_PER_LETTER if self.seconds is None else self.seconds


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of the model.

    Attributes:
        name: The tool.
        call_id: The id under which the client answers.
        arguments: The arguments as they go over the wire, valid JSON or not.
        after: Seconds from what came before it in the response until the call is complete.
    """

    name: str
    call_id: str
    arguments: str = "{}"
    after: float = 0.0


Part = Say | Call
"""A part of a response."""


@dataclass(frozen=True)
class Asked:
    """A response that the model was asked for, and what it was shown.

    Attributes:
        at: When, on the loop's clock.
        by: Who asked: the client, or the platform by itself (a caller's turn; where it answers outputs, an output).
        context: The conversation, as the server holds it.
        instructions: The session's instructions, and what the client wants of this response in particular.
        tools: The names of the tools that the model has.
        tool_choice: The choice that the client left it, None for its own.
        accepted: Whether a response began: it does not while another one is active.
        speaking: Whether the caller was speaking.
    """

    at: float
    by: By
    context: ChatContext
    instructions: str = ""
    tools: tuple[str, ...] = ()
    tool_choice: object = None
    accepted: bool = True
    speaking: bool = False

    @property
    def said(self) -> str:
        """The caller's last words."""
        texts = [one.text_content for one in self.context.messages() if one.role == "user"]
        return (texts[-1] or "") if texts else ""

    @property
    def outputs(self) -> dict[str, str]:
        """Outputs by call id, in the order in which they stand there."""
        return {one.call_id: one.output for one in self.context.items if one.type == "function_call_output"}

    @property
    def calls(self) -> tuple[str, ...]:
        """Ids of the calls, in the order in which they stand there."""
        return tuple(one.call_id for one in self.context.items if one.type == "function_call")

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Ids of calls without an output."""
        outputs = self.outputs
        return tuple(call for call in self.calls if call not in outputs)


Script = Callable[[Asked], Sequence[Part] | None]
"""Gives the parts of the response to a request; None leaves the response open, for the test to make it."""
