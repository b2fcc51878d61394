"""What came of the second act: read off the server's lines, the ledger file and the journal."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from toolguard.audit.timeline import timeline
from toolguard.audit.trail import Trail
from toolguard.core import records as r
from toolguard.engine.guard import Guard
from toolguard.testing.demo.heard import agent_speech, caller_speech
from toolguard.testing.demo.second.model import OWED, PAID
from toolguard.testing.demo.second.office import effects

if TYPE_CHECKING:
    from toolguard.audit.call import TrailCall
    from toolguard.testing.demo.second.play import Call


@dataclass(slots=True)
class Journal:
    """What the journal says, for the guarded call alone.

    Attributes:
        timeline: The conversation for people.
        open: Calls that were not answered, or whose end nobody knows.
        epochs: Owners of the conversation.
        hand_offs: Who handed over to whom.
        carried: Runs that the hand-offs carried, as refs.
        recovery: What the recovery found: the gap, what was in doubt, how many calls it carried.
        settled_by: Who knew what became of the charge.
        charged: Charges that the journal says are done.
        again: How the call that asked for the charge once more was taken.
    """

    timeline: list[str] = field(default_factory=list[str])
    open: list[str] = field(default_factory=list[str])
    epochs: int = 0
    hand_offs: list[str] = field(default_factory=list[str])
    carried: list[str] = field(default_factory=list[str])
    recovery: dict[str, Any] = field(default_factory=dict[str, Any])
    settled_by: str = ""
    charged: int = 0
    again: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Findings:
    """One play, in numbers.

    Attributes:
        charges: Charges in the ledger; one is wanted.
        look_ups: Look-ups in the ledger; one is wanted.
        asked_again: How often the caller had to ask again because nobody knew.
        untold: Results that the caller never heard.
        told_twice: Results that she heard more than once.
        unanswered: Calls that no line had an output for.
        invalid: What was wrong with a conversation, at its end or when the model was asked to speak.
        killed: Whether SIGKILL ended the first worker.
        gap: Seconds in which nobody was on the line.
        journal: What the journal says; None without toolguard.
    """

    charges: int
    look_ups: int
    asked_again: int
    untold: list[str]
    told_twice: list[str]
    unanswered: list[str]
    invalid: list[str]
    killed: bool
    gap: float
    journal: Journal | None = None

    @property
    def broken(self) -> list[str]:
        """The promises that were not kept."""
        kept = {
            f"one charge was wanted, {self.charges} were made": self.charges == 1,
            f"one look-up was wanted, {self.look_ups} were made": self.look_ups == 1,
            f"the caller had to ask again {self.asked_again} times": not self.asked_again,
            f"never told: {', '.join(self.untold)}": not self.untold,
            f"told more than once: {', '.join(self.told_twice)}": not self.told_twice,
            f"calls without an output: {', '.join(self.unanswered)}": not self.unanswered,
            f"invalid conversation: {', '.join(self.invalid)}": not self.invalid,
            "the first worker was not killed": self.killed,
            **(_journal_kept(self.journal) if self.journal is not None else {}),
        }
        return [promise for promise, held in kept.items() if not held]


def _journal_kept(journal: Journal) -> dict[str, bool]:
    return {
        f"calls left open: {', '.join(journal.open)}": not journal.open,
        f"the journal has {journal.charged} charges": journal.charged == 1,
        f"the conversation had {journal.epochs} owners": journal.epochs == 2,  # noqa: PLR2004 - two workers
        "the hand-off carried no look-up": any("find_balance" in one for one in journal.carried),
        f"the charge was settled by {journal.settled_by or 'nobody'}": journal.settled_by == "probe",
        "the recovery did not find the charge": any("charge_card" in one for one in _found(journal.recovery)),
    }


def _found(recovery: dict[str, Any]) -> list[str]:
    """Runs past their commit: in doubt, or followed for as long as a server believes that their process lives."""
    return [*recovery.get("in_doubt", ()), *recovery.get("followed", ())]


async def judge(call: Call, store: str) -> Findings:
    """Measure one play.

    Args:
        call: The play.
        store: The guard's store.
    """
    happened = effects(call.ledger)
    heard = [speech.heard for line in call.lines for speech in agent_speech(line.sent)]
    counts = {what: sum(words in one for one in heard) for what, words in (("the balance", OWED), ("the charge", PAID))}
    return Findings(
        charges=sum(one["what"] == "charge" for one in happened),
        look_ups=sum(one["what"] == "looked_up" for one in happened),
        asked_again=call.asked_again,
        untold=[what for what, count in counts.items() if not count],
        told_twice=[what for what, count in counts.items() if count > 1],
        unanswered=_unanswered(call),
        invalid=list(dict.fromkeys([*call.problems, *call.lines[-1].conversation_problems(), *call.violations])),
        killed=call.killed_by == signal.SIGKILL,
        gap=_gap(call),
        journal=await _journal(store, call.session) if call.session else None,
    )


def _unanswered(call: Call) -> list[str]:
    """Calls of any line whose output no line has; a packet takes a call and its answer to the next one."""
    items = [item for line in call.lines for item in line.conversation]
    answered = {item["call_id"] for item in items if item["type"] == "function_call_output"}
    made = {item["call_id"]: item["name"] for item in items if item["type"] == "function_call"}
    return [f"{name} {call_id}" for call_id, name in made.items() if call_id not in answered]


def _gap(call: Call) -> float:
    """The longest time between the last word on one line and the first on the next."""
    spans: list[tuple[float, float]] = []
    for line in call.lines:
        speeches = [*agent_speech(line.sent), *caller_speech(line.sent)]
        if speeches:
            spans.append((min(one.begin for one in speeches), max(one.end for one in speeches)))
    return round(max((after[0] - before[1] for before, after in pairwise(spans)), default=0.0), 1)


async def _journal(store: str, session: str) -> Journal:
    told = Journal()
    async with Guard(store) as guard:
        trail = Trail(guard.journal.ask)
        told.timeline = [text async for text in timeline(trail, session)]
        told.epochs = (await trail.row(session)).epoch
        calls = [one async for one in trail.calls(session=session)]
        names = {one.ref: one.tool for one in calls}
        told.open = [one.ref for one in calls if not _closed(one)]
        charges = [one for one in calls if one.tool == "charge_card"]
        done = [one for one in charges if one.verdict == "run" and one.happened]
        told.charged, told.settled_by = len(done), "".join(one.source for one in done)
        told.again = [f"{one.ref}: {one.verdict}, answered {one.answer}" for one in charges[1:]]
        async for line in trail.records(session):
            _note(told, line.record, session, names)
    return told


def _closed(call: TrailCall) -> bool:
    """Whether its end is known, and was told: by its output or, where the line had none to give, by a note."""
    return (call.sent or call.acknowledged) and (call.phase is None or call.phase.final)


def _note(told: Journal, record: Any, session: str, names: dict[str, str]) -> None:
    def named(runs: tuple[int, ...]) -> list[str]:
        return [f"{session}/{run} {names.get(f'{session}/{run}', '')}" for run in runs]

    if isinstance(record, r.HandOffRecord):
        told.hand_offs.append(f"{record.frm} -> {record.to}")
        told.carried += named(record.carried)
    elif isinstance(record, r.Recovered):
        told.recovery = {
            "cause": record.cause,
            "gap_ms": round(record.gap_ms),
            "in_doubt": named(record.in_doubt),
            "probed": named(record.probed),
            "followed": named(record.followed),
            "calls_carried": record.calls_carried,
        }
