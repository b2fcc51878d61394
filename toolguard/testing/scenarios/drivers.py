"""The drivers by the names of their adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.testing.scenarios.livekit_realtime_driver import LiveKitRealtime
from toolguard.testing.scenarios.livekit_realtime_naive import NaiveLiveKitRealtime
from toolguard.testing.scenarios.realtime_driver import OpenAIRealtime
from toolguard.testing.scenarios.realtime_naive import NaiveRealtime

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Driver

ADAPTERS: tuple[str, ...] = ("openai_realtime", "livekit_realtime")
"""The adapters that scenarios are played over."""


def guarded(adapter: str) -> Driver:
    """The driver of an adapter.

    Raises:
        KeyError: There is none of this name.
    """
    return {"openai_realtime": OpenAIRealtime, "livekit_realtime": LiveKitRealtime}[adapter]()


def naive(adapter: str) -> Driver:
    """The naive application on the other side of the same adapter.

    Raises:
        KeyError: There is none of this name.
    """
    return {"openai_realtime": NaiveRealtime, "livekit_realtime": NaiveLiveKitRealtime}[adapter]()
