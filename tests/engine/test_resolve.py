"""A person settles what is in doubt: evidence is required, the first settlement stands, every process learns of it."""

import asyncio
import subprocess
import sys
import textwrap

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import toolguard
from toolguard import DidNotHappen, Guard, Happened, Phase, StillUnknown
from toolguard.core import records as r
from toolguard.engine import resolve as resolving
from toolguard.engine.claims import Claims
from toolguard.engine.ledger import ClaimRow, Ledger
from toolguard.errors import AlreadySettled, EvidenceMissing, InDoubt, StoreFull, UnknownRef
from toolguard.stores.base import Append, Swap
from toolguard.stores.disk import DiskStore
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort, Spoken

YES = Happened("ch_1", evidence="dashboard")
NO = DidNotHappen(evidence="the bank says so")


@toolguard.mutation(identity="who")
async def charge(who: str, cents: int = 5) -> str:
    raise OSError("the line broke")


@toolguard.mutation(identity="who", commits="inside")
async def forgetful(who: str) -> str:
    return "never committed"


@toolguard.read
async def look(city: str) -> str:
    return "31"


TOOLS = [charge, forgetful, look]


async def lose(tool=charge, who="ana"):
    with pytest.raises(InDoubt):
        await tool(who)


def phase(session, call=1):
    state = session.state
    return state.runs[state.slots[call].run].phase


async def kinds(guard, session="conv-1"):
    return [line.kind async for line in guard.trail.records(session)]


async def test_l4_a_person_settles_a_run_in_doubt_of_a_session_that_lives_here():
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await lose()
        await guard.resolve("conv-1/1", YES, by="ana")
        assert phase(conversation) is Phase.DONE
        assert await charge("ana") == "ch_1"
        call = await guard.trail.call("conv-1/1")
    assert (call.source, call.evidence, call.by, call.result) == ("person", "dashboard", "ana", "ch_1")


async def test_d1_after_it_did_not_happen_the_next_call_inherits_the_key():
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await lose()
        await guard.resolve("conv-1/1", NO, by="ana")
        assert phase(conversation) is Phase.FAILED
        await lose()
        first, second = [call async for call in guard.trail.calls()]
    assert (first.phase, second.phase) == (Phase.FAILED, Phase.IN_DOUBT)
    assert first.key == second.key


async def test_o3_the_news_reach_the_model_once_as_a_note():
    port = RecordingPort(replies=lambda _port: Spoken(after=0, seconds=0))
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1", port=port) as conversation:
        port.attach(conversation)
        conversation.receive("c1", "charge", {"who": "ana"})
        while not port.outputs:
            await asyncio.sleep(0)
        assert '"toolguard":"in_doubt"' in port.output("c1")
        await asyncio.sleep(0.01)
        await guard.resolve("conv-1/1", YES, by="ana")
        await asyncio.sleep(0.01)
        assert ['"ch_1"' in note.text for note in port.notes] == [True]


@pytest.mark.parametrize("finding", [YES, NO], ids=["happened", "did not"])
async def test_l4_the_first_settlement_wins(finding):
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1"):
        await lose()
        await guard.resolve("conv-1/1", finding, by="ana")
        for again in (YES, NO):
            with pytest.raises(AlreadySettled, match="says the person"):
                await guard.resolve("conv-1/1", again, by="bob")
        assert (await guard.trail.call("conv-1/1")).by == "ana"
        assert (await kinds(guard)).count("returned" if finding is YES else "failed") == 1


@pytest.mark.parametrize("finding", [Happened(1), Happened(1, evidence=" "), DidNotHappen(), StillUnknown(), None])
async def test_a_finding_without_evidence_settles_nothing(finding):
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await lose()
        with pytest.raises(EvidenceMissing):
            await guard.resolve("conv-1/1", finding, by="ana")
        with pytest.raises(EvidenceMissing, match="nobody stands for the finding"):
            await guard.resolve("conv-1/1", YES, by=" ")
        assert phase(conversation) is Phase.IN_DOUBT


