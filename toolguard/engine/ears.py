"""Classifying the caller's words within bounds: a listener that raises or hangs costs a class, never the line (G8)."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from toolguard.engine.asking import NoAnswer
from toolguard.engine.background import Background
from toolguard.listen.heard import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.engine.asking import Asker
    from toolguard.engine.execution import Execution
    from toolguard.listen.heard import Heard, Listener

_UNKNOWN = Verdict("unknown", confidence=0.0, rule="no_answer")


class Ears:
    """Asks the listener.

    Args:
        execution: Where to note what went wrong.
        listener: Classifies words.
        trusted: It is the built-in one and may run on the loop.
        asker: Runs a user's one within bounds.
        limit: Seconds that an asynchronous answer may take.
    """

    def __init__(self, execution: Execution, listener: Listener, *, trusted: bool, asker: Asker, limit: float) -> None:
        self._execution = execution
        self._listener = listener
        self._trusted = trusted
        self._asker = asker
        self._limit = limit
        self._beside = Background()

    def understand(self, heard: Heard, then: Callable[[Verdict], None]) -> None:
        """Classify words and call ``then`` with the verdict: at once, or when an asynchronous listener answers."""
        verdict = self._ask(heard)
        if not inspect.isawaitable(verdict):
            then(verdict)
            return
        self._beside.run(self._wait_for(verdict, then), "toolguard:listener")

    def _ask(self, heard: Heard) -> Any:
        if self._trusted:
            return self._listener(heard) or _UNKNOWN
        try:
            verdict = self._asker.ask(self._listener, lambda: self._listener(heard))
        except NoAnswer as error:
            self._execution.notice("listener_failed", f"{error}; the words count as not understood")
            return _UNKNOWN
        return verdict if inspect.isawaitable(verdict) else self._checked(verdict)

    def _checked(self, verdict: Any) -> Verdict:
        if isinstance(verdict, Verdict):
            return verdict
        if verdict is not None:
            self._execution.notice("listener_failed", f"it answered {verdict!r}, which is no Verdict"[:300])
        return _UNKNOWN

    async def _wait_for(self, verdict: Any, then: Callable[[Verdict], None]) -> None:
        try:
            async with asyncio.timeout(self._limit):
                answer = self._checked(await verdict)
        except TimeoutError:
            self._execution.notice("listener_failed", f"no answer within {self._limit:g} s")
            answer = _UNKNOWN
        except Exception as error:  # noqa: BLE001 - a listener is somebody else's code
            self._execution.notice("listener_failed", f"it raised {type(error).__name__}: {error}")
            answer = _UNKNOWN
        then(answer)
