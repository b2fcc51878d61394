"""One run's attempts: the body on a task or a thread, its time limit, and retries only where the effect allows."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.law import Phase
from toolguard.engine.body import Body
from toolguard.errors import ClaimLost, Fenced
from toolguard.tools.ambient import BENCH, DESK

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.engine.live import Live
    from toolguard.engine.motion import Motion
    from toolguard.engine.outcome import Outcomes


class _TryAgain(Exception):  # noqa: N818 - a signal between an attempt and tenacity, never seen outside
    """The attempt did not work and may be repeated."""


class Attempts:
    """Runs bodies for :class:`toolguard.engine.execution.Execution`."""

    def __init__(self, engine: Motion, outcomes: Outcomes) -> None:
        self._engine = engine
        self._outcomes = outcomes

    async def all(self, live: Live) -> None:
        """The first attempt, and as many more as the tool's ``retry`` and its effect allow."""
        limit = live.spec.retry.attempts
        try:
            await self.one(live, last=limit <= 1)
        except _TryAgain:
            retry = live.spec.retry
            tries = 1
            async for attempt in AsyncRetrying(
                stop=stop_after_attempt(limit - 1),
                wait=wait_random_exponential(multiplier=retry.first_wait, max=retry.max_wait),
                retry=retry_if_exception_type(_TryAgain),
                sleep=self._pause(live),
                reraise=True,
            ):
                with attempt:
                    if tries == 1:
                        await asyncio.sleep(retry.first_wait)
                    tries += 1
                    await self.one(live, last=tries >= limit)

    def _pause(self, live: Live) -> Callable[[float], Any]:
        async def pause(seconds: float) -> None:
            self._engine.notice("retry", f"again in {seconds:.2f} s", run=live.run.number)
            await asyncio.sleep(seconds)

        return pause

    async def one(self, live: Live, *, last: bool) -> None:
        """One attempt, from gate to record."""
        engine, run = self._engine, live.run
        number = run.attempt + 1
        body = Body(engine, live, number)
        outcomes = self._outcomes
        try:
            if run.effect.writes and live.spec.commits == "at_start":
                await engine.commit(live, number)
            else:
                if run.effect.writes:
                    engine.ledger.write(r.Began(run=run.number, attempt=number))
                self.arm(live, live.spec.time_limit)
            live.begun = True
            value = await self._invoke(live, body)
        except asyncio.CancelledError:
            raise
        except (ClaimLost, Fenced):
            raise
        except BaseException as error:
            if run.phase.final:
                return
            if self._may_repeat(live, error, last=last):
                await self._prepare_again(live, number, error)
                raise _TryAgain from error
            await outcomes.raised(live, number, error)
        else:
            await outcomes.returned(live, number, value)

    def _may_repeat(self, live: Live, error: BaseException, *, last: bool) -> bool:
        if last or live.given_up or live.left or not isinstance(error, Exception):
            return False
        if live.run.effect is Effect.MUTATION:
            return self._outcomes.did_not_happen(live, error) and not live.stop_reason
        if live.run.effect is Effect.IDEMPOTENT_WRITE:
            return not live.stop_reason and self._outcomes.newest(live)
        return not live.stop_reason

    async def _prepare_again(self, live: Live, number: int, error: BaseException) -> None:
        """Bring the run into a phase from which the next attempt may start."""
        engine, run = self._engine, live.run
        why = f"{type(error).__name__}: {error}"
        if run.effect is Effect.MUTATION:
            self._outcomes.fail(live, number, "did_not_happen", why, refused=True, tell=False)
            self._outcomes.replan(live)
        elif run.phase is Phase.COMMITTING:
            engine.ledger.write(r.Lost(run=run.number, attempt=number, why=why))
        live.window = live.committed = live.left = False
        engine.disarm(live)

    def arm(self, live: Live, seconds: float, *, started: bool = False) -> None:
        """Start the time limit, or go on with the rest of it after the gate (G7)."""
        if live.timer is not None:
            return
        loop = asyncio.get_running_loop()
        rest = live.time_left if started and live.begun and live.time_left else seconds
        live.timer_due = loop.time() + rest
        live.timer = loop.call_later(rest, self._engine.overdue, live)

    async def _invoke(self, live: Live, body: Body) -> Any:
        DESK.set(None)
        BENCH.set(body)
        fresh, spec = self._engine.fresh, live.spec
        if fresh is None or spec.fresh_for <= 0 or spec.scope == "session":
            return await self._body(live)
        token, kept = await fresh.look(self._engine.scope_of(spec.scope), live.run.intent)
        if kept is not None:
            live.cached = True
            return live.tool.load_result(kept)
        value = await self._body(live)
        raw, warning = self._outcomes.dump(live, value)
        if not warning:
            await fresh.keep(live.run.intent, token, bytes(raw), spec.fresh_for)
        return value

    async def _body(self, live: Live) -> Any:
        call = live.tool.body(live.arguments, live.injected)
        value = await (call() if live.tool.is_async else self._in_thread(live, call))
        return value if self._engine.on_value is None else await self._engine.on_value(live, value)

    async def _in_thread(self, live: Live, call: Callable[[], Any]) -> Any:
        """A sync body in a daemon thread with this task's context; a thread cannot be stopped, only given up."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def settle(value: Any, error: BaseException | None) -> None:
            if future.done():
                self._outcomes.late(live, value, error)
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

        def work() -> None:
            try:
                value, error = context.run(call), None
            except BaseException as raised:  # noqa: BLE001 - carried over to the loop
                value, error = None, raised
            if isinstance(error, StopIteration):
                error = RuntimeError("the body raised StopIteration")
            try:
                loop.call_soon_threadsafe(settle, value, error)
            except RuntimeError:  # the loop is closed: the process is on its way out
                return

        threading.Thread(target=work, name=f"toolguard:{live.run.tool}", daemon=True).start()
        return await future
