"""The way out to Pipecat: answers stand in the context at once, its own ``result_callback`` follows in call order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolguard.adapters import pipecat_context as shown
from toolguard.adapters.pipecat_features import NOT_RECOGNIZED, FrameDirection, frames, time_now_iso8601
from toolguard.core.outbox import interim
from toolguard.engine.port import Traits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from toolguard.adapters.pipecat_features import FunctionCallParams, LLMContext, PipelineWorker
    from toolguard.engine.port import Parcel
    from toolguard.engine.session import Session

_LANDS_WITHIN = 5.0
"""Seconds that a reply waits for results which are on their way through the pipeline, behind audio for example."""
_TURN_ENDS_WITHIN = 0.05
"""Seconds in which word of a turn's end has passed through the pipeline."""

TRAITS = Traits(
    adapter="pipecat",
    evidence="heard",
    confirms=False,
    speech_ends=True,
    transcribes=True,
    starts_replies=True,
    words_first=True,
    keys=True,
)


class PipecatPort:
    """Gives Pipecat what the session sends.

    Every answer is written into the context where the call stands, so that a model which is asked at this very moment
    reads it. Pipecat is told by the call's own ``result_callback`` that the call has ended, and asked for a reply
    apart: its assistant aggregator holds the reply while somebody speaks, and asks the model once.

    Args:
        worker: The pipeline's worker.
        context: The context of its aggregators, None until the first one is seen.
    """

    def __init__(self, worker: PipelineWorker, context: LLMContext | None) -> None:
        self._worker = worker
        self.context = context
        self.session: Session | None = None
        self.calls: dict[str, FunctionCallParams] = {}
        """Calls that Pipecat waits for, by id."""
        self.arrived: set[str] = set()
        """Calls that Pipecat has written into a context."""
        self.afterwards: dict[str, Callable[[], Awaitable[None]]] = {}
        """What a handler wants to follow when its result stands in the context."""
        self._texts: dict[str, str] = {}
        self._first: dict[str, int] = {}
        self._placed = asyncio.Event()
        self._unseen: dict[str, tuple[str, str]] = {}
        self._landing: dict[str, asyncio.Event] = {}
        self._jobs: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._asking: asyncio.Task[None] | None = None
        self._stopped = False
        self.asked = False
        """A reply was asked for and no model has been asked since."""
        self.wordless = False
        """The caller was understood, and Pipecat gets none of the words: it must not say that it heard nothing."""
        self.open = 0
        """How many calls of the session are open."""
        self._task = asyncio.create_task(self._work(), name="toolguard:pipecat-out")

    @property
    def traits(self) -> Traits:
        """What Pipecat's pipeline can do."""
        return TRAITS

    # -- what the engine asks for -------------------------------------------------------------------------------

    def place(self, parcel: Parcel) -> None:
        """Write an answer where its call stands; add news at the end."""
        if parcel.note or not parcel.call_id:
            self._note(parcel)
            return
        call_id, session = parcel.call_id, self.session
        params = self.calls.get(call_id)
        context = params.context if params is not None else self.context
        if session is None:
            return
        slot = session.state.slots[parcel.calls[0]]
        first = self._first.setdefault(call_id, slot.number)
        if slot.number != first:  # the id was used before: its place has another answer
            self._tell(parcel)
            self.repeat(call_id)
            return
        value = shown.result_of(session.state, slot, parcel.text)
        text = self._texts[call_id] = shown.written(value)
        self._unseen[parcel.item] = call_id, text
        if context is not None and shown.put(context, call_id, text):
            self.arrived.add(call_id)
        if parcel.form not in shown.INTERIM:
            self._end(call_id, value)
            self._end_others(session, slot.run)
        self._placed.set()
        self._placed = asyncio.Event()

    def _tell(self, parcel: Parcel) -> None:
        """Add what has no place of its own at the end."""
        if self.context is not None:
            shown.tell(self.context, parcel.text)
            self._unseen[parcel.item] = "", parcel.text

    def _end_others(self, session: Session, number: int) -> None:
        """A result has its one showing: other calls of the run, which got a placeholder, have ended for Pipecat too."""
        run = session.state.runs.get(number)
        for call_id in [session.state.slots[call].call_id for call in run.calls] if run is not None else ():
            if call_id in self._texts:
                self._end(call_id, shown.parsed(self._texts[call_id]))

    def _note(self, parcel: Parcel) -> None:
        """News about calls whose answer has been read already: Pipecat's own account of them ends as well."""
        session = self.session
        if session is None or self.context is None:
            return
        self._tell(parcel)
        for number in parcel.calls:
            call_id = session.state.slots[number].call_id
            self._end(call_id, shown.parsed(self._texts.get(call_id, parcel.text)))

    def _end(self, call_id: str, value: Any) -> None:
        params = self.calls.pop(call_id, None)
        if params is None:
            return
        landed = self._landing[call_id] = asyncio.Event()

        async def updated() -> None:
            landed.set()
            self._landing.pop(call_id, None)
            self.arrived.add(call_id)
            shown.drop_echoes(params.context, self._texts)
            afterwards = self.afterwards.pop(call_id, None)
            if afterwards is not None:
                await afterwards()

        properties = frames.FunctionCallResultProperties(run_llm=False, on_context_updated=updated)
        self._jobs.put_nowait(lambda: params.result_callback(value, properties=properties))

    def ask_reply(self) -> None:
        """Ask for speech, behind the results that are still on their way into the context."""
        self.asked = True
        if self._asking is not None:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._ask(), name="toolguard:pipecat-ask")

    def say(self, text: str) -> None:
        """Speak a filler that leaves no trace in the context."""
        self._jobs.put_nowait(
            lambda: self._worker.queue_frame(frames.TTSSpeakFrame(text=text, append_to_context=False))
        )

    def in_flight(self, calls: int) -> None:
        """How many calls are open: while there are any, a mere listening noise makes no turn."""
        self.open = calls

    # -- what the adapter asks for ------------------------------------------------------------------------------

    def expect(self, params: FunctionCallParams) -> None:
        """Pipecat waits for this call."""
        self.calls.setdefault(params.tool_call_id, params)
        if self.context is None:
            self.context = params.context

    def arrives(self, call_id: str) -> None:
        """Pipecat has written a call into the context; one that came again stands there once."""
        self.arrived.add(call_id)
        if self.context is not None:
            shown.drop_repeat(self.context, call_id)

    def repeat(self, call_id: str) -> None:
        """A call id came again: what was answered then is the answer now (S5)."""
        text = self._texts.get(call_id, "")
        if text and not shown.interim(text):
            self._end(call_id, shown.parsed(text))

    def asking(self, context: LLMContext) -> None:
        """The model is about to read ``context``: what was answered stands in it, or is added (O3, O4)."""
        self.context, self.asked = context, False
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        standing = shown.outputs(context)
        for call_id, message in standing.items():
            if call_id in self._texts:
                self.arrived.add(call_id)
                if shown.is_open(message["content"]):
                    message["content"] = self._texts[call_id]
        if self.session is not None:
            shown.sweep(context, self.session.state, self._texts.keys() | self.calls.keys())
        shown.drop_echoes(context, self._texts)
        if self.wordless:
            self.wordless = False
            shown.drop_last(context, NOT_RECOGNIZED)
        told = {str(message.get("content")) for message in context.get_messages() if isinstance(message, dict)}
        for item, (call_id, text) in list(self._unseen.items()):
            gone = call_id in self.arrived and call_id not in standing if call_id else text not in told
            if gone:  # the context was replaced since
                shown.tell(context, text)
            if gone or not call_id or call_id in standing:
                del self._unseen[item]

    def leaving(self) -> None:
        """The pipeline is cancelled: what is saved of its context now says of open calls that they are running."""
        session = self.session
        for slot in list(session.state.slots.values()) if session is not None else []:
            params = self.calls.get(slot.call_id)
            if session is not None and params is not None and not slot.sent:
                running = interim(session.state, slot)
                shown.put(params.context, slot.call_id, shown.written(shown.parsed(running.text)))

    def ask_again(self) -> None:
        """A turn of the caller has ended without a word: a reply that was held for it is asked for again."""
        if self.asked:
            asyncio.get_running_loop().call_later(_TURN_ENDS_WITHIN, self._again)

    def _again(self) -> None:
        if self.asked and not self._stopped:
            self.ask_reply()

    def no_words(self) -> None:
        """What opened a turn was a noise: Pipecat is told that no words come, or it holds every reply for seconds."""
        frame = frames.TranscriptionFrame(" ", "", time_now_iso8601(), finalized=True)
        self._jobs.put_nowait(lambda: self._worker.queue_frame(frame))

    async def answered(self, calls: Collection[int], within: float) -> None:
        """Wait until these calls have their answers, or for so many seconds."""
        session = self.session
        try:
            async with asyncio.timeout(within):
                while session is not None and any(not session.state.slots[call].sent for call in calls):
                    await self._placed.wait()
        except TimeoutError:
            return

    def stop(self) -> None:
        """The session has ended: nothing of ours goes into the pipeline any more."""
        self._stopped = True
        self._task.cancel()
        if self._asking is not None:
            self._asking.cancel()

    # -- Pipecat's side -----------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Wait until Pipecat has been told what there is to tell."""
        await self._jobs.join()

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                await job()
            except Exception as error:  # noqa: BLE001 - whatever Pipecat raises, the session goes on and the trail says so
                self._notice("pipecat_refused", f"{type(error).__name__}: {error}")
            finally:
                self._jobs.task_done()

    async def _ask(self) -> None:
        await self._jobs.join()
        try:
            async with asyncio.timeout(_LANDS_WITHIN):
                for landed in list(self._landing.values()):
                    await landed.wait()
        except TimeoutError:
            self._notice("pipecat_slow", "a result is still on its way through the pipeline")
        frame = frames.LLMMessagesAppendFrame(messages=[], run_llm=True)
        frame.interruptible = False
        await self._worker.queue_frame(frame, FrameDirection.UPSTREAM)

    def _notice(self, code: str, text: str) -> None:
        if self.session is not None:
            self.session.noticed(code, text)
