"""The tools of a guard by name, checked when they are handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.errors import ApprovalImpossible, DeclarationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.engine.port import Traits
    from toolguard.tools.tool import Tool


def by_name(tools: Sequence[Tool[..., Any]]) -> dict[str, Tool[Any, Any]]:
    """Tools by the names that models call.

    Raises:
        DeclarationError: Something is no guarded tool, or two tools have one name.
    """
    known: dict[str, Tool[Any, Any]] = {}
    for tool in tools:
        if not hasattr(tool, "spec"):
            raise DeclarationError(
                f"{tool!r} is not a guarded tool", advice="Decorate it with @toolguard.read, ... or use toolguard.wrap."
            )
        if tool.name in known:
            raise DeclarationError(f"two tools are named {tool.name}", advice="Give one of them name='...'.")
        tool.schema()
        known[tool.name] = tool
    return known


def check_scopes(known: dict[str, Tool[Any, Any]], session: str, caller: str | None) -> None:
    """Tools of scope ``caller`` need to know who is on the line (S8).

    Raises:
        DeclarationError: No caller was given.
    """
    needing = sorted(name for name, tool in known.items() if tool.spec.scope == "caller")
    if needing and not caller:
        raise DeclarationError(
            f"{', '.join(needing)} recognise the same wish by its caller, and no caller was given",
            ref=session,
            advice="Pass caller=..., or declare the tools with scope='session'.",
        )


def check_approvals(known: dict[str, Tool[Any, Any]], session: str, traits: Traits | None) -> None:
    """Tools that ask the caller need a line that brings the answer; without a framework only a person can approve.

    Raises:
        ApprovalImpossible: The caller's yes cannot come.
    """
    asking = sorted(
        name
        for name, tool in known.items()
        if tool.spec.needs is not None
        and (tool.spec.needs.by == "caller" if traits is None else tool.spec.needs.by != "person")
    )
    if asking and (traits is None or not traits.can_ask):
        line = traits.adapter if traits is not None else "a session without an adapter"
        raise ApprovalImpossible(
            f"{', '.join(asking)} needs the caller's yes, and {line} cannot ask for it or bring it",
            ref=session,
            advice="Use an adapter that brings words or keys, or Approval(by='person') and session.approve().",
        )