@pytest.mark.parametrize("ref", ["conv-1", "conv-1/9", "conv-9/1", "conv-1/", "nonsense"])
@pytest.mark.parametrize("living", [True, False])
async def test_an_unknown_call_is_named(ref, living):
    async with Guard("memory", tools=TOOLS) as guard:
        async with guard.session("conv-1"):
            await lose()
            if living:
                with pytest.raises(UnknownRef):
                    await guard.resolve(ref, YES, by="ana")
        if not living:
            with pytest.raises(UnknownRef):
                await guard.resolve(ref, YES, by="ana")


async def test_only_a_run_in_doubt_can_be_settled():
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await look("Pune")
        with pytest.raises(AlreadySettled, match="look is done already, says the body"):
            await guard.resolve("conv-1/1", NO, by="ana")
        conversation.receive("c2", "charge", {"who": 7})
        with pytest.raises(AlreadySettled, match="no run of its own"):
            await guard.resolve("conv-1/2", NO, by="ana")
        conversation.receive("c3", "look", {"city": "Delhi"})
        with pytest.raises(AlreadySettled, match=r"look is planned, not in doubt\. Wait"):
            await guard.resolve("conv-1/3", NO, by="ana")


async def test_a_call_that_joined_is_settled_through_its_run():
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        conversation.receive("c1", "charge", {"who": "ana"})
        conversation.receive("c2", "charge", {"who": "ana"})
        await lose()
        await guard.resolve("conv-1/2", YES, by="ana")
        assert [call.phase async for call in guard.trail.calls()] == [Phase.DONE] * 3


async def test_w6_a_run_that_never_committed_is_settled_too():
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await lose(forgetful)
        await guard.resolve("conv-1/1", NO, by="ana")
        assert phase(conversation) is Phase.FAILED


async def test_d3_a_session_that_nobody_has_is_settled_in_its_journal_its_claim_and_its_index():
    store = MemoryStore()
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await lose()
        intent = conversation.state.runs[1].intent
    async with Guard(store) as guard:
        assert [mark.phase for mark in store.open_calls()] == ["in_doubt"]
        await guard.resolve("conv-1/1", YES, by="ana")
        call = await guard.trail.call("conv-1/1")
        assert (call.phase, call.result, call.by) == (Phase.DONE, "ch_1", "ana")
        assert store.open_calls() == []
        claim = claim_of(store, intent)
        assert (claim.state, bytes(claim.result)) == ("done", b'"ch_1"')
        with pytest.raises(AlreadySettled):
            await guard.resolve("conv-1/1", NO, by="bob")
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1"):
        assert await charge("ana") == "ch_1"


def claim_of(store, intent):
    return msgspec.json.decode(store.claim(intent)[1], type=ClaimRow)


async def test_d3_a_session_that_nobody_has_and_whose_call_did_not_happen_gives_its_key_on():
    store = MemoryStore()
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await lose()
        intent = conversation.state.runs[1].intent
    async with Guard(store, tools=TOOLS) as guard:
        await guard.resolve("conv-1/1", NO, by="ana")
        assert claim_of(store, intent).state == "undone"


async def test_evidence_is_power_durable(monkeypatch):
    asked = []

    class Watched(MemoryStore):
        def commit(self, batch):
            asked.extend(one.durable for one in batch if any(d.kind in {15, 16} for d in one.drafts))
            return super().commit(batch)

    store = Watched()
    async with Guard(store, tools=TOOLS) as guard:
        async with guard.session("conv-1"):
            await lose(who="ana")
            await lose(who="bob")
            await guard.resolve("conv-1/1", YES, by="ana")
        await guard.resolve("conv-1/2", NO, by="ana")
    assert asked == [True, True]


class Full(MemoryStore):
    """A store whose disk is full while ``full`` is set."""

    full = False

    def commit(self, batch):
        if self.full:
            raise StoreFull("the disk is full")
        return super().commit(batch)


