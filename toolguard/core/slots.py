"""The two things a journal's fold keeps account of: a call's slot and the run that serves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.core.law import Phase

if TYPE_CHECKING:
    from toolguard.core.decision import Announce
    from toolguard.core.effect import Effect
    from toolguard.core.records import Called, Form, UndoOffer, Verdict


@dataclass(slots=True)
class Answer:
    """The answer of a slot: ``text`` is what the model reads; an ``interim`` one is not the result (I03)."""

    form: Form
    text: str
    reply: bool
    interim: bool


@dataclass(slots=True)
class Slot:
    """A call: the provider's id, an order number, and exactly one output."""

    number: int
    call_id: str
    tool: str
    effect: Effect
    verdict: Verdict
    agent: str
    context: int
    generation: str
    batch: int
    index: int
    item: str
    arguments: bytes
    fingerprint: str
    intent: str
    run: int
    parent: int
    terminal: bool
    points_to: str
    after_turn: int
    at: int
    answer: Answer | None = None
    sent: str = ""
    sent_form: Form | None = None
    sent_interim: bool = False
    delivered: bool = False
    acknowledged: bool = False
    detached: bool = False
    filed: bool = False
    process: str = ""

    def inherit(self, older: Slot) -> None:
        """Take over what was answered and sent before the call was judged anew."""
        self.answer, self.sent, self.sent_form = older.answer, older.sent, older.sent_form
        self.sent_interim, self.delivered, self.detached = older.sent_interim, older.delivered, older.detached

    @property
    def order(self) -> tuple[int, int, int]:
        """Call order: generation, then output index (O1)."""
        return (self.batch, self.index, self.number)


@dataclass(slots=True)
class Run:
    """One attempt, or several after one another, to do one occurrence."""

    number: int
    tool: str
    effect: Effect
    intent: str
    occurrence: int
    fingerprint: str
    arguments: bytes
    version: str
    scope: str
    announce: Announce
    parent: int
    terminal: bool
    planned_at: int
    writes_seen: int
    phase: Phase = Phase.PLANNED
    attempt: int = 0
    given_up: int = 0
    abandoned: bool = False
    misreported: bool = False
    key: str = ""
    limit: float = 0.0
    calls: list[int] = field(default_factory=list[int])
    progress: dict[str, Any] = field(default_factory=dict[str, Any])
    memos: dict[tuple[str, int], tuple[str, bytes]] = field(default_factory=dict[tuple[str, int], tuple[str, bytes]])
    result: bytes = b"null"
    code: str = ""
    message: str = ""
    warning: str = ""
    refused: bool = False
    source: str = "body"
    began_at: int = 0
    committed_at: int = 0
    ended_at: int = 0
    contradicted: bool = False
    concerned: bool = False
    stopping: str = ""
    doubted: bool = False
    offer_undo: bool = False
    undone: bool = False
    undo: UndoOffer | None = None
    undoes: int = 0
    undone_by: int = 0
    filed: bool = False
    shown: int = -1
    process: str = ""

    @property
    def happened(self) -> bool:
        """Whether the effect is known to have happened."""
        return self.phase is Phase.DONE or self.contradicted

    @property
    def settled(self) -> bool:
        """Whether there is something final, or in doubt, to tell."""
        return self.phase.final or self.phase is Phase.IN_DOUBT


def slot_of(called: Called, at: int) -> Slot:
    """Open a slot from its record."""
    return Slot(
        called.call, called.call_id, called.tool, called.effect, called.verdict, called.agent, called.context,
        called.generation, called.batch, called.index, called.item, bytes(called.arguments), called.fingerprint,
        called.intent, called.run, called.parent, called.terminal, called.points_to, called.after_turn, at,
        process=called.process,
    )  # fmt: skip


def run_of(called: Called, at: int, writes_seen: int) -> Run:
    """Plan a run from its call's record."""
    return Run(
        called.run, called.tool, called.effect, called.intent, called.occurrence, called.fingerprint,
        bytes(called.arguments), called.version, called.scope, called.announce, called.parent, called.terminal,
        at, writes_seen, process=called.process,
    )  # fmt: skip


def progress_of(raw: msgspec.Raw) -> dict[str, Any]:
    """A checkpoint's JSON as a mapping."""
    return msgspec.json.decode(raw, type=dict[str, Any])
