"""Serves the calls of a speech-to-speech model: they are let go at the first sound of the caller."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_calls import LIVEKIT_WAITS, Calls
from toolguard.adapters.livekit_features import agents
from toolguard.adapters.livekit_realtime_port import LiveKitRealtimePort, whole

if TYPE_CHECKING:
    from toolguard.tools.tool import Tool

_LANDS_WITHIN = 1.0


class RealtimeCalls(Calls):
    """The calls of one session."""

    async def serve(self, tool: Tool[..., Any], context: agents.RunContext[Any]) -> Any:
        """Serve one call; one whose arguments were no JSON before LiveKit mended them is not run (O10)."""
        port, call = self._port, context.function_call
        if not isinstance(port, LiveKitRealtimePort) or self._responses is None or whole(port.line, call):
            return await super().serve(tool, context)
        response, _ = self._responses.of_call(context)
        self._serves(call.call_id, context.speech_handle)
        answer = port.expect(call)
        self._session.incomplete(call.call_id, tool.name, generation=response.id, item=call.id, reply=True)
        await asyncio.wait({answer}, timeout=_LANDS_WITHIN)
        if not answer.done():
            raise agents.ToolError(f"The arguments of {call.name} broke off. It was not called.")
        return answer.result()

    def is_cut_off(self, call_id: str) -> bool:
        """Whether the speech of a call was interrupted: LiveKit says nothing about its output."""
        handle = self._served.get(call_id)
        return handle is not None and handle.interrupted

    def is_handing_over(self) -> bool:
        """Whether LiveKit is about to be told of another agent."""
        return bool(self._handing)

    async def _let_go(self, answer: asyncio.Future[Any], handle: agents.voice.SpeechHandle) -> None:  # noqa: ARG002
        """The speech of a call is interrupted: the provider may answer the caller before their words are known (O2).

        Where the reply is ours to start, the words decide first, for as long as LiveKit waits.
        """
        port = self._port
        if isinstance(port, LiveKitRealtimePort) and port.turns.managed:
            await asyncio.wait({answer}, timeout=LIVEKIT_WAITS)
        if not answer.done():
            self._session.answering()
            await asyncio.wait({answer}, timeout=_LANDS_WITHIN)
