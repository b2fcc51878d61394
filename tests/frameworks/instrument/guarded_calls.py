"""What the plugins share: observed sessions, one for each loop, tools made of the frameworks' handlers, and a count."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
from collections import Counter
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import toolguard
from toolguard import errors
from toolguard.engine.observe import Watch
from toolguard.tools.inject import is_injected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool


class Watchers:
    """The observed sessions of one run of a suite."""

    def __init__(self) -> None:
        self._rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[toolguard.Guard, Session]] = WeakKeyDictionary()
        self._sessions: list[Session] = []
        self._seen: set[str] = set()
        self._tests: set[str] = set()
        self._unguarded: Counter[str] = Counter()
        self._troubles: Counter[str] = Counter()
        self.current: ContextVar[Session | None] = ContextVar("guarded_session", default=None)
        """The session of the conversation that the code runs in, where the framework has told."""
        self.listen()

    async def open(self) -> tuple[toolguard.Guard, Session]:
        """The guard of the running loop and its session for calls outside of any conversation."""
        loop = asyncio.get_running_loop()
        if loop not in self._rooms:
            guard = toolguard.Guard("memory", mode="observe")
            session = await guard.enter(f"test-{len(self._sessions)}", agent="test")
            self._rooms[loop] = guard, session
            self._sessions.append(session)
        return self._rooms[loop]

    def conversation(self, session: Session) -> None:
        """Count a conversation's calls as well."""
        self._sessions.append(session)

    def here(self) -> Session | None:
        """The conversation's session, or the loop's."""
        found = self.current.get()
        if found is None:
            room = self._rooms.get(asyncio.get_running_loop())
            found = room[1] if room is not None else None
        return found

    async def close(self) -> None:
        """End what is open in the running loop."""
        room = self._rooms.pop(asyncio.get_running_loop(), None)
        if room is not None:
            await room[0].close()

    def saw(self, tool: Tool[..., Any]) -> None:
        """A call comes through observe mode."""
        self._seen.add(f"{tool.__module__}.{tool.__qualname__}")
        self._tests.add(os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0])

    def trouble(self, error: BaseException) -> None:
        """The guard raised: no handler of theirs raises an error of ours."""
        self._troubles[f"{type(error).__name__}: {error}"] += 1

    def listen(self) -> None:
        """Count every call that observe mode takes, however it came there."""
        take = Watch.take

        @functools.wraps(take)
        async def taken(
            session: Watch, tool: Tool[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
        ) -> Any:
            self.saw(tool)
            try:
                return await take(session, tool, instance, args, kwargs)
            except errors.ToolguardError as error:
                self.trouble(error)
                raise

        Watch.take = taken

    def tool(self, function: Callable[..., Any], name: str) -> Tool[..., Any] | None:
        """A guarded tool of a handler: a mutation where its arguments can say what is the same, else a read."""
        known = _TOOLS.get(name, {}).get(_key(function))
        if known is not None:
            return known
        try:
            made = _made(function, name)
        except errors.DeclarationError as error:
            self.unguarded(f"{error}".partition("\n")[0])
            return None
        _TOOLS.setdefault(name, WeakKeyDictionary())[_key(function)] = made
        return made

    def unguarded(self, why: str) -> None:
        """A call that did not go through the guard."""
        self._unguarded[why] += 1

    def write(self, to: str) -> None:
        """Say what was counted."""
        phases = Counter(run.phase.value for session in self._sessions for run in session.state.runs.values())
        tally = {
            "calls": sum(phases.values()),
            "tools": len(self._seen),
            "tests": len(self._tests - {""}),
            "phases": dict(phases),
            "unguarded": dict(self._unguarded),
            "troubles": dict(self._troubles),
        }
        Path(to).write_text(json.dumps(tally, indent=2))


_TOOLS: dict[str, WeakKeyDictionary[Any, Tool[..., Any]]] = {}


def _key(function: Any) -> Any:
    return getattr(function, "__func__", function)


def _made(function: Any, name: str) -> Tool[..., Any]:
    plain = getattr(function, "__func__", function)
    if not inspect.iscoroutinefunction(plain):
        raise errors.DeclarationError(f"{type(plain).__name__} that is no coroutine function")
    identity = _identity(plain)
    if identity:
        made = toolguard.wrap(plain, effect="mutation", identity=identity, name=name)
    else:
        made = toolguard.wrap(plain, effect="read", name=name)
    made.shape  # noqa: B018 - annotations are read at first use, and may turn out not to be resolvable
    return made


def _identity(plain: Callable[..., Any]) -> tuple[str, ...]:
    listed = [one for one in inspect.signature(plain).parameters.values() if one.name not in {"self", "cls"}]
    open_ended = any(one.kind in {one.VAR_POSITIONAL, one.VAR_KEYWORD} for one in listed)
    if open_ended or any(one.annotation is one.empty for one in listed):
        return ()
    try:
        hints = inspect.get_annotations(plain, eval_str=True)
    except Exception:  # noqa: BLE001 - annotations are code of theirs
        return ()
    return tuple(one.name for one in listed if not is_injected(hints[one.name]))
