"""Settling a run in doubt by a person's word: evidence is required, and the first settlement wins (D3, L4)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.audit.call import split_ref
from toolguard.core import records as r
from toolguard.core.envelope import shortened
from toolguard.core.finding import DidNotHappen, Happened
from toolguard.core.law import Phase, Ruling
from toolguard.engine.claims import Claims
from toolguard.engine.folding import PAGE, fold
from toolguard.engine.ledger import Ledger
from toolguard.engine.outcome import undo_offer
from toolguard.errors import AlreadySettled, ClaimLost, EvidenceMissing, StoreBusy, StoreError, UnknownRef
from toolguard.tools.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.core.finding import Finding
    from toolguard.core.slots import Run
    from toolguard.core.state import State
    from toolguard.engine.clock import Clock
    from toolguard.engine.journal import Journal
    from toolguard.engine.session import Session
    from toolguard.engine.wiring import Wiring
    from toolguard.tools.tool import Tool

_TRIES = 5
_EVIDENCE = frozenset(r.CODES[kind] for kind in (r.Returned, r.Failed, r.Lost))


class Resolver:
    """Writes down what a person found out.

    A person's word counts at once; the quarantine of "did not happen" (D1) is for probes, which cannot know that the
    request is not still on its way.

    Args:
        journal: The process's writer.
        clock: Wall time for the records.
        tools: Finds a tool by name, to write results through their declared type.
        sessions: The sessions that live in this process.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        tools: Callable[[str], Tool[Any, Any] | None],
        sessions: Mapping[str, Session],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._tools = tools
        self._sessions = sessions

    async def settle(self, ref: str, finding: Finding[Any], *, by: str) -> None:
        """Settle the run of a call; durable when this returns.

        Raises:
            EvidenceMissing: The finding says nothing, does not say where it was seen, or nobody stands for it.
            UnknownRef: The store has no such call.
            AlreadySettled: The run is not in doubt, or somebody else was first.
            StoreError: It could not be written; the run is in doubt as before.
        """
        _check(ref, finding, by)
        session, number = split_ref(ref)
        row = await self._journal.ask(lambda store: store.session(session))
        if row is None:
            raise UnknownRef(
                "there is no such session in this store", ref=ref, advice="See `toolguard audit --phase in_doubt`."
            )
        living = self._sessions.get(session)
        ledger = living.wiring.ledger if living is not None else None
        if living is not None and ledger is not None and ledger.epoch == row.epoch and not ledger.fenced:
            await self._here(living, ref, number, finding, by)
        else:
            await self._elsewhere(session, ref, number, finding, by, epoch=row.epoch)

    async def _here(self, session: Session, ref: str, number: int, finding: Finding[Any], by: str) -> None:
        """The session lives in this process: its execution tells everybody who waits for the outcome."""
        w = session.wiring
        await catch_up(w)
        ledger = w.ledger
        run = _in_doubt(ledger.state, ref, number)
        live = w.execution.live.get(run.number)
        tool = live.tool if live is not None else self._tools(run.tool)
        before = replace(run)
        entry = ledger.write(_record(run, tool, finding, by), durable=True, wait=True)
        w.execution.landing.add(run.number)
        try:
            await self._journal.fate(entry)
        except StoreError:
            for one in fields(before):
                setattr(run, one.name, getattr(before, one.name))
            ledger.state.doubtful.add(run.number)
            raise
        finally:
            w.execution.landing.discard(run.number)
        _tell(w, run)

    async def _elsewhere(
        self, session: str, ref: str, number: int, finding: Finding[Any], by: str, *, epoch: int
    ) -> None:
        """Nobody has the session, or another process does, which finds the evidence in the journal."""
        for _ in range(_TRIES):
            state, _at = await fold(self._journal, session)
            run = _in_doubt(state, ref, number)
            ledger = Ledger(state, self._journal, self._clock, epoch)
            claims = Claims(ledger)
            claim = await claims.look(run.intent) if run.intent else None
            # Read once more behind the claim: whoever settles the run from here on changes the claim.
            state, _at = await fold(self._journal, session)
            ledger.state, run = state, _in_doubt(state, ref, number)
            record = _record(run, self._tools(run.tool), finding, by)
            at = self._clock.wall()
            state.apply(record, at)
            own = claim is not None and (claim.session, claim.run) == (session, run.number)
            swaps = (claims.swap(run.intent, claims.row(run, claims.state_of(run))),) if own else ()
            try:
                receipt = await self._journal.fate(ledger.append(record, durable=True, wait=True, swaps=swaps))
            except ClaimLost:
                continue  # somebody else is at it this very moment: look again
            stood, _at = await fold(self._journal, session, until=receipt.seq - 1)
            if stood.ruling(record)[0] is Ruling.ADMITTED:
                return
            state, _at = await fold(self._journal, session)
            first = state.runs[run.number]
            if own:
                row = claims.row(first, claims.state_of(first))
                await self._journal.fate(ledger.claim(claims.swap(run.intent, row)))
            raise _settled(state, first, ref)
        raise StoreBusy("its claim changes all the time", ref=ref, advice="Try again.")


