"""Going on with a session that a dead process left: looking at the plan, carrying exactly it out, the report (H4, D2, D3)."""

import asyncio

import pytest
from engine_house import START, Effects, House, crashed, die, folded, house, journal_of, turns, until

import toolguard
from toolguard import DidNotHappen, Guard, Happened, RecoveryPlan, RecoveryReport
from toolguard.core import records as r
from toolguard.core.frame import Draft
from toolguard.engine.clock import LoopClock
from toolguard.engine.limits import Limits
from toolguard.errors import Fenced, StillOwned, UnknownRef
from toolguard.stores.base import Append
from toolguard.stores.memory import MemoryStore

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def effects():
    return Effects()


@pytest.fixture
def tools(effects):
    """A read, a repeatable write, and mutations of every kind; each of them takes a second."""

    @toolguard.read
    async def look(city: str) -> str:
        await asyncio.sleep(1)
        effects("look")
        return "sunny"

    @toolguard.idempotent_write(identity="who")
    async def note(who: str) -> str:
        effects(f"note {toolguard.current_call().key}")
        await asyncio.sleep(1)
        return "noted"

    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        effects("charge")
        await asyncio.sleep(1)
        return "ch_1"

    @toolguard.mutation(identity="who", hard_limit=40)
    async def ship(who: str) -> str:
        effects("ship")
        await asyncio.sleep(1)
        return "sh_1"

    @ship.probe
    async def find(attempt, who: str):
        return Happened("sh_1", evidence="the depot") if "ship" in effects.done else DidNotHappen(evidence="the depot")

    @toolguard.mutation(identity="who", commits="inside")
    async def book(who: str) -> str:
        await toolguard.checkpoint(held=toolguard.current_call().progress.get("held", 0) + 1)
        await asyncio.sleep(1)
        async with toolguard.committing():
            effects("book")
        return "bk_1"

    return {tool.name: tool for tool in (look, note, charge, ship, book)}


def guard_on(store, tools, **options):
    return Guard(store, tools=list(tools.values()), clock=LoopClock(START), **options)


async def everything_begun(store, tools):
    """A process that dies half a second into one call of every tool."""
    async with crashed(store, *tools.values()) as h:
        for place, tool in enumerate(tools.values(), 1):
            h.call(f"c{place}", tool, **({"city": "Pune"} if tool.name == "look" else {"who": "ana"}))
        await asyncio.sleep(0.5)
        return len(journal_of(store, "conv-1"))


ACTS = ["run_again", "run_again_same_key", "in_doubt", "probe", "resume"]


