"""Policies made of policies: by tool, the first with an opinion, the strictest of several."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, TypeVar

from toolguard.core.call import Named
from toolguard.core.decision import Decision
from toolguard.core.interrupt import BargeIn
from toolguard.core.policy import name_of, named, names_of
from toolguard.errors import DeclarationError
from toolguard.policies.columns import column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.core.call import ToolCall
    from toolguard.core.interrupt import Interrupt
    from toolguard.core.policy import Policy

_Key = TypeVar("_Key", bound=str | Named)


def first_of(*policies: Policy) -> Policy:
    """Ask one policy after the other; the first that has an opinion decides.

    Args:
        policies: At least one, the most particular first.

    Returns:
        A policy without an opinion only where none of them has one.
    """
    _some("first_of", policies)

    def policy(call: ToolCall, interrupt: Interrupt) -> Decision | None:
        return next((made for one in policies if (made := one(call, interrupt)) is not None), None)

    return named(policy, f"first_of({names_of(policies)})")


def strictest(*policies: Policy) -> Policy:
    """Ask all policies; the tightest decision stands (go on < hold < stop), the earlier one where two are equal.

    Args:
        policies: At least one.

    Returns:
        A policy without an opinion only where none of them has one.
    """
    _some("strictest", policies)

    def policy(call: ToolCall, interrupt: Interrupt) -> Decision | None:
        made = [decision for one in policies if (decision := one(call, interrupt)) is not None]
        return reduce(Decision.tighter, made) if made else None

    return named(policy, f"strictest({names_of(policies)})")


def by_tool(
    tools: Mapping[_Key, Policy | Decision],
    *,
    otherwise: Policy | Decision | None = None,
) -> Policy:
    """Decide by the tool that is called.

    A bare decision stands for what one means by it: ``Decision.hold()`` holds at an onset and at "hold on" and
    leaves what follows to ``otherwise``; ``Decision.stop()`` answers everything that the caller says except noise
    and backchannels; ``Decision.go_on()`` answers everything that the caller says. Bare ``hold`` and ``stop`` have no
    opinion on a call past its commit.

    Args:
        tools: Policies or decisions, by tool or by the tool's name.
        otherwise: Asked for other tools, and where the tool's own entry has no opinion.

    Returns:
        A policy without an opinion where neither the tool's entry nor ``otherwise`` has one.
    """
    known = {key if isinstance(key, str) else key.name: _as_policy(entry) for key, entry in tools.items()}
    rest = None if otherwise is None else _as_policy(otherwise)

    def policy(call: ToolCall, interrupt: Interrupt) -> Decision | None:
        mine = known.get(call.tool)
        made = None if mine is None else mine(call, interrupt)
        return made if made is not None or rest is None else rest(call, interrupt)

    shown = [f"{tool}: {name_of(entry)}" for tool, entry in known.items()]
    return named(policy, f"by_tool({', '.join(shown if rest is None else [*shown, f'otherwise: {name_of(rest)}'])})")


def _as_policy(entry: Policy | Decision) -> Policy:
    return _bare(entry) if isinstance(entry, Decision) else entry


def _bare(decision: Decision) -> Policy:
    def policy(call: ToolCall, interrupt: Interrupt) -> Decision | None:
        if not isinstance(interrupt, BargeIn) or (decision.run != "go_on" and call.committed):
            return None
        where = column(interrupt, call)
        if decision.run == "hold":
            return decision if where in {"onset", "hold_on"} else None
        return None if decision.run == "stop" and where in {"noise", "backchannel"} else decision

    return named(policy, decision.run)


def _some(name: str, policies: tuple[Policy, ...]) -> None:
    if not policies:
        raise DeclarationError(f"{name}() was given no policy.", advice=f"Write {name}(mine, by_effect()).")
    for one in policies:
        if not callable(one):
            raise DeclarationError(
                f"{name}() was given {one!r}, which is no policy.",
                advice="A policy is a function of a call and an interrupt; by_effect is a factory: write by_effect().",
            )
