"""What a running body reaches: steps, checkpoints, the point of no return, and its own call."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from toolguard.errors import NoSession, Refused
from toolguard.tools.ambient import BENCH, Bench

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from toolguard.core.call import ToolCall

P = ParamSpec("P")
R = TypeVar("R")


def _bench(what: str) -> Bench:
    bench = BENCH.get()
    if bench is None:
        raise NoSession(
            f"{what} was used outside the body of a guarded tool.",
            advice="Use it in a function decorated with @toolguard.read, @toolguard.idempotent_write or "
            "@toolguard.mutation that is called inside a session; toolguard.testing has stand-ins for plain tests.",
        )
    return bench


def _on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def step(name: str, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a read inside a body once and keep its result, so that a resumed run does not repeat it (W7).

    Args:
        name: What the step is called in the journal.
        fn: An async function that only reads.
        *args: Its arguments.
        **kwargs: Its arguments.

    Raises:
        NoSession: There is no running body.
        Refused: This attempt of the run is not the current one any more (L5).
        StepChanged: The step was kept with other arguments and the run has committed since.
    """
    return cast("R", await _bench(f"step({name!r})").step(name, fn, args, kwargs))


def checkpoint(**progress: Any) -> Awaitable[None]:
    """Keep progress; a resumed run reads it as ``current_call().progress`` (W5).

    Await it in an async body; in a sync one, which runs in a thread, it has done its work when it returns.

    Args:
        **progress: Plain values by name; they are merged into what was kept before.

    Raises:
        NoSession: There is no running body.
    """
    bench = _bench("checkpoint()")
    if _on_loop():
        return bench.checkpoint(progress)
    bench.checkpoint_blocking(progress)
    return _Kept()


class _Kept:
    """An awaitable that is over."""

    def __await__(self) -> Any:
        return iter(())


class Committing(AbstractAsyncContextManager[str], AbstractContextManager[str]):
    """What :func:`committing` returns: entered once, it hands out the idempotency key."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def __aenter__(self) -> str:
        return await self._bench.begin_commit()

    def __enter__(self) -> str:
        if _on_loop():
            raise Refused(
                "`with committing()` in an async body would block the event loop at the gate; nothing happened.",
                advice="Write `async with toolguard.committing() as key:`.",
            )
        return self._bench.begin_commit_blocking()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        self._bench.end_commit(error)
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        self._bench.end_commit(error)
        return False


def committing() -> Committing:
    """Pass the point of no return: waits at the gate, records the commit, hands out the idempotency key (W1, W2).

    ``async with`` in an async body, ``with`` in a sync one. What is inside is the effect: nothing past this point is
    reported as cancelled. To leave it without having acted, raise ``Refused`` (W6).

    Raises:
        NoSession: There is no running body.
        Refused: On entry: the run was stopped, is not the current attempt, or its commit could not be recorded.
    """
    return Committing(_bench("committing()"))


def current_call() -> ToolCall:
    """The call that the running body serves, as it stands now: ref, arguments, key, progress.

    Raises:
        NoSession: There is no running body.
    """
    return _bench("current_call()").view()
