"""S04: the caller takes a booking back after its point of no return."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.data import Step
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played, Sent

_NOT_DONE = frozenset({"cancelled", "error", "refused", "superseded", "not_run"})


def _of_the_caller(step: Step) -> bool:
    return step.who == "caller"


@variant("S04", "late_success")
def _late_success(script: Script) -> Script:
    """The outside system answers long after its run was given up."""
    limits = {"time_limit": 1.0, "hard_limit": 1.5}
    return script.without(_of_the_caller).with_tool("book", options=limits).with_step("tool.returns", at=4000)


@variant("S04", "raises")
def _raises(script: Script) -> Script:
    """The outside system breaks off after the commit: nobody knows."""
    return script.without(_of_the_caller).with_step("tool.returns", raises="connection reset")


@variant("S04", "undo_declared")
def _undo_declared(script: Script) -> Script:
    undo: dict[str, Any] = {"effect": "mutation", "ms": 100, "takes": {"x": "integer"}, "identity": ("x",)}
    return script.with_tool("unbook", **undo).with_tool("book", undo="unbook")


def _told(played: Played) -> list[Sent]:
    """Everything that the model was told of the call, in order."""
    return sorted([*played.answers("c1"), *played.notes], key=lambda one: one.at)


def _form(sent: Sent) -> str:
    """What kind of answer it is; a plain result has no form."""
    try:
        found: Any = json.loads(sent.text)
        return str(found["toolguard"])
    except (json.JSONDecodeError, LookupError, TypeError):
        return ""


@check(
    "S04.1",
    saboteur=Saboteur(
        "toolguard/engine/decisions.py",
        old='        if one.choice == "stop":\n            self._execution.stop(',
        new="        if one.concerned:\n            self._execution.live[one.run].task.cancel()\n"
        '        elif one.choice == "stop":\n            self._execution.stop(',
    ),
)
def the_body_runs_on(played: Played) -> None:
    """It took effect once, and came to its end."""
    must(played.effects("book") == 1, f"it took effect {played.effects('book')} times")
    must(not played.did("cancelled", "book"), "the body was cancelled after its effect")
    must(len(played.did("returned", "book")) == 1, "the body did not come to its end")


@check(
    "S04.2",
    saboteur=Saboteur("toolguard/core/outbox.py", old='_TOO_LATE = "The', new='_TOO_LATE = "" and "The'),
)
def the_model_is_told_the_truth(played: Played) -> None:
    """The last word says that it is done and that the caller wanted it back; no word says that it is not."""
    told = _told(played)
    forms = [_form(one) for one in told]
    must(not _NOT_DONE & set(forms), f"the model was told {forms}")
    must(told and '"ok"' in told[-1].text, f"the last word does not have the result: {[one.text for one in told]}")
    must(forms[-1] == "done", f"the last word is {told[-1].text}")
    must("cancel" in json.loads(told[-1].text).get("note", ""), "it does not say that the caller wanted it back")
    must(len([one for one in told if '"ok"' in one.text]) == 1, "the result was told more than once")


@check(
    "S04.3",
    plays=("late_success", "raises"),
    saboteur=Saboteur(
        "toolguard/core/law.py",
        old="(_P.COMMITTING, _E.LOST): _P.IN_DOUBT,",
        new="(_P.COMMITTING, _E.LOST): _P.FAILED,",
    ),
)
def what_is_not_known_is_in_doubt(played: Played) -> None:
    """The journal says that it was lost while committing; a late success makes one correction, nothing else does."""
    lost = [at for at, _ in played.records(r.Lost)]
    must(len(lost) == 1, f"the journal has {len(lost)} records of its being lost")
    told = _told(played)
    forms = [_form(one) for one in told]
    must(not _NOT_DONE & set(forms), f"the model was told {forms}")
    must(told, "the model was told nothing")
    if played.script.variant == "raises":
        must(played.open_calls == [("book", "in_doubt")], f"the index of calls in doubt has {played.open_calls}")
        must(forms[-1] == "in_doubt", f"the model was told {forms}")
        return
    must("in_doubt" in played.phases("c1"), f"its phases were {played.phases('c1')}")
    must(played.phase("c1") == "done", f"the late success left it {played.phase('c1')}")
    done = [one for one in told if _form(one) == "done"]
    must(len(done) == 1 and done[0].at >= 4000, f"the late success was told {len(done)} times: {forms}")  # noqa: PLR2004


@check(
    "S04.4",
    plays=("main", "undo_declared"),
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old="    if not run.offer_undo or run.undo is None or run.undone:\n        return None\n",
        new="    return None\n",
    ),
)
def the_undo_is_offered(played: Played) -> None:
    """Offered where it is declared, not where it is not, and run by nobody."""
    must(played.began("unbook") == 0, "the undo ran by itself")
    last = _told(played)[-1].text
    if played.script.variant == "main":
        must("undo" not in json.loads(last), f"an undo is offered that nobody declared: {last}")
    else:
        must("unbook" in last, f"the undo is not offered: {last}")
