"""The drivers by the names of their adapters."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.testing.scenarios.kit import Driver

_DRIVERS: Mapping[str, tuple[str, str]] = {
    "openai_realtime": ("realtime_driver:OpenAIRealtime", "realtime_naive:NaiveRealtime"),
    "livekit": ("livekit_driver:LiveKit", "livekit_naive:NaiveLiveKit"),
    "livekit_realtime": (
        "livekit_realtime_driver:LiveKitRealtime",
        "livekit_realtime_driver:NaiveLiveKitRealtime",
    ),
    "pipecat": ("pipecat_driver:Pipecat", "pipecat_naive:NaivePipecat"),
}
"""Where an adapter's guarded and naive driver are: imported when they are asked for, with what they need."""
ADAPTERS: tuple[str, ...] = tuple(_DRIVERS)
"""The adapters that scenarios are played over."""


def guarded(adapter: str) -> Driver:
    """The driver of an adapter.

    Raises:
        KeyError: There is none of this name.
    """
    return _driver(_DRIVERS[adapter][0])


def naive(adapter: str) -> Driver:
    """The naive application on the other side of the same adapter.

    Raises:
        KeyError: There is none of this name.
    """
    return _driver(_DRIVERS[adapter][1])


def _driver(where: str) -> Driver:
    module, _, name = where.partition(":")
    return cast("Driver", getattr(importlib.import_module(f"toolguard.testing.scenarios.{module}"), name)())
