"""Several listeners in a row: one's own first, the rules after it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from toolguard.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from toolguard.listen.heard import Heard, Listener, Verdict


def first_of(*listeners: Listener) -> Listener:
    """Ask one listener after the other; the first that has an opinion is believed.

    As long as those asked answer at once, so does the whole; from the first one that has to be awaited on, it
    returns an awaitable.

    Args:
        listeners: At least one, for example ``first_of(mine, by_rules())``.

    Raises:
        DeclarationError: No listener is given.
    """
    if not listeners:
        raise DeclarationError("first_of() was given no listener.", advice="Write first_of(mine, by_rules()).")

    def listener(heard: Heard) -> Verdict | Awaitable[Verdict | None] | None:
        for number, one in enumerate(listeners, start=1):
            answer = one(heard)
            if inspect.isawaitable(answer):
                return _later(answer, listeners[number:], heard)
            if answer is not None:
                return answer
        return None

    return listener


async def _later(answer: Awaitable[Verdict | None], others: tuple[Listener, ...], heard: Heard) -> Verdict | None:
    verdict = await answer
    for one in others:
        if verdict is not None:
            break
        said = one(heard)
        verdict = await said if inspect.isawaitable(said) else said
    return verdict
