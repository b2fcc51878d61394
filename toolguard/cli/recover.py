"""``toolguard recover``: go on with sessions whose process has died, and say what became of their runs."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from toolguard.cli.app import BAD_USE, FINDINGS, PLACE, AppOption, BadUse, JsonOption, StoreOption, emit, run, say
from toolguard.cli.place import guard_of
from toolguard.core.law import Phase
from toolguard.core.plan import RecoveryReport
from toolguard.errors import ToolguardError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from toolguard.core.plan import RecoveryPlan
    from toolguard.engine.guard import Guard
    from toolguard.engine.session import Session

_LOOK = 0.05


class Report(RecoveryReport, frozen=True, kw_only=True):
    """What a recovery found and did, and what came of it.

    Attributes:
        now: Where each of its calls stands now.
        unsettled: Refs of calls that still wait for a probe or a person.
    """

    now: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it
    unsettled: tuple[str, ...] = ()


class Want(msgspec.Struct, frozen=True):
    """How the command is to work: how long to wait for a session's runs, take living ones too, print JSON."""

    wait: float
    take: bool
    json: bool


def recover(
    session: Annotated[str, typer.Argument(metavar="[SESSION]", help="The session; or --all, or --watch.")] = "",
    app: AppOption = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every open session without a living owner.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be done.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until its runs are settled.")] = 30.0,
    take: Annotated[bool, typer.Option("--take", help="Also where its process still lives.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with sessions as their processes die.")] = False,
    lasting: Annotated[float, typer.Option("--for", min=0, help="Seconds to watch; 0 for ever.")] = 0.0,
    store: StoreOption = PLACE,
    json: JsonOption = False,
) -> None:
    """Resume what a dead process left: reads run again, uncommitted writes go on, committed ones are looked into."""
    if not app:
        raise BadUse("recovering runs tools", advice="Name the application's guard: --app module:guard.")
    if (bool(session), everything, watch).count(True) != 1:
        raise BadUse(
            "name one session, or --all, or --watch", advice="For example: toolguard recover conv-42 --app app:guard."
        )
    if (take or plan) and not session:
        raise BadUse("--take and --plan are for one session", advice="Name it.")
    want = Want(wait, take, json)
    guard = guard_of(app, store)
    with suppress(KeyboardInterrupt):
        code = run(_watch(guard, want, lasting) if watch else _recover(guard, session, want, plan=plan))
        if code:
            raise typer.Exit(code)


async def _recover(guard: Guard, session: str, want: Want, *, plan: bool) -> int:
    code = 0
    async with guard:
        if plan:
            made = await guard.recover(session).plan()
            emit(made) if want.json else _show(made)
            return 0
        async for target in _orphans(guard) if not session else _only(session):
            try:
                async with guard.recover(target, take=want.take) as conversation:
                    await _settled(conversation, want)
                code = max(code, _told(conversation, want))
            except ToolguardError as error:
                if session:
                    raise
                typer.echo(str(error), err=True)
                code = BAD_USE
    return code


async def _watch(guard: Guard, want: Want, lasting: float) -> int:
    code = 0
    async with guard, aclosing(guard.watch()) as sessions:
        with suppress(TimeoutError):
            async with asyncio.timeout(lasting or None):
                async for conversation in sessions:
                    await _settled(conversation, want)
                    await conversation.close()
                    code = max(code, _told(conversation, want))
    return code


async def _only(session: str) -> AsyncIterator[str]:
    yield session


async def _orphans(guard: Guard) -> AsyncIterator[str]:
    """Open sessions whose owner is gone."""
    found = [one.session async for one in guard.trail.sessions(state="open") if not await _lives(guard, one.owner)]
    for session in found:
        yield session


async def _lives(guard: Guard, owner: str) -> bool:
    return bool(owner) and await guard.journal.ask(lambda store: store.alive(owner))


async def _settled(conversation: Session, want: Want) -> None:
    """Wait until the session's runs have ended."""
    with suppress(TimeoutError):
        async with asyncio.timeout(want.wait):
            while _at_work(conversation):  # noqa: ASYNC110 -- runs and probes ring no common bell
                await asyncio.sleep(_LOOK)


def _told(conversation: Session, want: Want) -> int:
    """Say what became of its runs."""
    state = conversation.state
    found = conversation.recovery or RecoveryReport(session=conversation.id, cause="nothing was open")
    refs = {*found.resumed, *found.in_doubt, *found.stopped, *found.followed}
    now = {state.run_ref(run): run.phase.value for run in state.runs.values() if state.run_ref(run) in refs}
    unsettled = tuple(state.run_ref(state.runs[number]) for number in sorted(state.doubtful))
    report = Report(**msgspec.structs.asdict(found), now=now, unsettled=unsettled)
    emit(report) if want.json else _print(report)
    return FINDINGS if unsettled else 0


def _at_work(session: Session) -> bool:
    """Whether a run goes on, or a probe may still find out about one."""
    live = session.wiring.execution.live.values()
    looking = any(one.run.phase is Phase.IN_DOUBT and one.tool.prober is not None for one in live)
    return bool(session.state.open_runs) or looking


def _print(report: Report) -> None:
    say(f"{report.session}: {report.cause}, {report.gap_ms / 1000:.1f} s after its last record")
    for word, refs in (
        ("resumed", report.resumed),
        ("in doubt", report.in_doubt),
        ("stopped", report.stopped),
        ("followed", report.followed),
    ):
        for ref in refs:
            say(f"  {ref}  was {word}, is {report.now[ref].replace('_', ' ')}")
    for ref in report.unsettled:
        say(f"  {ref}  needs a person: toolguard resolve {ref} --happened JSON | --did-not-happen --evidence ...")


def _show(plan: RecoveryPlan) -> None:
    lives = "alive" if plan.owner_lives else "gone"
    owner = f"process {plan.owner} is {lives}" if plan.owner else "nobody has it"
    say(f"{plan.session}: {owner}; epoch {plan.epoch}, {plan.gap_ms / 1000:.1f} s after its last record")
    for step in plan.steps:
        phase = step.phase.replace("_", " ")
        say(f"  {step.ref}  {step.tool} ({phase}): {step.act.replace('_', ' ')}, because {step.why}")
    if not plan.steps:
        say("  nothing is open")
