"""Patience with a limit: a write waits a moment for a clear word, and goes on if none comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.core.decision import Decision
from toolguard.core.interrupt import BargeIn
from toolguard.core.policy import named
from toolguard.errors import DeclarationError
from toolguard.policies.columns import column, row
from toolguard.policies.table import TABLE

if TYPE_CHECKING:
    from toolguard.core.call import ToolCall
    from toolguard.core.interrupt import Interrupt
    from toolguard.core.policy import Policy


def grace(seconds: float) -> Policy:
    """Give the caller ``seconds`` to object; without a clear objection an uncommitted write goes on.

    At an onset, and at "hold on", an uncommitted write holds for at most ``seconds`` without words. When the words
    settle, a clear correction or cancellation stops it, as by default. Words that the listener is *not sure* of
    release it, where the default table would stop it and ask: that is the difference, and why this policy suits
    writes that are easy to undo. Everything else is decided as in :func:`by_effect`.

    Args:
        seconds: How long a hold lasts while the caller says nothing that can be understood.

    Raises:
        DeclarationError: ``seconds`` is not above zero.
    """
    if not seconds > 0:
        raise DeclarationError(f"grace({seconds!r}) gives no time.", advice="Give a number of seconds above zero.")
    pause = Decision.hold(f"the caller is speaking and has {seconds:g} s to object", at_most=seconds)
    unclear = Decision.go_on("the caller said something, but no clear objection")

    def policy(call: ToolCall, interrupt: Interrupt) -> Decision | None:
        where = row(call), column(interrupt, call)
        if where[0] == "uncommitted_write" and isinstance(interrupt, BargeIn):
            if where[1] in {"onset", "hold_on"}:
                return pause
            if interrupt.stage == "settled" and not interrupt.sure:
                return unclear
        return TABLE[where].decision

    return named(policy, f"grace({seconds:g})")
