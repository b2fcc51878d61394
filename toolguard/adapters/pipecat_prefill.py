"""A pipeline that goes on with a conversation: its context shows it as the journal has it, and nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from toolguard.adapters import pipecat_context as shown
from toolguard.render.chat_completions import messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.adapters.pipecat_features import LLMContext
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

_SPOKEN = frozenset({"user", "assistant", "tool"})


class PipecatPrefill:
    """The beginning of a conversation that goes on.

    An application that has kept its context keeps it: what it shows of calls is set right. An empty one gets the
    conversation, behind what the application tells its model.

    Args:
        session: The session of the agent that took over, or that goes on after its process died.
        context: The pipeline's context.
        tools: The tools of its model.
        speaks: Whether the model is asked to speak in any case, as one that takes a conversation over; else only where
            the caller waits for an answer or for the outcome of a call.
    """

    def __init__(self, session: Session, context: LLMContext, tools: Sequence[Tool[..., Any]], *, speaks: bool) -> None:
        self._session = session
        self._context = context
        self._tools = tools
        self._speaks = speaks
        self._waits = True
        own: list[Any] = [*context.get_messages()]
        self._kept = any(isinstance(one, dict) and cast("dict[str, Any]", one).get("role") in _SPOKEN for one in own)
        self._own = own
        session.on_amended = self._amend

    def place(self) -> None:
        """Put the conversation there."""
        packet = self._session.packet
        self._bring()
        recovery = self._session.recovery
        if recovery is not None:
            self._session.recovery = msgspec.structs.replace(recovery, context_replayed=len(packet.items))
        untold = any(one.what == "not_told" for one in packet.promises)
        self._speaks = self._speaks or bool(packet.pending) or untold

    def running(self) -> None:
        """The pipeline runs: the model may speak."""
        if self._waits:
            self._waits = False
            if self._speaks:
                self._session.begin()

    def _amend(self) -> None:
        """Something came that belongs further up: nobody has read it yet, so it is put there (O12, H2)."""
        self._bring()
        self._session.shows("amended")

    def _bring(self) -> None:
        if self._kept:
            shown.sweep(self._context, self._session.state)
            return
        said: list[Any] = messages(self._session.packet, tools=self._tools)
        given: list[Any] = [{**one, "role": "developer"} if one["role"] == "system" else one for one in said]
        self._context.set_messages([*self._own, *given])
