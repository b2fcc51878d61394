"""What each adapter's platform can and cannot do: the capability matrix of ``toolguard doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROWS: Sequence[Mapping[str, str]] = (
    {
        "adapter": "openai_realtime",
        "interrupt signal": "speech_started, at once",
        "call id": "yes",
        "native cancel": "no",
        "late result": "as a message",
        "silent output": "yes: speech is asked for apart",
        "evidence of hearing": "heard (playback)",
        "resume": "not yet",
        "hand-off slot": "same connection",
    },
    {
        "adapter": "livekit (pipeline)",
        "interrupt signal": "user state, at once",
        "call id": "yes",
        "native cancel": "no",
        "late result": "as a call and output pair",
        "silent output": "yes",
        "evidence of hearing": "heard (playout)",
        "resume": "not yet",
        "hand-off slot": "not yet",
    },
    {
        "adapter": "pipecat",
        "interrupt signal": "voice activity, at once",
        "call id": "yes",
        "native cancel": "all of a tool, by the caller's voice",
        "late result": "in place, else as a developer message",
        "silent output": "yes: run_llm",
        "evidence of hearing": "heard (spoken words)",
        "resume": "in the saved or a new context",
        "hand-off slot": "a pipeline of its own, or a flow's next node",
    },
)
"""One row an adapter; every row has the same keys."""