class TestPlan:
    async def test_h4_it_says_what_will_be_done_with_each_run_and_why(self, tools):
        store = MemoryStore()
        await everything_begun(store, tools)
        async with guard_on(store, tools) as guard:
            plan = await guard.recover("conv-1").plan()
        assert isinstance(plan, RecoveryPlan)
        assert (plan.session, plan.tenant, plan.epoch, plan.owner_lives) == ("conv-1", "default", 1, False)
        assert plan.owner
        assert [(one.ref, one.tool, one.act) for one in plan.steps] == [
            (f"conv-1/{place}", tool, act) for place, (tool, act) in enumerate(zip(tools, ACTS, strict=True), 1)
        ]
        assert [one.phase for one in plan.steps] == ["planned", "committing", "committing", "committing", "started"]
        assert all(one.why for one in plan.steps)
        assert plan.steps[4].why == "it goes on from its checkpoint"

    async def test_looking_touches_nothing(self, tools):
        store = MemoryStore()
        before = await everything_begun(store, tools)
        async with guard_on(store, tools) as guard:
            row = await guard.journal.ask(lambda one: one.session("conv-1"))
            await guard.recover("conv-1").plan()
            assert await guard.journal.ask(lambda one: one.session("conv-1")) == row
        assert len(journal_of(store, "conv-1")) == before

    async def test_h4_exactly_that_is_done(self, tools, effects):
        store = MemoryStore()
        await everything_begun(store, tools)
        assert [one.split()[0] for one in effects.done] == ["note", "charge", "ship"]
        key = effects.done[0]
        async with guard_on(store, tools) as guard:
            recovery = guard.recover("conv-1")
            plan = await recovery.plan()
            async with recovery as conversation:
                assert conversation.state.runs[3].phase.value == "in_doubt"
                await until(lambda: not conversation.state.open_runs)
                await turns()
                phases = [run.phase.value for run in conversation.state.runs.values()]
        assert phases == ["done", "done", "in_doubt", "done", "done"]
        assert effects.done.count("charge") == effects.done.count("ship") == 1
        assert [one for one in effects.done if one.startswith("note")] == [key, key]
        assert effects.done.count("book") == effects.done.count("look") == 1
        (recovered,) = [one for one in journal_of(store, "conv-1") if isinstance(one, r.Recovered)]
        assert recovered.resumed == tuple(one.run for one in plan.steps if one.act in {ACTS[0], ACTS[1], ACTS[4]})
        assert (recovered.in_doubt, recovered.probed) == ((3, 4), (4,))
        run = folded(store).runs[5]
        assert run.progress == {"held": 2}  # from its checkpoint

    async def test_t2_a_session_that_somebody_entered_since_the_plan_is_not_taken(self, tools):
        store = MemoryStore()
        await everything_begun(store, tools)
        other = guard_on(store.twin(), tools)
        async with guard_on(store, tools) as guard, other:
            recovery = guard.recover("conv-1")
            await recovery.plan()
            async with other.recover("conv-1"):
                with pytest.raises(StillOwned):
                    await recovery.__aenter__()
            with pytest.raises(Fenced, match="another process was first"):
                await recovery.__aenter__()

    async def test_a_session_that_is_not_there_is_named(self, tools):
        async with guard_on(MemoryStore(), tools) as guard:
            with pytest.raises(UnknownRef, match="conv-9"):
                await guard.recover("conv-9").plan()

    async def test_h4_a_tool_that_is_gone_or_does_not_take_its_arguments_any_more_is_stopped_with_the_reason(self):
        @toolguard.mutation(identity="who", commits="inside")
        async def book(who: str) -> str:
            await asyncio.sleep(5)
            async with toolguard.committing():
                return who

        @toolguard.mutation(identity="who", commits="inside", name="book")
        async def book_stricter(who: int) -> str:
            async with toolguard.committing():
                return str(who)

        for tools, why in (([], "there is no tool named book"), ([book_stricter], "its arguments no longer fit")):
            store = MemoryStore()
            async with crashed(store, book) as h:
                h.call("c1", book, who="ana")
                await asyncio.sleep(0.5)
            async with Guard(store, tools=tools, clock=LoopClock(START)) as guard:
                (step,) = (await guard.recover("conv-1").plan()).steps
                assert step.act == "stop"
                assert why in step.why
                async with guard.recover("conv-1") as conversation:
                    assert conversation.state.runs[1].phase.value == "cancelled"
                    assert why in conversation.state.runs[1].message

    async def test_h4_an_unknown_record_leaves_the_session_as_it_was(self, tools):
        store = MemoryStore()
        await everything_begun(store, tools)
        store.open("a newer release")
        head = store.session("conv-1")
        store.commit([_newer(head.epoch)])
        store.close()
        async with guard_on(store, tools) as guard:
            for go in (guard.recover("conv-1").plan, guard.recover("conv-1").__aenter__):
                with pytest.raises(
                    toolguard.ToolguardError, match=r"\[store_foreign\] conv-1: .*record kind 99 version 1"
                ):
                    await go()
            row = await guard.journal.ask(lambda one: one.session("conv-1"))
            assert (row.epoch, row.owner) == (head.epoch, head.owner)
            with pytest.raises(toolguard.ToolguardError, match="store_foreign"):
                await guard.enter("conv-1", agent="agent")
            row = await guard.journal.ask(lambda one: one.session("conv-1"))
            assert (row.owner, row.state, row.seq) == ("", "open", head.seq + 1)


