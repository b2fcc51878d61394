"""The way out to LiveKit: outputs answer the tool call that waits for them, notes go into the agent's chat context."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_features import agents
from toolguard.engine.port import Parcel, Traits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolguard.engine.session import Session

_PIPELINE = Traits(
    adapter="livekit",
    evidence="heard",
    confirms=False,
    speech_ends=True,
    transcribes=True,
    starts_replies=True,
    words_first=True,
)


class LiveKitPort:
    """Gives LiveKit what the session sends, at the moment at which LiveKit takes it.

    LiveKit runs its own loop: it asks for a call's output by awaiting the tool, and replies to outputs by itself. So
    an output resolves the future that the tool's call waits for, and most requests for a reply are answered already.

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
    """

    def __init__(self, agent_session: agents.AgentSession[Any]) -> None:
        self._room = agent_session
        self._waiting: dict[str, asyncio.Future[agents.ToolResult]] = {}
        self._given: dict[str, agents.ToolResult] = {}
        self._jobs: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self.session: Session | None = None
        self.replying: set[str] = set()
        """Calls whose outputs LiveKit has and will speak about by itself."""
        self.responses = 0
        """How many model responses have begun."""
        self._task = asyncio.create_task(self._work(), name="toolguard:livekit-out")

    @property
    def traits(self) -> Traits:
        """What LiveKit's pipeline (speech to text, model, text to speech) can do."""
        return _PIPELINE

    # -- what the engine asks for -------------------------------------------------------------------------------

    def place(self, parcel: Parcel) -> None:
        """Give an output to the call that waits for it; put a note into the chat context."""
        if parcel.note or not parcel.call_id:
            self._jobs.put_nowait(lambda: self._note(parcel))
            return
        session = self.session
        reply = parcel.reply and not (session is not None and session.caller_has_floor)
        result = self._given[parcel.call_id] = agents.ToolResult(parcel.text, reply_required=reply)
        answer = self._waiting.pop(parcel.call_id, None)
        if answer is not None and not answer.done():
            answer.set_result(result)
            if reply:
                self.replying.add(parcel.call_id)

    def ask_reply(self) -> None:
        """Ask for speech, except where LiveKit replies to an output by itself."""
        if not self.replying:
            before = self.responses
            self._jobs.put_nowait(lambda: self._reply(before))

    def say(self, text: str) -> None:
        """Speak a filler that leaves no trace in the chat context."""
        try:
            self._room.say(text, add_to_chat_ctx=False)
        except RuntimeError as error:
            self._notice("filler_refused", str(error))

    def in_flight(self, calls: int) -> None:
        """LiveKit has no use for it."""

    # -- what the adapter asks for ------------------------------------------------------------------------------

    def expect(self, call_id: str) -> asyncio.Future[agents.ToolResult]:
        """The future of a call's output."""
        answer = self._waiting[call_id] = asyncio.get_running_loop().create_future()
        return answer

    def repeat(self, call_id: str) -> None:
        """A call id came again: what was answered then is the answer now (S5)."""
        answer, given = self._waiting.get(call_id), self._given.get(call_id)
        if answer is not None and given is not None:
            self._waiting.pop(call_id)
            answer.set_result(given)

    def stop(self) -> None:
        """The session has ended; whoever still waits gets no output."""
        self._task.cancel()
        for answer in self._waiting.values():
            answer.cancel()
        self._waiting.clear()

    # -- LiveKit's side -----------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                await job()
            except Exception as error:  # noqa: BLE001 - whatever LiveKit raises, the session goes on and the trail says so
                self._notice("livekit_refused", f"{type(error).__name__}: {error}")

    async def _note(self, parcel: Parcel) -> None:
        """Add news the way LiveKit adds results of its own background tools: as a closed pair of a new call id."""
        if self.session is None:
            return
        slot = self.session.state.slots[parcel.calls[0]]
        call = agents.FunctionCall(
            id=f"{parcel.item}_c", call_id=parcel.item, name=slot.tool, arguments=slot.arguments.decode()
        )
        output = agents.FunctionCallOutput(
            id=parcel.item, call_id=parcel.item, name=slot.tool, output=parcel.text, is_error=False
        )
        agent = self._room.current_agent
        context = agent.chat_ctx.copy()
        if context.get_by_id(parcel.item) is None:
            context.insert([call, output])
            await agent.update_chat_ctx(context, exclude_invalid_function_calls=False)
            self._room.history.insert([call, output])

    async def _reply(self, before: int) -> None:
        await self._room.wait_for_idle()
        if self.responses == before and self.session is not None:
            self._room.generate_reply()

    def _notice(self, code: str, text: str) -> None:
        if self.session is not None:
            self.session.noticed(code, text)