async def catch_up(w: Wiring) -> None:
    """Fold in what others have found out about runs in doubt, or followed, of a session that lives here (T1, L4).

    Evidence of this process is folded when it is written; so evidence in the journal about a run that is in doubt, or
    followed, in memory came from elsewhere: a person's, or that of the process that ran it. The latter may also speak
    against a probe that had found nothing.

    Raises:
        StoreError: The journal cannot be read.
    """
    ledger = w.ledger
    state = ledger.state
    if ledger.visiting:
        await w.abreast.sync()
        return
    while watched := state.doubtful | ledger.followed | ledger.denied:
        frames = await ledger.journal.ask(lambda store: store.read(state.session, after=ledger.seen, limit=PAGE))
        for frame in frames:
            ledger.seen = max(ledger.seen, frame.seq)
            if frame.kind not in _EVIDENCE:
                continue
            record = r.decode(frame.kind, frame.version, frame.payload)
            if not isinstance(record, r.RunRecord) or record.run not in watched:
                continue
            ruling = state.ruling(record)[0]
            if ruling is Ruling.EXCLUDED:
                continue
            state.apply(record, frame.at)
            if ruling is Ruling.CONTRADICTS:
                ledger.denied.discard(record.run)
            if state.runs[record.run].phase.final:
                _tell(w, state.runs[record.run])
        if len(frames) < PAGE:
            return


async def catch_up_all(sessions: Mapping[str, Session]) -> None:
    """:func:`catch_up` for every session with a run in doubt; a store that does not answer is asked again later."""
    for session in [one for one in sessions.values() if one.state.doubtful or one.wiring.ledger.denied]:
        try:
            await catch_up(session.wiring)
        except (StoreError, r.UnknownRecord):
            continue


def _tell(w: Wiring, run: Run) -> None:
    """A run that was in doubt is settled: wake whoever waits, write its claim, let outputs and notes go."""
    live = w.execution.live.pop(run.number, None)
    w.gate.forget(run.number)
    if live is not None:
        w.execution.finish(live)
    else:
        w.claims.settle(run)
        w.delivery.pump()


def _check(ref: str, finding: Finding[Any], by: str) -> None:
    if not isinstance(finding, (Happened, DidNotHappen)):
        raise EvidenceMissing(
            f"{finding!r} settles nothing", ref=ref, advice="Say Happened(result, evidence=...) or DidNotHappen(...)."
        )
    if not finding.evidence.strip():
        raise EvidenceMissing(
            "the finding does not say where it was seen",
            ref=ref,
            advice="Give evidence=..., for example the record's place in the outside system.",
        )
    if not by.strip():
        raise EvidenceMissing("nobody stands for the finding", ref=ref, advice="Give by=..., the person's name.")


def _in_doubt(state: State, ref: str, number: int) -> Run:
    slot = state.slots.get(number)
    if slot is None:
        raise UnknownRef(
            f"{state.session} has no call {number}", ref=ref, advice=f"See `toolguard audit {state.session}`."
        )
    run = state.runs.get(slot.run)
    if run is None:
        other = slot.points_to
        raise AlreadySettled(
            f"the call of {slot.tool} has no run of its own (it was answered: {slot.verdict})",
            ref=ref,
            advice=f"Settle {other} instead." if other else "There is nothing to settle.",
        )
    if run.phase is not Phase.IN_DOUBT:
        raise _settled(state, run, ref)
    return run


def _settled(state: State, run: Run, ref: str) -> AlreadySettled:
    if run.phase.open:
        return AlreadySettled(
            f"{run.tool} is {run.phase.value}, not in doubt", ref=ref, advice="Wait until its process is done with it."
        )
    return AlreadySettled(
        f"{run.tool} is {run.phase.value} already, says the {run.source}",
        ref=ref,
        advice=f"The first evidence stands; see `toolguard audit {state.run_ref(run)}`.",
    )


def _undo(tool: Tool[Any, Any] | None, raw: bytes) -> r.UndoOffer | None:
    """What would take the result back; an undo that cannot be prepared for what a person wrote is not offered."""
    if tool is None:
        return None
    try:
        return undo_offer(tool, tool.load_result(raw))
    except Exception:  # noqa: BLE001 - an undo is somebody else's code
        return None


def _record(run: Run, tool: Tool[Any, Any] | None, finding: Finding[Any], by: str) -> r.Returned | r.Failed:
    attempt = max(run.attempt, 1)
    if isinstance(finding, Happened):
        raw = tool.dump_result(finding.result) if tool is not None else Results(Any, run.tool).dump(finding.result)
        small = shortened(raw)
        return r.Returned(
            run=run.number,
            attempt=attempt,
            result=msgspec.Raw(small),
            source="person",
            evidence=finding.evidence,
            by=by,
            warning="" if small is raw else f"result_too_large: {len(raw)} bytes",
            undo=_undo(tool, raw),
        )
    return r.Failed(
        run=run.number,
        attempt=attempt,
        code="did_not_happen",
        message="a person found that it did not happen",
        source="person",
        evidence=finding.evidence if isinstance(finding, DidNotHappen) else "",
        by=by,
    )
