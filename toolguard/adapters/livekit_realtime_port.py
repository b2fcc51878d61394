"""The way out to a speech-to-speech model behind LiveKit: what it has to know, and what it was not told."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_features import agents
from toolguard.adapters.livekit_port import LiveKitPort
from toolguard.adapters.livekit_realtime_context import calls, combined, outputs
from toolguard.engine.port import Parcel, Traits

if TYPE_CHECKING:
    from collections.abc import Sequence

    ChatItem = agents.llm.ChatItem
    RealtimeSession = agents.llm.RealtimeSession[Any]

CONFIRMED_WITHIN = 6.0
"""Seconds after which an output that LiveKit has given is looked for; its plugins wait five for the provider."""
GIVE_AGAIN = 3
PAUSE = 0.5
"""Seconds until what the provider has not taken is given to it again."""
CALM_WITHIN = 10.0
"""Seconds that news waits for the agent's speech to end; then it is given all the same (H6)."""
REPLIES = 3
"""How often a reply is asked for that the provider refuses."""


class LiveKitRealtimePort(LiveKitPort):
    """Gives a realtime session what the guarded session sends.

    An output answers the tool's call that waits for it, and LiveKit passes it on, once: where the provider does not
    confirm it, it is given again from here (O4). News goes into the agent's context and the provider's as one.

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
    """

    def __init__(self, agent_session: agents.AgentSession[Any]) -> None:
        super().__init__(agent_session)
        self._owed: dict[str, tuple[ChatItem, ...]] = {}
        self._items: dict[str, str] = {}
        self._refusals = 0
        self._busy: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self.calm = asyncio.Event()
        """Nothing is being said, and nothing about to be."""
        self.calm.set()

    @property
    def traits(self) -> Traits:
        """What LiveKit can do with the model that the agent has now."""
        able = self._able()
        return Traits(
            adapter="livekit_realtime",
            evidence="heard",
            confirms=True,
            speech_ends=True,
            transcribes=able is None or able.user_transcription or self._room.stt is not None,
            starts_replies=True,
            notes=able is None or able.mutable_chat_context,
        )

    def _able(self) -> agents.llm.RealtimeCapabilities | None:
        line = self.line
        if line is not None:
            return line.capabilities
        model = self._room.llm
        return model.capabilities if isinstance(model, agents.llm.RealtimeModel) else None

    @property
    def answers_by_itself(self) -> bool:
        """Whether the provider replies to outputs, whoever wants it."""
        able = self._able()
        return able is not None and able.auto_tool_reply_generation

    @property
    def line(self) -> RealtimeSession | None:
        """The realtime session of the agent that has the conversation; None before it begins and between agents."""
        try:
            return self._room.current_agent.realtime_llm_session
        except RuntimeError:
            return None

    # -- what the engine asks for -------------------------------------------------------------------------------

    def place(self, parcel: Parcel) -> None:
        """Give an output to the call that waits for it; what nobody waits for goes into the contexts."""
        if parcel.call_id and not parcel.note:
            self._items[parcel.call_id] = parcel.item
            if parcel.call_id not in self._waiting:
                self._jobs.put_nowait(lambda: self._answer(parcel))
                return
        super().place(parcel)

    def ask_reply(self) -> None:
        """Ask for speech, except where LiveKit replies to an output by itself."""
        if self.replying:
            return
        task = asyncio.create_task(self._reply(self.responses), name="toolguard:livekit-reply")
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    def stop(self) -> None:
        """The session has ended."""
        super().stop()
        for task in self._busy:
            task.cancel()
        for timer in self._timers:
            timer.cancel()

    # -- what the adapter saw -----------------------------------------------------------------------------------

    def executed(self, event: agents.FunctionToolsExecutedEvent) -> None:
        """LiveKit has these outputs, and is about to pass them on."""
        for output in event.function_call_outputs:
            if output is not None:
                self._owed[output.call_id] = (output,)
        self._later(CONFIRMED_WITHIN, self.look)

    def confirmed(self, item: ChatItem) -> None:
        """The provider has an item."""
        if isinstance(item, agents.FunctionCallOutput):
            self._owed.pop(item.call_id, None)
            named = self._items.pop(item.call_id, "")
            if named and self.session is not None:
                self.session.delivered(named)

    def began(self) -> None:
        """A response has begun that was asked for."""
        self.responses += 1
        self._refusals = 0

    def look(self) -> None:
        """Give again what LiveKit has passed on and the provider does not have."""
        line = self.line
        if line is None:
            return
        there = outputs(line.chat_ctx.items)
        for call_id in list(self._owed):
            if call_id in there:
                self.confirmed(there[call_id])
        if self._owed:
            self._jobs.put_nowait(self._again)

    def rebuilt(self) -> None:
        """The provider's connection was replaced: whatever the agent's context has and the provider lacks is given."""
        self._jobs.put_nowait(lambda: self._give(()))

    # -- LiveKit's side -----------------------------------------------------------------------------------------

    async def _again(self) -> None:
        """Give what LiveKit has passed on in vain; the model has to be asked again where it had not seen that."""
        line = self.line
        if line is None or not self._owed:
            return
        known = calls(line.chat_ctx.items)
        new = [item for call_id, items in self._owed.items() if call_id in known or len(items) > 1 for item in items]
        taken = await self._give(new)
        if self.session is not None and taken:
            self.session.not_told(taken)

    async def _give(self, new: Sequence[ChatItem]) -> list[str]:
        """Put items into the agent's context and the provider's, again where the provider fails (O4, H6).

        Returns:
            The calls whose outputs the provider has now.
        """
        for attempt in range(GIVE_AGAIN):
            agent, line = self._room.current_agent, self.line
            theirs = line.chat_ctx.items if line is not None else ()
            try:
                context = combined(agent.chat_ctx.items, theirs, new)
                await agent.update_chat_ctx(context, exclude_invalid_function_calls=False)
                break
            except agents.llm.RealtimeError as error:
                self._notice("not_taken", f"the provider has not taken an update: {error}")
                await asyncio.sleep(PAUSE * (attempt + 1))
        there = outputs(self.line.chat_ctx.items) if self.line is not None else {}
        given = outputs(new)
        for call_id, item in given.items():
            if call_id in there:
                self.confirmed(item)
            elif self._owed.pop(call_id, None):
                self._notice("not_confirmed", f"the provider never confirmed the output of {call_id}")
        return [call_id for call_id in given if call_id in there]

    async def _answer(self, parcel: Parcel) -> None:
        """An output that no call of LiveKit's waits for: the call has never been run, or not by this agent."""
        line = self.line
        known = calls(line.chat_ctx.items).get(parcel.call_id) if line is not None else None
        if known is None or line is None or parcel.call_id in outputs(line.chat_ctx.items):
            return
        output = agents.FunctionCallOutput(
            id=parcel.item, call_id=parcel.call_id, name=known.name, output=parcel.text, is_error=False
        )
        self._owed[parcel.call_id] = (output,)
        await self._give([known, output])

    async def _note(self, parcel: Parcel) -> None:
        """Add news the way LiveKit adds results of its own background tools: as a closed pair of a new call id."""
        if self.session is None:
            return
        await self._quiet()
        slot = self.session.state.slots[parcel.calls[0]]
        call = agents.FunctionCall(
            id=f"{parcel.item}_c", call_id=parcel.item, name=slot.tool, arguments=slot.arguments.decode()
        )
        output = agents.FunctionCallOutput(
            id=parcel.item, call_id=parcel.item, name=slot.tool, output=parcel.text, is_error=False
        )
        self._items[parcel.item] = parcel.item
        self._owed[parcel.item] = (call, output)
        if self._room.history.get_by_id(parcel.item) is None:
            self._room.history.insert([call, output])
        await self._give([call, output])

    async def _quiet(self) -> None:
        """What the agent is saying is in no context yet: wait until it is (H6: not for ever)."""
        try:
            async with asyncio.timeout(CALM_WITHIN):
                await self.calm.wait()
        except TimeoutError:
            return

    async def _reply(self, before: int) -> None:
        await self._jobs_done()
        await self._room.wait_for_idle()
        session = self.session
        if self.responses != before or session is None:
            return
        handle = self._room.generate_reply()
        await handle.wait_for_playout()
        error = handle.exception()
        if self.responses == before:
            self._refused(str(error) if error is not None else "it was interrupted before it began")

    def _refused(self, why: str) -> None:
        if self.session is None:
            return
        self._refusals += 1
        if self._refusals > REPLIES:
            self._notice("reply_given_up", f"a reply was refused {REPLIES} times: {why}")
            return
        self.session.reply_refused(why)

    async def _jobs_done(self) -> None:
        """What was to be given before the reply has been given."""
        done = asyncio.Event()

        async def reached() -> None:
            done.set()

        self._jobs.put_nowait(reached)
        await done.wait()

    def _later(self, seconds: float, work: Any) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            work()

        timer = asyncio.get_running_loop().call_later(seconds, fire)
        self._timers.add(timer)


def whole(line: RealtimeSession | None, call: agents.FunctionCall) -> bool:
    """Whether a call's arguments came as complete JSON: LiveKit mends them before it runs a tool (O10)."""
    sent = line.chat_ctx.get_by_id(call.id) if line is not None else None
    arguments = sent.arguments if isinstance(sent, agents.FunctionCall) else call.arguments
    try:
        json.loads(arguments or call.arguments or "{}")
    except json.JSONDecodeError:
        return False
    return True
