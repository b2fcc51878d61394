"""What is left of a play: what the other side received, the ledger of side effects, the journal. Judges read this."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from toolguard.core import records as r
from toolguard.testing.scenarios.kit import Script, must

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from toolguard.testing.scenarios.ledger import Act

R = TypeVar("R", bound=r.Record)
Kind = Literal["message", "call", "output"]


@dataclass(frozen=True)
class Item:
    """One item of a conversation as the model sees it."""

    kind: Kind
    id: str
    text: str
    call: str = ""
    role: str = ""
    status: str = "completed"


@dataclass(frozen=True)
class Request:
    """A reply that the model was asked for.

    Attributes:
        at: When.
        generation: The scenario's name of the response that it made, empty for one that the scenario does not name.
        by: Who asked: the client, or the platform by itself after a turn.
        accepted: Whether a response began.
        speaking: Whether the caller was speaking.
        items: The conversation that the model saw.
        problems: What is wrong with it.
        aside: Whether it stays outside the conversation (a filler).
        fields: What the client asked for in particular.
        line: On which connection: the how-manieth of the play, from 0.
        staged: Whether nobody has asked for it: the timeline begins this response by itself.
    """

    at: float
    by: Literal["client", "platform"]
    accepted: bool
    generation: str = ""
    speaking: bool = False
    items: tuple[Item, ...] = ()
    problems: tuple[str, ...] = ()
    aside: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    line: int = 0
    staged: bool = False


@dataclass(frozen=True)
class Sent:
    """An output or a message that the client put into the conversation and the server took, on which connection."""

    at: float
    text: str
    item: str
    call: str = ""
    line: int = 0


@dataclass(frozen=True)
class Cut:
    """Where the agent's speech was cut, as the other side was told: what had been said, and what of it was heard."""

    at: float
    text: str
    heard_ms: int


@dataclass(frozen=True)
class Entry:
    """One record of the journal, read back from the store."""

    at: float
    seq: int
    session: str
    kind: str
    record: r.Record


@dataclass(frozen=True)
class Responded:
    """One response of the model, as it ended."""

    began: float
    ended: float
    status: str
    generation: str
    aside: bool = False


@dataclass(frozen=True)
class Played:
    """One play.

    Attributes:
        script: What was played.
        adapter: Over which adapter.
        guarded: False for the naive application.
        requests: Replies that were asked for, in order.
        responses: The model's responses, in order.
        outputs: Outputs of calls that the server took.
        notes: Messages that the client put in.
        items: The conversation at the end.
        problems: What is wrong with its calls and outputs.
        violations: Frames of the client that the provider's own types do not allow.
        errors: Errors that the server sent, as (code, message).
        given: Outputs that the client gave, taken or not.
        cuts: Where the agent's speech was cut in the provider's copy of the conversation.
        floors: When an agent other than the first was given the floor, and which.
        onsets: When the application heard the caller begin to speak.
        turn_ms: Milliseconds that the framework itself takes from the caller's last word to its request.
        acts: The ledger of side effects.
        entries: The journal; empty for the naive application.
        open_calls: The store's index of calls that are open or in doubt.
        sessions: The store's sessions with their states, ``open`` or ``closed``.
        faults: What went wrong unseen: exceptions that nobody took, coroutines never awaited, tasks left over.
        lag: By how many milliseconds the loop was late at worst, where the timeline has it tick.
        app: What the application was told, by name, for scenarios of their own.
    """

    script: Script
    adapter: str
    guarded: bool
    requests: Sequence[Request] = ()
    responses: Sequence[Responded] = ()
    outputs: Sequence[Sent] = ()
    notes: Sequence[Sent] = ()
    items: Sequence[Item] = ()
    problems: Sequence[str] = ()
    violations: Sequence[str] = ()
    errors: Sequence[tuple[str, str]] = ()
    given: Sequence[Sent] = ()
    cuts: Sequence[Cut] = ()
    floors: Sequence[tuple[float, str]] = ()
    onsets: Sequence[float] = ()
    turn_ms: float = 0.0
    acts: Sequence[Act] = ()
    entries: Sequence[Entry] = ()
    open_calls: Sequence[tuple[str, str]] = ()
    sessions: Sequence[tuple[str, str]] = ()
    faults: Sequence[str] = ()
    lag: float = 0.0
    app: Mapping[str, Any] = field(default_factory=dict[str, Any])

    # -- the other side -----------------------------------------------------------------------------------------

    def asked(self, generation: str) -> Request:
        """The request that made the response of this name."""
        found = [one for one in self.requests if one.generation == generation and one.accepted]
        must(len(found) == 1, f"the model was asked {len(found)} times for {generation}")
        return found[0]

    def answers(self, call: str) -> list[Sent]:
        """The outputs that the server took for a call."""
        return [one for one in self.outputs if one.call == call]

    def answer(self, call: str) -> Sent:
        """The one output of a call."""
        found = self.answers(call)
        must(len(found) == 1, f"{call} has {len(found)} outputs, not one")
        return found[0]

    def telling(self, words: str) -> list[Sent]:
        """Outputs and messages of the client in which these words occur, in order of time."""
        told = [one for one in (*self.outputs, *self.notes) if words in one.text]
        return sorted(told, key=lambda one: one.at)

    def replies_after(self, at: float) -> list[Request]:
        """Requests for speech that were accepted at or after a time."""
        return [one for one in self.requests if one.accepted and not (one.aside or one.staged) and one.at >= at]

    # -- the ledger ---------------------------------------------------------------------------------------------

    def did(self, what: str, tool: str) -> list[Act]:
        """Lines of the ledger: ``began``, ``effect``, ``returned``, ``raised``, ``cancelled``."""
        return [act for act in self.acts if act.what == what and act.tool == tool]

    def effects(self, tool: str) -> int:
        """How often a tool took effect."""
        return len(self.did("effect", tool))

    def began(self, tool: str) -> int:
        """How often the body of a tool began."""
        return len(self.did("began", tool))

    # -- the journal --------------------------------------------------------------------------------------------

    def records(self, kind: type[R]) -> list[tuple[float, R]]:
        """Records of one kind with their times."""
        must(self.guarded, "nothing keeps a journal")
        return [(entry.at, entry.record) for entry in self.entries if isinstance(entry.record, kind)]

    def slot(self, call: str) -> r.Called:
        """The record that opened a call."""
        found = [record for _, record in self.records(r.Called) if record.call_id == call]
        must(found, f"the journal does not know {call}")
        return found[0]

    def phases(self, call: str) -> list[str]:
        """The phases that the run of a call went through, by its records alone."""
        run = self.slot(call).run
        must(run, f"{call} has no run")
        phases = ["planned"]
        for entry in self.entries:
            if isinstance(entry.record, r.RunRecord) and entry.record.run == run:
                phase = _after(phases[-1], entry.kind)
                if phase != phases[-1]:
                    phases.append(phase)
        return phases

    def phase(self, call: str) -> str:
        """The phase in which the run of a call ended."""
        return self.phases(call)[-1]


_ENDS = {"began": "started", "commit_began": "committing", "returned": "done", "failed": "failed",
         "stopped": "cancelled", "never_committed": "in_doubt"}  # fmt: skip


def _after(phase: str, kind: str) -> str:
    if phase in {"done", "failed", "cancelled"}:
        return phase
    if kind == "lost":
        return "in_doubt" if phase == "committing" else "planned"
    return _ENDS.get(kind, phase)
