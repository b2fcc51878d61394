"""Asking other people's code: a policy or listener that raises, hangs or answers nonsense must not hold the line."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
BUDGET = 0.1
"""Seconds that all of a user's answers to one interrupt may take together before the defaults stand in."""


class NoAnswer(Exception):  # noqa: N818 - a signal inside the engine
    """The code raised, or did not answer in time; the message says which."""


class Asker:
    """Runs pure functions of a user on a thread of its own, waiting for them at most :data:`BUDGET` seconds.

    A function that hangs is abandoned with its thread and never asked again; the loop is held no longer than the
    budget, once.
    """

    def __init__(self, budget: float = BUDGET) -> None:
        self._budget = budget
        self._work: SimpleQueue[_Question | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._hung: set[Any] = set()

    def ask(self, key: Any, work: Callable[[], T]) -> T:
        """Call ``work``; ``key`` names the function that it stands for.

        Raises:
            NoAnswer: It raised, hangs, or hung before.
        """
        if key in self._hung:
            raise NoAnswer("it did not answer before and is not asked any more")
        if self._thread is None:
            self._thread = threading.Thread(target=_serve, args=(self._work,), name="toolguard-asker", daemon=True)
            self._thread.start()
        question = _Question(work)
        self._work.put(question)
        if not question.done.acquire(timeout=self._budget):
            self._hung.add(key)
            self._work.put(None)
            self._work = SimpleQueue()
            self._thread = None
            raise NoAnswer(f"it did not answer within {self._budget:g} s and is not asked any more")
        if question.error is not None:
            raise NoAnswer(f"it raised {type(question.error).__name__}: {question.error}") from question.error
        return question.answer  # type: ignore[no-any-return]

    def close(self) -> None:
        """Let the thread end."""
        self._work.put(None)
        self._thread = None


class _Question:
    __slots__ = ("answer", "done", "error", "work")

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.answer: Any = None
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


def _serve(work: SimpleQueue[_Question | None]) -> None:
    while (question := work.get()) is not None:
        try:
            question.answer = question.work()
        except BaseException as error:  # noqa: BLE001 - carried over to the asker
            question.error = error
        question.done.release()
