"""The way out to a speech-to-speech model behind LiveKit: what it has to know, and what it was not told."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_features import agents
from toolguard.adapters.livekit_port import Given, LiveKitPort
from toolguard.adapters.livekit_realtime_context import at_once, calls, combined, outputs, running
from toolguard.adapters.livekit_realtime_turns import Turns
from toolguard.engine.port import Parcel, Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    ChatItem = agents.llm.ChatItem
    Capabilities = agents.llm.RealtimeCapabilities
    RealtimeSession = agents.llm.RealtimeSession[Any]

CONFIRMED_WITHIN = 6.0
"""Seconds after which an output that LiveKit has given is looked for; its plugins wait five for the provider."""
PASSES_WITHIN = 1.0
"""Seconds that LiveKit waits for an output which is on its way to the provider already."""
GIVE_AGAIN = 3
PAUSE = 0.5
"""Seconds until what the provider has not taken is given to it again."""
BEGINS_WITHIN = 10.0
LOOKS_EVERY = 0.02
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
    )


class LiveKitRealtimePort(LiveKitPort):
    """Gives a realtime session what the guarded session sends.

    An output answers the tool's call that waits for it, and LiveKit passes it on, once: where the provider does not
    confirm it, it is given again from here (O4). News goes into the agent's context and the provider's as one.

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
        able: What its model can do.
    """

    def __init__(self, agent_session: agents.AgentSession[Any], able: Capabilities) -> None:
        super().__init__(agent_session, traits_of(able, hears=agent_session.stt is not None))
        self._able = able
        self._owed: dict[str, tuple[ChatItem, ...]] = {}
        self._refusals = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self._giving: set[asyncio.Task[Any]] = set()
        self.turns = Turns(self._judge)
        self.fillers: set[str] = set()
        """Ids of the speeches that are fillers."""
        self.is_cut_off: Callable[[str], bool] = lambda _call_id: False
        """Whether the speech of a call was interrupted; the calls' side says so."""
        self.is_handing_over: Callable[[], bool] = lambda: False
        """Whether LiveKit is about to be told of another agent; the calls' side says so."""
        self._last: RealtimeSession | None = None
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
        self.traits = traits_of(self._able, hears=self._room.stt is not None, starts=not self.turns.managed)

    @property
    def answers_by_itself(self) -> bool:
        """Whether the provider replies to outputs, whoever wants it."""
        return self._able.auto_tool_reply_generation

    @property
    def line(self) -> RealtimeSession | None:
        """The realtime session of the agent that has the conversation; None before it begins and between agents."""
        try:
            return self._room.current_agent.realtime_llm_session
        except RuntimeError:
            return None

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
            self._give_beside(self._answer(parcel))

    async def _pass(self, parcel: Parcel, answer: asyncio.Future[agents.ToolResult], result: agents.ToolResult) -> None:
        """Let the provider have an output first; LiveKit then finds it there."""
        giving = asyncio.ensure_future(self._behind_its_call(parcel))
        self._beside.add(giving)
        giving.add_done_callback(self._beside.discard)
        await asyncio.wait({giving}, timeout=PASSES_WITHIN)
        if not answer.done():
            answer.set_result(result)

    async def _behind_its_call(self, parcel: Parcel) -> None:
        line = self.line
        call = calls(line.chat_ctx.items).get(parcel.call_id) if line is not None else None
        if line is None or call is None or not self._able.mutable_chat_context:
            return
        output = agents.FunctionCallOutput(
            id=parcel.item, call_id=parcel.call_id, name=call.name, output=parcel.text, is_error=False
        )
        async with self._writing:
            items = list(line.chat_ctx.items)
            if parcel.call_id in outputs(items):
                return
            place = items.index(call) + 1
            while place < len(items) and items[place].type in {"function_call", "function_call_output"}:
                place += 1
            items.insert(place, output)
            try:
                await line.update_chat_ctx(agents.ChatContext(items))
            except agents.llm.RealtimeError as error:
                self._notice("not_taken", f"the provider has not taken an output: {error}")

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
        if self._room.tts is not None or self._able.supports_say:
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

    def stop(self) -> None:
        """The session has ended."""
        super().stop()
        for timer in self._timers:
            timer.cancel()

    # -- what the adapter saw -----------------------------------------------------------------------------------

    def executed(self, event: agents.FunctionToolsExecutedEvent) -> None:
        """LiveKit has these outputs, and is about to pass on what the provider does not have yet."""
        there = outputs(self.line.chat_ctx.items) if self.line is not None else {}
        for output in event.function_call_outputs:
            given = self.given.get(output.call_id)
            if given is not None:
                output.id = given.item  # it is the same item, wherever it is given (O4)
            if output.call_id not in there:
                self._owed[output.call_id] = (output,)
        self._later(CONFIRMED_WITHIN, self.look)

    def confirmed(self, item: ChatItem) -> None:
        """The provider has an item."""
        if isinstance(item, agents.FunctionCallOutput):
            self._owed.pop(item.call_id, None)
            self.shown([item])

    def began(self) -> None:
        """A response has begun."""
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
        if self._owed and not self._giving:
            self._give_beside(self._again())

    def rebuilt(self) -> None:
        """The provider's connection was replaced: whatever the agent's context has and the provider lacks is given."""
        self._give_beside(self._put_there(()))

    def forget(self, item: str) -> None:
        """Take an item of the caller out of the conversation: it was no turn."""
        self._give_beside(self._put_there((), without=item))

    def as_known(self, items: Sequence[ChatItem], agent: agents.Agent) -> list[ChatItem]:
        """The same items, but as the provider has them where it does: it then has nothing to do about them."""
        there = self._last.chat_ctx.items if self._last is not None else ()
        given, made, own = outputs(there), calls(there), calls(agent.chat_ctx.items)
        told = outputs(items)
        found: list[ChatItem] = []
        for item in items:
            if isinstance(item, agents.FunctionCall):
                if item.call_id not in own:
                    same = item.call_id in given and given[item.call_id].output == told[item.call_id].output
                    found.append(made[item.call_id] if same and item.call_id in made else item)
            elif isinstance(item, agents.FunctionCallOutput):
                same = item.call_id in given and given[item.call_id].output == item.output
                known = given[item.call_id] if same else item
                call = own.get(item.call_id) or made.get(item.call_id)
                at = item.created_at if call is None else call.created_at
                found.append(known.model_copy(update={"created_at": at}))  # right behind its call
            else:
                found.append(item)
        return found

    def lay(self, items: Sequence[ChatItem], agent: agents.Agent) -> None:
        """Put items into the context of an agent that is about to begin: its model gets them with the rest of it."""
        context = agent.chat_ctx.copy()
        new = [item for item in items if context.get_by_id(item.id) is None]
        if new:
            context.insert(new)
            at_once(agent.update_chat_ctx(context, exclude_invalid_function_calls=False))
            self._room.history.insert([item for item in new if self._room.history.get_by_id(item.id) is None])

    async def put(self, items: Sequence[ChatItem], agent: agents.Agent | None = None) -> None:
        """Put items into an agent's context, and into the provider's where it has begun."""
        to = agent or self._room.current_agent
        if running(to):
            await self._put_there(items)
            self._room.history.insert([item for item in items if self._room.history.get_by_id(item.id) is None])
        else:
            self.lay(items, to)

    # -- LiveKit's side -----------------------------------------------------------------------------------------

    def _give_beside(self, work: Any) -> None:
        before = set(self._beside)
        self._run(work, "give")
        self._giving |= self._beside - before
        for task in self._beside - before:
            task.add_done_callback(self._giving.discard)

    async def _again(self) -> None:
        """Give what LiveKit has passed on in vain; the model has to be asked again where it had not seen that."""
        line = self.line
        if line is None or not self._owed:
            return
        known = calls(line.chat_ctx.items)
        new = [item for call_id, items in self._owed.items() if call_id in known or len(items) > 1 for item in items]
        taken = await self._put_there(new)
        if self.session is not None and taken:
            self.session.not_told(taken)

    async def _put_there(self, new: Sequence[ChatItem], *, without: str = "") -> list[str]:
        """Put items into the agent's context and the provider's, again where the provider fails (O4, H6).

        Returns:
            The calls whose outputs the provider has now.
        """
        async with self._writing:
            for attempt in range(GIVE_AGAIN):
                agent, line = self._room.current_agent, self.line
                theirs = line.chat_ctx.items if line is not None else ()
                try:
                    context = combined(agent.chat_ctx.items, theirs, new, without=without)
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
        self._owed[parcel.call_id] = (known, output)
        await self._put_there([known, output])

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

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
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
