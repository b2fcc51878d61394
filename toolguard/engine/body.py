"""What a running body reaches: steps, checkpoints and the commit, for its attempt alone (W5-W8, L5)."""

from __future__ import annotations

import asyncio
import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.identity import fingerprint
from toolguard.core.law import Phase
from toolguard.errors import DeclarationError, Refused, StepChanged, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.core.call import ToolCall
    from toolguard.engine.live import Live
    from toolguard.engine.motion import Motion


class Body:
    """The bench of one attempt (see :class:`toolguard.tools.ambient.Bench`)."""

    __slots__ = ("_engine", "_live", "_loop", "_number", "_steps", "in_step")

    def __init__(self, engine: Motion, live: Live, number: int) -> None:
        self._engine = engine
        self._live = live
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._steps: dict[str, int] = {}
        self.in_step = False

    @property
    def _ref(self) -> str:
        return self._engine.ledger.state.run_ref(self._live.run)

    def view(self) -> ToolCall:
        """The call as it stands now."""
        return self._engine.view(self._live.run)

    def _check_current(self, what: str) -> None:
        run = self._live.run
        if run.phase.final or self._live.given_up or (run.attempt and run.attempt != self._number):
            raise Refused(
                f"{what} in attempt {self._number}, which is over ({run.phase.value})",
                ref=self._ref,
                advice="End the body: nothing it does counts any more.",
            )

    def _begin(self) -> None:
        """Say that the body began: a read does so only where something of it is kept."""
        if self._live.run.phase is Phase.PLANNED:
            self._engine.ledger.write(r.Began(run=self._live.run.number, attempt=self._number))

    async def step(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run a read inside the body once; a resumed run gets the kept result (W7)."""
        self._check_current(f"step {name!r}")
        run = self._live.run
        nth = self._steps[name] = self._steps.get(name, 0) + 1
        print_ = fingerprint([list(args), dict(kwargs)])
        kept = run.memos.get((name, nth))
        adapter = _adapter(fn)
        if kept is not None and kept[0] == print_:
            return adapter.validate_json(kept[1])
        if kept is not None:
            if not run.phase.uncommitted:
                raise StepChanged(
                    f"step {name!r} was repeated with other arguments after the commit",
                    ref=self._ref,
                    advice="Give a step the same arguments in every attempt.",
                )
            for key in [key for key in run.memos if key == (name, nth) or key[1] >= nth]:
                del run.memos[key]
        self.in_step = True
        try:
            value = fn(*args, **kwargs)
            if inspect.isawaitable(value):
                value = await value
        finally:
            self.in_step = False
        raw = adapter.dump_json(value)
        self._check_current(f"step {name!r}")
        self._begin()
        self._engine.ledger.write(
            r.StepKept(
                run=run.number,
                attempt=self._number,
                name=name,
                nth=nth,
                fingerprint=print_,
                result=msgspec.Raw(raw),
            )
        )
        return adapter.validate_json(raw)

    async def checkpoint(self, progress: Mapping[str, Any]) -> None:
        """Keep progress; waits for the store at most half a second, then goes on (W5)."""
        self._check_current("checkpoint")
        raw = msgspec.json.encode(to_jsonable_python(dict(progress), fallback=str))
        engine = self._engine
        self._begin()
        entry = engine.ledger.write(
            r.Checkpointed(run=self._live.run.number, attempt=self._number, progress=msgspec.Raw(raw)), wait=True
        )
        try:
            await engine.ledger.journal.fate(entry, within=engine.limits.checkpoint)
        except (TimeoutError, StoreError) as error:
            engine.notice("checkpoint_delayed", str(error) or "the store is slow", run=self._live.run.number)

    async def begin_commit(self) -> str:
        """Pass the gate and write the commit record; the key for the downstream system (W1, W2)."""
        live = self._live
        if live.spec.commits != "inside":
            raise DeclarationError(
                f"{live.run.tool} uses committing() and does not declare it",
                ref=self._ref,
                advice=f'Write @toolguard.{live.run.effect.value}(..., commits="inside").',
            )
        if self._live.window or self._live.committed:
            raise Refused("committing() was entered a second time", ref=self._ref, advice="Commit once a run (W6).")
        self._check_current("committing()")
        return await self._engine.commit(live, self._number)

    def end_commit(self, error: BaseException | None) -> None:
        """Leaving normally means that the effect happened (W6)."""
        if error is None:
            self._live.left = True

    def begin_commit_blocking(self) -> str:
        """From a thread: wait for the loop to pass the gate."""
        return asyncio.run_coroutine_threadsafe(self.begin_commit(), self._loop).result()

    def checkpoint_blocking(self, progress: Mapping[str, Any]) -> None:
        """From a thread: wait for the loop to keep progress."""
        asyncio.run_coroutine_threadsafe(self.checkpoint(progress), self._loop).result()

    async def child(self, tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A guarded tool called inside this body (W8)."""
        live = self._live
        if tool.spec.effect.writes and live.run.effect is Effect.READ:
            raise DeclarationError(
                f"the read {live.run.tool} calls the write {tool.name}",
                ref=self._ref,
                advice=f"Declare {live.run.tool} as a mutation, or move the write out of it (W8).",
            )
        if tool.spec.effect.writes and self.in_step:
            raise DeclarationError(
                f"a step of {live.run.tool} calls the write {tool.name}",
                ref=self._ref,
                advice="A step only reads; call the write outside it (W7).",
            )
        self._check_current(f"a call of {tool.name}")
        return await self._engine.child(live, tool, tool.arguments(instance, args, kwargs))


@lru_cache(maxsize=512)
def _adapter(fn: Callable[..., Any]) -> TypeAdapter[Any]:
    """The adapter of a step's declared return type; Any where none is declared or it cannot be resolved."""
    try:
        hint = inspect.signature(fn, eval_str=True).return_annotation
    except (TypeError, ValueError, NameError):
        hint = Any
    if hint is inspect.Signature.empty:
        hint = Any
    try:
        return TypeAdapter(hint)
    except Exception:  # noqa: BLE001 - a type that pydantic cannot describe is kept as plain JSON
        return TypeAdapter(Any)
