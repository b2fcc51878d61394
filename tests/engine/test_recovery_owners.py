"""Two processes and one session: the lease, the fence, and commits that are followed from elsewhere (T1, T4, H1)."""

import asyncio
import math
from contextlib import asynccontextmanager

import pytest
from engine_house import START, Effects, crashed, house, journal_of, meant, turns, until

import toolguard
from toolguard import DidNotHappen, Guard, Happened
from toolguard.core import records as r
from toolguard.core.law import Phase
from toolguard.engine.clock import LoopClock
from toolguard.engine.limits import Limits
from toolguard.engine.port import Traits
from toolguard.errors import Fenced, InDoubt, StoreUnavailable
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def effects():
    return Effects()


@pytest.fixture
def look():
    @toolguard.read
    async def look(city: str) -> str:
        await asyncio.sleep(1)
        return "sunny"

    return look


@pytest.fixture
def charge(effects):
    @toolguard.mutation(identity="who", time_limit=30, hard_limit=30)
    async def charge(who: str) -> str:
        effects("charge")
        await asyncio.sleep(2)
        return "ch_1"

    @charge.probe
    async def find(attempt, who: str):
        return Happened("ch_1", evidence="the bank") if effects.done else DidNotHappen(evidence="the bank")

    return charge


@pytest.fixture
def book(effects):
    @toolguard.mutation(identity="who", commits="inside")
    async def book(who: str) -> str:
        await toolguard.checkpoint(held=toolguard.current_call().progress.get("held", 0) + 1)
        await asyncio.sleep(2)
        async with toolguard.committing():
            effects("book")
        return "bk_1"

    return book


@asynccontextmanager
async def another(store, *tools, limits=None):
    """Another process on the same store."""
    guard = Guard(store.twin(), tools=tools, clock=LoopClock(START), limits=limits or Limits(), listener=meant)
    guard._entrance._trusted = True
    async with guard:
        yield guard


def parcels(port):
    """What the model was given, in order."""
    return [one.parcel for one in port.log if one.parcel is not None]


async def take(guard, name="conv-1"):
    """A live connection in the other process takes the session, and its model speaks through a port."""
    port = RecordingPort(Traits(adapter="test"))
    session = await guard.enter(name, agent="agent", caller="ana", port=port)
    port.attach(session)
    return session, port


class LeasedStore(MemoryStore):
    """A store whose leases run out by the loop's clock; while ``gone`` it does not answer for them."""

    def __init__(self, length=10.0):
        super().__init__()
        self.length = length
        self.asked = []
        self.gone = False
        self.appends = []

    def renew(self, seconds=10.0):
        self.asked.append(asyncio.get_running_loop().time())
        if self.gone:
            raise StoreUnavailable("the store is gone")
        return min(super().renew(seconds), self.length)

    def commit(self, batch):
        self.appends.extend(batch)
        return super().commit(batch)


