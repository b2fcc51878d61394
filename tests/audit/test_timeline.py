"""The timeline tells a session line by line, so that a person can follow it and nobody's words can disturb it."""

import asyncio
import re
from datetime import UTC, datetime

import msgspec
import pytest
from audit_house import DAWN, TOOLS, called, everything, landed, opened, written
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from toolguard import Guard
from toolguard.audit.happened import Teller
from toolguard.audit.plain import cut, plain, quoted
from toolguard.audit.timeline import Timeline, timeline
from toolguard.audit.words import interrupted, taken
from toolguard.core import records as r
from toolguard.core.interrupt import BargeIn, Discarded, Dropped, Ended, HandedOff
from toolguard.core.state import State
from toolguard.engine.clock import LoopClock
from toolguard.engine.port import Traits
from toolguard.testing.fake_port import RecordingPort, Spoken

AT = datetime(2026, 1, 1, tzinfo=UTC)
HOSTILE = "\x1b[2J\x1b]0;owned\x07\nforged\r\t\u202edlrow\u2066\u200b\x9b31m\x00"


async def told(store, session="conv-1"):
    async with opened(store) as trail:
        return [text async for text in timeline(trail, session)]


def has(lines, *patterns):
    """Each pattern is found in a line behind that of the one before."""
    rest = iter(lines)
    for pattern in patterns:
        assert any(re.search(pattern, line) for line in rest), f"{pattern!r} is not there, in order:\n" + "\n".join(
            lines
        )
    return True


@pytest.mark.virtual_time
async def test_i18_a_barge_in_can_be_followed_from_the_onset_to_what_the_caller_heard():
    traits = Traits(adapter="fake", evidence="heard", confirms=True, speech_ends=True)
    port = RecordingPort(traits, confirm_after=0.01, replies=lambda _port: Spoken())
    clock = LoopClock(AT)
    async with Guard("memory", tools=TOOLS, clock=clock) as guard:
        async with guard.session("conv-1", agent="desk", caller="+15550100", port=port) as conversation:
            port.attach(conversation)
            await asyncio.sleep(1)
            conversation.caller_started("o1")
            conversation.receive("c1", "charge", {"who": "ana"}, generation="g1")
            conversation.receive("c2", "look", {"city": "Pune"}, generation="g1", index=1)
            await asyncio.sleep(0.25)
            conversation.caller_stopped("o1")
            conversation.caller_said("yeah", onset="o1")
            conversation.generation_ended("g1")
            await asyncio.sleep(2)
            conversation.caller_started("o2")
            conversation.caller_stopped("o2")
            conversation.caller_said("thanks, and what about Delhi?", onset="o2")
            await asyncio.sleep(1)
        lines = [text async for text in timeline(guard.trail, "conv-1")]
    assert has(
        lines,
        r"^conv-1  tenant default",
        r"^started 2026-01-01",
        r"^ +0\.000  e1  session +opened by process \S+ for agent desk, caller \+15550100 \(fake, by_effect\)",
        r"^ +1\.000  e1  caller +the caller began to speak \(onset o1\)",
        r'agent +calls charge conv-1/1 \{"who":"ana","cents":5\}: planned',
        r"^ +1\.000  e1  caller +is still speaking \(onset o1\)",
        r'policy +by_effect: hold charge conv-1/1 "the caller is speaking"',
        r"gate +charge conv-1/1 waits, held by o1",
        r"run +look conv-1/2 done",
        r'^ +1\.250  e1  caller +"yeah" \(backchannel\)',
        r'caller +the caller said "yeah": backchannel',
        r"policy +by_effect: go_on charge conv-1/1",
        r"commit +charge conv-1/1 passes the point of no return, key [0-9a-f]{32}",
        r'run +charge conv-1/1 done after 0\.\d+ s: "ch_ana"',
        r"sent +output for charge conv-1/1: result, context 0",
        r"answer +the agent is asked to speak about charge conv-1/1, look conv-1/2",
        r"delivered +charge conv-1/1",
        r'agent +"ok"',
        r"caller +heard the outcome of charge conv-1/1, look conv-1/2 and went on",
        r"session +closed: hang_up",
    )


async def test_a_write_that_the_caller_took_back_is_told_with_policy_and_reason():
    async with Guard("memory", tools=TOOLS) as guard:
        async with guard.session("conv-1", port=RecordingPort()) as conversation:
            conversation.caller_started("o1")
            conversation.receive("c1", "charge", {"who": "ana"})
            await asyncio.sleep(0)
            conversation.caller_said("no, cancel that", onset="o1")
            await landed(guard)
        lines = [text async for text in timeline(guard.trail, "conv-1")]
    assert has(
        lines,
        r'caller +"no, cancel that" \(cancellation\)',
        r'policy +by_effect: stop charge conv-1/1 "the caller cancelled it before its effect", concerned',
        r"run +charge conv-1/1 stopped before its effect",
        r"sent +output for charge conv-1/1: cancelled",
    )


