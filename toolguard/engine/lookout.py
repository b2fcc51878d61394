"""One look at the store for all who wait in this process: a hint wakes it, and its patience is bounded (T3)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from toolguard.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from toolguard.engine.journal import Journal
    from toolguard.stores.base import Store

T = TypeVar("T")
APART = 0.02
"""Seconds between two looks at least, however many hints come."""
AT_MOST = 0.5
"""Seconds between two looks at most: a death in another process gives no hint."""


class Lookout:
    """Asks the store what the waiting calls of this process want to know, all of it at once.

    Args:
        journal: The process's way into its store.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._asked: dict[Hashable, tuple[Callable[[Store], Any], list[asyncio.Future[Any]]]] = {}
        self._hint = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def next(self, key: Hashable, question: Callable[[Store], T]) -> T:
        """The answer that the next look gives; who asks under the same ``key`` asks the same question.

        Raises:
            StoreError: The store did not answer.
        """
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(key, (question, []))[1].append(waiter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="toolguard:lookout")
        return await waiter

    async def close(self) -> None:
        """Nobody waits any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop closed in between; nobody is left to wake
                loop.call_soon_threadsafe(self._hint.set)

        over: Callable[[], None] | None = None
        try:
            while self._asked:
                if over is None:
                    with suppress(StoreError):
                        over = await self._journal.ask(lambda store: store.listen(wake))
                await asyncio.sleep(APART)
                with suppress(TimeoutError):
                    async with asyncio.timeout(AT_MOST):
                        await self._hint.wait()
                self._hint.clear()
                await self._look()
        finally:
            if over is not None:
                with suppress(StoreError):
                    await asyncio.shield(self._journal.ask(partial(_end, over)))
            for _, waiters in self._asked.values():
                _tell(waiters, None, StoreUnavailable("the store is closed", advice="Open the guard again."))
            self._asked.clear()

    async def _look(self) -> None:
        asked, self._asked = self._asked, {}
        groups = list(asked.values())
        try:
            answers: list[Any] = await self._journal.ask(
                lambda store: _answers(store, [question for question, _ in groups])
            )
        except StoreError as error:
            answers = [error] * len(groups)
        except BaseException:
            self._asked = asked | self._asked
            raise
        for (_, waiters), answer in zip(groups, answers, strict=True):
            if isinstance(answer, StoreError):
                _tell(waiters, None, answer)
            else:
                _tell(waiters, answer, None)


def _end(over: Callable[[], None], _store: Store) -> None:
    over()


def _answers(store: Store, questions: Sequence[Callable[[Store], Any]]) -> list[Any]:
    found: list[Any] = []
    for question in questions:
        try:
            found.append(question(store))
        except StoreError as error:
            found.append(error)
    return found


def _tell(waiters: list[asyncio.Future[Any]], answer: Any, error: StoreError | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(answer)
