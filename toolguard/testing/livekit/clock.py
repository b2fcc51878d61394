"""One clock for LiveKit, which mixes the loop's time with the wall's: in virtual time the wall follows the loop."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from livekit.agents import llm

if TYPE_CHECKING:
    from collections.abc import Generator

EPOCH = 1_750_000_000.0
"""What the wall shows at the loop's zero."""
_ITEMS = (llm.ChatMessage, llm.FunctionCall, llm.FunctionCallOutput, llm.AgentHandoff, llm.AgentConfigUpdate)


@contextmanager
def one_clock(epoch: float = EPOCH) -> Generator[None]:
    """Let ``time.time()`` run with the loop, and the items of chat contexts be dated by it.

    Args:
        epoch: What the wall shows at the loop's zero.
    """
    loop = asyncio.get_running_loop()
    _date_items()
    with patch("time.time", lambda: epoch + loop.time()):
        yield


def _now() -> float:
    return time.time()


def _date_items() -> None:
    """LiveKit's items have bound ``time.time`` when they were defined: let them look it up each time."""
    for kind in _ITEMS:
        field = kind.model_fields["created_at"]
        if field.default_factory is not _now:
            field.default_factory = _now
            kind.model_rebuild(force=True)
