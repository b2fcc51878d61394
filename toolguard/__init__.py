"""Tool calls that survive a live conversation: barge-in, hand-off, dropped lines and dead processes.

Decorate a tool with what it does to the world, open a :class:`Guard`, and read the trail.
"""

from __future__ import annotations

from loguru import logger as _logger

from toolguard.cli.clash import mixed as _clash
from toolguard.core.call import Attempt, ToolCall
from toolguard.core.decision import Decision
from toolguard.core.effect import Effect
from toolguard.core.finding import DidNotHappen, Finding, Happened, StillUnknown
from toolguard.core.interrupt import BargeIn, Discarded, Dropped, Ended, HandedOff, Interrupt
from toolguard.core.law import Phase
from toolguard.core.packet import HandoffPacket
from toolguard.core.plan import RecoveryPlan, RecoveryReport
from toolguard.core.policy import Policy
from toolguard.engine.guard import Guard
from toolguard.engine.keys import Keys
from toolguard.engine.session import Session
from toolguard.errors import Refused, ToolguardError
from toolguard.policies import by_effect, by_tool, first_of
from toolguard.tools.declare import idempotent_write, mutation, read
from toolguard.tools.inject import Injected
from toolguard.tools.inside import checkpoint, committing, current_call, step
from toolguard.tools.secret import Secret
from toolguard.tools.spec import Approval
from toolguard.tools.tool import Invocation, Tool
from toolguard.tools.wrapping import wrap

_logger.disable("toolguard")
_mixed = _clash(__path__[0])
if _mixed:
    raise ImportError(_mixed)

__all__ = [
    "Approval",
    "Attempt",
    "BargeIn",
    "Decision",
    "DidNotHappen",
    "Discarded",
    "Dropped",
    "Effect",
    "Ended",
    "Finding",
    "Guard",
    "HandedOff",
    "HandoffPacket",
    "Happened",
    "Injected",
    "Interrupt",
    "Invocation",
    "Keys",
    "Phase",
    "Policy",
    "RecoveryPlan",
    "RecoveryReport",
    "Refused",
    "Secret",
    "Session",
    "StillUnknown",
    "Tool",
    "ToolCall",
    "ToolguardError",
    "by_effect",
    "by_tool",
    "checkpoint",
    "committing",
    "current_call",
    "first_of",
    "idempotent_write",
    "mutation",
    "read",
    "step",
    "wrap",
]