class TestLease:
    async def test_t4_it_is_renewed_at_a_third_of_its_length(self, charge):
        store = LeasedStore()
        async with house(charge, store=store, limits=Limits(lease=9)):
            await asyncio.sleep(10)
        assert store.asked == pytest.approx([0.0, 3.0, 6.0, 9.0])

    async def test_t4_one_that_lasts_as_long_as_the_process_is_not_renewed(self, charge):
        store = LeasedStore(length=math.inf)
        async with house(charge, store=store):
            await asyncio.sleep(60)
        assert len(store.asked) == 1

    async def test_t4_a_mutation_asks_the_store_for_its_margin_inside_the_append_of_its_commit(self, charge, look):
        store = LeasedStore()
        async with house(charge, look, store=store, limits=Limits(margin=1.5)) as h:
            await h.session.run(charge, "ana")
            await h.session.run(look, "Pune")
        asking = {r.NAMES[_kind(d)]: a.lease for a in store.appends for d in a.drafts if a.lease}
        assert asking == {"commit_began": 1.5}

    async def test_t4_a_mutation_does_not_begin_with_less_than_the_margin_left(self, charge, effects):
        """The store does not answer for the lease any more: after eight of its ten seconds nothing begins."""
        store = LeasedStore()
        async with house(charge, store=store) as h:
            await asyncio.sleep(7)
            store.gone = True
            await asyncio.sleep(8)
            before = len(store.appends)
            h.call("c1", charge, who="ana")
            await h.ended()
            assert len(effects) == 0
            assert h.run().code == "lease_short"
            (parcel,) = parcels(h.port)
            assert (parcel.form, "offer to try again" in parcel.text) == ("unavailable", True)
            commits = [d for a in store.appends[before:] for d in a.drafts if _kind(d) is r.CommitBegan]
            assert commits == []
            store.gone = False
            await asyncio.sleep(2)
            assert await h.session.run(charge, "ana") == "ch_1"

    async def test_t4_reads_go_on_without_a_lease(self, charge, look):
        store = LeasedStore()
        async with house(charge, look, store=store) as h:
            store.gone = True
            await asyncio.sleep(20)
            assert await h.session.run(look, "Pune") == "sunny"

    async def test_t4_the_store_itself_refuses_a_commit_of_a_process_whose_lease_is_over(self, charge, effects):
        """It was stopped and does not know; the refusal makes it look, and a lease that nobody ended is good again."""
        store = MemoryStore()
        async with house(charge, store=store) as h:
            store.expire()
            h.call("c1", charge, who="ana")
            await h.ended()
            assert (h.run().code, len(effects)) == ("lease_short", 0)
            await turns()
            assert await h.session.run(charge, "ana") == "ch_1"
            assert not h.session.wiring.ledger.fenced
            assert [one.code for one in h.records(r.Failed)] == ["lease_short"]

    async def test_t4_a_process_that_was_found_dead_decides_nothing_more_and_begins_anew(self, charge, look, effects):
        store = MemoryStore()
        async with house(charge, look, store=store) as h, another(store, charge) as other:
            before = h.guard.process
            store.expire()
            assert await other.journal.ask(lambda one: one.bury(before))
            h.call("c1", charge, who="ana")
            await until(lambda: h.session.wiring.ledger.fenced)
            with pytest.raises(Fenced, match=r"found dead.*enter it again") as caught:
                await h.session.run(look, "Pune")
            assert caught.value.code == "fenced"
            assert len(effects) == 0
            await until(lambda: h.guard.process != before and not h.guard._owner.lease.short)
            async with h.guard.session("conv-2", agent="agent") as fresh:
                assert await fresh.run(charge, "ben") == "ch_1"
            async with h.guard.session("conv-1", agent="agent", caller="ana") as again:
                assert await again.run(charge, "cleo") == "ch_1"

    async def test_t1_its_commits_go_on_and_say_what_came_of_them(self, charge, effects):
        store = MemoryStore()
        async with house(charge, store=store) as h, another(store, charge) as other:
            h.call("c1", charge, who="ana")
            await asyncio.sleep(1)
            store.expire()
            assert await other.journal.ask(lambda one: one.bury(h.guard.process))
            h.call("c2", charge, who="ben")
            await until(lambda: h.session.wiring.ledger.fenced)
            await until(lambda: h.run(1).phase is Phase.DONE)
            assert [one.run for one in h.records(r.Returned)] == [1]
        assert effects.done == ["charge"]

    async def test_t4_what_the_store_refused_for_the_lease_fails_nothing_of_the_next_owner(self, charge, effects):
        """The failure of an attempt whose commit record is in no journal is this process's opinion, and fenced."""
        store = MemoryStore()
        async with house(charge, store=store) as h, another(store, charge) as other:
            h.onset()
            h.call("c1", charge, who="ana")
            await h.at_gate()
            store.expire()
            assert await other.journal.ask(lambda one: one.bury(h.guard.process))
            session, _ = await take(other)
            h.says("addition", "o1")
            await turns()
            assert h.records(r.Failed) == []
            session.caller_said("addition")
            await until(lambda: session.state.runs[1].phase is Phase.DONE)
        assert effects.done == ["charge"]


def _kind(draft):
    return type(r.decode(draft.kind, draft.version, draft.payload))


