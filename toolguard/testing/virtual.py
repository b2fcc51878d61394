"""An event loop whose time is virtual: hours of waiting pass at once, and real sockets and threads still answer.

Where nothing is ready, the loop does not sleep until its next timer but moves its clock there. Sockets and threads live
in real time, so before it moves the clock it gives them a short grace, and while something is known to be at work
(:meth:`VirtualLoop.busy_while`) it waits for that instead. Where nothing can ever happen again it raises
:class:`Deadlock`, which names the tasks that wait.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
import threading
import time
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor

P = ParamSpec("P")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")
GRACE = 0.002
"""Real seconds that sockets and threads get to answer before the clock moves."""
AT_MOST = 5.0
"""Real seconds that the loop waits for what is busy, or for a last sign of life before it reports a deadlock."""


class Deadlock(RuntimeError):  # noqa: N818 - named for what happened
    """Tasks wait, and nothing that could wake them is left: no timer, nothing busy, no answer from outside."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop with a clock of its own, which begins at zero.

    Args:
        grace: Real seconds that sockets and other threads get to answer before the clock moves. Where there are none,
            the clock moves at once.
        at_most: Real seconds that the loop waits for what is busy before it moves on.
    """

    def __init__(self, *, grace: float = GRACE, at_most: float = AT_MOST) -> None:
        self._skipping = _Skipping(self, grace, at_most)
        self._hooks: list[Callable[[], object]] = []
        self._working = 0
        super().__init__(self._skipping)
        self._skipping.own = len(self._skipping.get_map())

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._skipping.now

    def pass_time(self, seconds: float) -> None:
        """Let time pass while nothing runs on the loop, as when one of its callbacks blocks it."""
        self._skipping.now += seconds

    def busy_while(self, hook: Callable[[], object]) -> Callable[[], None]:
        """Let the clock stand for as long as ``hook()`` is true: a real thread is at work.

        Returns:
            A function that takes the hook away again.
        """
        self._hooks.append(hook)
        return functools.partial(self._forget, hook)

    def _forget(self, hook: Callable[[], object]) -> None:
        if hook in self._hooks:
            self._hooks.remove(hook)

    @property
    def busy(self) -> bool:
        """Whether something real is known to be at work."""
        return self._working > 0 or any(hook() for hook in self._hooks)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], R], *args: *Ts) -> asyncio.Future[R]:
        """As every loop does it; the clock stands until the function has returned."""
        future: asyncio.Future[R] = super().run_in_executor(executor, func, *args)
        self._working += 1
        future.add_done_callback(self._worked)
        return future

    def _worked(self, _future: asyncio.Future[Any]) -> None:
        self._working -= 1

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """As every loop does it; the clock stands until the executor's threads have ended."""
        self._working += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._working -= 1


class _Skipping(selectors.DefaultSelector):
    """Looks at the sockets, and moves the clock on where nothing has come."""

    def __init__(self, loop: VirtualLoop, grace: float, at_most: float) -> None:
        super().__init__()
        self.now = 0.0
        self.own = 0
        self._loop = loop
        self._grace = grace
        self._at_most = at_most

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        ready = self._patiently(timeout is None)
        if ready:
            return ready
        if timeout is None:
            raise Deadlock(_waiting(self._loop))
        self.now += timeout
        return []

    def _patiently(self, last: bool) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in real time for as long as an answer from outside may come."""
        outside = len(self.get_map()) > self.own or threading.active_count() > 1
        busy = self._loop.busy
        if not outside and not busy:
            return []
        ready = super().select(self._grace)
        until = time.monotonic() + self._at_most
        while not ready and (last or busy) and time.monotonic() < until:
            ready = super().select(self._grace * 5)
            busy = self._loop.busy
        return ready


def _waiting(loop: asyncio.AbstractEventLoop) -> str:
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    waits = "; ".join(f"{task.get_name()} at {_place(task)}" for task in tasks)
    return f"nothing can happen any more: no timer is set and nothing is busy. Waiting: {waits or 'no task'}"


def _place(task: asyncio.Task[Any]) -> str:
    """Where a task waits: the innermost line of its own code."""
    coroutine: Any = task.get_coro()
    frame = None
    while coroutine is not None and getattr(coroutine, "cr_frame", None) is not None:
        frame, coroutine = coroutine.cr_frame, coroutine.cr_await
    if frame is None:
        return "its beginning"
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"


def run_virtual(coro: Coroutine[Any, Any, R], *, grace: float = GRACE, at_most: float = AT_MOST) -> R:
    """Run a coroutine to its end on a virtual loop of its own, as ``asyncio.run`` does on a real one.

    Args:
        coro: What to run.
        grace: See :class:`VirtualLoop`.
        at_most: See :class:`VirtualLoop`.

    Raises:
        Deadlock: It waits for something that cannot come.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(grace=grace, at_most=at_most)) as runner:
        return runner.run(coro)


def virtual_time(test: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Make a plain test of an ``async def`` one: it runs on a virtual loop of its own.

    Works under any test runner. Fixtures come in as they are; an async fixture would belong to another loop.
    """

    @functools.wraps(test)
    def plain(*args: P.args, **kwargs: P.kwargs) -> R:
        return run_virtual(test(*args, **kwargs))

    return plain
