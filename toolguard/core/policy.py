"""What a policy is: a plain function of one call and one interrupt, with a name for the trail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from toolguard.core.call import ToolCall
from toolguard.core.decision import Decision
from toolguard.core.interrupt import Interrupt

if TYPE_CHECKING:
    from collections.abc import Sequence

Policy: TypeAlias = Callable[[ToolCall, Interrupt], Decision | None]
"""Says what becomes of one run under one interrupt; ``None`` means "no opinion". It does no input or output."""


def named(policy: Policy, name: str) -> Policy:
    """Give a policy the name under which the trail shows its decisions.

    Args:
        policy: A function made for the occasion (a closure); it is changed in place.
        name: What the trail shall show, for example ``first_of(charges_wait, by_effect)``.

    Returns:
        The same function.
    """
    for attribute in ("__name__", "__qualname__", "policy_name"):
        setattr(policy, attribute, name)
    return policy


def name_of(policy: Policy) -> str:
    """The name of a policy for the trail; also of a partial, a method or an object that can be called."""
    for attribute in ("policy_name", "__name__"):
        name = getattr(policy, attribute, None)
        if isinstance(name, str):
            return name
    return name_of(policy.func) if isinstance(policy, partial) else type(policy).__name__


def names_of(policies: Sequence[Policy]) -> str:
    """The names of several policies, separated by commas."""
    return ", ".join(name_of(policy) for policy in policies)
