"""Streams of records as a journal may have them, drawn with a seed; some of them break the law, as in life."""

import random
from datetime import UTC, datetime

import msgspec

from toolguard.core import records as r
from toolguard.core.decision import Decision
from toolguard.core.effect import Effect
from toolguard.core.interrupt import BargeIn, Discarded
from toolguard.core.state import State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERDICTS = ("run", "run", "run", "wait", "join", "replay", "confirm", "differs", "conflict", "stored", "invalid")
HEARD = ("noise", "backchannel", "addition", "correction", "other_topic", "answer")


def stream(seed, length):
    """A seeded stream of (record, wall time)."""
    rng = random.Random(seed)
    made = Maker(rng)
    at = 1_700_000_000_000_000_000
    for _ in range(length):
        at += rng.choice((1, 1_000_000, 90_000_000_000))
        yield made.next(), at


class Maker:
    """Makes one record after the other; numbers are drawn from those that are there, newer ones more often."""

    def __init__(self, rng):
        self.rng = rng
        self.calls = self.runs = self.context = self.turns = 0
        self.items = []
        self.first = [
            r.Opened(tenant="clinic-7", agent="frontdesk", process="1-a", caller="+1", evidence="heard"),
            r.ContextOpened(context=0, agent="frontdesk"),
        ]

    def next(self):
        if self.first:
            return self.first.pop(0)
        kinds = (
            (self.called, 5), (self.of_a_run, 12), (self.sent, 5), (self.heard, 3), (self.said, 2), (self.answered, 1),
            (self.delivered, 2), (self.acknowledged, 2), (self.interrupted, 2), (self.batch_closed, 2),
            (self.replanned, 1), (self.contradicted, 1), (self.context_opened, 0.3), (self.handed_off, 0.2),
            (self.fact_kept, 0.3), (self.accepted, 0.2),
            (self.closed, 0.1), (self.other, 1),
        )  # fmt: skip
        make = self.rng.choices([one for one, _ in kinds], [weight for _, weight in kinds])[0]
        return make()

    def near(self, highest):
        """A number up to ``highest``, mostly a recent one."""
        if self.rng.random() < 0.15:
            return self.rng.randint(1, max(1, highest))
        return max(1, highest - int(self.rng.expovariate(0.4)))

    def some(self, highest):
        return tuple({self.near(highest) for _ in range(self.rng.randint(1, 3))})

    def called(self):
        self.calls += 1
        verdict = self.rng.choice(VERDICTS)
        run = 0
        if verdict in {"run", "wait"}:
            self.runs += 1
            run = self.runs
        elif self.rng.random() < 0.7:
            run = self.near(self.runs)
        who = self.rng.randint(1, 40)
        return r.Called(
            call=self.calls, call_id=f"c{self.near(self.calls + 3)}", tool=f"tool{who % 3}", verdict=verdict,
            effect=self.rng.choice(list(Effect)), context=self.context, generation=f"g{self.calls // 2}",
            batch=self.calls // 2, index=self.calls % 2, arguments=msgspec.Raw(b'{"who": %d}' % who),
            fingerprint=f"f{who}", intent=f"i{who}", occurrence=1, run=run, after_turn=self.turns,
            parent=self.rng.choice((0, 0, 0, 0, run)), scope=self.rng.choice(("session", "caller")),
            terminal=self.rng.random() < 0.1, agent="frontdesk", version="1",
        )  # fmt: skip

    def of_a_run(self):
        run, attempt = self.near(self.runs), self.rng.choice((1, 1, 1, 2))
        rng = self.rng
        undo = r.UndoOffer(tool="tool1", fingerprint=f"f{rng.randint(1, 40)}", arguments=msgspec.Raw(b'{"a":  1}'))
        return rng.choice(
            (
                r.Began(run=run, attempt=attempt),
                r.Checkpointed(run=run, attempt=attempt, progress=msgspec.Raw(b'{"hold": [1, 2.5, null, "\\u00e9"]}')),
                r.StepKept(
                    run=run, attempt=attempt, name="hold", nth=rng.randint(1, 2), fingerprint="x",
                    result=msgspec.Raw(b"[1]"),
                ),
                r.CommitBegan(run=run, attempt=attempt, key=f"k{run}", limit=1.5),
                r.CommitBegan(run=run, attempt=attempt, key=f"k{run}"),
                r.Returned(run=run, attempt=attempt, result=msgspec.Raw(b'{"id": 7}'), warning=rng.choice(("", "w"))),
                r.Returned(run=run, attempt=attempt, result=msgspec.Raw(b"null"), source="probe", undo=undo),
                r.Failed(run=run, attempt=attempt, code="broke", message="it broke", refused=rng.random() < 0.5),
                r.Stopped(run=run, attempt=attempt, reason="a correction"),
                r.Lost(run=run, attempt=attempt, why="gone", for_good=rng.random() < 0.5),
                r.NeverCommitted(run=run, attempt=attempt, result=msgspec.Raw(b"1")),
            )
        )  # fmt: skip

    def sent(self):
        item = f"item{len(self.items)}"
        self.items.append(item)
        form = self.rng.choice(("result", "result", "still_running", "in_doubt", "error"))
        note = self.rng.random() < 0.2
        return r.Sent(
            item=item, context=self.context, calls=self.some(self.calls), run=self.near(self.runs), form=form, note=note
        )

    def heard(self):
        self.turns += 1
        spoken = self.rng.choice((0, 1_700_000_000_000_000_000 + self.rng.randint(0, 10**13)))
        return r.Heard(turn=self.turns, text=f"words {self.turns}", kind=self.rng.choice(HEARD), spoken_at=spoken)

    def said(self):
        return r.Said(text="Shall I take it?", unheard=self.rng.choice(("", "for you")))

    def answered(self):
        return r.Answered(call=self.near(self.calls), form="refused", text="{}", reply=False)

    def delivered(self):
        return r.Delivered(items=tuple(self.rng.choices(self.items, k=2)) if self.items else ("item0",))

    def acknowledged(self):
        return r.Acknowledged(calls=self.some(self.calls), turn=self.turns)

    def interrupted(self):
        if self.rng.random() < 0.3:
            return r.Interrupted(id="x", interrupt=Discarded(at=NOW, generation=f"g{self.near(self.calls) // 2}"))
        decided = tuple(
            r.Decided(
                run=run, calls=(), choice=self.rng.choice(("go_on", "hold", "stop")), offer_undo=self.rng.random() < 0.3,
                concerned=self.rng.random() < 0.3, announce=self.rng.choice((None, "silent")),
                asked=Decision.go_on("why not"),
            )
            for run in self.some(self.runs)
        )  # fmt: skip
        barge_in = BargeIn(at=NOW, stage="onset")
        return r.Interrupted(id="x", interrupt=barge_in, decisions=decided, filed=self.some(self.calls))

    def batch_closed(self):
        return r.BatchClosed(batch=self.near(self.calls) // 2, generation="g")

    def replanned(self):
        run = self.near(self.runs)
        self.runs += 1
        return r.Replanned(run=run, new=self.runs, occurrence=2)

    def contradicted(self):
        return r.Contradicted(run=self.near(self.runs), result=msgspec.Raw(b'"late"'))

    def context_opened(self):
        self.context += 1
        return r.ContextOpened(context=self.context, agent="frontdesk", shows=self.some(self.runs))

    def handed_off(self):
        return r.HandOffRecord(to="billing", frm="frontdesk")

    def fact_kept(self):
        name = f"fact{self.rng.randint(1, 9)}"
        if self.rng.random() < 0.3:
            return r.FactKept(forgotten=(name,))
        return r.FactKept(facts={name: self.rng.choice((1, 2.5, None, "x", [1, {"a": True}]))})

    def accepted(self):
        return r.Accepted(packet="p1", agent="billing", frm="frontdesk", process="1-b")

    def closed(self):
        return r.Closed(why="hang_up")

    def other(self):
        return r.Noticed(code="server_error", text="odd")


def folded(records, state=None):
    """The state of a stream of records."""
    state = State("conv-1") if state is None else state
    for record, at in records:
        state.apply(record, at)
    return state
