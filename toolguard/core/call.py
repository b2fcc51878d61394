"""A call as policies, probes and tools see it: a view, never the book-keeping."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import msgspec

from toolguard.core.effect import Effect
from toolguard.core.law import Phase


class Named(Protocol):
    """Anything with a tool's name."""

    @property
    def name(self) -> str:
        """The tool's name."""
        ...


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call and the run that serves it, frozen at the moment a policy is asked.

    Attributes:
        ref: ``conv-42/7``: session and order number; every command takes it.
        tool: The tool's name.
        effect: What the tool does to the world.
        phase: The phase of its run.
        arguments: Validated arguments in JSON types.
        progress: What the body has checkpointed so far.
        key: The idempotency key sent downstream; empty for a read.
        began_at: When the body began, None before.
        agent: The agent that issued the call.
        terminal: Whether the tool ends the conversation (hang-up, transfer).
    """

    ref: str
    tool: str
    effect: Effect
    phase: Phase
    arguments: Mapping[str, Any]
    progress: Mapping[str, Any]
    key: str = ""
    began_at: datetime | None = None
    agent: str = ""
    terminal: bool = False

    def is_(self, tool: Named) -> bool:
        """Whether this is a call of ``tool``."""
        return self.tool == tool.name

    @property
    def committed(self) -> bool:
        """Whether the point of no return has been passed: nothing can stop the effect any more."""
        return self.phase in _PAST_COMMIT


_PAST_COMMIT = frozenset({Phase.COMMITTING, Phase.IN_DOUBT, Phase.DONE})


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of one try, handed to a probe first.

    Attributes:
        key: The idempotency key that was sent downstream.
        ref: The call, as ``conv-42/7``.
        number: Which attempt of the run it was, from 1.
        progress: What the body had checkpointed.
        began_at: When the commit began.
    """

    key: str
    ref: str
    number: int
    progress: Mapping[str, Any]
    began_at: datetime
