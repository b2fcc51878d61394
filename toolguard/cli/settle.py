"""``toolguard resolve``, ``pause`` and ``resume``: what a person decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from toolguard.audit.call import split_ref
from toolguard.cli.app import PLACE, AppOption, BadUse, ByOption, JsonOption, StoreOption, emit, run, say
from toolguard.cli.place import guard_of
from toolguard.core.finding import DidNotHappen, Happened

if TYPE_CHECKING:
    from toolguard.core.finding import Finding
    from toolguard.engine.guard import Guard

ToolArgument = Annotated[str, typer.Argument(metavar="TOOL", help="The tool's name.")]


def resolve(
    ref: Annotated[str, typer.Argument(metavar="REF", help="The call, as conv-42/7.")],
    happened: Annotated[
        str | None, typer.Option(metavar="JSON", help="It happened; what the tool would have returned.")
    ] = None,
    did_not_happen: Annotated[
        bool, typer.Option("--did-not-happen", help="It did not, and will not any more.")
    ] = False,
    evidence: Annotated[str, typer.Option(help="Where that was seen; required.")] = "",
    by: ByOption = "",
    store: StoreOption = PLACE,
    app: AppOption = "",
    json: JsonOption = False,
) -> None:
    """Settle a call in doubt with what you found out. The first settlement stands."""
    if (happened is None) != did_not_happen:
        raise BadUse(
            "say either --happened or --did-not-happen",
            ref=ref,
            advice="For example: --happened '\"ch_1\"' --evidence dashboard --by ana.",
        )
    split_ref(ref)
    if happened is not None:
        _parsed(ref, happened)
    run(_resolve(guard_of(app, store), ref, happened, evidence, by, json=json))


async def _resolve(guard: Guard, ref: str, happened: str | None, evidence: str, by: str, *, json: bool) -> None:
    async with guard:
        call = await guard.trail.call(ref)
        finding: Finding[Any] = DidNotHappen(evidence)
        if happened is not None:
            tool = guard.tools.get(call.tool)
            value = tool.load_result(happened.encode()) if tool is not None else _parsed(ref, happened)
            finding = Happened(value, evidence)
        await guard.resolve(ref, finding, by=by)
        call = await guard.trail.call(ref)
    if json:
        emit(call)
        return
    phase = call.phase.value if call.phase is not None else call.verdict
    say(f"{ref} {call.tool} is {phase}, says {by}. A process that serves the session notices within seconds.")


def _parsed(ref: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise BadUse(
            f"--happened takes the result as JSON, and {text!r} is none ({error})",
            ref=ref,
            advice="A text needs its own quotes: --happened '\"ch_1\"'; nothing to return is null.",
        ) from error


def pause(
    tool: ToolArgument,
    by: ByOption = "",
    reason: Annotated[str, typer.Option(help="Why; the model reads it.")] = "",
    store: StoreOption = PLACE,
    app: AppOption = "",
) -> None:
    """Switch a tool off in every process of the store; calls are refused until it is resumed."""
    if not by.strip():
        raise BadUse(f"nobody pauses {tool}", advice="Give --by YOUR-NAME.")
    run(_pause(guard_of(app, store), tool, by, reason))
    say(f"{tool} is paused. Every process notices within seconds; `toolguard resume {tool}` ends it.")


def resume(tool: ToolArgument, store: StoreOption = PLACE, app: AppOption = "") -> None:
    """Switch a paused tool on again."""
    run(_resume(guard_of(app, store), tool))
    say(f"{tool} is on again. Every process notices within seconds.")


async def _pause(guard: Guard, tool: str, by: str, reason: str) -> None:
    async with guard:
        await guard.pause(tool, by=by, reason=reason)


async def _resume(guard: Guard, tool: str) -> None:
    async with guard:
        await guard.resume(tool)
