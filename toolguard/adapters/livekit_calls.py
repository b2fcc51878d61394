"""Serves the calls of LiveKit's model: the body runs in a task of the session's, here is only the wait for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_features import agents
from toolguard.adapters.livekit_tools import CONTEXT, contexts_for
from toolguard.errors import Refused

if TYPE_CHECKING:
    from toolguard.adapters.livekit_caller import Caller
    from toolguard.adapters.livekit_port import LiveKitPort
    from toolguard.adapters.livekit_responses import Responses
    from toolguard.engine.live import Live
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

LIVEKIT_WAITS = 4.0
"""Seconds that a call whose speech was cut off may wait for the caller to say why; LiveKit gives up after five."""
_LANDS_WITHIN = 1.0


class Calls:
    """The calls of one session.

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
        session: The guarded session.
        port: Its way out; None where it only watches.
        caller: The caller's side.
        responses: The model's responses.
    """

    def __init__(
        self,
        agent_session: agents.AgentSession[Any],
        session: Session,
        port: LiveKitPort | None,
        caller: Caller,
        responses: Responses | None,
    ) -> None:
        self._room = agent_session
        self._session = session
        self._port = port
        self._caller = caller
        self._responses = responses
        self._served: dict[str, agents.voice.SpeechHandle] = {}
        self._handing: dict[str, agents.Agent] = {}
        self._reported: set[str] = set()
        self._silenced: set[str] = set()
        self._watching: set[asyncio.Task[None]] = set()
        self._shielded: set[agents.voice.SpeechHandle] = set()
        if port is not None:
            caller.on_turn = self._shield
            session.wiring.execution.on_value = self._value

    async def serve(self, tool: Tool[..., Any], context: agents.RunContext[Any]) -> Any:
        """Serve one call."""
        port, responses, session = self._port, self._responses, self._session
        if port is None or responses is None:
            arguments = tool.validated(context.function_call.arguments)
            contexts = contexts_for(tool, context)
            return await session.take(tool, tool.instance, (), {**arguments.values, **contexts})
        call, handle = context.function_call, context.speech_handle
        response, index = responses.of_call(context)
        self._serves(call.call_id, handle)
        answer, made = port.expect(call), responses.as_made(call.call_id)
        port.taking = call.call_id
        number = session.receive(
            made,
            tool.name,
            call.arguments or "{}",
            generation=response.id,
            index=index,
            item=call.id,
            injected={**contexts_for(tool, context), CONTEXT: context},
        )
        port.taking = ""
        responses.served(response, call.call_id)
        slot = session.state.slots.get(number)
        if slot is None or slot.sent or made != call.call_id:
            port.repeat(call.call_id, made, number, reply=response.to_turn)
        try:
            await handle.wait_if_not_interrupted([answer])
            if not answer.done():
                await self._let_go(answer, handle)
        except asyncio.CancelledError:
            session.cancelled(call.call_id)
            raise
        if not answer.done() or answer.cancelled():
            raise agents.ToolError(f"The outcome of {call.name} is not known. Do not call it again.")
        return self._given(call.call_id, answer.result())

    def _given(self, call_id: str, result: agents.ToolResult) -> Any:
        """What LiveKit gets: the output, and the agent if the call has handed the conversation over."""
        port = self._port
        agent = port.handed.pop(call_id, None) if port is not None else None
        if agent is None:
            return result
        self._handing[call_id] = agent
        return agent, result

    async def _let_go(self, answer: asyncio.Future[Any], handle: agents.voice.SpeechHandle) -> None:
        """The speech of a call is interrupted, so LiveKit waits for us: nobody else may wait for the tool now (O2).

        Where the speech was cut off while it was heard, the caller still speaks: their words decide what the call is
        answered with. Where it was silent, their turn has ended, and the words have decided already.
        """
        if self._room.current_speech is handle:
            await self._words(answer)
        if not answer.done():
            self._session.answering()
            await asyncio.wait({answer}, timeout=_LANDS_WITHIN)

    async def _words(self, answer: asyncio.Future[Any]) -> None:
        """Wait for what the caller says; a listening noise says nothing, and nobody is kept waiting behind it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LIVEKIT_WAITS
        while not answer.done() and loop.time() < until:
            decided = self._caller.decided()
            if decided is None:
                return
            await asyncio.wait({answer, decided}, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)

    # -- interruptions by the application -----------------------------------------------------------------------

    def _serves(self, call_id: str, handle: agents.voice.SpeechHandle) -> None:
        if handle not in self._served.values():
            task = asyncio.create_task(self._watch(handle), name="toolguard:livekit-speech")
            self._watching.add(task)
            task.add_done_callback(self._watching.discard)
        self._served[call_id] = handle

    def _shield(self, no_turn: bool) -> None:
        """LiveKit interrupts silent tools when it ends a turn: not for a listening noise, which it takes for one."""
        speeches = {handle for handle in self._served.values() if handle is not self._room.current_speech}
        for handle in self._shielded if not no_turn else ():
            if not handle.interrupted:
                handle.allow_interruptions = True
        self._shielded = (
            {one for one in speeches if one.allow_interruptions and not one.interrupted} if no_turn else set()
        )
        for handle in self._shielded:
            handle.allow_interruptions = False

    async def _watch(self, handle: agents.voice.SpeechHandle) -> None:
        """A speech that the application cuts off while it is heard is not to be answered by itself (O5)."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def ended(_handle: agents.voice.SpeechHandle) -> None:
            if not over.done():
                over.set_result(None)

        handle.add_done_callback(ended)
        await handle.wait_if_not_interrupted([over])
        heard = self._room.current_speech is handle and self._room.agent_state == "speaking"
        if handle.interrupted and heard and not self._caller.speaking and self._caller.settled.is_set():
            self._silenced.add(handle.id)
            for call_id in [one for one, speech in self._served.items() if speech is handle]:
                slot = self._session.state.by_call_id.get((self._session.state.context, call_id))
                if slot is not None:
                    self._session.interrupted(self._session.state.slots[slot].generation)
                    break

    # -- what LiveKit tells -------------------------------------------------------------------------------------

    def reported(self, call_id: str) -> None:
        """A body has told LiveKit of its progress: it cannot hand the conversation over any more."""
        self._reported.add(call_id)

    def executed(self, event: agents.FunctionToolsExecutedEvent) -> agents.voice.SpeechHandle | None:
        """LiveKit has the outputs of a response; now it replies to them, or says nothing (O5).

        Returns:
            The speech that they belong to, where a guarded call is among them.
        """
        ids = {call.call_id for call in event.function_calls}
        ours = [self._served.pop(call_id) for call_id in ids if call_id in self._served]
        port = self._port
        if port is None or not ours:
            return None
        handle = ours[0]
        replies = event.has_tool_reply and not handle.interrupted
        owed = port.replying & ids
        port.replying -= ids
        if owed and not replies and handle.id not in self._silenced:
            self._session.not_told(owed)
        for output in event.function_call_outputs:
            agent = self._handing.pop(output.call_id, None)
            if agent is not None and not event.has_agent_handoff:
                self._hand_over_after_all(agent, output, port)
        return handle

    def _hand_over_after_all(self, agent: agents.Agent, output: agents.FunctionCallOutput, port: LiveKitPort) -> None:
        """LiveKit drops a hand-off whose speech was cut off; it is committed, so it happens (I09)."""
        output.output, output.is_error = str(port.given[output.call_id].result.output), False
        self._room.update_agent(agent)

    def stop(self) -> None:
        """The session ends."""
        for task in self._watching:
            task.cancel()

    # -- hand-off tools -----------------------------------------------------------------------------------------

    async def _value(self, live: Live, value: Any) -> Any:
        """The end of a body: one that returns an agent hands the conversation over to it (H3)."""
        agent, rest = _agent_in(value)
        context: agents.RunContext[Any] | None = live.injected.get(CONTEXT)
        if agent is None or context is None or self._port is None:
            return value
        call_id = context.function_call.call_id
        if call_id in self._reported:
            raise Refused(
                f"{live.tool.name} returned an agent after a progress update, which LiveKit does not take",
                advice="Hand over before the first ctx.update(), or without one.",
            )
        handed = self._session.state.handed
        if handed is None or handed.run != live.run.number:
            await self._session.hand_off(to=agent.id, in_place=True)
        self._port.handed[call_id] = agent
        if rest is not None:
            return rest
        self._session.interrupted(self._session.state.slots[live.run.calls[0]].generation)  # the next agent speaks
        return {"handed_to": agent.id}


def _agent_in(value: Any) -> tuple[agents.Agent | None, Any]:
    """The agent that a tool returned, and what else."""
    if isinstance(value, agents.Agent):
        return value, None
    whole: Any = value
    if isinstance(value, list | tuple | set | frozenset):
        parts: list[Any] = list(whole)
        found = [one for one in parts if isinstance(one, agents.Agent)]
        others = [one for one in parts if not isinstance(one, agents.Agent)]
        if len(found) == 1:
            return found[0], None if not others else others[0] if len(others) == 1 else others
    return None, whole
