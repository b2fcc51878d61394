"""How a lost Realtime connection is replaced: the settings of a rebuild, and the connection itself."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """What is done when the provider's connection is lost, comes to its limit, or is to be left.

    Attributes:
        connect: Makes a new connection: ``lambda: client.realtime.connect(model="gpt-realtime-2")``. Do not give the
            client ``on_reconnecting``: its own reconnect knows neither session nor conversation.
        session: The session's settings; by default what the application has sent in its ``session.update`` frames.
        within: Seconds within which the line has to stand again, over all tries.
        pause: Seconds before the second try; each further pause is longer.
        longest_pause: The longest of them.
        proven_within: Seconds within which a new connection has to be made and to have confirmed all that it was sent.
        hold_sends: Seconds that the application's frames wait for the line before they are refused.
        renew_after: Seconds after which a connection is replaced ahead of the provider's limit, at the first moment at
            which no call is in flight and nobody speaks; None for never.
        renew_by: Seconds at which it is replaced at the latest, whatever happens on it. For the last minute before,
            calls in flight are no reason to wait any more.
        max_bytes: The conversation that is shown anew is compacted to this size; 0 for all of it.
    """

    connect: Callable[[], AbstractAsyncContextManager[Any]]
    session: Mapping[str, Any] | None = None
    within: float = 30.0
    pause: float = 0.25
    longest_pause: float = 4.0
    proven_within: float = 10.0
    hold_sends: float = 10.0
    renew_after: float | None = 55 * 60.0
    renew_by: float = 59 * 60.0
    max_bytes: int = 0


class Link:
    """One connection to the provider, as it was before anything of ours was put on it.

    Attributes:
        opened: Loop time at which it was made.
        created: Whether its session was announced: a second time means that it has lost its context.
        refused: Frames that came on it after it was replaced (T6).
    """

    def __init__(
        self,
        recv: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
        opened: float,
    ) -> None:
        self.recv = recv
        self.send = send
        self.opened = opened
        self.created = False
        self.refused = 0
        self._close = close

    async def close(self) -> None:
        """Close it; one that is gone already is closed."""
        await self._close()


async def opened(rebuild: Rebuild, now: Callable[[], float]) -> Link:
    """Open a new connection."""
    stack = AsyncExitStack()
    connection = await stack.enter_async_context(rebuild.connect())
    return Link(connection.recv, connection.send, stack.aclose, now())


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with newer ones in them; nested ones are merged, everything else is replaced."""
    both = dict(old)
    for name, value in new.items():
        before = both.get(name)
        both[name] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value  # pyright: ignore[reportUnknownArgumentType]
    return both
