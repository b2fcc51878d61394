"""The way out to a speech-to-speech model behind LiveKit: what it has to know, and what it was not told."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_features import agents
from toolguard.adapters.livekit_port import Given
from toolguard.adapters.livekit_realtime_provider import LOOKS_EVERY, Provider
from toolguard.adapters.livekit_realtime_turns import Turns
from toolguard.engine.port import Parcel, Traits

if TYPE_CHECKING:
    from collections.abc import Callable

    ChatItem = agents.llm.ChatItem
    Capabilities = agents.llm.RealtimeCapabilities
    RealtimeSession = agents.llm.RealtimeSession[Any]

PASSES_WITHIN = 1.0
"""Seconds that LiveKit waits for an output which is on its way to the provider already."""
BEGINS_WITHIN = 10.0
CALM_WITHIN = 10.0
"""Seconds that news waits for the agent's speech to end; then it is given all the same (H6)."""
REPLIES = 3
"""How often a reply is asked for that the provider refuses."""


def traits_of(able: Capabilities, *, hears: bool, starts: bool = True) -> Traits:
    """What LiveKit can do with a model of these capabilities.

    Args:
        able: The capabilities.
        hears: Whether LiveKit transcribes by itself.
        starts: Whether the provider answers the caller's turns by itself now.
    """
    return Traits(
        adapter="livekit_realtime",
        evidence="heard",
        confirms=True,
        speech_ends=True,
        transcribes=able.user_transcription or hears,
        starts_replies=starts,
        notes=able.mutable_chat_context,
        keys=True,
    )