async def test_what_could_not_be_written_is_in_doubt_as_before():
    store = Full()
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await lose()
        before = conversation.state.runs[1].result
        store.full = True
        with pytest.raises(StoreFull):
            await guard.resolve("conv-1/1", YES, by="ana")
        assert (phase(conversation), conversation.state.runs[1].result) == (Phase.IN_DOUBT, before)
        store.full = False
        await guard.resolve("conv-1/1", NO, by="bob")
        assert phase(conversation) is Phase.FAILED


async def two(tmp_path):
    return Guard(tmp_path / "journal", tools=TOOLS), Guard(DiskStore(tmp_path / "journal"))


async def test_t1_a_live_owner_notices_what_another_process_settled(tmp_path, monkeypatch):
    monkeypatch.setattr("toolguard.engine.refreshing.EVERY", 0.02)
    owner, other = await two(tmp_path)
    async with owner, other, owner.session("conv-1") as conversation:
        await lose()
        await owner.journal.ask(lambda _store: None)
        waiting = asyncio.create_task(owner.trail.call("conv-1/1"))
        await waiting
        await other.resolve("conv-1/1", YES, by="ana")
        async with asyncio.timeout(5):
            while phase(conversation) is Phase.IN_DOUBT:
                await asyncio.sleep(0.01)
        assert phase(conversation) is Phase.DONE
        assert await charge("ana") == "ch_1"
        with pytest.raises(AlreadySettled):
            await owner.resolve("conv-1/1", NO, by="bob")


async def test_l4_an_owner_that_has_not_noticed_yet_still_lets_the_first_settlement_stand(tmp_path):
    owner, other = await two(tmp_path)
    async with owner, other, owner.session("conv-1") as conversation:
        await lose()
        await owner.journal.ask(lambda _store: None)
        await other.resolve("conv-1/1", NO, by="ana")
        with pytest.raises(AlreadySettled, match="failed already"):
            await owner.resolve("conv-1/1", YES, by="bob")
        assert phase(conversation) is Phase.FAILED


async def test_l4_of_two_processes_that_settle_at_once_one_is_told_that_it_was_late(tmp_path):
    async with Guard(tmp_path / "journal", tools=TOOLS) as guard, guard.session("conv-1"):
        await lose()
    first, second = Guard(DiskStore(tmp_path / "journal")), Guard(DiskStore(tmp_path / "journal"))
    async with first, second:
        found = await asyncio.gather(
            first.resolve("conv-1/1", YES, by="ana"),
            second.resolve("conv-1/1", NO, by="bob"),
            return_exceptions=True,
        )
        call = await first.trail.call("conv-1/1")
        records = await kinds(first)
    late = [one for one in found if one is not None]
    assert [type(one) for one in late] == [AlreadySettled]
    assert call.by == ("ana" if found[0] is None else "bob")
    assert records.count("returned") + records.count("failed") == 1


async def test_t1_evidence_of_the_body_that_lands_meanwhile_comes_first(monkeypatch):
    store = MemoryStore()
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await lose()
        intent = conversation.state.runs[1].intent
    async with Guard(store, tools=TOOLS) as guard:
        append = Ledger.append

        def late(self, *records, **options):
            if records[0].source == "person":
                monkeypatch.setattr(Ledger, "append", append)
                append(self, r.Returned(run=1, result=msgspec.Raw(b'"from the body"')))
            return append(self, *records, **options)

        monkeypatch.setattr(Ledger, "append", late)
        with pytest.raises(AlreadySettled, match="says the body"):
            await guard.resolve("conv-1/1", NO, by="ana")
        assert (await guard.trail.call("conv-1/1")).phase is Phase.DONE
        assert claim_of(store, intent).state == "done"


async def test_a_claim_that_belongs_to_a_newer_occurrence_is_left_alone(monkeypatch):
    store = MemoryStore()
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await lose()
        intent = conversation.state.runs[1].intent
    store.open("somebody")
    version, _ = store.claim(intent)
    newer = msgspec.json.encode(msgspec.structs.replace(claim_of(store, intent), run=7))
    store.commit([Append("conv-1", None, (), swaps=(Swap(intent, version, newer),))])
    store.close()
    async with Guard(store) as guard:
        await guard.resolve("conv-1/1", YES, by="ana")
        assert store.claim(intent)[1] == newer


