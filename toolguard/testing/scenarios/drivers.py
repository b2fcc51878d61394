"""The drivers by the names of their adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.testing.scenarios.livekit_driver import LiveKit
from toolguard.testing.scenarios.livekit_naive import NaiveLiveKit
from toolguard.testing.scenarios.livekit_realtime_driver import LiveKitRealtime, NaiveLiveKitRealtime
from toolguard.testing.scenarios.realtime_driver import OpenAIRealtime
from toolguard.testing.scenarios.realtime_naive import NaiveRealtime

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Driver

ADAPTERS: tuple[str, ...] = ("openai_realtime", "livekit", "livekit_realtime")
"""The adapters that scenarios are played over."""


def guarded(adapter: str) -> Driver:
    """The driver of an adapter.

    Raises:
        KeyError: There is none of this name.
    """
    made: dict[str, Driver] = {
        "openai_realtime": OpenAIRealtime(),
        "livekit": LiveKit(),
        "livekit_realtime": LiveKitRealtime(),
    }
    return made[adapter]


def naive(adapter: str) -> Driver:
    """The naive application on the other side of the same adapter.

    Raises:
        KeyError: There is none of this name.
    """
    made: dict[str, Driver] = {
        "openai_realtime": NaiveRealtime(),
        "livekit": NaiveLiveKit(),
        "livekit_realtime": NaiveLiveKitRealtime(),
    }
    return made[adapter]