class LiveKitRealtimePort(Provider):
    """Gives a realtime session what the guarded session sends.

    An output answers the tool's call that waits for it, and LiveKit passes it on, once: where the provider does not
    confirm it, it is given again from here (O4). News goes into the agent's context and the provider's as one.

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
        able: What its model can do.
    """

    def __init__(self, agent_session: agents.AgentSession[Any], able: Capabilities) -> None:
        super().__init__(agent_session, traits_of(able, hears=_has(agent_session, "stt")))
        self._able = able
        self._refusals = 0
        self.turns = Turns(self._judge)
        self.fillers: set[str] = set()
        """Ids of the speeches that are fillers."""
        self.is_cut_off: Callable[[str], bool] = lambda _call_id: False
        """Whether the speech of a call was interrupted; the calls' side says so."""
        self.is_handing_over: Callable[[], bool] = lambda: False
        """Whether LiveKit is about to be told of another agent; the calls' side says so."""
        self._asking: set[asyncio.Task[None]] = set()
        self.agent: agents.Agent | None = None
        """The agent that has begun last."""
        self.calm = asyncio.Event()
        """Nothing is being said, and nothing about to be."""
        self.calm.set()

    def met(self, line: RealtimeSession) -> None:
        """The agent that has the conversation now has this realtime session."""
        known, self._last = line is self._last, line
        self._able, self.agent = line.capabilities, self._room.current_agent
        if not known:
            self.turns.met(line)
        self._judge()

    def _judge(self) -> None:
        self.traits = traits_of(self._able, hears=_has(self._room, "stt"), starts=not self.turns.managed)

    @property
    def answers_by_itself(self) -> bool:
        """Whether the provider replies to outputs, whoever wants it."""
        return self._able.auto_tool_reply_generation

    # -- what the engine asks for -------------------------------------------------------------------------------

    def place(self, parcel: Parcel) -> None:
        """Give an output to the provider, right behind its call (O1), and then to LiveKit's call that waits for it.

        LiveKit would put it at the end, behind what the caller has said since, and only when the whole batch has ended.
        What no call waits for goes into the contexts.
        """
        if parcel.note or not parcel.call_id or parcel.form == "conflict":
            self._give_beside(self._note(parcel))
            self.repeat(parcel.call_id, parcel.call_id, 0, reply=False)
        elif parcel.call_id in self._waiting:
            answer = self._waiting.pop(parcel.call_id)
            result = agents.ToolResult(parcel.text, reply_required=parcel.reply and self._may_reply(parcel))
            self.given[parcel.call_id] = Given(result, parcel.item)
            if result.reply_required:
                self.replying.add(parcel.call_id)
            self._give_beside(self._pass(parcel, answer, result))
        else:
            self._give_beside(self.answer_there(parcel))

    async def _pass(self, parcel: Parcel, answer: asyncio.Future[agents.ToolResult], result: agents.ToolResult) -> None:
        """Let the provider have an output first; LiveKit then finds it there."""
        if self._able.mutable_chat_context:
            giving = asyncio.ensure_future(self.behind_its_call(parcel))
            self._beside.add(giving)
            giving.add_done_callback(self._beside.discard)
            await asyncio.wait({giving}, timeout=PASSES_WITHIN)
        if not answer.done():
            answer.set_result(result)

    def _may_reply(self, parcel: Parcel) -> bool:
        """Whether LiveKit may reply to an output by itself: it would also while the caller speaks (O5).

        Where another agent is about to take over, that one has the next word.
        """
        taken = self.session is not None and self.session.line_taken(parcel.calls)
        leaving = self._room.current_agent is not self.agent or self._handing_over
        return self.answers_by_itself or not (taken or leaving or self.is_cut_off(parcel.call_id))

    @property
    def _handing_over(self) -> bool:
        return bool(self.handed) or self.is_handing_over()

    def take_back(self) -> bool:
        """Ask for no reply that is still to be asked for; True where there was one."""
        asking, self._asking = self._asking, set()
        for task in asking:
            task.cancel()
        return bool(asking)

    def expect(self, call: agents.FunctionCall) -> asyncio.Future[agents.ToolResult]:
        """The future of a call's output, one for all that wait for the same call."""
        waiting = self._waiting.get(call.call_id)
        return super().expect(call) if waiting is None else waiting

    def repeat(self, call_id: str, first: str, number: int, *, reply: bool) -> None:  # noqa: ARG002
        """A call came again under its id: it stands there once, and what it was answered is the answer (S5)."""
        given = self.given.get(first)
        answer = self._waiting.pop(call_id, None) if given is not None else None
        if answer is not None and given is not None and not answer.done():
            answer.set_result(agents.ToolResult(given.result.output, reply_required=reply))

    def say(self, text: str) -> None:
        """Speak a filler: by a voice of LiveKit's, or by the model, whose words are then taken out of the contexts."""
        if _has(self._room, "tts") or self._able.supports_say:
            super().say(text)
            return
        handle = self._room.generate_reply(
            instructions=f'Say exactly this and nothing else: "{text}"', tool_choice="none"
        )
        self.fillers.add(handle.id)
        handle.add_done_callback(self._filled)

    def _filled(self, handle: agents.voice.SpeechHandle) -> None:
        for item in handle.chat_items:
            self.forget(item.id)

    def in_flight(self, calls: int) -> None:
        """While calls run, replies to the caller's turns are ours where that is possible (O5)."""
        self.turns.in_flight(calls)

    # -- what the adapter saw -----------------------------------------------------------------------------------

    def began(self) -> None:
        """A response has begun."""
        self.responses += 1
        self._refusals = 0

    # -- LiveKit's side -----------------------------------------------------------------------------------------

    async def _note(self, parcel: Parcel) -> None:
        """Add news when what the agent is saying is in its context, as a closed pair of a new call id."""
        try:
            async with asyncio.timeout(CALM_WITHIN):
                await self.calm.wait()
        except TimeoutError:
            pass
        await super()._note(parcel)

    async def _reply(self, before: int) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        while self._giving:
            await asyncio.wait(self._giving)
        if not await self._idle() or self.responses != before or self.session is None:
            return
        handle = self._room.generate_reply()
        await handle.wait_for_playout()
        if task is not None:
            self._asking.discard(task)
        if self.responses == before:
            error = handle.exception()
            self._refused(str(error) if error is not None else "it was interrupted before it began")

    async def _idle(self) -> bool:
        """Wait until nobody speaks, and no agent is about to take over; False where the conversation is over."""
        try:
            async with asyncio.timeout(BEGINS_WITHIN):
                while self._between_agents:  # noqa: ASYNC110 - LiveKit has no bell for it
                    await asyncio.sleep(LOOKS_EVERY)
            await self._room.wait_for_idle()
        except TimeoutError:
            return False
        except Exception as error:  # LiveKit does not export the class of it
            if type(error).__name__ != "ActivityClosedError":
                raise
            return False
        return True

    @property
    def _between_agents(self) -> bool:
        return self.line is None or self._room.current_agent is not self.agent or self._handing_over

    def _refused(self, why: str) -> None:
        self._refusals += 1
        if self.session is not None and self._refusals <= REPLIES:
            self.session.reply_refused(why)
        else:
            self._notice("reply_given_up", f"a reply was refused {REPLIES} times: {why}")


def _has(room: Any, what: str) -> bool:
    return getattr(room, what) is not None


def whole(line: RealtimeSession | None, call: agents.FunctionCall) -> bool:
    """Whether a call's arguments came as complete JSON: LiveKit mends them before it runs a tool (O10)."""
    sent = line.chat_ctx.get_by_id(call.id) if line is not None else None
    arguments = sent.arguments if isinstance(sent, agents.FunctionCall) else call.arguments
    try:
        json.loads(arguments or call.arguments or "{}")
    except json.JSONDecodeError:
        return False
    return True
