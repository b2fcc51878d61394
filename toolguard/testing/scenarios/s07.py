"""S07: the same call is delivered more than once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.engine.limits import Limits
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_RESULT = {"order": 1}
_RESTARTED = ("restarted", "restarted_while_committing", "restarted_with_probe")
_RESTART = Step(at=3000, who="process", does="restarts")


@variant("S07", "concurrent")
def _concurrent(script: Script) -> Script:
    """The second delivery comes while the first one runs, before its commit, the third one after it."""
    early = script.without(lambda step: step.verb == "platform.sends" and step.nth > 1)
    again = [Step(at=at, who="platform", does="sends", call="c1", tool="book", args={"x": 1}) for at in (300, 1000)]
    return early.without(lambda step: step.who == "network").with_steps(*again)


@variant("S07", "other_arguments")
def _other_arguments(script: Script) -> Script:
    return script.with_step("platform.sends", at=0).without(lambda s: s.nth > 1).with_steps(
        Step(at=1000, who="platform", does="sends", call="c1", tool="book", args={"x": 2}, nth=2),
        Step(at=5000, who="platform", does="sends", call="c1", tool="book", args={"x": 3}, nth=3),
    )


@variant("S07", "restarted")
def _restarted(script: Script) -> Script:
    """The process ends when the booking is done and its answer lost; the next one is delivered the call again."""
    return script.with_steps(_RESTART)


@variant("S07", "restarted_while_committing")
def _restarted_while_committing(script: Script) -> Script:
    """The process has no time to wait for the booking that is on its way."""
    hasty = script.without(lambda step: step.who == "network").but(limits=Limits(drain=0.0))
    return hasty.with_steps(Step(at=1000, who="process", does="restarts"))


@variant("S07", "restarted_with_probe")
def _restarted_with_probe(script: Script) -> Script:
    """The same, and the booking system can be asked."""
    return _restarted_while_committing(script).with_tool("book", probe=True)