async def test_a_take_over_shows_the_new_epoch_and_the_person_who_settled():
    store = written(
        "conv-1",
        r.Opened(tenant="clinic", agent="desk", process="p1"),
        called(1),
        r.CommitBegan(run=1, key="k"),
        r.Lost(run=1, why="its process is gone"),
    )
    store.open("p2")
    row = store.enter("conv-1", "clinic", at=DAWN)
    store.close()
    assert row.epoch == 2
    written(
        "conv-1",
        r.Opened(tenant="clinic", agent="desk", process="p2", recovered=True),
        r.Recovered(cause="a new owner", gap_ms=1500.0, in_doubt=(1,)),
        r.Returned(run=1, result=msgspec.Raw(b'"ch_1"'), source="person", by="ana", evidence="the bank"),
        r.Failed(run=1, code="late"),
        store=store,
        at=DAWN + 9_000_000_000,
    )
    lines = await told(store)
    assert has(
        lines,
        r"e1  run +charge conv-1/1 was let go, it is in doubt: its process is gone",
        r"^ +9\.000  e3  session +taken over by process p2",
        r"session +recovered after 1\.5 s \(a new owner\): in doubt: charge conv-1/1",
        r'person +charge conv-1/1 done after 9\.000 s: "ch_1", ana saw it: the bank',
        r"charge conv-1/1 failed.*\[does not count: the run had ended otherwise\]",
    )


def hostile_records():
    yield r.Opened(tenant=HOSTILE, agent=HOSTILE, process=HOSTILE, caller=HOSTILE, policy=HOSTILE)
    yield called(1, tool=HOSTILE, arguments=msgspec.Raw(msgspec.json.encode({"x": HOSTILE})))
    yield r.Heard(turn=1, text=HOSTILE * 500, kind=HOSTILE)
    yield r.Said(text=HOSTILE, unheard=HOSTILE)
    yield r.CommitBegan(run=1, key=HOSTILE)
    yield r.Noticed(code=HOSTILE, text=HOSTILE)
    yield r.Lost(run=1, why=HOSTILE)
    yield r.Failed(run=1, code=HOSTILE, message=HOSTILE, source="person", by=HOSTILE, evidence=HOSTILE)
    yield r.HandOffRecord(to=HOSTILE, frm=HOSTILE)
    yield r.Interrupted(
        id="i1",
        interrupt=BargeIn(stage="settled", at=AT, kind="addition", said=HOSTILE, onset=HOSTILE, concerns={HOSTILE}),
        policy=HOSTILE,
        decisions=(r.Decided(run=1, calls=(1,), choice="go_on", reason=HOSTILE),),
    )


async def test_words_of_strangers_stay_in_their_line_and_move_no_cursor():
    lines = await told(written("conv\x1b[31m-1", *hostile_records()), "conv\x1b[31m-1")
    assert len(lines) >= 12
    for line in lines:
        assert line.isprintable()
        assert len(line) < 4000
    assert any(r"\x1b[2J" in line and r"\nforged" in line and r"\u202e" in line and r"\x9b" in line for line in lines)


@given(st.text(st.characters(), max_size=300))
def test_any_text_becomes_one_printable_line(text):
    for safe in (plain(text), quoted(text), plain(cut(text))):
        assert safe.isprintable()
    assert plain("".join(c for c in text if c.isprintable())) == "".join(c for c in text if c.isprintable())


@given(st.text())
def test_quoted_words_cannot_close_their_quotation_marks(text):
    body = quoted(text, limit=1000)
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', body)


def test_long_words_are_cut_and_their_length_is_told():
    assert cut("x" * 200, 10) == "xxxxxxxxxx... (200 characters)"
    assert quoted("x" * 200, 10) == '"xxxxxxxxxx..." (200 characters)'


