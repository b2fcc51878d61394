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
        "approval": "by the caller's words",
        "resume": "on a new connection",
        "hand-off slot": "same connection, or one with a packet",
    },
    {
        "adapter": "livekit (pipeline)",
        "interrupt signal": "user state, at once",
        "call id": "yes",
        "native cancel": "no",
        "late result": "as a call and output pair",
        "silent output": "yes",
        "evidence of hearing": "heard (playout)",
        "approval": "by the caller's words",
        "resume": "into the chat context",
        "hand-off slot": "same session, another Agent",
    },
    {
        "adapter": "livekit (realtime)",
        "interrupt signal": "input_speech_started, at once",
        "call id": "yes",
        "native cancel": "no",
        "late result": "as a call and output pair, where the model's context can be changed",
        "silent output": "no, where the provider answers outputs by itself",
        "evidence of hearing": "heard (playout)",
        "approval": "by the caller's words, where they are transcribed",
        "resume": "into the chat context",
        "hand-off slot": "same session, another Agent",
    },
    {
        "adapter": "pipecat",
        "interrupt signal": "interruption frame, before anything is cancelled",
        "call id": "yes",
        "native cancel": "no: guarded calls are let go",
        "late result": "in its place in the context, else as a message",
        "silent output": "yes",
        "evidence of hearing": "heard (end of the bot's speech)",
        "approval": "by the caller's words",
        "resume": "into the context",
        "hand-off slot": "another node, worker or model, or another pipeline with a packet",
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
