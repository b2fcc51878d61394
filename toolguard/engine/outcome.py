"""What came of a run: returned, raised, cut off, looked into; each becomes the record that the law admits."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, cast

import msgspec

from toolguard.core import records as r
from toolguard.core.call import Attempt
from toolguard.core.effect import Effect
from toolguard.core.envelope import shortened
from toolguard.core.finding import DidNotHappen, Happened, StillUnknown
from toolguard.core.law import Phase, Ruling
from toolguard.engine.background import Background
from toolguard.engine.clock import moment
from toolguard.errors import Refused, StoreError

if TYPE_CHECKING:
    from toolguard.core.finding import Finding
    from toolguard.core.slots import Run
    from toolguard.engine.batch import Entry
    from toolguard.engine.live import Live
    from toolguard.engine.motion import Motion
    from toolguard.tools.tool import Tool

PROBE_LIMIT = 30.0
"""Seconds that one question to a probe may take; a probe that does not answer has found nothing (D1)."""
_NULL = msgspec.Raw(b"null")


class Outcomes:
    """Turns what bodies and probes say into records, for :class:`toolguard.engine.execution.Execution`."""

    def __init__(self, engine: Motion) -> None:
        self._engine = engine
        self._beside = Background()

    async def returned(self, live: Live, number: int, value: Any) -> None:
        """The body returned: the effect happened, or, where it never committed, nobody knows (W6)."""
        engine, run = self._engine, live.run
        if self._overtaken(live):
            return
        result, warning = self.dump(live, value)
        if run.effect.writes and live.spec.commits == "inside" and not live.committed:
            if engine.admits(r.NeverCommitted(run=run.number, attempt=number)) is Ruling.ADMITTED:
                engine.ledger.write(r.NeverCommitted(run=run.number, attempt=number, result=result))
                engine.finish(live)
                self.look_into(live)
            return
        live.value = value
        record = r.Returned(
            run=run.number,
            attempt=number,
            result=result,
            warning=warning,
            cached=live.cached,
            undo=self.undo_of(live, value),
        )
        await self._happened(live, record)

    async def raised(self, live: Live, number: int, error: BaseException) -> None:
        """The body raised: before the commit nothing happened; while committing nobody knows (L1, W6)."""
        engine, run = self._engine, live.run
        if self._overtaken(live):
            return
        live.error = error
        why = f"{type(error).__name__}: {error}"
        if live.left and run.phase is Phase.COMMITTING:
            await self._happened(
                live, r.Returned(run=run.number, attempt=number, warning=f"raised after the commit: {why}")
            )
        elif run.phase is Phase.COMMITTING and not live.window and not self.did_not_happen(live, error):
            engine.ledger.write(r.Lost(run=run.number, attempt=number, why=why), durable=True)
            engine.finish(live)
            self.look_into(live)
        else:
            refused = isinstance(error, Refused) or self.did_not_happen(live, error)
            code = error.code if isinstance(error, Refused) else type(error).__name__
            text = error.what if isinstance(error, Refused) else str(error)
            self.fail(live, number, code, text, refused=refused)

    def _overtaken(self, live: Live) -> bool:
        """An uncommitted write of a session that another process owns: its body says nothing about the world (L5)."""
        return self._engine.ledger.fenced and live.run.effect.writes and live.run.phase.uncommitted

    def did_not_happen(self, live: Live, error: BaseException) -> bool:
        """Whether the error says that nothing happened."""
        return isinstance(error, (Refused, *live.spec.did_not_happen))

    def newest(self, live: Live) -> bool:
        """Whether an idempotent write may be repeated: nothing newer has begun, nobody has taken it back (D2)."""
        return self.newest_of(live.run)

    def newest_of(self, run: Run) -> bool:
        """The same of a run that nobody has in motion."""
        return self._engine.ledger.state.newest.get(run.intent) == run.number and not run.concerned

    def fail(self, live: Live, number: int, code: str, why: str, *, refused: bool = False, tell: bool = True) -> None:
        """It is known that nothing happened; after an attempt of which nobody knows, that settles nothing (L1)."""
        engine, run = self._engine, live.run
        if run.doubted and run.phase in {Phase.COMMITTING, Phase.IN_DOUBT}:
            if run.phase is Phase.COMMITTING:
                engine.ledger.write(r.Lost(run=run.number, attempt=max(number, run.attempt), why=why[:2000]))
                self.look_into(live)
            if tell:
                engine.finish(live)
            return
        record = r.Failed(
            run=run.number, attempt=max(number, run.attempt), code=code, message=why[:2000], refused=refused
        )
        if engine.admits(record) is Ruling.ADMITTED:
            engine.ledger.write(record, durable=run.effect is Effect.MUTATION and run.phase is Phase.COMMITTING)
        if tell:
            engine.finish(live)

    def replan(self, live: Live) -> None:
        """A retry of a mutation that did not happen is a new occurrence with a new key (D1)."""
        engine, run = self._engine, live.run
        new = engine.ledger.next_run(before=run.number)
        engine.ledger.write(
            r.Replanned(run=run.number, attempt=max(run.attempt, 1), new=new, occurrence=run.occurrence + 1)
        )
        engine.live.pop(run.number, None)
        live.run = engine.ledger.state.runs[new]
        live.planned = None
        engine.live[new] = live

    def cut(self, live: Live) -> None:
        """The task was cancelled from outside: stopped before the commit, lost after it."""
        engine, run = self._engine, live.run
        if run.settled or live.given_up:
            return
        if live.window:
            self.fail(live, max(run.attempt, 1), "stopped_before_effect", live.stop_reason or "cancelled", refused=True)
        elif run.phase.uncommitted:
            reason = live.stop_reason or "the body's task was cancelled"
            engine.ledger.write(r.Stopped(run=run.number, attempt=max(run.attempt, 1), reason=reason))
            engine.finish(live)
        else:
            engine.give_up(live, "the body's task was cancelled")

    def late(self, live: Live, value: Any, error: BaseException | None) -> None:
        """A thread that was given up has ended after all: evidence still settles (L4)."""
        if error is None:
            self._beside.run(self.returned(live, max(live.run.attempt, 1), value), "toolguard:late")

    async def _happened(self, live: Live, record: r.Returned) -> None:
        engine, run = self._engine, live.run
        ruling = engine.admits(record)
        if ruling is Ruling.CONTRADICTS:
            engine.ledger.write(
                r.Contradicted(run=run.number, attempt=record.attempt, result=record.result, source=record.source),
                durable=True,
            )
            engine.on_settled(live)
            return
        if ruling is Ruling.EXCLUDED:
            return
        writes = run.effect.writes
        durable = run.effect is Effect.MUTATION and live.spec.durability != "process"
        engine.ledger.fold(record)
        if writes:
            engine.on_ending(run)
        entry = engine.ledger.append(record, durable=durable, wait=writes)
        if writes:
            engine.landing.add(run.number)
            try:
                await self._recorded(live, entry)
            finally:
                engine.landing.discard(run.number)
        engine.finish(live)

    async def _recorded(self, live: Live, entry: Entry) -> None:
        """Wait for the store; a known outcome is told all the same after the limit, and kept trying (W3, W4)."""
        engine = self._engine
        try:
            receipt = await engine.ledger.journal.fate(entry, within=engine.limits.record)
            if receipt.epoch > engine.ledger.epoch:  # somebody has taken the session over meanwhile
                engine.ledger.fence()
        except (TimeoutError, StoreError) as error:
            engine.unrecorded.add(live.run.number)
            engine.notice("recording_delayed", str(error) or "the store is slow", run=live.run.number)
            self._beside.run(self._keep_recording(live, entry), "toolguard:recording")

    async def _keep_recording(self, live: Live, entry: Entry) -> None:
        journal, wait = self._engine.ledger.journal, 0.25
        while True:
            try:
                await journal.fate(entry)
            except StoreError:
                await asyncio.sleep(wait)
                wait = min(wait * 2, 10.0)
                entry = journal.put(entry.append, entry.records, wait=True)
            else:
                self._engine.unrecorded.discard(live.run.number)
                return

    def dump(self, live: Live, value: Any) -> tuple[msgspec.Raw, str]:
        """A result as JSON; one that cannot be written is no failure of the effect, only of its telling."""
        try:
            raw = live.tool.dump_result(value)
        except Exception as error:  # noqa: BLE001 - whatever a result's own serialiser raises
            return _NULL, f"result_not_serialisable: {type(value).__name__}: {error}"[:500]
        small = shortened(raw)
        return msgspec.Raw(small), "" if small is raw else f"result_too_large: {len(raw)} bytes"

    def undo_of(self, live: Live, value: Any) -> r.UndoOffer | None:
        """The call that would take this result back, as the tool's undo prepares it (S2)."""
        try:
            return undo_offer(live.tool, value)
        except Exception as error:  # noqa: BLE001 - an undo that cannot be prepared is not offered
            self._engine.notice("undo_failed", f"{type(error).__name__}: {error}", run=live.run.number)
            return None

    def look_into(self, live: Live, *, after: float = 0.0) -> None:
        """Ask the tool's probe about a run in doubt, in the background, until it is settled."""
        if live.tool.prober is None or live.run.phase is not Phase.IN_DOUBT or self._engine.ledger.fenced:
            return
        self._beside.run(self._probe(live, after), f"toolguard:probe:{live.run.tool}")

    async def _probe(self, live: Live, wait: float) -> None:
        while live.run.phase is Phase.IN_DOUBT and not self._engine.ledger.fenced:
            await asyncio.sleep(wait)
            wait = await self.question(live)

    async def question(self, live: Live) -> float:
        """Ask the probe once and write down what it settles; else how many seconds to wait before it is asked again."""
        engine, run = self._engine, live.run
        finding = await self.ask_probe(live) if run.phase is Phase.IN_DOUBT else None
        if finding is None or run.phase is not Phase.IN_DOUBT:
            return 0.0
        if isinstance(finding, Happened):
            result, warning = self.dump(live, finding.result)
            live.value = finding.result
            await self._happened(
                live,
                r.Returned(
                    run=run.number,
                    attempt=run.attempt,
                    result=result,
                    warning=warning,
                    undo=self.undo_of(live, finding.result),
                    source="probe",
                    evidence=finding.evidence,
                ),
            )
            return 0.0
        if isinstance(finding, DidNotHappen) and self.quarantine_left(live) <= 0:
            engine.ledger.write(
                r.Failed(
                    run=run.number,
                    attempt=run.attempt,
                    code="did_not_happen",
                    message="a probe found that it did not happen",
                    source="probe",
                    evidence=finding.evidence,
                ),
                durable=True,
            )
            engine.ledger.denied.add(run.number)
            engine.finish(live)
            return 0.0
        wait = finding.ask_again_after if isinstance(finding, StillUnknown) else self.quarantine_left(live)
        return max(wait, 0.05)

    async def ask_probe(self, live: Live) -> Finding[Any]:
        """One question; None, an exception or silence mean still unknown (D1)."""
        run, tool = live.run, live.tool
        attempt = Attempt(
            key=run.key,
            ref=self._engine.ledger.state.run_ref(run),
            number=run.attempt,
            progress=run.progress,
            began_at=moment(run.committed_at or run.began_at),
        )
        try:
            async with asyncio.timeout(PROBE_LIMIT):
                ask = tool.probing(attempt, live.arguments, live.injected)
                if ask is None:
                    return StillUnknown()
                finding: Any = ask()
                if inspect.isawaitable(finding):
                    finding = await finding
        except Exception as error:  # noqa: BLE001 - a probe that raises has found nothing
            self._engine.notice("probe_failed", f"{type(error).__name__}: {error}", run=run.number)
            return StillUnknown()
        known = isinstance(finding, (Happened, DidNotHappen, StillUnknown))
        return cast("Finding[Any]", finding) if known else StillUnknown()

    def quarantine_left(self, live: Live) -> float:
        """Seconds until "did not happen" may be believed: the request may still be on its way (D1)."""
        run = live.run
        if live.window or not run.committed_at:
            return 0.0
        return run.limit - max(0.0, (self._engine.ledger.clock.wall() - run.committed_at) / 1e9)


def undo_offer(tool: Tool[Any, Any], value: Any) -> r.UndoOffer | None:
    """The call that takes a result back, as the tool's undo prepares it; None where the tool has none (S2).

    Raises:
        Exception: Whatever the undo raises.
    """
    if tool.undoer is None:
        return None
    call = tool.undoer(value)
    return r.UndoOffer(
        tool=call.tool.name, fingerprint=call.arguments.fingerprint, arguments=msgspec.Raw(call.arguments.json)
    )
