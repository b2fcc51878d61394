"""The way out to LiveKit: outputs answer the tool call that waits for them, notes go into the agent's chat context."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from toolguard.adapters.livekit_features import agents
from toolguard.core.outbox import interim
from toolguard.engine.port import Parcel, Traits

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from toolguard.engine.session import Session

_PIPELINE = Traits(
    adapter="livekit",
    evidence="heard",
    confirms=True,
    speech_ends=True,
    transcribes=True,
    starts_replies=True,
    words_first=True,
    keys=True,
)


class Given(NamedTuple):
    """What a call was answered with."""

    result: agents.ToolResult
    item: str


class LiveKitPort:
    """Gives LiveKit what the session sends, at the moment at which LiveKit takes it.

    LiveKit runs its own loop: it asks for a call's output by awaiting the tool, and replies to outputs by itself. So
    an output resolves the future that the tool's call waits for, and most requests for a reply are answered already.

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
        traits: What its kind of model can do; by default a pipeline's.
    """

    def __init__(self, agent_session: agents.AgentSession[Any], traits: Traits = _PIPELINE) -> None:
        self._room = agent_session
        self.traits = traits
        self._waiting: dict[str, asyncio.Future[agents.ToolResult]] = {}
        self._beside: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()
        self._confirmed: set[str] = set()
        self._beside_of: dict[str, list[tuple[str, bool]]] = {}
        self._made_again: dict[int, str] = {}
        self.session: Session | None = None
        self.taking = ""
        """The call that the session is being given right now."""
        self.given: dict[str, Given] = {}
        """What each call was answered with, by call id."""
        self.made: dict[str, float] = {}
        """When each call was made, on the clock of LiveKit's contexts."""
        self.handed: dict[str, agents.Agent] = {}
        """The agent that a hand-off tool has returned, by its call id, until LiveKit has it."""
        self.noted: dict[str, tuple[int, ...]] = {}
        """Of which calls each note tells, by its call id."""
        self.replying: set[str] = set()
        """Calls whose outputs LiveKit has and will speak about by itself."""
        self.responses = 0
        """How many model responses have begun."""

    # -- what the engine asks for -------------------------------------------------------------------------------

    def place(self, parcel: Parcel) -> None:
        """Give an output to the call that waits for it; put a note into the chat context."""
        if parcel.note or not parcel.call_id:
            self._run(self._note(parcel), "note")
            return
        session = self.session
        reply = parcel.reply and not (session is not None and session.line_taken(parcel.calls))
        result = agents.ToolResult(parcel.text, reply_required=reply)
        name = parcel.call_id
        if parcel.form == "conflict":  # its call id is that of another call
            name = self._made_again.get(parcel.calls[0]) or self.taking or name
        self._give(name, parcel, result)
        for again, to_turn in self._beside_of.pop(name, ()):
            self._give(again, parcel, agents.ToolResult(parcel.text, reply_required=reply and to_turn))
        if parcel.form == "incomplete":
            self._run(self._pair(parcel), "pair")

    def _give(self, name: str, parcel: Parcel, result: agents.ToolResult) -> None:
        self.given[name] = Given(result, parcel.item)
        answer = self._waiting.pop(name, None)
        if answer is not None and not answer.done():
            answer.set_result(result)
            if result.reply_required:
                self.replying.add(name)

    def ask_reply(self) -> None:
        """Ask for speech, except where LiveKit replies to an output by itself."""
        if not self.replying:
            self._run(self._reply(self.responses), "reply")

    def say(self, text: str) -> None:
        """Speak a filler that leaves no trace in the chat context."""
        try:
            self._room.say(text, add_to_chat_ctx=False)
        except RuntimeError as error:
            self._notice("filler_refused", str(error))

    def in_flight(self, calls: int) -> None:
        """LiveKit has no use for it."""

    # -- what the adapter asks for ------------------------------------------------------------------------------

    def expect(self, call: agents.FunctionCall) -> asyncio.Future[agents.ToolResult]:
        """The future of a call's output."""
        self.made.setdefault(call.call_id, call.created_at)
        answer = self._waiting[call.call_id] = asyncio.get_running_loop().create_future()
        return answer

    def repeat(self, call_id: str, first: str, number: int, *, reply: bool) -> None:
        """A call was made again under the id of the first one: what that is answered is the answer (S5).

        Args:
            call_id: Its id in LiveKit's contexts.
            first: The id that the model has given it.
            number: Its slot, where it is one of its own.
            reply: Whether somebody waits for speech about it.
        """
        if call_id not in self._waiting:
            return
        slot = self.session.state.slots.get(number) if self.session is not None else None
        if slot is not None and slot.verdict == "conflict":
            self._made_again[number] = call_id
            return
        given = self.given.get(first)
        if given is None:
            self._beside_of.setdefault(first, []).append((call_id, reply))
            return
        result = agents.ToolResult(given.result.output, reply_required=reply)
        self.given[call_id] = Given(result, given.item)
        self._waiting.pop(call_id).set_result(result)

    def answer(self, call_id: str) -> str:
        """What one of our calls is answered with as things stand: finally, or with a placeholder; empty for others."""
        given = self.given.get(call_id)
        if given is not None:
            return str(given.result.output)
        state = self.session.state if self.session is not None else None
        number = state.by_call_id.get((state.context, call_id)) if state is not None else None
        return interim(state, state.slots[number]).text if state is not None and number is not None else ""

    def shown(self, items: Sequence[agents.llm.ChatItem]) -> None:
        """The model is asked with these items: what of ours is among them has reached it (O4)."""
        session = self.session
        for item in items:
            if item.type == "function_call_output" and session is not None:
                given = self.given.get(item.call_id)
                name = given.item if given is not None and given.result.output == item.output else item.id
                if name not in self._confirmed and name in session.state.items:
                    self._confirmed.add(name)
                    session.delivered(name)

    async def put(self, items: Sequence[agents.llm.ChatItem], agent: agents.Agent | None = None) -> None:
        """Put items into an agent's chat context, and into the session's history, unless they are there."""
        async with self._writing:
            to = agent or self._room.current_agent
            context = to.chat_ctx.copy()
            new = [item for item in items if context.get_by_id(item.id) is None]
            if new:
                context.insert(new)
                await to.update_chat_ctx(context, exclude_invalid_function_calls=False)
                self._room.history.insert([item for item in new if self._room.history.get_by_id(item.id) is None])

    async def replace(self, agent: agents.Agent, items: Sequence[agents.llm.ChatItem]) -> None:
        """Let an agent's chat context be these items: nobody has used it yet."""
        async with self._writing:
            await agent.update_chat_ctx(agents.llm.ChatContext(list(items)), exclude_invalid_function_calls=False)

    def stop(self) -> None:
        """The session has ended; whoever still waits gets no output."""
        for task in self._beside:
            task.cancel()
        for answer in self._waiting.values():
            answer.cancel()
        self._waiting.clear()

    # -- LiveKit's side -----------------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, None], what: str) -> None:
        task = asyncio.create_task(self._checked(work), name=f"toolguard:livekit-{what}")
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _checked(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever LiveKit raises, the session goes on and the trail says so
            self._notice("livekit_refused", f"{type(error).__name__}: {error}")

    async def _note(self, parcel: Parcel) -> None:
        """Add news the way LiveKit adds results of its own background tools: as a closed pair of a new call id."""
        if self.session is None:
            return
        slot = self.session.state.slots[parcel.calls[0]]
        call = agents.FunctionCall(
            id=f"{parcel.item[:30]}_c",
            call_id=parcel.item,
            name=slot.tool,
            arguments=slot.arguments.decode(),
        )
        output = agents.FunctionCallOutput(
            id=parcel.item, call_id=parcel.item, name=slot.tool, output=parcel.text, is_error=False
        )
        self.noted[parcel.item] = parcel.calls
        await self.put([call, output])
        moved = self.handed.pop(slot.call_id, None)
        if moved is not None:
            self._room.update_agent(moved)

    async def _pair(self, parcel: Parcel) -> None:
        """Show a call that LiveKit was not given, with its answer."""
        if self.session is not None:
            name = self.session.state.slots[parcel.calls[0]].tool
            call = agents.FunctionCall(id=f"{parcel.item[:30]}_c", call_id=parcel.call_id, name=name, arguments="{}")
            output = agents.FunctionCallOutput(
                id=parcel.item, call_id=parcel.call_id, name=name, output=parcel.text, is_error=True
            )
            await self.put([call, output])

    async def _reply(self, before: int) -> None:
        await self._room.wait_for_idle()
        if self.responses == before and self.session is not None:
            self._room.generate_reply()

    def _notice(self, code: str, text: str) -> None:
        if self.session is not None:
            self.session.noticed(code, text)
