"""The default policy: what a tool does to the world decides what an interrupt does to its call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.core.decision import Decision
from toolguard.core.policy import named
from toolguard.policies.columns import column, row
from toolguard.policies.table import TABLE

if TYPE_CHECKING:
    from toolguard.core.call import ToolCall
    from toolguard.core.interrupt import Interrupt
    from toolguard.core.policy import Policy
    from toolguard.policies.table import Table


def from_table(table: Table, name: str) -> Policy:
    """Make a policy from a table.

    Args:
        table: A cell for every row and column.
        name: What the trail calls it.

    Returns:
        A policy that answers every call and interrupt.
    """

    def policy(call: ToolCall, interrupt: Interrupt) -> Decision | None:
        return table[row(call), column(interrupt, call)].decision

    return named(policy, name)


_GOES_ON = frozenset({"addition", "other_topic"})


def by_effect() -> Policy:
    """The default: reads go on, an uncommitted write waits for what the caller means, the rest tells the truth.

    One rule stands beside the table: a tool that ends the conversation is stopped when the caller goes on speaking.

    Returns:
        The policy of the default table (:data:`toolguard.policies.TABLE`); it has an opinion on everything.
    """
    by_table = from_table(TABLE, "by_effect")

    def policy(call: ToolCall, interrupt: Interrupt) -> Decision | None:
        if call.terminal and row(call) == "uncommitted_write" and column(interrupt, call) in _GOES_ON:
            return Decision.stop("the caller goes on: the conversation does not end yet")
        return by_table(call, interrupt)

    return named(policy, "by_effect")
