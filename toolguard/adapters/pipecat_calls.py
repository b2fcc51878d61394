"""Pipecat's calls of guarded tools: journaled, let go at once, their unchanged bodies run in tasks of our own."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import json
import typing
import weakref
from typing import TYPE_CHECKING, Any

from toolguard.adapters.pipecat_features import FunctionCallParams, frames
from toolguard.errors import DeclarationError
from toolguard.tools.ambient import BENCH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from toolguard.adapters.pipecat_port import PipecatPort
    from toolguard.engine.session import Session
    from toolguard.tools.shape import Shape
    from toolguard.tools.tool import Tool

    Call = Callable[[Mapping[str, Any]], Awaitable[Any]]

_TAIL = 0.25
"""Seconds that a body which has reported its result may take to end before the result goes its way without it."""


class GuardedCallParams(FunctionCallParams):
    """What a guarded body gets: Pipecat's own parameters, but for the ``result_callback``."""


class _Report:
    """What a handler says by its ``result_callback``: the first final call of it is the body's result."""

    def __init__(
        self, session: Session, params: FunctionCallParams, passed_on: Callable[[Any], Awaitable[None]]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.value: asyncio.Future[Any] = loop.create_future()
        self.out_of_reach: asyncio.Future[None] = loop.create_future()
        self._session = session
        self._params = params
        self._passed_on = passed_on
        self.silent = False
        self.updated: Callable[[], Awaitable[None]] | None = None

    async def say(self, result: Any, properties: frames.FunctionCallResultProperties | None) -> None:
        if properties is not None and not properties.is_final:
            await self._passed_on(result)
            return
        if self.value.done():
            name, call_id = self._params.function_name, self._params.tool_call_id
            self._session.noticed(
                "result_again", f"{name} reported a result again; the first one stands", call_id=call_id
            )
            return
        if properties is not None:
            self.silent, self.updated = properties.run_llm is False, properties.on_context_updated
        self.value.set_result(result)

    def nobody(self) -> None:
        """The callback is out of everybody's reach: no report will come any more."""
        if not self.out_of_reach.done():
            self.out_of_reach.set_result(None)


class _Callback:
    """The ``result_callback`` of a guarded body; whoever holds it may still report."""

    __slots__ = ("__weakref__", "_report")

    def __init__(self, report: _Report) -> None:
        self._report = report

    async def __call__(self, result: Any, *, properties: frames.FunctionCallResultProperties | None = None) -> None:
        await self._report.say(result, properties)


class PipecatCalls:
    """Serves the calls of one session.

    Args:
        port: Its way out; None where it only watches.
        spare: Makes parameters for a body whose call came in another process.
    """

    def __init__(self, port: PipecatPort | None, spare: Callable[[str], FunctionCallParams]) -> None:
        self._port = port
        self._spare = spare
        self.session: Session | None = None
        self.params: dict[str, FunctionCallParams] = {}
        self._watched: dict[int, FunctionCallParams] = {}
        self._tails: set[asyncio.Task[Any]] = set()
        self.tools: dict[str, Tool[..., Any]] = {}
        self._batches: dict[str, set[str]] = {}
        self._generations: dict[str, str] = {}
        self.outside = contextvars.copy_context()
        """The context of the conversation, outside of all calls."""

    def adapt(self, tools: Iterable[Tool[..., Any]]) -> list[Tool[..., Any]]:
        """These tools as the session runs them: those that take ``FunctionCallParams`` get their own."""
        made: list[Tool[..., Any]] = []
        for tool in tools:
            hidden = [name for name, kind in tool.shape.injected.items() if _wants_params(kind)]
            made.append(self._adapted(tool, hidden) if hidden else tool)
            self.tools[tool.name] = made[-1]
        return made

    def _adapted(self, tool: Tool[..., Any], hidden: list[str]) -> Tool[..., Any]:
        async def run(call: Call) -> Any:
            watched = self._watched.pop(id(asyncio.current_task()), None)
            if watched is not None:
                return await call(dict.fromkeys(hidden, watched))
            return await self._run(tool.name, hidden, call)

        return tool.adapted(run, lambda: dict.fromkeys(hidden, self._current(tool.name)), hidden)

    async def watch(self, tool: Tool[..., Any], params: FunctionCallParams) -> Any:
        """Observe mode: the plain handler, in Pipecat's own task and with its own parameters.

        A function that knows nothing of Pipecat cannot report its result, so that is done for it.
        """
        session = self.session
        if session is None:
            return None
        task = id(asyncio.current_task())
        self._watched[task] = params
        try:
            value = await session.take(self._known(tool), None, (), dict(params.arguments))
        finally:
            self._watched.pop(task, None)
        if not any(_wants_params(kind) for kind in tool.shape.injected.values()):
            await params.result_callback(json.loads(tool.dump_result(value)))
        return value

    def receive(
        self, tool: Tool[..., Any], params: FunctionCallParams, generation: str, index: int, behind: int = 0
    ) -> int:
        """Take a call: it is planned in the journal and set in motion; nothing here waits for it.

        Returns:
            Its order number.
        """
        self._known(tool)
        session, port = self.session, self._port
        if session is None or port is None:
            return 0
        call_id = params.tool_call_id
        again = call_id in self.params
        self.params.setdefault(call_id, params)
        port.expect(params)
        self._generations[call_id] = generation
        self._batches.setdefault(generation, set()).add(call_id)
        number = self._place_of(params).run(
            session.receive,
            call_id,
            tool.name,
            dict(params.arguments),
            generation=generation,
            index=index,
            behind=behind,
        )
        slot = session.state.slots.get(number)
        if again and slot is not None and slot.sent:
            port.repeat(call_id)
        return number

    def _place_of(self, params: FunctionCallParams) -> contextvars.Context:
        """Where a body runs: as its handler would, but outside of the ``@tool`` of a worker that has ended already.

        What is queued inside one is held until it ends (``LLMWorker.queue_frame``), and nothing ends it again.
        """
        in_worker = hasattr(params.pipeline_worker, "tool_call_active")
        return self.outside.copy() if in_worker else contextvars.copy_context()

    def _known(self, tool: Tool[..., Any]) -> Tool[..., Any]:
        """A tool as the session runs it; one that only the context lists becomes the session's with its first call."""
        if tool.name not in self.tools and self.session is not None:
            (known,) = self.adapt([tool])
            self.session.bring(known)
        if self.tools[tool.name].spec is not tool.spec:
            raise DeclarationError(
                f"two tools are named {tool.name}", advice="Give one of them name='...', or list the guard's own."
            )
        return self.tools[tool.name]

    def on_landed(self, call_id: str, act: Callable[[], Awaitable[None]]) -> None:
        """Let something follow when the answer of a call stands in the context, behind what does so already."""
        port = self._port
        if port is None:
            return
        before = port.afterwards.get(call_id)

        async def both() -> None:
            if before is not None:
                await before()
            await act()

        port.afterwards[call_id] = both

    def on_reported(self, call_id: str, *, silent: bool, updated: Callable[[], Awaitable[None]] | None) -> None:
        """A body has reported, with Pipecat's properties: no reply is wanted, something is to follow the update."""
        if updated is not None:
            self.on_landed(call_id, updated)
        generation = self._generations.get(call_id, "")
        batch = self._batches.get(generation, set())
        if silent:
            batch.discard(call_id)
        if silent and not batch and self.session is not None:
            self.session.interrupted(generation)

    # -- the body -----------------------------------------------------------------------------------------------

    def _current(self, name: str) -> FunctionCallParams:
        """Pipecat's parameters of the call that the running body serves."""
        bench, session = BENCH.get(), self.session
        if bench is not None and session is not None:
            slot = session.state.slots.get(int(bench.view().ref.rpartition("/")[2]))
            if slot is not None and slot.call_id in self.params:
                return self.params[slot.call_id]
        return self._spare(name)

    async def _run(self, name: str, hidden: list[str], call: Call) -> Any:
        session = self.session
        if session is None:
            raise DeclarationError(f"{name} was called before its session began")
        params = self._current(name)
        report = _Report(session, params, lambda value: self._update(params, value))
        task = asyncio.ensure_future(_called(call, hidden, params, report))
        try:
            await asyncio.wait({task, report.value}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=_TAIL)
        except asyncio.CancelledError:
            await _stopped(task)
        if not task.done():  # it has reported, and does something afterwards that nobody waits for
            self._tails.add(task)
            task.add_done_callback(lambda done: self._ended(name, done))
        elif report.value.done():
            self._ended(name, task)
        else:
            returned = await task
            if returned is None:  # it may still report, as long as somebody holds the callback
                await asyncio.wait({report.value, report.out_of_reach}, return_when=asyncio.FIRST_COMPLETED)
            if not report.value.done():
                return returned
        value = report.value.result()
        self.on_reported(params.tool_call_id, silent=report.silent, updated=report.updated)
        return value

    def _ended(self, name: str, task: asyncio.Task[Any]) -> None:
        self._tails.discard(task)
        if not task.cancelled() and task.exception() is not None and self.session is not None:
            self.session.noticed("raised_after_result", f"{name}: {task.exception()!r}"[:300])

    async def _update(self, params: FunctionCallParams, value: Any) -> None:
        """An intermediate result goes its way, where Pipecat takes it."""
        properties = frames.FunctionCallResultProperties(is_final=False)
        await params.result_callback(value, properties=properties)


async def _called(call: Call, hidden: list[str], params: FunctionCallParams, report: _Report) -> Any:
    """Run the body with a callback that only the body holds: when it is gone, nobody reports any more."""
    callback = _Callback(report)
    weakref.finalize(callback, _out_of_reach, asyncio.get_running_loop(), report).atexit = False
    fields: dict[str, Any] = {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    fields["result_callback"] = callback
    own = GuardedCallParams(**fields)
    del callback, fields
    given = dict.fromkeys(hidden, own)
    del own
    running = call(given)
    del given
    return await running


def _out_of_reach(loop: asyncio.AbstractEventLoop, report: _Report) -> None:
    """Garbage is collected in any thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(report.nobody)


async def _stopped(task: asyncio.Task[Any]) -> None:
    """Cancel the body as the one that it is, however it takes that."""
    task.cancel()
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
    if task.cancelled():
        raise asyncio.CancelledError


def with_arguments(
    function: Callable[[FunctionCallParams], Awaitable[Any]], shape: Shape
) -> tuple[Shape, Callable[..., Awaitable[Any]]]:
    """A handler that reads ``params.arguments``, as a function of its arguments; and the shape of that."""

    async def called(params: FunctionCallParams, **arguments: Any) -> Any:
        return await function(dataclasses.replace(params, arguments=arguments) if arguments else params)

    return dataclasses.replace(shape, injected={"params": FunctionCallParams}), called


def _wants_params(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return "FunctionCallParams" in annotation
    kind = typing.get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, FunctionCallParams):
        return True
    return any(_wants_params(part) for part in typing.get_args(annotation))