def _newer(epoch):
    return Append("conv-1", epoch, (Draft(99, 1, 0, 1, b"{}"),))


class TestReport:
    async def test_it_names_cause_gap_epochs_and_calls_and_the_journal_says_the_same(self, tools):
        store = MemoryStore()
        await everything_begun(store, tools)
        async with guard_on(store, tools) as guard:
            plan = await guard.recover("conv-1").plan()
            async with guard.recover("conv-1") as conversation:
                report = conversation.recovery
        assert isinstance(report, RecoveryReport)
        assert (report.cause, report.epoch_before, report.epoch) == ("its process died", 1, 2)
        assert (report.previous_owner, report.gap_ms) == (plan.owner, plan.gap_ms)
        assert report.resumed == ("conv-1/1", "conv-1/2", "conv-1/5")
        assert (report.in_doubt, report.probed) == (("conv-1/3", "conv-1/4"), ("conv-1/4",))
        assert (report.stopped, report.followed, report.calls_carried, report.context_replayed) == ((), (), 5, 0)
        assert report.owed == tuple(f"conv-1/{place}" for place in range(1, 6))
        (told,) = [one for one in journal_of(store, "conv-1") if isinstance(one, r.Recovered)]
        for name in ("cause", "gap_ms", "epoch_before", "previous_owner", "calls_carried", "context_replayed"):
            assert getattr(told, name) == getattr(report, name)
        for name in ("resumed", "in_doubt", "probed", "stopped", "followed", "owed"):
            assert tuple(f"conv-1/{number}" for number in getattr(told, name)) == getattr(report, name)

    async def test_a_new_session_and_one_that_ended_well_have_none(self, tools):
        store = MemoryStore()
        async with house(*tools.values(), store=store) as h:
            assert h.session.recovery is None
            await h.session.run(tools["look"], "Pune")
        async with house(*tools.values(), store=store) as h:
            assert h.session.recovery is None
            assert h.records(r.Recovered) == []

    async def test_one_that_was_left_at_a_shutdown_says_so(self, tools):
        store = MemoryStore()
        async with house(*tools.values(), store=store) as h:
            h.call("c1", tools["look"], city="Pune")
            await h.session.close("shutdown")
        async with house(*tools.values(), store=store) as h:
            assert (h.session.recovery.cause, h.session.recovery.resumed) == ("its process had left it", ("conv-1/1",))
            assert h.session.recovery.previous_owner == ""

    async def test_it_is_in_the_event_stream(self, tools):
        store = MemoryStore()
        await everything_begun(store, tools)
        async with guard_on(store, tools) as guard:
            seen = []

            async def listen():
                seen.extend([event.record async for event in _first(guard.events(kinds=["recovered"]))])

            task = asyncio.create_task(listen())
            await turns()
            async with guard.recover("conv-1"):
                await turns()
            task.cancel()
        assert [(one.previous_owner != "", one.epoch_before) for one in seen] == [(True, 1)]


async def _first(events):
    async for event in events:
        yield event
        return


class TestOwner:
    async def test_t2_a_session_whose_owner_lives_is_left_to_it(self, tools):
        store = MemoryStore()
        other = guard_on(store.twin(), tools)
        async with house(*tools.values(), store=store) as h, other:
            assert (await other.recover("conv-1").plan()).owner_lives
            with pytest.raises(
                StillOwned, match=rf"\[still_owned\] conv-1: process {h.guard.process} has it"
            ) as caught:
                await other.recover("conv-1").__aenter__()
            assert caught.value.process == h.guard.process
            assert await h.session.run(tools["look"], "Pune") == "sunny"

    async def test_t1_taken_away_from_a_living_owner_it_says_so(self, tools):
        store = MemoryStore()
        other = guard_on(store.twin(), tools)
        async with house(*tools.values(), store=store) as h, other:
            recovery = other.recover("conv-1", take=True)
            conversation = await recovery.__aenter__()
            assert conversation.recovery.cause == "taken over from a living process"
            assert conversation.recovery.previous_owner == h.guard.process
            with pytest.raises(Fenced, match="Stop serving it here"):
                await h.session.run(tools["charge"], "ana")
            await recovery.__aexit__(None, None, None)


