"""Pipecat's LLM workers: what a guarded ``@tool`` asks for, frames or a hand-over, follows its result, or never comes.

::

    class FrontDesk(GuardedTools):                       # as LLMWorker; or (GuardedTools, LLMContextWorker)
        @tool
        @toolguard.mutation(identity="slot")
        async def book(self, params: FunctionCallParams, slot: str):
            \"\"\"Book an appointment.\"\"\"
            await self.queue_frame(TTSSpeakFrame("Booked."))
            await params.result_callback({"booked": await calendar.book(slot)})
            await self.activate_worker("billing", deactivate_self=True)

    front = FrontDesk("front", llm=llm, bridged=())
    guard = Guard("journal/", tools=[front.book])
    async with protect(main, guard, id="conv-42") as conversation:
        hook(conversation, front)
        await runner.run()

``LLMWorker`` flushes what a tool has queued, and makes the hand-over that it has asked for, when the tool is cancelled
too (``LLMWorker._track_tool_call``), and the interruption waits for that. The caller is heard by the worker with the
transport, so the policy decides for calls of every worker that is hooked, also of one that has handed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.adapters.pipecat_doors import events_at
from toolguard.adapters.pipecat_features import FrameDirection
from toolguard.errors import FeatureMissing, ToolguardError
from toolguard.tools.ambient import BENCH

try:
    from pipecat.workers.llm import LLMWorker
except ImportError as error:
    raise FeatureMissing(
        "the installed Pipecat has no workers",
        feature="pipecat.workers.llm.LLMWorker",
        advice="pip install 'toolguard-voice[pipecat]'",
    ) from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolguard.adapters.pipecat_events import PipecatEvents
    from toolguard.adapters.pipecat_features import frames
    from toolguard.core.slots import Slot

    Act = Callable[[], Awaitable[None]]

__all__ = ["GuardedTools"]


class GuardedTools(LLMWorker):
    """An ``LLMWorker`` whose guarded tools may queue frames, hand over and end the session.

    Frames that a guarded tool queues, and what it asks for by ``activate_worker`` or ``end``, are held until its
    result stands in the context: frames in order, then the last hand-over or ending, as Pipecat does it. A call that
    ends in any other way takes them with it. Everything else is as in ``LLMWorker``.
    """

    def __init__(self, *args: Any, defer_tool_frames: bool = True, **options: Any) -> None:
        self._holds_frames = defer_tool_frames
        self._held: dict[str, _Held] = {}
        super().__init__(*args, defer_tool_frames=defer_tool_frames, **options)

    async def queue_frame(self, frame: frames.Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """Queue a frame; one of a guarded tool's follows its result, unless ``defer_tool_frames`` is off."""
        plain: Any = super()
        held = self._holding() if self._holds_frames else None
        if held is None:
            await plain.queue_frame(frame, direction)
        else:
            held.frames.append(lambda: plain.queue_frame(frame, direction))

    async def activate_worker(self, worker_name: str, **options: Any) -> None:
        """Activate another worker; for a guarded tool, when its result has been delivered.

        With ``deactivate_self`` the conversation is that worker's from here on, and the journal says so (H3).
        """
        plain: Any = super()

        async def hand_over() -> None:
            if options.get("deactivate_self"):
                await self._recorded(worker_name)
            await plain.activate_worker(worker_name, **options)

        await self._afterwards(hand_over)

    async def end(self, **options: Any) -> None:
        """End the session; for a guarded tool, when its result has been delivered."""
        plain: Any = super()
        await self._afterwards(lambda: plain.end(**options))

    async def _recorded(self, worker_name: str) -> None:
        """The conversation changes hands in this session: the same context, and the same caller."""
        worker: Any = self
        events = events_at(worker.llm)
        if events is None or events.session.agent == worker_name:
            return
        try:
            await events.session.hand_off(to=worker_name, in_place=True)
        except ToolguardError as error:
            events.session.noticed("hand_off_not_recorded", str(error))

    async def _afterwards(self, act: Act) -> None:
        held = self._holding()
        if held is None:
            await act()
        else:
            held.at_last = act

    def _holding(self) -> _Held | None:
        """What is held for the guarded call of this worker whose body is running here."""
        worker: Any = self
        bench, events = BENCH.get(), events_at(worker.llm)
        if bench is None or events is None:
            return None
        session, _, number = bench.view().ref.rpartition("/")
        slot = events.session.state.slots.get(int(number)) if session == events.session.id else None
        params = events.calls.params.get(slot.call_id) if slot is not None else None
        if slot is None or params is None or params.pipeline_worker is not self:
            return None
        held = self._held.get(slot.call_id)
        if held is None:
            held = self._held[slot.call_id] = _Held()
            events.calls.on_landed(slot.call_id, lambda: self._landed(events, slot))
        return held

    async def _landed(self, events: PipecatEvents, slot: Slot) -> None:
        held = self._held.pop(slot.call_id, None)
        run = events.session.state.runs.get(slot.run)
        if held is not None and run is not None and run.happened:
            for act in held.acts:
                await act()


class _Held:
    """What a running tool has asked for."""

    def __init__(self) -> None:
        self.frames: list[Act] = []
        self.at_last: Act | None = None

    @property
    def acts(self) -> list[Act]:
        return [*self.frames, *([self.at_last] if self.at_last is not None else [])]
