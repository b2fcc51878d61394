"""Observe mode: the framework sees the undecorated tool, and the journal says what enforce would have decided."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.envelope import shortened
from toolguard.engine.judging import Judged
from toolguard.engine.session import Session
from toolguard.engine.watched import WatchedBody
from toolguard.errors import Refused
from toolguard.tools.ambient import BENCH
from toolguard.tools.arguments import Arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.engine.wiring import Wiring


class Watch(Session):
    """A session that only watches: no gate, refusal, join, wait, retry or resume; records are never awaited."""

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        wiring.decisions.watching = True

    async def take(self, tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run the plain function in the caller's own task, and keep the books beside it."""
        run = self._called(tool, *self._read(tool, instance, args, kwargs))
        body = WatchedBody(self, self._w, run)
        token = BENCH.set(body)
        try:
            value = (
                tool.plain(*args, **kwargs) if tool.is_async else await asyncio.to_thread(tool.plain, *args, **kwargs)
            )
            if inspect.isawaitable(value):
                value = await value
        except asyncio.CancelledError:
            self._cut(run)
            raise
        except Exception as error:
            self._raised(tool, run, body, error)
            raise
        finally:
            BENCH.reset(token)
        self._w.ledger.write(r.Returned(run=run, result=_json(tool, value)))
        return value

    def _read(
        self, tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Arguments, Judged | None]:
        """The call's arguments; where enforce would not take them, the plain function still has to say what it does."""
        try:
            return tool.arguments(instance, args, kwargs), None
        except Exception as error:  # noqa: BLE001 - watching must never change what the framework sees
            self.noticed("would_be_refused", f"{tool.name}: {type(error).__name__}: {error}")
            alone = f"unread {self.id}/{self._w.ledger.runs + 1}"
            return Arguments({}, b"{}", alone, ""), Judged("invalid", occurrence=1)

    def _called(self, tool: Any, arguments: Arguments, would: Judged | None) -> int:
        ledger, spec = self._w.ledger, tool.spec
        intent = self._w.judge.intent(spec, arguments)
        if would is None and spec.effect is Effect.READ:
            would = self._w.judge.read(spec, intent)
        elif would is None:
            would = self._w.judge.write(spec, arguments, intent, None, child=False)
        run = ledger.next_run()
        records: list[r.Record] = [
            r.Called(
                call=ledger.next_call(),
                call_id="",
                tool=tool.name,
                verdict="run",
                effect=spec.effect,
                agent=self.agent,
                context=ledger.state.context,
                arguments=msgspec.Raw(arguments.json),
                fingerprint=arguments.fingerprint,
                intent=intent,
                occurrence=would.occurrence,
                run=run,
                version=spec.version,
                scope=spec.scope,
                would=would.verdict,
                points_to=would.first,
                after_turn=ledger.state.turns,
            )
        ]
        if spec.effect.writes:
            inside = spec.commits == "inside"
            key = self._w.judge.key_of(intent, would.occurrence)
            records.append(r.Began(run=run) if inside else r.CommitBegan(run=run, key=key))
        ledger.write(*records)
        return run

    def _cut(self, run: int) -> None:
        """A cancelled body: stopped before its commit, else nobody knows."""
        if self._w.ledger.state.runs[run].phase.uncommitted:
            self._w.ledger.write(r.Stopped(run=run, reason="the framework cancelled the body"))
        else:
            self._w.ledger.write(r.Lost(run=run, why="the framework cancelled the body"))

    def _raised(self, tool: Any, run: int, body: WatchedBody, error: Exception) -> None:
        why = f"{type(error).__name__}: {error}"[:2000]
        known = isinstance(error, (Refused, *tool.spec.did_not_happen))
        if body.left:
            self._w.ledger.write(r.Returned(run=run, warning=f"raised after the commit: {why}"))
        elif known or self._w.ledger.state.runs[run].phase.uncommitted:
            self._w.ledger.write(r.Failed(run=run, code=type(error).__name__, message=why))
        else:
            self._w.ledger.write(r.Lost(run=run, why=why))


def _json(tool: Any, value: Any) -> msgspec.Raw:
    try:
        return msgspec.Raw(shortened(tool.dump_result(value)))
    except Exception:  # noqa: BLE001 - watching must never change what the framework sees
        return msgspec.Raw(b"null")