async def test_a_claim_that_changes_all_the_time_is_reported_as_busy(monkeypatch):
    store = MemoryStore()
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1"):
        await lose()
    swap = Claims.swap
    monkeypatch.setattr(Claims, "swap", lambda self, intent, row: swap(self, intent, row)._replace(expects=99))
    async with Guard(store) as guard:
        with pytest.raises(toolguard.errors.StoreBusy, match="conv-1/1"):
            await guard.resolve("conv-1/1", YES, by="ana")


CHILD = textwrap.dedent(
    """
    import asyncio, sys, toolguard
    from toolguard import Guard

    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        raise OSError("the line broke")

    async def main():
        async with Guard(sys.argv[1], tools=[charge]) as guard, guard.session("conv-1") as conversation:
            try:
                await charge("ana")
            except toolguard.errors.InDoubt:
                await guard.journal.ask(lambda _store: None)
                print("in doubt", flush=True)
            while conversation.state.runs[1].phase == "in_doubt":
                await asyncio.sleep(0.01)
            print(await charge("ana"), flush=True)

    asyncio.run(main())
    """
)


async def test_t1_a_second_real_process_settles_while_the_first_holds_the_session(tmp_path):
    home = tmp_path / "journal"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(home)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "in doubt\n"
        async with Guard(home) as guard:
            await guard.resolve("conv-1/1", YES, by="ana")
        assert await asyncio.to_thread(child.stdout.readline) == "ch_1\n"
        assert child.wait(10) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


async def test_a_store_that_does_not_answer_is_asked_again(monkeypatch):
    class Broken(MemoryStore):
        broken = False

        def read(self, session, **query):
            if self.broken:
                raise StoreFull("gone")
            return super().read(session, **query)

    store = Broken()
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await lose()
        store.broken = True
        await resolving.catch_up_all(guard.sessions)
        assert phase(conversation) is Phase.IN_DOUBT


async def test_sessions_without_doubt_cost_the_refresh_nothing(monkeypatch):
    async with Guard("memory", tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await look("Pune")
        monkeypatch.setattr(guard.journal, "ask", None)
        await resolving.catch_up_all(guard.sessions)
        monkeypatch.undo()
        assert conversation.state.doubtful == set()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["here", "there"]), min_size=1, max_size=4), st.lists(st.booleans(), min_size=4))
def test_l4_whoever_settles_in_whatever_order_memory_and_journal_agree(places, answers):
    async def play():
        store = MemoryStore()
        owner, other = Guard(store, tools=TOOLS), Guard(store.twin())
        async with owner, other, owner.session("conv-1") as conversation:
            await lose()
            good = 0
            for place, answer in zip(places, answers, strict=False):
                guard = owner if place == "here" else other
                try:
                    await guard.resolve("conv-1/1", YES if answer else NO, by=place)
                    good += 1
                except AlreadySettled:
                    continue
            await resolving.catch_up_all(owner.sessions)
            call = await other.trail.call("conv-1/1")
            assert good == 1
            assert (call.phase, call.by) == (phase(conversation), places[0])

    asyncio.run(play())


async def test_t1_a_process_that_lost_the_session_settles_as_any_other():
    store = MemoryStore()
    old, new = Guard(store, tools=TOOLS), Guard(store.twin(), tools=TOOLS)
    async with old, new, old.session("conv-1"):
        await lose(forgetful)
        async with new.session("conv-1") as conversation:
            await old.resolve("conv-1/1", NO, by="ana")
            await resolving.catch_up_all(new.sessions)
            assert phase(conversation) is Phase.FAILED


async def test_l5_evidence_of_an_attempt_that_is_over_settles_nothing():
    store = MemoryStore()
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await lose()
        store.commit([Append("conv-1", None, (r.encode(r.Failed(run=1, attempt=0, code="old"), 1),))])
        await resolving.catch_up_all(guard.sessions)
        assert phase(conversation) is Phase.IN_DOUBT
        assert 1 in conversation.wiring.execution.live
