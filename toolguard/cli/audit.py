"""``toolguard audit``: calls, sessions, one call in full, or a session's timeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from toolguard.audit.call import split_ref
from toolguard.audit.timeline import timeline
from toolguard.cli import show
from toolguard.cli.app import PLACE, BadUse, JsonOption, StoreOption, emit, run, say
from toolguard.cli.follow import follow
from toolguard.cli.place import trail_of
from toolguard.cli.when import moment_of
from toolguard.core.effect import Effect  # noqa: TC001 -- typer reads it
from toolguard.core.law import Phase
from toolguard.errors import UnknownRef

if TYPE_CHECKING:
    from datetime import datetime

    from toolguard.audit.call import TrailCall, TrailSession
    from toolguard.audit.trail import Trail

SESSIONS = "sessions"


@dataclass(frozen=True, slots=True)
class _Query:
    tool: str | None
    phase: Phase | None
    effect: Effect | None
    tenant: str | None
    since: datetime | None
    until: datetime | None
    limit: int
    json: bool


def audit(  # noqa: PLR0917 -- typer passes them by name
    target: Annotated[
        str, typer.Argument(metavar="[SESSION|REF|sessions]", help="A session, a call's ref, or `sessions`.")
    ] = "",
    store: StoreOption = PLACE,
    phase: Annotated[Phase | None, typer.Option(help="Only calls that stand there.")] = None,
    tool: Annotated[str | None, typer.Option(help="Only calls of this tool.")] = None,
    effect: Annotated[Effect | None, typer.Option(help="Only calls with this effect.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    since: Annotated[str, typer.Option(help="yesterday, 2h, 3d, 2026-03-01, 2026-03-01T10:30.")] = "",
    until: Annotated[str, typer.Option(help="The same forms.")] = "",
    lines: Annotated[bool, typer.Option("--timeline", help="Tell one session line by line.")] = False,
    following: Annotated[bool, typer.Option("--follow", help="Tell what is written from now on.")] = False,
    json: JsonOption = False,
    limit: Annotated[int, typer.Option(min=0, help="How many at most; 0 for all.")] = 200,
) -> None:
    """Show what was called, what was decided and why, and what came of it; calls in doubt first."""
    query = _Query(tool, phase, effect, tenant, _moment("--since", since), _moment("--until", until), limit, json)
    if following:
        run(follow(store, "" if target == SESSIONS else target, json=json))
    elif lines:
        if not target or target == SESSIONS:
            raise BadUse("--timeline needs a session", advice="Write: toolguard audit SESSION --timeline.")
        run(_timeline(store, target, json=json))
    elif target == SESSIONS:
        run(_sessions(store, query))
    else:
        run(_calls(store, target, query))


def _moment(option: str, text: str) -> datetime | None:
    try:
        return moment_of(text) if text else None
    except ValueError as error:
        raise BadUse(f"{option}: {error}") from error


async def _calls(store: str, target: str, query: _Query) -> None:
    async with trail_of(store) as trail:
        if target and not await _is_session(trail, target):
            call = await trail.call(target)
            emit(call) if query.json else show.detail(call)
            return
        found: list[TrailCall] = []
        more = False
        async for call in trail.calls(
            tool=query.tool,
            phase=query.phase,
            since=query.since,
            until=query.until,
            tenant=query.tenant,
            session=target or None,
            effect=query.effect,
            in_doubt_first=True,
        ):
            if query.limit and len(found) == query.limit:
                more = True
                break
            found.append(call)
            if query.json:
                emit(call)
    if not query.json:
        _table(found, more=more)


def _table(found: list[TrailCall], *, more: bool) -> None:
    if not found:
        say("no calls")
        return
    show.calls(found)
    doubtful = [call.ref for call in found if call.phase is Phase.IN_DOUBT]
    if doubtful:
        say(f"{len(doubtful)} in doubt: find out what happened, then `toolguard resolve {doubtful[0]} ...`")
    if more:
        say(f"there are more than {len(found)}: narrow it down, or use --limit 0")


async def _sessions(store: str, query: _Query) -> None:
    async with trail_of(store) as trail:
        found: list[TrailSession] = []
        more = False
        async for one in trail.sessions(tenant=query.tenant):
            early = query.since is not None and one.last_at < query.since
            if early or (query.until is not None and one.opened_at >= query.until):
                continue
            if query.limit and len(found) == query.limit:
                more = True
                break
            found.append(one)
            if query.json:
                emit(one)
    if not query.json:
        show.sessions(found)
        if more:
            say(f"there are more than {len(found)}: use --limit 0")


async def _timeline(store: str, target: str, *, json: bool) -> None:
    async with trail_of(store) as trail:
        session = target if await _is_session(trail, target) else split_ref(target)[0]
        if json:
            async for line in trail.records(session):
                emit(line._asdict())
            return
        async for text in timeline(trail, session):
            say(text)


async def _is_session(trail: Trail, target: str) -> bool:
    """Whether ``target`` is a session; one whose id looks like a ref is a session all the same.

    Raises:
        UnknownRef: It is neither a session nor looks like a ref.
    """
    try:
        await trail.row(target)
    except UnknownRef:
        if "/" not in target:
            raise
        return False
    return True
