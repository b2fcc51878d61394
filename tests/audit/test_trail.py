"""The trail tells of every call what was asked, decided, done and heard, and reads page by page."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from audit_house import (
    DAWN,
    SECOND,
    TOOLS,
    Clock,
    called,
    charge,
    everything,
    landed,
    look,
    lose,
    opened,
    set_note,
    written,
)

from toolguard import Effect, Guard, Happened, Phase
from toolguard.audit import trail as trail_module
from toolguard.audit.call import split_ref, when
from toolguard.core import records as r
from toolguard.core.frame import SEALED, Draft
from toolguard.core.interrupt import BargeIn
from toolguard.errors import UnknownRef
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort

START = datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_call_is_told_with_its_arguments_key_result_and_epoch():
    async with Guard("memory", tools=TOOLS, clock=Clock()) as guard:
        async with guard.session("conv-1", agent="frontdesk", tenant="clinic-7"):
            await charge("ana", 7)
        (call,) = await everything(guard.trail.calls())
    assert (call.ref, call.session, call.tenant, call.agent) == ("conv-1/1", "conv-1", "clinic-7", "frontdesk")
    assert (call.tool, call.effect, call.verdict, call.phase) == ("charge", Effect.MUTATION, "run", Phase.DONE)
    assert (call.at, call.arguments, call.result, call.happened) == (START, {"who": "ana", "cents": 7}, "ch_ana", True)
    assert len(call.key) == 32
    assert (call.attempts, call.source, call.epochs, call.duration_ms) == (1, "body", (1,), 0.0)


async def test_every_filter_takes_its_calls_and_no_others():
    clock = Clock()
    async with Guard("memory", tools=TOOLS, clock=clock) as guard:
        async with guard.session("conv-1", tenant="a"):
            await look("Pune")
            clock.at += 60 * SECOND
            await charge("ana")
        async with guard.session("conv-2", tenant="b"):
            await lose("bob")

        async def refs(**query):
            return [call.ref async for call in guard.trail.calls(**query)]

        assert await refs() == ["conv-1/1", "conv-1/2", "conv-2/1"]
        assert await refs(tool=charge) == await refs(tool="charge") == ["conv-1/2", "conv-2/1"]
        assert await refs(phase=Phase.IN_DOUBT) == await refs(phase="in_doubt") == ["conv-2/1"]
        assert await refs(effect=Effect.READ) == ["conv-1/1"]
        assert await refs(tenant="a") == ["conv-1/1", "conv-1/2"]
        assert await refs(session="conv-2") == ["conv-2/1"]
        assert await refs(session="conv-2", tenant="a") == []
        minute = START + timedelta(minutes=1)
        assert await refs(since=minute) == ["conv-1/2", "conv-2/1"]
        assert await refs(until=minute) == ["conv-1/1"]
        assert await refs(in_doubt_first=True) == ["conv-2/1", "conv-1/1", "conv-1/2"]
        with pytest.raises(ValueError, match="nowhere"):
            await refs(phase="nowhere")


async def test_a_time_without_a_zone_is_local_time():
    at = datetime(2026, 1, 1, 12)
    assert trail_module._nanoseconds(at) == trail_module._nanoseconds(at.astimezone(UTC))


class Counting(MemoryStore):
    """Counts what it is asked for."""

    def __init__(self):
        super().__init__()
        self.limits, self.read_sessions = [], []

    def raw(self, session, *, after=0, limit=512):
        self.limits.append(limit)
        self.read_sessions.append(session)
        return super().raw(session, after=after, limit=limit)

    def sessions(self, **query):
        self.limits.append(query["limit"])
        return super().sessions(**query)


@pytest.fixture
def counting():
    return Counting()


async def test_the_trail_reads_in_pages_and_misses_nothing(counting, monkeypatch):
    monkeypatch.setattr(trail_module, "PAGE", 3)
    async with Guard(counting, tools=TOOLS) as guard:
        for number in range(7):
            async with guard.session(f"conv-{number}"):
                for city in range(5):
                    await look(str(city))
        counting.limits.clear()
        calls = await everything(guard.trail.calls())
        assert len(calls) == 35
        assert [one.session for one in await everything(guard.trail.sessions())] == [f"conv-{n}" for n in range(7)]
        lines = await everything(guard.trail.records("conv-3"))
        assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    assert set(counting.limits) == {3}


async def test_calls_in_doubt_are_found_by_the_index_without_reading_other_sessions(counting):
    async with Guard(counting, tools=TOOLS) as guard:
        for number in range(4):
            async with guard.session(f"conv-{number}"):
                await (lose("bob") if number == 2 else charge("ana"))
        counting.read_sessions.clear()
        assert [call.ref async for call in guard.trail.calls(phase=Phase.IN_DOUBT)] == ["conv-2/1"]
    assert set(counting.read_sessions) == {"conv-2"}


async def test_a_full_index_is_no_reason_to_miss_a_call(counting, monkeypatch):
    monkeypatch.setattr(trail_module, "INDEX", 1)
    async with Guard(counting, tools=TOOLS) as guard:
        for number in range(3):
            async with guard.session(f"conv-{number}"):
                await lose("bob")
        assert len(await everything(guard.trail.calls(phase=Phase.IN_DOUBT))) == 3


async def test_i18_a_replay_links_to_the_call_whose_result_it_gave():
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        conversation.receive("c1", "charge", {"who": "ana"})
        conversation.receive("c2", "charge", {"who": "ana"})
        await charge("ana")
        calls = await everything(guard.trail.calls())
    assert [(call.verdict, call.points_to) for call in calls] == [
        ("run", ""),
        ("join", "conv-1/1"),
        ("join", "conv-1/1"),
    ]
    assert {(call.result, call.replayed_from) for call in calls} == {("ch_ana", "")}


async def test_i18_an_answer_from_an_earlier_result_is_marked_as_replayed():
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1"):
        await charge("ana")
        await charge("ana")
        first, second = await everything(guard.trail.calls())
    assert (first.replayed_from, second.replayed_from, second.duration_ms) == ("", "conv-1/1", None)


async def test_i18_an_idempotent_write_is_superseded_by_the_next_with_the_same_identity():
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1"):
        await set_note("n", "one")
        await set_note("n", "two")
        first, second = await everything(guard.trail.calls())
    assert (first.superseded_by, second.superseded_by) == ("conv-1/2", "")


async def test_i18_the_last_decision_is_told_with_policy_reason_and_cause():
    async with (
        Guard("memory", tools=TOOLS) as guard,
        guard.session("conv-1", port=RecordingPort()) as conversation,
    ):
        conversation.caller_started("o1")
        conversation.receive("c1", "charge", {"who": "ana"})
        conversation.caller_said("no, cancel that", onset="o1")
        await landed(guard)
        call = await guard.trail.call("conv-1/1")
    assert (call.phase, call.decision, call.policy) == (Phase.CANCELLED, "stop", "by_effect")
    assert "before its effect" in call.reason
    assert 'the caller said "no, cancel that": cancellation' in call.cause


async def test_a_call_that_no_interrupt_met_gives_the_reason_of_its_end():
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1"):
        with pytest.raises(Exception, match="nothing to charge"):
            await charge("ana", 0)
        call = await guard.trail.call("conv-1/1")
    assert (call.phase, call.decision, call.reason, call.code) == (Phase.FAILED, "", "nothing to charge", "refused")


async def test_observe_mode_tells_what_would_have_been_decided():
    store = written(
        "conv-1",
        called(1),
        r.Interrupted(
            id="i1",
            interrupt=BargeIn(stage="onset", at=START, onset="o"),
            policy="p",
            would=True,
            decisions=(r.Decided(run=1, calls=(1,), choice="hold", reason="speaking"),),
        ),
    )
    async with opened(store) as trail:
        call = await trail.call("conv-1/1")
    assert (call.decision, call.reason, call.policy) == ("would hold", "speaking", "p")


async def test_t1_all_epochs_that_wrote_about_a_call_are_told():
    store = MemoryStore()
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1"):
        await lose("bob")
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1"):
        await guard.resolve("conv-1/1", Happened("ch_1", evidence="dashboard"), by="ana")
        call = await guard.trail.call("conv-1/1")
    assert call.epochs == (1, 2)
    assert (call.source, call.evidence, call.by, call.result) == ("person", "dashboard", "ana", "ch_1")


async def test_d1_a_retry_with_a_new_key_keeps_the_attempts_and_decisions_before_it():
    decided = r.Decided(run=1, calls=(1,), choice="go_on", reason="why not")
    store = written(
        "conv-1",
        called(1),
        r.Interrupted(id="i1", interrupt=BargeIn(stage="onset", at=START), policy="p", decisions=(decided,)),
        r.CommitBegan(run=1, attempt=1, key="k1"),
        r.Failed(run=1, attempt=1, code="refused"),
        r.Replanned(run=1, new=2, occurrence=2),
        r.CommitBegan(run=2, attempt=1, key="k2"),
        r.Returned(run=2, attempt=1, result=msgspec.Raw(b"7")),
    )
    async with opened(store) as trail:
        call = await trail.call("conv-1/1")
    assert (call.phase, call.attempts, call.key, call.reason, call.result) == (Phase.DONE, 2, "k2", "why not", 7)


async def test_l4_evidence_that_does_not_count_is_not_told_as_the_source():
    store = written(
        "conv-1",
        called(1),
        r.CommitBegan(run=1, key="k"),
        r.Lost(run=1, why="gone"),
        r.Returned(run=1, source="probe", evidence="the bank"),
        r.Failed(run=1, code="late", source="person", by="ana", evidence="too late"),
    )
    async with opened(store) as trail:
        call = await trail.call("conv-1/1")
    assert (call.phase, call.source, call.evidence, call.by) == (Phase.DONE, "probe", "the bank", "")


async def test_delivery_is_told_up_to_what_the_caller_heard():
    store = written(
        "conv-1",
        called(1),
        r.CommitBegan(run=1, key="k"),
        r.Returned(run=1, result=msgspec.Raw(b"1")),
        r.Sent(item="tg_1", context=0, calls=(1,), run=1),
        r.Delivered(items=("tg_1",)),
        r.Acknowledged(calls=(1,), turn=1),
        called(2, run=2),
    )
    async with opened(store) as trail:
        first, second = await everything(trail.calls())
    assert (first.answer, first.sent, first.delivered, first.acknowledged) == ("result", True, True, True)
    assert first.duration_ms == 2000.0
    assert (second.answer, second.sent, second.delivered, second.acknowledged) == (None, False, False, False)


async def test_records_are_told_in_order_with_place_epoch_time_and_name():
    async with Guard("memory", tools=TOOLS, clock=Clock()) as guard:
        async with guard.session("conv-1"):
            await charge("ana")
        lines = await everything(guard.trail.records("conv-1"))
        later = await everything(guard.trail.records("conv-1", after=3))
    assert [line.kind for line in lines] == ["opened", "called", "commit_began", "returned", "closed"]
    assert [(line.seq, line.epoch, line.at) for line in lines] == [(n, 1, START) for n in range(1, 6)]
    assert later == lines[3:]


async def test_what_cannot_be_read_is_shown_as_such_and_stops_nothing():
    store = written(
        "conv-1",
        called(1),
        Draft(99, 1, 0, DAWN, b"{}"),
        Draft(14, 9, 0, DAWN, b"{}"),
        Draft(14, 1, SEALED, DAWN, b"\x00"),
        Draft(14, 1, 0, DAWN, b'{"run":"x"}'),
        r.Acknowledged(calls=(1,), turn=1),
    )
    store._shelf.journals["conv-1"][0] = store._shelf.journals["conv-1"][0][:-40] + bytes(40)
    async with opened(store) as trail:
        lines = await everything(trail.records("conv-1"))
        story = await trail.story("conv-1")
        assert await everything(trail.calls()) == []
    assert [line.kind for line in lines] == ["unreadable"] * 5 + ["acknowledged"]
    whys = [line.record.why for line in lines[:5]]
    assert "checksum" in whys[0] or "bytes" in whys[0]
    assert "newer than this release" in whys[1]
    assert "newer than this release" in whys[2]
    assert whys[3] == "it is sealed"
    assert "does not fit" in whys[4]
    assert story.unreadable == 5


async def test_sessions_are_told_by_tenant_and_state():
    async with Guard("memory", tools=TOOLS, clock=Clock()) as guard:
        async with guard.session("conv-1", tenant="a"), guard.session("conv-2", tenant="b"):
            (one,) = await everything(guard.trail.sessions(tenant="a"))
            assert (one.state, one.owner, one.epoch, one.records) == ("open", guard.process, 1, 1)
        assert [s.session for s in await everything(guard.trail.sessions(state="closed"))] == ["conv-1", "conv-2"]
        assert await everything(guard.trail.sessions(state="open")) == []
        assert one.opened_at == START


@pytest.mark.parametrize("ref", ["conv-1/9", "conv-9/1", "conv-9", "", "/", "conv-1/x", "conv-1/²"])
async def test_an_unknown_ref_is_named_with_advice(ref):
    async with Guard("memory", tools=TOOLS) as guard:
        async with guard.session("conv-1"):
            await look("Pune")
        with pytest.raises(UnknownRef) as caught:
            await guard.trail.call(ref)
    assert caught.value.ref in {ref, ref.rpartition("/")[0]}
    assert caught.value.advice


def test_a_session_id_may_contain_slashes():
    assert split_ref("tenant/conv-1/12") == ("tenant/conv-1", 12)


def test_an_impossible_time_is_no_reason_to_fail():
    assert when(2**63 - 1).year in {1970, 2262}
    assert when(-(2**63)).year in {1970, 1677}