class TestLostRecords:
    """A store that came back without acknowledged records: open mutations count as in doubt (semantics 10)."""

    async def test_an_uncommitted_mutation_is_in_doubt_then_probed_and_never_begun_anew(self, tools, effects):
        @toolguard.mutation(identity="who", commits="inside", time_limit=20, hard_limit=20)
        async def send(who: str) -> str:
            await asyncio.sleep(1)
            async with toolguard.committing():
                effects("send")
                await asyncio.sleep(5)
            return "sent"

        @send.probe
        async def find(attempt, who: str):
            return Happened("sent", evidence=attempt.key) if "send" in effects.done else DidNotHappen(evidence="none")

        class Doubtful(MemoryStore):
            def session(self, session):
                row = super().session(session)
                return row and row._replace(doubtful=True)

        store = Doubtful()
        async with crashed(store, send, tools["look"], tools["book"]) as h:
            h.call("c1", send, who="ana")
            h.call("c2", tools["look"], city="Pune")
            h.call("c3", tools["book"], who="ana")
            await asyncio.sleep(0.5)
        async with Guard(store, tools=[send, *tools.values()], clock=LoopClock(START)) as guard:
            plan = await guard.recover("conv-1").plan()
            assert [(one.act, one.presumed) for one in plan.steps] == [
                ("probe", True), ("run_again", False), ("in_doubt", True),
            ]  # fmt: skip
            assert "may have lost its commit record" in plan.steps[0].why
            async with guard.recover("conv-1") as conversation:
                runs = conversation.state.runs
                assert [runs[n].phase.value for n in (1, 3)] == ["in_doubt", "in_doubt"]
                assert runs[1].key
                began = asyncio.get_running_loop().time()
                await until(lambda: runs[1].phase.final)
                assert runs[1].phase.value == "failed"  # the probe says that it did not happen, after the quarantine
                assert asyncio.get_running_loop().time() - began >= 20
        assert "send" not in effects.done
        assert "book" not in effects.done
        state = folded(store)
        assert (state.runs[1].phase.value, state.runs[3].phase.value) == ("failed", "in_doubt")
        commits = [one.run for one in journal_of(store, "conv-1") if isinstance(one, r.CommitBegan)]
        assert commits == [1, 3]


async def test_t5_a_record_from_the_future_counts_as_just_written(tools):
    """The clock of the process that died was an hour ahead: its session is not past the resume window."""
    store = MemoryStore()
    ahead = START.replace(hour=1)
    guard = Guard(store, tools=list(tools.values()), clock=LoopClock(ahead))
    session = await guard.enter("conv-1", agent="agent")
    house_ = House(guard, session, None, store)
    house_.call("c1", tools["book"], who="ana")
    await asyncio.sleep(0.5)
    die(guard, session)
    await turns()
    async with guard_on(store, tools, limits=Limits(resume_window=1)) as guard:
        plan = await guard.recover("conv-1").plan()
        assert (plan.gap_ms, [one.act for one in plan.steps]) == (0.0, ["resume"])


async def test_an_approval_that_was_not_given_is_asked_for_again(effects):
    @toolguard.mutation(identity="who", needs=toolguard.Approval("charge {who}?", within=30))
    async def charge(who: str) -> str:
        effects("charge")
        return "ch_1"

    store = MemoryStore()
    async with crashed(store, charge) as h:
        h.call("c1", charge, who="ana")
        await turns()
    async with house(charge, store=store) as h:
        await turns()
        assert len(effects) == 0
        h.session.approve("conv-1/1", by="ben")
        await h.ended()
        assert (h.phase(), len(effects)) == ("done", 1)
