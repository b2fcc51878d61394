"""Replaces a Realtime connection ahead of the provider's limit: the new one stands before the old one goes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from toolguard.adapters.realtime_replay import proven

if TYPE_CHECKING:
    from toolguard.adapters.realtime_line import RealtimeLine
    from toolguard.adapters.realtime_rebuild import Rebuild
    from toolguard.adapters.realtime_replay import Replay
    from toolguard.engine.moving import Moving

LOOKS_EVERY = 0.25
"""Seconds between two looks whether the moment is quiet enough."""
LAST_MINUTE = 60.0
"""Seconds before the last moment from which on calls in flight are no reason to wait."""


async def renew(line: RealtimeLine, rebuild: Rebuild) -> None:
    """Wait until the line's connection is due, and for a quiet moment; then move to a new one.

    Where no new connection can be made the old one stays: its loss has its own way.
    """
    loop, opened = asyncio.get_running_loop(), line.link.opened
    by = opened + rebuild.renew_by
    await asyncio.sleep(max(0.0, opened + (rebuild.renew_after or 0.0) - loop.time()))
    if line.session.successor is not None:
        return  # another agent has the conversation, over a line of its own
    replay: Replay | None = None
    try:
        while replay is None:
            await quiet_moment(line.moving, by)
            with suppress(Exception):
                replay = await line.made()
            if replay is None:
                await asyncio.sleep(rebuild.longest_pause)
        while not replay.complete(line.entries()) and loop.time() < by:
            await quiet_moment(line.moving, by)
            await proven(replay, None, line.entries(), rebuild.proven_within)
        line.switch(replay, "limit", 1)
    except Exception as error:  # noqa: BLE001 - the old connection still stands
        line.session.noticed("renewal_failed", f"{type(error).__name__}: {error}")
    finally:
        if replay is not None and replay.link is not line.link:
            line.retire(replay.link)


async def quiet_moment(moving: Moving, by: float) -> None:
    """A moment without calls in flight; in the last minute one in which nobody speaks; at last any."""
    loop = asyncio.get_running_loop()
    while (now := loop.time()) < by:
        if moving.quiet or (now >= by - LAST_MINUTE and moving.calm):
            return
        await asyncio.sleep(min(LOOKS_EVERY, by - now))