class TestFence:
    """The session was entered elsewhere while this process had it: T1."""

    async def test_t1_an_uncommitted_run_ends_without_effect_and_whoever_waits_is_told(self, book, effects):
        store = MemoryStore()
        async with house(book, store=store) as h, another(store, book) as other:
            waiting = asyncio.create_task(h.session.run(book, "ana"))
            await asyncio.sleep(1)
            session, _ = await take(other)
            with pytest.raises(Fenced):
                await h.session.run(book, "ben")
            with pytest.raises(Fenced, match="Stop serving it here"):
                await waiting
            assert h.session.wiring.execution.live[1].task.cancelled() or h.session.wiring.execution.live[1].task.done()
            await until(lambda: session.state.runs[1].phase is Phase.DONE)
            assert session.state.runs[1].progress == {"held": 2}
        assert effects.done == ["book"]
        assert [one.attempt for one in journal_of(store, "conv-1") if isinstance(one, r.CommitBegan)] == [2]

    async def test_t1_no_timer_and_no_output_of_the_old_owner_follow(self, book, charge, look):
        store = MemoryStore()
        async with house(book, charge, look, store=store) as h, another(store, book, charge, look) as other:
            h.onset()
            h.call("c1", book, who="ana")
            h.call("c2", charge, who="ben")
            await h.at_gate(2)
            session, _ = await take(other)
            h.session.noticed("x", "any record finds out")
            await turns()
            assert h.session.wiring.ledger.fenced
            length, sent = len(journal_of(store, "conv-1")), len(parcels(h.port))
            session.wiring.barge_ins.forget()
            session.wiring.stop()
            seen = len(journal_of(store, "conv-1"))
            h.call("c3", look, city="Pune")
            h.session.caller_stopped("o1")
            h.session.caller_said("cancellation", onset="o1")
            await asyncio.sleep(60)
            epochs = {frame.epoch for frame in store.read("conv-1", after=length)}
            assert epochs <= {2}
            assert len(parcels(h.port)) == sent
            assert seen >= length

    async def test_t1_evidence_tells_the_old_owner_that_it_is_none_any_more(self, charge, effects):
        """It had nothing else to write: the place where its result landed says who owns the session now."""
        store = MemoryStore()
        async with house(charge, store=store) as h, another(store, charge) as other:
            h.call("c1", charge, who="ana")
            await asyncio.sleep(1)
            session, port = await take(other)
            await until(lambda: session.state.runs[1].phase is Phase.DONE)
            await until(lambda: h.session.wiring.ledger.fenced)
            await turns()
            assert parcels(h.port) == []
            assert [one.note for one in parcels(port)] == [True]
        assert effects.done == ["charge"]

    async def test_t1_the_same_session_entered_again_in_this_process_fences_the_first(self, charge, look):
        store = MemoryStore()
        async with house(charge, look, store=store) as h, h.guard.session("conv-1", caller="ana") as again:
            with pytest.raises(Fenced, match="entered the session anew"):
                await h.session.run(look, "Pune")
            assert await again.run(look, "Pune") == "sunny"

    async def test_l5_a_body_that_does_not_end_when_it_is_fenced_says_nothing_about_the_world(self, effects):
        @toolguard.mutation(identity="who", commits="inside")
        async def stubborn(who: str) -> str:
            try:
                await asyncio.sleep(2)
            except asyncio.CancelledError:
                return "nothing done"
            async with toolguard.committing():
                effects("stubborn")
            return "done"

        store = MemoryStore()
        async with house(stubborn, store=store) as h, another(store, stubborn) as other:
            h.call("c1", stubborn, who="ana")
            await asyncio.sleep(1)
            session, _ = await take(other)
            h.session.noticed("x", "any record finds out")
            await until(lambda: session.state.runs[1].phase is Phase.DONE)
            assert h.records(r.NeverCommitted) == []
        assert effects.done == ["stubborn"]


