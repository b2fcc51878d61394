"""A body that is only watched: steps run, the commit is noted when it comes, and nothing is held or refused."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic_core import to_jsonable_python

from toolguard.core import records as r

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.core.call import ToolCall
    from toolguard.engine.session import Session
    from toolguard.engine.wiring import Wiring


class WatchedBody:
    """The bench of a body in observe mode (see :class:`toolguard.tools.ambient.Bench`).

    Attributes:
        left: ``committing()`` was left normally.
    """

    def __init__(self, session: Session, wiring: Wiring, run: int) -> None:
        self._session = session
        self._wiring = wiring
        self._run = run
        self._loop = asyncio.get_running_loop()
        self.left = False

    def view(self) -> ToolCall:
        """The call as it stands now."""
        return self._wiring.execution.view(self._wiring.ledger.state.runs[self._run])

    async def step(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """Run a step; observe mode resumes nothing, so nothing is kept."""
        value = fn(*args, **kwargs)
        return await value if inspect.isawaitable(value) else value

    async def checkpoint(self, progress: Mapping[str, Any]) -> None:
        """Note progress, without waiting."""
        raw = msgspec.json.encode(to_jsonable_python(dict(progress), fallback=str))
        self._wiring.ledger.write(r.Checkpointed(run=self._run, progress=msgspec.Raw(raw)))

    async def begin_commit(self) -> str:
        """Note the commit; no gate, no waiting, the key of this occurrence."""
        run = self._wiring.ledger.state.runs[self._run]
        key = run.key or self._wiring.execution.keys(run)
        if run.phase.uncommitted:
            self._wiring.ledger.write(r.CommitBegan(run=self._run, key=key))
        return key

    def end_commit(self, error: BaseException | None) -> None:
        """Leaving normally means that the effect happened (W6)."""
        if error is None:
            self.left = True

    def begin_commit_blocking(self) -> str:
        """The same from a thread."""
        return asyncio.run_coroutine_threadsafe(self.begin_commit(), self._loop).result()

    def checkpoint_blocking(self, progress: Mapping[str, Any]) -> None:
        """The same from a thread."""
        asyncio.run_coroutine_threadsafe(self.checkpoint(progress), self._loop).result()

    async def child(self, tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A guarded tool called inside: watched as a call of its own."""
        return await self._session.take(tool, instance, args, kwargs)