@pytest.mark.parametrize("kind", [kind for kind in r.CODES if kind is not r.BatchClosed], ids=lambda k: r.NAMES[k])
def test_every_kind_of_record_has_words(kind):
    from toolguard.audit import happened

    assert kind in happened._WORDS or kind in {r.Returned, r.Failed}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (r.ContextOpened(context=2, agent="desk", cause="dropped"), "context 2 begins for agent desk (dropped)"),
        (r.Began(run=1, attempt=2), "charge conv-1/1 began, attempt 2"),
        (r.Checkpointed(run=1, progress=msgspec.Raw(b'{"a":1}')), 'kept {"a":1}'),
        (r.StepKept(run=1, name="hold", nth=1, fingerprint="f", result=msgspec.Raw(b"1")), "kept step hold"),
        (r.Stopped(run=1, reason="the caller left"), "stopped before its effect: the caller left"),
        (r.NeverCommitted(run=1), "returned without committing, it is in doubt"),
        (r.Replanned(run=1, new=2, occurrence=2), "charge conv-1/1 is tried again as occurrence 2"),
        (r.Contradicted(run=1, result=msgspec.Raw(b"1")), "did happen after all, says its body: 1"),
        (r.Spoke(generation="g", what="filler"), "speaks a filler"),
        (r.Answered(call=1, form="still_running", text="", interim=True), "placeholder for charge conv-1/1"),
        (r.Noted(run=1, calls=(1,), text=""), "note about charge conv-1/1: result"),
        (r.Delivered(items=("tg_x",)), "tg_x"),
        (r.HandOffRecord(to="billing", frm="desk", carried=(1,)), "from desk to billing, carrying charge conv-1/1"),
        (r.Accepted(packet="p", agent="billing", frm="desk", process="p1"), "billing takes over from desk"),
        (
            r.Accepted(packet="p", agent="billing", frm="desk", process="p2", same_process=False),
            "billing takes over from desk in process p2",
        ),
        (r.FactKept(facts={"name": "Simon"}, forgotten=("order",)), 'name is "Simon", order is forgotten'),
        (r.Noticed(code="retry", text="again", run=1), "retry charge conv-1/1: again"),
        (r.Switched(tool="charge", paused=True, by="ana", reason="fraud"), "ana paused charge (fraud)"),
        (r.Closed(why="hang_up", unfinished=(1,)), "closed: hang_up, unanswered: charge conv-1/1"),
        (r.Recovered(cause="", gap_ms=0.0), "recovered after 0.0 s: nothing was open"),
        (
            r.Rebuilt(cause="closed 1001", gap_ms=400.0, items_replayed=3, items_kept=2),
            "connection rebuilt after 0.4 s (closed 1001): 3 items shown again, 2 were there",
        ),
    ],
)
async def test_records_are_put_into_words(record, words):
    first = [called(1)] if not isinstance(record, r.NeverCommitted) else [called(1), r.Began(run=1)]
    lines = await told(written("conv-1", *first, record))
    assert words in lines[-1]


@pytest.mark.parametrize(
    ("interrupt", "words"),
    [
        (BargeIn(stage="onset", at=AT, onset="o1"), "the caller began to speak (onset o1)"),
        (BargeIn(stage="retracted", at=AT), "it was no speech after all"),
        (BargeIn(stage="settled", at=AT, kind="noise"), "the caller's speech settled: noise"),
        (
            BargeIn(stage="settled", at=AT, kind="correction", said="no", confidence=0.25, concerns=frozenset({"c/1"})),
            'the caller said "no": correction, confidence 0.25, about c/1',
        ),
        (Discarded(at=AT, generation="g1"), "response g1 was discarded"),
        (Discarded(at=AT), "response was discarded"),
        (HandedOff(at=AT, to="billing"), "handed off to billing (in this process)"),
        (HandedOff(at=AT, to="billing", same_process=False), "handed off to billing (to another process)"),
        (Dropped(at=AT, who="provider"), "the provider's line dropped"),
        (Ended(at=AT, why="hang_up"), "the conversation ended"),
        (Ended(at=AT, why="shutdown"), "the process went down"),
    ],
)
def test_interrupts_are_put_into_words(interrupt, words):
    assert interrupted(interrupt) == words


def test_every_verdict_has_words():
    for verdict in r.Verdict.__args__:
        assert taken(verdict, "conv-1/1")
        assert "{" not in taken(verdict, "")


async def test_a_record_that_cannot_be_read_is_a_line_and_is_counted():
    store = written("conv-1", called(1), called(2, run=2))
    store._shelf.journals["conv-1"][0] = b"short"
    lines = await told(store)
    assert has(lines, r"journal +a record cannot be read: 5 bytes are too short", r"^1 records could not be read")


@freeze_time("2026-01-01 00:00:00", tz_offset=2)
async def test_the_start_is_shown_in_the_time_zone_of_the_machine():
    book = Timeline("conv-1")
    async with opened(written("conv-1", called(1))) as trail:
        (line,) = await everything(trail.records("conv-1"))
    assert next(book.lines(line)).startswith("started 20")


def test_a_run_of_which_nothing_is_known_has_its_number():
    assert Teller(State("conv-1")).tell(r.Stopped(run=7, reason="gone")) == [
        ("run", "run 7 stopped before its effect: gone")
    ]
