"""The session's own limits, in seconds (semantics G3, G7, O-rules)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the engine waits for what; tools have limits of their own beside these.

    Attributes:
        hold: A hold without words is released as noise after this long; one with words settles as unknown (G3).
        gate_max: A write that waits longer than this because somebody speaks is stopped (G3).
        settle: How long the listener may think about one utterance before its class counts as unknown.
        drain: How long a closing session lets commits finish (G7).
        commit: How long a commit record may take before the effect is refused (W2).
        record: How long a known outcome waits for the store before it is told with ``recorded=False`` (W4).
        checkpoint: How long ``checkpoint`` waits for the store (W5).
        farewell: Silence after the farewell before a terminal tool may run (G1).
        resume_window: How long a dropped caller may stay away (semantics 7).
        reply_grace: How long to wait for the reply that the platform starts by itself after the caller's turn.
        lease: How long a process counts as alive without a sign of life, where the store cannot see it (T4).
        margin: What has to be left of the lease when a mutation begins (T4).
    """

    hold: float = 1.5
    gate_max: float = 8.0
    settle: float = 0.3
    drain: float = 10.0
    commit: float = 2.0
    record: float = 1.0
    checkpoint: float = 0.5
    farewell: float = 0.3
    resume_window: float = 60.0
    reply_grace: float = 2.0
    lease: float = 10.0
    margin: float = 2.0
