"""``toolguard recover``: go on with sessions whose process has died, and say what became of their runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from toolguard.cli.app import BAD_USE, FINDINGS, PLACE, AppOption, BadUse, JsonOption, StoreOption, emit, run, say
from toolguard.cli.place import guard_of
from toolguard.core.law import Phase
from toolguard.core.records import Recovered
from toolguard.errors import ToolguardError, UnknownRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from toolguard.engine.guard import Guard
    from toolguard.engine.session import Session

_LOOK = 0.05


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery found and did.

    Attributes:
        session: The session's id.
        cause: Why it had to be recovered.
        gap_ms: How long nobody had it.
        resumed: Refs of calls that went on.
        in_doubt: Refs of calls of which nobody knew whether they had happened.
        stopped: Refs of calls that were stopped before their effect.
        now: Where each of these stands now.
        unsettled: Refs of calls that still wait for a probe or a person.
    """

    session: str
    cause: str = "nothing was open"
    gap_ms: float = 0.0
    resumed: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    now: dict[str, str] = {}
    unsettled: tuple[str, ...] = ()


def recover(
    session: Annotated[str, typer.Argument(metavar="[SESSION]", help="The session; or --all.")] = "",
    app: AppOption = "",
    everything: Annotated[bool, typer.Option("--all", help="Every open session without a living owner.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until its runs are settled.")] = 30.0,
    take_over: Annotated[bool, typer.Option("--take-over", help="Also where its process still lives.")] = False,
    store: StoreOption = PLACE,
    json: JsonOption = False,
) -> None:
    """Resume what a dead process left: reads run again, uncommitted writes go on, committed ones are looked into."""
    if not app:
        raise BadUse("recovering runs tools", advice="Name the application's guard: --app module:guard.")
    if bool(session) == everything:
        raise BadUse("name one session, or --all", advice="For example: toolguard recover conv-42 --app app:guard.")
    if take_over and everything:
        raise BadUse("--take-over is for one session", advice="Name it.")
    code = run(_recover(guard_of(app, store), session, wait, take_over=take_over, json=json))
    if code:
        raise typer.Exit(code)


async def _recover(guard: Guard, session: str, wait: float, *, take_over: bool, json: bool) -> int:
    code = 0
    async with guard:
        if session:
            await _check(guard, session, take_over=take_over)
        targets = _orphans(guard) if not session else _only(session)
        async for target in targets:
            try:
                report = await _one(guard, target, wait)
            except ToolguardError as error:
                if session:
                    raise
                typer.echo(str(error), err=True)
                code = BAD_USE
                continue
            emit(report) if json else _print(report)
            if report.unsettled:
                code = code or FINDINGS
    return code


async def _only(session: str) -> AsyncIterator[str]:
    yield session


async def _orphans(guard: Guard) -> AsyncIterator[str]:
    """Open sessions whose owner is gone."""
    found = [one.session async for one in guard.trail.sessions(state="open") if not await _lives(guard, one.owner)]
    for session in found:
        yield session


async def _check(guard: Guard, session: str, *, take_over: bool) -> None:
    row = await guard.journal.ask(lambda store: store.session(session))
    if row is None or not row.seq:
        raise UnknownRef("there is no such session to recover", ref=session, advice="See `toolguard audit sessions`.")
    if not take_over and await _lives(guard, row.owner):
        raise BadUse(
            f"process {row.owner} has it and is alive",
            ref=session,
            advice="Leave it there, or take it away with --take-over.",
        )


async def _lives(guard: Guard, owner: str) -> bool:
    return bool(owner) and await guard.journal.ask(lambda store: store.alive(owner))


async def _one(guard: Guard, target: str, wait: float) -> Report:
    async with guard.recover(target) as session:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                while _at_work(session):  # noqa: ASYNC110 -- runs and probes ring no common bell
                    await asyncio.sleep(_LOOK)
        epoch = session.wiring.ledger.epoch
        state = session.state
    found: Recovered | None = None
    async for line in guard.trail.records(target):
        if line.epoch == epoch and isinstance(line.record, Recovered):
            found = line.record
    unsettled = tuple(state.run_ref(state.runs[number]) for number in sorted(state.doubtful))
    if found is None:
        return Report(session=target, unsettled=unsettled)

    def refs(runs: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(state.run_ref(state.runs[number]) for number in runs)

    return Report(
        session=target,
        cause=found.cause,
        gap_ms=found.gap_ms,
        resumed=refs(found.resumed),
        in_doubt=refs(found.in_doubt),
        stopped=refs(found.stopped),
        now={
            state.run_ref(state.runs[number]): state.runs[number].phase.value
            for number in (*found.resumed, *found.in_doubt, *found.stopped)
        },
        unsettled=unsettled,
    )


def _at_work(session: Session) -> bool:
    """Whether a run goes on, or a probe may still find out about one."""
    live = session.wiring.execution.live.values()
    looking = any(one.run.phase is Phase.IN_DOUBT and one.tool.prober is not None for one in live)
    return bool(session.state.open_runs) or looking


def _print(report: Report) -> None:
    say(f"{report.session}: {report.cause}, {report.gap_ms / 1000:.1f} s after its last record")
    for word, refs in (("resumed", report.resumed), ("in doubt", report.in_doubt), ("stopped", report.stopped)):
        for ref in refs:
            say(f"  {ref}  was {word}, is {report.now[ref].replace('_', ' ')}")
    for ref in report.unsettled:
        say(f"  {ref}  needs a person: toolguard resolve {ref} --happened JSON | --did-not-happen --evidence ...")
