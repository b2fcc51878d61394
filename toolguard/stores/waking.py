"""Calls those who listen to a store: what one of them does wrong costs nobody a record or the next call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from collections.abc import Callable


def rouse(wake: Callable[[], None], place: str) -> None:
    """Call ``wake``; where it fails, say so and go on."""
    try:
        wake()
    except Exception as error:  # noqa: BLE001 - somebody else's code
        logger.warning("toolguard: a listener of {} failed: {!r}", place, error)
