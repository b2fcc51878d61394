"""The tools of a play, made from the scenario's list: they take their time, and leave their effects in the ledger."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, cast

import toolguard
from toolguard.core.decision import Decision
from toolguard.core.interrupt import BargeIn
from toolguard.testing.scenarios.threads import Threads

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from toolguard.core.call import ToolCall
    from toolguard.core.interrupt import Interrupt
    from toolguard.testing.scenarios.data import Step, ToolPlan
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.ledger import SideEffects
    from toolguard.tools.tool import Tool

_TYPES: dict[str, type] = {"string": str, "integer": int, "number": float, "boolean": bool, "object": dict}
_CALLS = frozenset({"model.calls", "model.opens_call", "platform.sends"})
NOTHING = "nothing"
"""As a ``text`` of ``tool.returns``: the tool returns None."""


class ToolBroke(RuntimeError):  # noqa: N818 - named for what happened
    """What a scenario's tool raises."""


class Workshop:
    """Makes the tools of one play.

    Args:
        script: The script.
        effects: Where side effects go.
    """

    def __init__(self, script: Script, effects: SideEffects) -> None:
        self._script = script
        self._effects = effects
        self._bodies = 0
        self._ran: dict[str, int] = {}
        self.threads = Threads()
        self.conversation: Any = None

    # -- guarded ------------------------------------------------------------------------------------------------

    def guarded(self) -> list[Tool[..., Any]]:
        """The tools, declared as a developer would."""
        made = {plan.name: self._declared(plan) for plan in self._script.tools}
        for plan in self._script.tools:
            if plan.undo:
                made[plan.name].undo(self._undoing(plan, made[plan.undo]))
        return list(made.values())

    def _undoing(self, plan: ToolPlan, other: Tool[..., Any]) -> Callable[[Any], Any]:
        return lambda _result: other.bind(**self._first_args(plan))

    def _declared(self, plan: ToolPlan) -> Tool[..., Any]:
        body: Any = self._sync_body(plan) if plan.sync else self._body(plan)
        options: dict[str, Any] = dict(plan.options)
        if plan.effect == "read":
            return toolguard.read(**options)(body)
        if plan.commits_at is not None or plan.effect == "handoff":
            options["commits"] = "inside"
        if plan.terminal:
            options["terminal"] = True
        if plan.shield:
            options.setdefault("policy", _shield)
        declare: Any = toolguard.idempotent_write if plan.effect == "idempotent_write" else toolguard.mutation
        made: Tool[..., Any] = declare(identity=plan.identity, **options)(body)
        if plan.probe:
            made.probe(self._probe(plan))
        return made

    def _body(self, plan: ToolPlan) -> Callable[..., Any]:
        async def body(**args: Any) -> Any:
            inside = plan.commits_at is not None or plan.effect == "handoff"
            return await self._work(plan, args, toolguard.committing if inside else _at_start, toolguard.checkpoint)

        return _shaped(body, plan)

    def _sync_body(self, plan: ToolPlan) -> Callable[..., Any]:
        loop = asyncio.get_running_loop()

        def body(**args: Any) -> Any:
            commit: Any = toolguard.committing if plan.commits_at is not None else _blocking
            return self._work_blocking(plan, args, loop, commit, toolguard.checkpoint)

        return _shaped(body, plan)

    def _probe(self, plan: ToolPlan) -> Callable[..., Any]:
        from toolguard.testing.scenarios.ledger import acts_in  # noqa: PLC0415 - read when asked, not before

        async def probe(attempt: Any, **_args: Any) -> Any:
            acts = acts_in(self._effects.path)
            found = any(act.what == "effect" and act.key == attempt.key for act in acts)
            return toolguard.Happened({"found": True}) if found else toolguard.DidNotHappen()

        return _shaped(probe, plan, first="attempt")

    # -- naive --------------------------------------------------------------------------------------------------

    def naive(self) -> dict[str, Callable[..., Any]]:
        """The same bodies as plain functions, without toolguard."""
        return {plan.name: self._naive(plan) for plan in self._script.tools}

    def _naive(self, plan: ToolPlan) -> Callable[..., Any]:
        async def body(**args: Any) -> Any:
            return await self._work(plan, args, _no_commit)

        def blocking(**args: Any) -> Any:
            return self._work_blocking(plan, args, asyncio.get_running_loop(), _blocking)

        return blocking if plan.sync else body

    def schemas(self) -> list[dict[str, Any]]:
        """The tools as the provider's session wants them."""
        return [
            {
                "type": "function",
                "name": plan.name,
                "description": plan.name,
                "parameters": {
                    "type": "object",
                    "properties": {name: {"type": kind} for name, kind in plan.takes.items()},
                    "required": list(plan.takes),
                },
            }
            for plan in self._script.tools
        ]

    # -- what bodies do -----------------------------------------------------------------------------------------

    async def _work(
        self, plan: ToolPlan, args: dict[str, Any], commit: Callable[[], Any], report: Callable[..., Any] | None = None
    ) -> Any:
        returns, seconds = self._next(plan, args)
        number = self._begin(plan, args)
        before = min((plan.commits_at or 0.0) / 1000, seconds)
        try:
            if plan.effect == "read":
                await self._take(seconds, returns, report)
                return self._end(plan, args, number, returns)
            if plan.effect == "handoff":
                await asyncio.sleep(seconds)
                async with commit() as key:
                    handed = await self.conversation.hand_off(to=args["agent"])
                    self._effects.write("effect", plan.name, args, key=key, body=number)
                    result = self._end(plan, args, number, returns)
                    return result if handed is None else handed(result)
            await asyncio.sleep(before)
            if returns is not None and returns.raises and seconds < (plan.commits_at or 0.0) / 1000:
                return self._end(plan, args, number, returns)
            async with commit() as key:
                self._effects.write("effect", plan.name, args, key=key, body=number)
                await asyncio.sleep(seconds - before)
                return self._end(plan, args, number, returns)
        except asyncio.CancelledError:
            self._effects.write("cancelled", plan.name, args, body=number)
            raise

    def _work_blocking(
        self,
        plan: ToolPlan,
        args: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        commit: Callable[[], Any],
        report: Callable[..., Any] | None = None,
    ) -> Any:
        threads = self.threads
        with threads.working(), ExitStack() as stack:
            returns, seconds = self._next(plan, args)
            number = self._begin(plan, args)
            if plan.effect == "read":
                self._take_blocking(loop, seconds, returns, report)
                return self._end(plan, args, number, returns)
            before = min((plan.commits_at or 0.0) / 1000, seconds)
            threads.wait(loop, before)
            with threads.idle():
                key = stack.enter_context(commit())
            self._effects.write("effect", plan.name, args, key=key, body=number)
            threads.wait(loop, seconds - before)
            return self._end(plan, args, number, returns)

    def _take_blocking(
        self, loop: asyncio.AbstractEventLoop, seconds: float, returns: Step | None, report: Callable[..., Any] | None
    ) -> None:
        ends = loop.time() + seconds
        for step in self._script.steps:
            if step.verb == "tool.reports" and returns is not None and step.call == returns.call and report is not None:
                self.threads.wait(loop, ends - (returns.at - step.at) / 1000 - loop.time())
                with self.threads.idle():
                    report(at=step.text)
        self.threads.wait(loop, ends - loop.time())

    async def _take(self, seconds: float, returns: Step | None, report: Callable[..., Any] | None) -> None:
        """Take this long, and report progress where the timeline says so."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        for step in self._script.steps:
            if step.verb == "tool.reports" and returns is not None and step.call == returns.call and report is not None:
                await asyncio.sleep(max(0.0, ends - (returns.at - step.at) / 1000 - loop.time()))
                await report(at=step.text)
        await asyncio.sleep(max(0.0, ends - loop.time()))

    def _begin(self, plan: ToolPlan, args: dict[str, Any]) -> int:
        self._bodies += 1
        self._effects.write("began", plan.name, args, body=self._bodies)
        return self._bodies

    def _end(self, plan: ToolPlan, args: dict[str, Any], number: int, returns: Step | None) -> Any:
        if returns is not None and returns.raises:
            self._effects.write("raised", plan.name, args, body=number)
            raise ToolBroke(returns.raises)
        self._effects.write("returned", plan.name, args, body=number)
        if returns is not None:
            return None if returns.text == NOTHING else returns.value
        return {"ok": True}

    def _next(self, plan: ToolPlan, args: dict[str, Any]) -> tuple[Step | None, float]:
        """What the timeline says of this execution: with what it ends, and after how many seconds."""
        calls = [s for s in self._script.steps if s.verb in _CALLS and s.tool == plan.name and s.args in (args, {})]
        self._ran[plan.name] = nth = self._ran.get(plan.name, 0) + 1
        call = calls[min(nth, len(calls)) - 1] if calls else None
        ends = [s for s in self._script.steps if s.verb == "tool.returns" and call is not None and s.call == call.call]
        if not ends or call is None:
            return None, plan.ms / 1000
        return ends[0], max(0.0, ends[0].at - call.at) / 1000

    def _first_args(self, plan: ToolPlan) -> dict[str, Any]:
        for step in self._script.steps:
            if step.verb in _CALLS and step.tool == plan.name and isinstance(step.args, dict):
                return step.args
        return {}


def _shaped(function: Any, plan: ToolPlan, first: str = "") -> Callable[..., Any]:
    """Give a function the parameters that the scenario's tool takes."""
    kind = inspect.Parameter.KEYWORD_ONLY
    listed = [inspect.Parameter(name, kind, annotation=_TYPES[type_]) for name, type_ in plan.takes.items()]
    if first:
        listed.insert(0, inspect.Parameter(first, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Any))
    function.__name__ = function.__qualname__ = plan.name
    function.__signature__ = inspect.Signature(listed, return_annotation=Any)
    function.__annotations__ = {one.name: one.annotation for one in listed}
    function.__doc__ = f"{plan.name}."
    return cast("Callable[..., Any]", function)


def _shield(_call: ToolCall, interrupt: Interrupt) -> Decision | None:
    """The policy of a tool that the caller's words do not stop; the end of the conversation does."""
    return Decision.go_on("it is not to be interrupted") if isinstance(interrupt, BargeIn) else None


@asynccontextmanager
async def _no_commit() -> AsyncGenerator[str]:
    yield ""


@asynccontextmanager
async def _at_start() -> AsyncGenerator[str]:
    """A guarded write without a commit of its own has committed before its first line."""
    yield toolguard.current_call().key


@contextmanager
def _blocking() -> Generator[str]:
    yield ""