class TestFollowing:
    async def test_h1_a_commit_of_a_living_process_is_followed_and_its_outcome_told(self, charge, effects):
        store = MemoryStore()
        async with house(charge, store=store) as h, another(store, charge) as other:
            h.call("c1", charge, who="ana")
            await asyncio.sleep(1)
            session, port = await take(other)
            assert session.state.runs[1].phase is Phase.COMMITTING
            assert session.recovery.followed == ("conv-1/1",)
            assert [one for one in journal_of(store, "conv-1") if isinstance(one, r.Lost)] == []
            await until(lambda: session.state.runs[1].phase is Phase.DONE)
            await turns()
            (note,) = parcels(port)
            assert note.note
            assert "ch_1" in note.text
        assert effects.done == ["charge"]

    async def test_h1_the_same_wish_joins_the_followed_run(self, charge, effects):
        store = MemoryStore()
        async with house(charge, store=store) as h, another(store, charge) as other:
            h.call("c1", charge, who="ana")
            await asyncio.sleep(1)
            session, _ = await take(other)
            assert await session.run(charge, "ana") == "ch_1"
        assert effects.done == ["charge"]

    async def test_h1_its_process_dies_then_it_is_in_doubt_and_probed(self, charge, effects):
        store = MemoryStore()
        async with crashed(store, charge) as h:
            other = Guard(store.twin(), tools=[charge], clock=LoopClock(START))
            h.call("c1", charge, who="ana")
            await asyncio.sleep(1)
            session, _ = await take(other)
            assert session.state.runs[1].phase is Phase.COMMITTING
        await until(lambda: session.state.runs[1].phase is Phase.DONE)
        assert session.state.runs[1].source == "probe"
        (lost,) = [one for one in journal_of(store.twin(), "conv-1") if isinstance(one, r.Lost)]
        assert lost.why == "its process died"
        assert effects.done == ["charge"]
        await other.close()

    async def test_h1_an_idempotent_write_is_done_again_with_its_key_only_when_its_process_dies(self, effects):
        @toolguard.idempotent_write(identity="who")
        async def note(who: str) -> str:
            effects(toolguard.current_call().key)
            await asyncio.sleep(2)
            return "noted"

        store = MemoryStore()
        async with crashed(store, note) as h:
            other = Guard(store.twin(), tools=[note], clock=LoopClock(START))
            h.call("c1", note, who="ana")
            await asyncio.sleep(1)
            session, _ = await take(other)
            joined = asyncio.create_task(session.run(note, "ana"))
            await asyncio.sleep(0.5)
            assert len(effects) == 1
        assert await joined == "noted"
        assert len(effects) == 2
        assert len(set(effects.done)) == 1
        await other.close()

    async def test_h6_a_process_that_says_nothing_is_followed_no_longer_than_the_runs_limit(self, effects):
        @toolguard.mutation(identity="who", time_limit=5, hard_limit=5)
        async def hang(who: str) -> str:
            effects("hang")
            await asyncio.sleep(1000)
            return "never"

        store = MemoryStore()
        async with house(hang, store=store) as h, another(store, hang) as other:
            h.call("c1", hang, who="ana")
            await asyncio.sleep(1)
            h.session.wiring.execution.disarm(h.session.wiring.execution.live[1])  # it is stopped: its limit sleeps
            session, _ = await take(other)
            began = asyncio.get_running_loop().time()
            with pytest.raises(InDoubt):
                await session.run(hang, "ana")
            assert asyncio.get_running_loop().time() - began == pytest.approx(4, abs=0.5)
            (lost,) = [one for one in journal_of(store, "conv-1") if isinstance(one, r.Lost)]
            assert "within its limit" in lost.why
            h.session.wiring.execution.live[1].task.cancel()

    async def test_t1_what_the_followed_process_gives_up_is_in_doubt_here_too(self, effects):
        @toolguard.mutation(identity="who", time_limit=5, hard_limit=5, settles_within=60)
        async def hang(who: str) -> str:
            effects("hang")
            await asyncio.sleep(1000)
            return "never"

        store = MemoryStore()
        async with house(hang, store=store) as h, another(store, hang) as other:
            h.call("c1", hang, who="ana")
            await asyncio.sleep(1)
            session, port = await take(other)
            h.session.wiring.execution.give_up(h.session.wiring.execution.live[1], "it is given up there")
            await until(lambda: session.state.runs[1].phase is Phase.IN_DOUBT)
            await turns()
            assert [one for one in parcels(port) if one.form == "result"] == []
            h.session.wiring.execution.live[1].task.cancel()

    async def test_h1_an_uncommitted_run_of_a_living_process_goes_on_here_from_its_checkpoint(self, book, effects):
        store = MemoryStore()
        async with house(book, store=store) as h, another(store, book) as other:
            h.call("c1", book, who="ana")
            await asyncio.sleep(1)
            session, _ = await take(other)
            assert session.recovery.resumed == ("conv-1/1",)
            await until(lambda: session.state.runs[1].phase is Phase.DONE)
            assert session.state.runs[1].progress == {"held": 2}
        assert effects.done == ["book"]

    async def test_t3_a_run_that_was_followed_by_a_process_that_died_is_followed_by_the_next(self, charge, effects):
        """The process that commits is another one than the session's last owner."""
        store = MemoryStore()
        async with house(charge, store=store) as h:
            h.call("c1", charge, who="ana")
            await asyncio.sleep(0.5)
            middle = store.twin()
            async with crashed(middle, charge) as second:
                assert second.session.state.runs[1].phase is Phase.COMMITTING
            async with another(store, charge) as third:
                session, _ = await take(third)
                assert session.recovery.followed == ("conv-1/1",)
                await until(lambda: session.state.runs[1].phase is Phase.DONE)
                assert session.state.runs[1].source == "body"
        assert effects.done == ["charge"]

    async def test_g7_a_session_that_ends_waits_for_what_it_follows_within_its_drain_window(self, charge, effects):
        store = MemoryStore()
        async with house(charge, store=store) as h, another(store, charge) as other:
            h.call("c1", charge, who="ana")
            await asyncio.sleep(0.5)
            session, _ = await take(other)
            await session.close()
            assert session.state.runs[1].phase is Phase.DONE
        assert effects.done == ["charge"]
