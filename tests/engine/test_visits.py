"""Any number of processes serve one conversation, request by request, without owning it (T1-T4, I04, O3)."""

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
from engine_house import START, Effects, folded, journal_of, until

import toolguard
from toolguard import Approval, DidNotHappen, Guard, Happened, Phase
from toolguard.core import records as r
from toolguard.engine.clock import LoopClock
from toolguard.engine.port import Traits
from toolguard.errors import (
    AlreadyDone,
    DeclarationError,
    InDoubt,
    NotOwned,
    Refused,
    SessionClosed,
    StillOwned,
    StoppedBeforeEffect,
    StoreError,
    StoreUnavailable,
    ToolFailed,
    ToolguardError,
    UnknownRef,
)
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort
from toolguard.tools.spec import Retry

pytestmark = pytest.mark.virtual_time
WEB = Traits(adapter="web")


class Worker:
    """One process of several: a guard of its own on the shared content."""

    def __init__(self, store, *tools, **options):
        self.store = store.twin()
        self.guard = Guard(self.store, tools=tools, clock=LoopClock(START), **options)
        self.begun = []
        self._ask = self.guard.journal.ask
        self.guard.journal.ask = self._late

    async def _late(self, question):
        """What the store answers is a little old when it is read, as over a line: others have written since."""
        answer = await self._ask(question)
        await asyncio.sleep(0.002)
        return answer

    def visit(self, name="conv", **more):
        return self.guard.visit(name, **{"tenant": "clinic", "caller": "ana", **more})

    async def run(self, tool, *args, name="conv", **more):
        async with self.visit(name, **more) as conversation:
            return await conversation.run(tool, *args)

    async def asked(self, call_id, tool, within=1000.0, name="conv", **arguments):
        """One request: what is placed for it, in order."""
        door = RecordingPort(WEB)
        async with self.visit(name, port=door) as conversation:
            conversation.receive(call_id, getattr(tool, "name", tool), arguments)
            await until(lambda: door.outputs, within)
        return door

    async def answer(self, call_id, tool, **arguments):
        return (await self.asked(call_id, tool, **arguments)).output(call_id)

    def begin(self, call):
        """Begin a call whose process is going to die."""
        self.begun.append(asyncio.ensure_future(call))

    def session(self, name="conv"):
        return self.guard.sessions[name]

    def die(self):
        """SIGKILL: nothing is written any more, no task wakes, the lease ends."""
        self.guard.journal._opened = False
        for session in self.guard.sessions.values():
            w = session.wiring
            w.ledger.fenced = True
            for live in list(w.execution.live.values()):
                if live.task is not None:
                    live.task.cancel()
            w.stop()
        self.store.close()

    @property
    def process(self):
        return self.guard.journal.process


@asynccontextmanager
async def workers(*tools, many=2, store=None, **options):
    store = store or MemoryStore()
    made = [Worker(store, *tools, **options) for _ in range(many)]
    yield made
    for one in made:
        if one.store._process:
            await one.guard.close()
        for task in one.begun:
            task.cancel()
        await asyncio.gather(*one.begun, return_exceptions=True)


class Dying(MemoryStore):
    """Loses outcomes: their process dies before they land; what is claimed lands."""

    dying = False

    def twin(self):
        other = Dying()
        other._shelf = self._shelf
        return other

    def commit(self, batch):
        if self.dying and any(draft.kind == r.CODES[r.Returned] for one in batch for draft in one.drafts):
            raise StoreUnavailable("it died")
        return super().commit(batch)


class World:
    """Tools whose bodies wait until a test lets them go on."""

    def __init__(self):
        self.effects = Effects()
        self.keys = []
        self.bodies = 0
        self.go = asyncio.Event()
        self.finding = None

        @toolguard.mutation(identity="who")
        async def charge(who: str, cents: int = 5) -> str:
            self.keys.append(toolguard.current_call().key)
            self.bodies += 1
            await self.go.wait()
            self.effects(who)
            return f"charged {who}"

        @toolguard.mutation(identity="who", hard_limit=60)
        async def wire(who: str) -> str:
            await charge.unguarded(who)
            return f"wired {who}"

        @wire.probe
        async def find(attempt: toolguard.Attempt, who: str) -> toolguard.Finding[str]:
            return self.finding

        @toolguard.mutation(identity="who", commits="inside", hard_limit=500, time_limit=500)
        async def book(who: str) -> str:
            self.bodies += 1
            await toolguard.checkpoint(seen=self.bodies)
            await self.go.wait()
            async with toolguard.committing() as key:
                self.keys.append(key)
                self.effects(who)
            return f"booked {who}"

        @toolguard.mutation(identity="who", commits="inside", scope="tenant", hard_limit=500, time_limit=500)
        async def order(who: str) -> str:
            return await book.unguarded(who)

        @toolguard.mutation(identity="who", scope="tenant", hard_limit=60)
        async def pay(who: str) -> str:
            return await charge.unguarded(who)

        @pay.probe
        async def look_up(attempt: toolguard.Attempt, who: str) -> toolguard.Finding[str]:
            return self.finding

        @toolguard.read
        async def look(city: str) -> str:
            self.bodies += 1
            await self.go.wait()
            return f"sunny in {city}"

        self.charge, self.wire, self.book, self.look, self.order, self.pay = charge, wire, book, look, order, pay
        self.tools = (charge, wire, book, look, order, pay)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def ready(world):
    world.go.set()
    return world


def records(worker, kind, session="conv"):
    return [one for one in journal_of(worker.store, session) if isinstance(one, kind)]


class TestSlots:
    async def test_t2_two_processes_serve_one_conversation_in_turns(self, ready):
        async with workers(*ready.tools) as (one, two):
            for number, worker in enumerate([one, two, one, two]):
                assert await worker.run(ready.charge, f"caller {number}") == f"charged caller {number}"
            called = records(one, r.Called)
            assert [record.call for record in called] == [1, 2, 3, 4]
            assert [record.process for record in called] == [one.process, two.process] * 2
            assert len(records(one, r.Opened)) == 1
            row = one.store.session("conv")
            assert (row.epoch, row.owner, row.tenant) == (0, "", "clinic")
            assert len(ready.effects) == 4

    async def test_t2_calls_that_come_at_once_each_get_a_number_of_their_own(self, ready):
        async with workers(*ready.tools, many=4) as four:
            answers = await asyncio.gather(
                *(worker.run(ready.look, f"{place}.{n}") for n in range(5) for place, worker in enumerate(four))
            )
            assert len(set(answers)) == 20
            called = records(four[0], r.Called)
            assert [record.call for record in called] == list(range(1, 21))
            assert len({record.run for record in called}) == 20
            assert len(records(four[0], r.Opened)) == 1

    async def test_t2_every_process_ends_with_the_state_that_the_journal_alone_gives(self, ready):
        async with workers(*ready.tools, many=3) as three:
            for n in range(4):
                await asyncio.gather(*(worker.run(ready.charge, f"{n % 2}") for worker in three))
            await asyncio.gather(*(worker.run(ready.look, "Pune") for worker in three))
            alone = folded(three[0].store, "conv")
            for worker in three:
                async with worker.visit():
                    state = worker.session().state
                assert state.runs == alone.runs
                assert sorted(state.slots) == list(alone.slots)
                assert (state.newest, state.writes, state.excluded) == (alone.newest, alone.writes, 0)

    async def test_t2_a_call_is_judged_by_what_other_processes_have_done(self, ready):
        async with workers(*ready.tools) as (one, two):
            await one.run(ready.charge, "ana")
            assert await two.run(ready.charge, "ana") == "charged ana"
            with pytest.raises(AlreadyDone, match="conv/1"):
                await two.run(ready.charge, "ana", 7)
            assert len(ready.effects) == 1

    async def test_s7_the_breaker_counts_the_calls_of_all_processes(self, world):
        @toolguard.read(max_calls=3)
        async def look(city: str) -> str:
            return "sunny"

        async with workers(look) as pair:
            for n in range(3):
                await pair[n % 2].run(look, "Pune")
            with pytest.raises(ToolguardError, match="too often"):
                await pair[1].run(look, "Pune")

    async def test_d1_a_retried_mutation_gets_a_run_of_its_own_beside_other_processes(self):
        tries = []

        @toolguard.mutation(identity="who", retry=Retry(attempts=3, first_wait=1))
        async def shaky(who: str) -> str:
            tries.append((who, toolguard.current_call().key))
            await asyncio.sleep(0.5)
            if len([one for one in tries if one[0] == who]) < 3:
                raise Refused("not now")
            return f"done for {who}"

        async with workers(shaky) as (one, two):
            first, second = await asyncio.gather(one.run(shaky, "ana"), two.run(shaky, "ben"))
            assert (first, second) == ("done for ana", "done for ben")
            assert len({key for _, key in tries}) == 6
            assert len(folded(one.store, "conv").runs) == 6

    async def test_s_running_a_retry_between_two_attempts_is_joined_not_repeated(self):
        tries = []

        @toolguard.mutation(identity="who", retry=Retry(attempts=2, first_wait=5, max_wait=5))
        async def shaky(who: str) -> str:
            tries.append(who)
            if len(tries) < 2:
                raise Refused("not now")
            return "done"

        async with workers(shaky) as (one, two):
            first = asyncio.ensure_future(one.run(shaky, "ana"))
            await until(lambda: tries)
            await asyncio.sleep(1)
            assert await two.run(shaky, "ana") == "done"
            assert await first == "done"
            assert len(tries) == 2

    async def test_w8_a_tool_inside_a_tool_is_a_call_of_the_conversation_too(self, ready):
        @toolguard.mutation(identity="who")
        async def both(who: str) -> str:
            return await ready.charge(who) + "!"

        async with workers(both, *ready.tools) as pair:
            answers = await asyncio.gather(pair[0].run(both, "ana"), pair[1].run(both, "ben"))
            assert sorted(answers) == ["charged ana!", "charged ben!"]
            assert sorted(record.call for record in records(pair[0], r.Called)) == [1, 2, 3, 4]


class TestTheSameCall:
    async def test_i04_a_call_id_that_another_process_has_answered_gets_the_stored_answer(self, ready):
        async with workers(*ready.tools) as (one, two):
            assert await one.answer("c1", ready.charge, who="ana") == "charged ana"
            door = await two.asked("c1", ready.charge, who="ana")
            assert door.output("c1") == "charged ana"
            assert len(records(one, r.Called)) == 1
            assert len(ready.effects) == 1

    async def test_i04_the_same_answer_has_the_same_item_id(self, ready):
        async with workers(*ready.tools) as (one, two):
            doors = [await worker.asked("c1", ready.charge, who="ana") for worker in (one, two)]
            assert len({door.outputs[0].item for door in doors}) == 1

    async def test_i04_a_call_id_whose_call_still_runs_elsewhere_waits_for_it(self, world):
        async with workers(*world.tools) as (one, two):
            first = asyncio.ensure_future(one.answer("c1", world.charge, who="ana"))
            await until(lambda: world.bodies)
            second = asyncio.ensure_future(two.answer("c1", world.charge, who="ana"))
            await asyncio.sleep(1)
            assert not second.done()
            world.go.set()
            assert await first == await second == "charged ana"
            assert len(records(one, r.Called)) == len(world.effects) == 1

    async def test_i04_two_requests_with_one_call_id_in_one_process_are_both_answered(self, world):
        async with workers(*world.tools) as (one, _):
            both = [asyncio.ensure_future(one.answer("c1", world.charge, who="ana")) for _ in range(2)]
            await until(lambda: world.bodies)
            world.go.set()
            assert await asyncio.gather(*both) == ["charged ana"] * 2
            assert len(records(one, r.Called)) == 1

    @pytest.mark.parametrize("tool", ["charge", "look"])
    async def test_i04_two_processes_that_get_the_same_call_at_once_take_it_once(self, ready, tool):
        arguments = {"who": "ana"} if tool == "charge" else {"city": "Pune"}
        async with workers(*ready.tools, many=3) as three:
            answers = await asyncio.gather(*(worker.answer("c1", tool, **arguments) for worker in three))
            assert len(set(answers)) == 1
            assert len(records(three[0], r.Called)) == 1
            assert ready.bodies == 1

    async def test_i04_a_retry_after_a_restart_gets_the_stored_answer(self, ready):
        store = MemoryStore()
        async with workers(*ready.tools, many=1, store=store) as (one,):
            assert await one.answer("c1", ready.charge, who="ana") == "charged ana"
        async with workers(*ready.tools, many=1, store=store) as (again,):
            assert await again.answer("c1", ready.charge, who="ana") == "charged ana"
        assert len(ready.effects) == 1

    async def test_s5_the_same_call_id_with_other_arguments_is_a_conflict(self, ready):
        async with workers(*ready.tools) as (one, two):
            await one.answer("c1", ready.charge, who="ana")
            assert '"toolguard":"conflict"' in await two.answer("c1", ready.charge, who="ben")
            assert len(ready.effects) == 1

    async def test_a_call_that_cannot_be_run_is_answered(self, ready):
        async with workers(*ready.tools) as (one, two):
            assert '"toolguard":"unknown_tool"' in await one.answer("c1", "nonsense")
            assert '"toolguard":"invalid"' in await two.answer("c2", ready.charge, who=["x"])
            assert [record.call for record in records(one, r.Called)] == [1, 2]

    async def test_the_number_of_a_call_is_known_when_it_has_landed(self, ready):
        async with workers(*ready.tools) as (one, two):
            await two.run(ready.look, "Pune")
            async with one.visit(port=RecordingPort(WEB)) as conversation:
                ticket = conversation.receive("c1", "charge", {"who": "ana"})
                assert ticket < 0
                assert await conversation.number(ticket) == 2


class TestJoining:
    async def test_s_running_a_call_of_an_intent_that_runs_elsewhere_joins_it(self, world):
        async with workers(*world.tools) as (one, two):
            first = asyncio.ensure_future(one.run(world.charge, "ana"))
            await until(lambda: world.bodies)
            second = asyncio.ensure_future(two.run(world.charge, "ana"))
            other = asyncio.ensure_future(two.run(world.charge, "ana", 7))
            await asyncio.sleep(1)
            world.go.set()
            assert await first == await second == "charged ana"
            with pytest.raises(AlreadyDone, match="conv/1"):
                await other
            assert len(world.effects) == 1
            assert records(one, r.Called)[1].verdict == "join"

    async def test_s1_a_read_that_runs_elsewhere_is_joined(self, world):
        async with workers(*world.tools) as (one, two):
            both = [asyncio.ensure_future(worker.run(world.look, "Pune")) for worker in (one, two)]
            await asyncio.sleep(1)
            world.go.set()
            assert await asyncio.gather(*both) == ["sunny in Pune"] * 2
            assert world.bodies == 1

    async def test_o3_a_call_that_waits_too_long_gets_a_placeholder_and_the_next_request_the_note(self, world):
        async with workers(*world.tools) as (one, two):
            first = asyncio.ensure_future(one.asked("c1", world.charge, who="ana"))
            await until(lambda: world.bodies)
            joined = await two.asked("c2", world.charge, who="ana")
            assert '"toolguard":"still_running"' in joined.output("c2")
            assert '"toolguard":"still_running"' in (await first).output("c1")
            world.go.set()
            await asyncio.sleep(1)
            quiet = await two.run(world.look, "Pune")
            assert quiet == "sunny in Pune"
            doors = [await worker.asked(f"n{place}", world.look, city="Goa") for place, worker in enumerate([two, one])]
            (note,) = [note for door in doors for note in door.notes]
            assert note in doors[0].notes
            assert '"charged ana"' in note.text
            assert "conv/1" in note.text
            assert "conv/2" in note.text
            assert doors[0].placed[0] is note
            assert len(records(one, r.Noted)) == 1

    async def test_o3_of_two_requests_at_once_one_tells_the_news(self, world):
        async with workers(*world.tools) as (one, two):
            await one.asked("c1", world.charge, who="ana")
            world.go.set()
            await asyncio.sleep(1)
            doors = await asyncio.gather(*(worker.asked("n1", world.look, city="Goa") for worker in (one, two)))
            assert len([note for door in doors for note in door.notes]) == 1

    async def test_s8_a_wider_scope_is_joined_across_conversations(self, world):
        async with workers(*world.tools) as (one, two):
            first = asyncio.ensure_future(one.run(world.order, "ana", name="conv-1"))
            await until(lambda: world.bodies)
            second = asyncio.ensure_future(two.run(world.order, "ana", name="conv-2"))
            await asyncio.sleep(1)
            world.go.set()
            assert await first == await second == "booked ana"
            assert len(world.effects) == 1

    async def test_t3_one_look_at_the_store_serves_all_who_wait(self, world):
        looks = []

        class Counting(MemoryStore):
            def alive(self, process):
                looks.append(process)
                return super().alive(process)

            def twin(self):
                other = Counting()
                other._shelf = self._shelf
                return other

        async with workers(*world.tools, store=Counting()) as (one, two):
            first = asyncio.ensure_future(one.run(world.order, "ana", name="one"))
            await until(lambda: world.bodies)
            rest = [asyncio.ensure_future(two.run(world.order, "ana", name=f"c{n}")) for n in range(50)]
            await asyncio.sleep(2)
            looks.clear()
            await asyncio.sleep(60)
            assert 0 < len(looks) < 300
            world.go.set()
            assert set(await asyncio.gather(first, *rest)) == {"booked ana"}


class TestOwners:
    async def test_t2_a_session_that_a_living_connection_owns_is_not_visited(self, ready):
        async with workers(*ready.tools) as (one, two):
            async with one.guard.session("conv", tenant="clinic", caller="ana"):
                for worker in (one, two):
                    with pytest.raises(StillOwned, match="living connection"):
                        await worker.run(ready.charge, "ana")
            assert await two.run(ready.charge, "ana") == "charged ana"
            assert records(two, r.Opened)[-1].recovered

    async def test_t1_who_takes_a_visited_session_over_fences_its_visitors(self, world):
        async with workers(*world.tools) as (one, two):
            call = asyncio.ensure_future(one.run(world.book, "ana"))
            await until(lambda: world.bodies)
            async with two.guard.session("conv", tenant="clinic", caller="ana") as owner:
                await until(lambda: world.bodies == 2)
                world.go.set()
                with pytest.raises(ToolguardError):
                    await call
                await until(lambda: owner.state.runs[1 << 8].phase is Phase.DONE)
            assert len(world.effects) == 1
            assert await one.run(world.book, "ana") == "booked ana"

    async def test_t1_a_request_that_waits_while_another_process_takes_over_is_not_left_alone(self, world):
        async with workers(*world.tools) as (one, two):
            door = RecordingPort(WEB)
            async with one.visit(port=door) as conversation:
                conversation.receive("c1", "charge", {"who": "ana"})
                await until(lambda: world.bodies)
                async with two.guard.session("conv", tenant="clinic", caller="ana"):
                    await until(lambda: door.outputs)
            assert '"toolguard":"not_known_yet"' in door.output("c1")
            world.go.set()

    async def test_t1_a_dead_owner_is_fenced_by_the_first_visit(self, world):
        async with workers(*world.tools) as (one, two):
            owned = await one.guard.enter("conv", agent="agent", tenant="clinic", caller="ana")
            await until(lambda: owned.state.agent)
            one.store.expire()
            world.go.set()
            assert await two.run(world.charge, "ben") == "charged ben"
            with pytest.raises(ToolguardError):
                await owned.run(world.charge, "ana")
            with suppress(ToolguardError):
                await owned.run(world.look, "Pune")
            assert world.effects.done == ["ben"]
            assert [record.tool for record in records(two, r.Called)] == ["charge"]

    async def test_t2_what_a_dead_owner_left_is_gone_on_with(self, world):
        async with workers(*world.tools) as (one, two):
            owned = await one.guard.enter("conv", agent="agent", tenant="clinic", caller="ana")
            owned.receive("c1", "book", {"who": "ana"})
            await until(lambda: world.bodies)
            one.die()
            world.go.set()
            assert await two.run(world.book, "ana") == "booked ana"
            assert len(world.effects) == 1
            assert folded(two.store, "conv").runs[1].attempt == 2

    async def test_another_tenant_or_caller_is_told_so(self, ready):
        async with workers(*ready.tools) as (one, two):
            await one.run(ready.charge, "ana")
            with pytest.raises(StoreError, match="another tenant"):
                await two.run(ready.charge, "ana", tenant="other")
            with pytest.raises(StoreError, match="another caller"):
                await two.run(ready.charge, "ana", caller="ben")
            with pytest.raises(DeclarationError, match="observe"):
                await Worker(one.store, *ready.tools, mode="observe").run(ready.charge, "ana")

    @pytest.mark.parametrize(
        "report",
        [
            lambda c: c.caller_started("o1"),
            lambda c: c.caller_stopped("o1"),
            lambda c: c.caller_said("no", onset="o1"),
            lambda c: c.caller_retracted("o1"),
            lambda c: c.agent_spoke("g", "hello"),
            lambda c: c.playing("g"),
            lambda c: c.dropped("caller"),
            lambda c: c.back(),
            lambda c: c.generation_began("g"),
            lambda c: c.generation_ended("g"),
            lambda c: c.discarded("g"),
            lambda c: c.interrupted("g"),
            lambda c: c.incomplete("c1", "charge"),
            lambda c: c.wants_reply(),
        ],
    )
    async def test_t2_what_needs_a_connection_says_so(self, ready, report):
        async with workers(*ready.tools, many=1) as (one,), one.visit() as conversation:
            with pytest.raises(NotOwned, match=r"needs a process that owns the session.*guard\.session"):
                report(conversation)

    async def test_h1_a_visited_session_is_not_handed_off(self, ready):
        async with workers(*ready.tools, many=1) as (one,), one.visit() as conversation:
            with pytest.raises(NotOwned, match="billing"):
                await conversation.hand_off(to="billing")


class TestTheLease:
    async def test_t4_a_process_that_was_found_dead_decides_nothing_any_more(self, world):
        async with workers(*world.tools) as (one, two):
            call = asyncio.ensure_future(one.run(world.book, "ana"))
            await until(lambda: world.bodies)
            one.store.expire()
            second = asyncio.ensure_future(two.run(world.book, "ana"))
            await until(lambda: world.bodies == 2)
            world.go.set()
            assert await second == "booked ana"
            with pytest.raises(ToolguardError):
                await call
            with pytest.raises(StoreError):
                await one.run(world.charge, "cleo")
            assert world.effects.done == ["ana"]
            assert len(records(two, r.CommitBegan)) == 1

    async def test_t1_its_evidence_is_never_refused(self, world):
        async with workers(*world.tools) as (one, two):
            call = asyncio.ensure_future(one.run(world.charge, "ana"))
            await until(lambda: world.bodies)
            one.store.expire()
            with pytest.raises(InDoubt):
                await two.run(world.charge, "ana")
            world.go.set()
            await asyncio.gather(call, return_exceptions=True)
            assert await two.run(world.charge, "ana") == "charged ana"
            assert len(world.effects) == 1

    async def test_t4_a_commit_needs_a_lease_in_an_owned_session_too(self, world):
        async with (
            workers(*world.tools, many=1) as (one,),
            one.guard.session("conv", tenant="clinic", caller="ana") as conversation,
        ):
            call = asyncio.ensure_future(conversation.run(world.book, "ana"))
            await until(lambda: world.bodies)
            one.store.expire()
            world.go.set()
            with pytest.raises(ToolFailed, match="lease_lost"):
                await call
            assert not world.effects.done


class TestDeadHolders:
    async def test_t3_what_had_not_committed_is_done_by_the_loser_as_the_same_occurrence(self, world):
        async with workers(*world.tools) as (one, two):
            one.begin(one.run(world.book, "ana"))
            await until(lambda: world.bodies)
            second = asyncio.ensure_future(two.run(world.book, "ana"))
            await asyncio.sleep(1)
            one.die()
            world.go.set()
            assert await second == "booked ana"
            assert len(world.effects) == 1
            (run,) = folded(two.store, "conv").runs.values()
            assert (run.occurrence, run.attempt, run.process) == (1, 2, two.process)
            (lost,) = records(two, r.Lost)
            assert (lost.attempt, lost.taken_by) == (1, two.process)
            assert run.progress == {"seen": 2}

    async def test_t3_of_two_losers_one_goes_on_with_it_and_the_other_joins(self, world):
        async with workers(*world.tools, many=3) as (one, two, three):
            one.begin(one.run(world.book, "ana"))
            await until(lambda: world.bodies)
            rest = [asyncio.ensure_future(worker.run(world.book, "ana")) for worker in (two, three)]
            await asyncio.sleep(1)
            one.die()
            await asyncio.sleep(5)
            world.go.set()
            assert await asyncio.gather(*rest) == ["booked ana"] * 2
            assert len(world.effects) == len(records(two, r.CommitBegan)) == 1
            assert world.bodies == 2

    @pytest.mark.parametrize("waiting", [True, False])
    async def test_d3_what_was_committing_without_a_probe_is_in_doubt(self, world, waiting):
        async with workers(*world.tools) as (one, two):
            one.begin(one.answer("c1", world.charge, who="ana"))
            await until(lambda: world.bodies)
            second = asyncio.ensure_future(two.answer("c1", world.charge, who="ana")) if waiting else None
            await asyncio.sleep(1)
            one.die()
            if second is not None:
                assert '"toolguard":"in_doubt"' in await second
            assert '"toolguard":"in_doubt"' in await two.answer("c1", world.charge, who="ana")
            with pytest.raises(InDoubt):
                await two.run(world.charge, "ana")
            with pytest.raises(InDoubt):
                await two.run(world.charge, "ana", 7)
            assert world.bodies == 1
            assert not world.effects.done
            assert len(records(two, r.Lost)) == 1

    @pytest.mark.parametrize("call_id", ["c1", "c2"])
    async def test_d1_with_a_probe_the_retry_and_a_new_call_get_the_outcome(self, world, call_id):
        async with workers(*world.tools) as (one, two):
            one.begin(one.answer("c1", world.wire, who="ana"))
            await until(lambda: world.bodies)
            one.die()
            world.finding = Happened("wired after all", evidence="the bank")
            assert "wired after all" in await two.answer(call_id, world.wire, who="ana")
            (returned,) = records(two, r.Returned)
            assert (returned.source, returned.evidence) == ("probe", "the bank")
            assert world.bodies == 1

    async def test_d1_did_not_happen_counts_after_the_quarantine_and_the_key_is_inherited(self, world):
        async with workers(*world.tools) as (one, two):
            one.begin(one.run(world.wire, "ana"))
            await until(lambda: world.bodies)
            one.die()
            world.finding = DidNotHappen(evidence="the bank")
            with pytest.raises(InDoubt):
                await two.run(world.wire, "ana")
            await asyncio.sleep(100)
            world.go.set()
            assert await two.run(world.wire, "ana") == "wired ana"
            assert len(set(world.keys)) == 1
            assert len(world.keys) == 2

    async def test_d1_a_doubt_whose_looker_died_too_is_looked_into_by_the_next(self, world):
        async with workers(*world.tools, many=3) as (one, two, three):
            one.begin(one.run(world.wire, "ana"))
            await until(lambda: world.bodies)
            one.die()
            world.finding = toolguard.StillUnknown(ask_again_after=1000)
            with pytest.raises(InDoubt):
                await two.run(world.wire, "ana")
            two.die()
            world.finding = Happened("wired", evidence="the bank")
            assert await three.run(world.wire, "ana") == "wired"
            assert world.bodies == 1

    async def test_d2_an_idempotent_write_is_run_again_with_the_same_key(self):
        keys, go = [], asyncio.Event()

        @toolguard.idempotent_write(identity="who")
        async def note(who: str) -> str:
            keys.append(toolguard.current_call().key)
            await go.wait()
            return "noted"

        async with workers(note) as (one, two):
            one.begin(one.run(note, "ana"))
            await until(lambda: keys)
            one.die()
            go.set()
            assert await two.run(note, "ana") == "noted"
            assert len(keys) == 2
            assert len(set(keys)) == 1

    async def test_h4_a_read_of_a_dead_process_runs_again_for_whoever_waits(self, world):
        async with workers(*world.tools) as (one, two):
            one.begin(one.answer("c1", world.look, city="Pune"))
            await until(lambda: world.bodies)
            second = asyncio.ensure_future(two.answer("c1", world.look, city="Pune"))
            await asyncio.sleep(1)
            one.die()
            world.go.set()
            assert await second == "sunny in Pune"
            assert world.bodies == 2

    async def test_t3_a_claim_that_says_done_settles_a_run_whose_process_died_between_the_two(self, world):
        async with workers(*world.tools, store=Dying()) as (one, two):
            call = asyncio.ensure_future(one.run(world.charge, "ana"))
            await until(lambda: world.bodies)
            one.store.dying = True
            world.go.set()
            await call
            one.die()
            assert await two.run(world.charge, "ana") == "charged ana"
            assert len(world.effects) == 1
            (returned,) = records(two, r.Returned)
            assert returned.evidence == "kept with its claim"
            assert not records(two, r.Lost)

    async def test_t3_the_same_for_a_session_that_is_recovered(self, world):
        async with workers(*world.tools, store=Dying()) as (one, two):
            owned = await one.guard.enter("conv", agent="agent", tenant="clinic", caller="ana")
            call = asyncio.ensure_future(owned.run(world.charge, "ana"))
            await until(lambda: world.bodies)
            one.store.dying = True
            world.go.set()
            await call
            one.die()
            async with two.guard.session("conv", tenant="clinic", caller="ana") as session:
                await until(lambda: session.state.runs[1].phase is Phase.DONE)
                assert await session.run(world.charge, "ana") == "charged ana"
            assert len(world.effects) == 1

    @pytest.mark.parametrize("here", [True, False])
    async def test_d3_a_person_settles_what_is_in_doubt_for_every_process(self, world, here):
        async with workers(*world.tools) as (one, two):
            one.begin(one.run(world.charge, "ana"))
            await until(lambda: world.bodies)
            one.die()
            with pytest.raises(InDoubt):
                await two.run(world.charge, "ana")
            third = Worker(two.store, *world.tools)
            world.go.set()
            await third.run(world.look, "Pune")
            await (two if here else third).guard.resolve("conv/1", Happened("ch_7", evidence="dashboard"), by="boss")
            for worker in (two, third):
                assert await worker.run(world.charge, "ana") == "ch_7"
                assert [slot.tool for slot in worker.session().state.slots.values()].count("look") == 1
            await third.guard.close()
            assert world.bodies == 2

    async def test_a_process_without_the_tool_does_not_go_on_with_it(self, world):
        store = MemoryStore()
        one, two = Worker(store, *world.tools), Worker(store, world.look)
        one.begin(one.answer("c1", world.book, who="ana"))
        await until(lambda: world.bodies)
        one.die()
        assert '"toolguard":"unknown_tool"' in await two.answer("c2", "book", who="ana")
        await two.guard.close()


class TestDeadHoldersElsewhere:
    """The holder of a wider scope's claim is in another conversation, owned or visited."""

    async def started(self, world, one, two, tool, *, owned):
        if owned:
            session = await one.guard.enter("one", agent="agent", tenant="clinic", caller="ana")
            session.receive("c1", tool.name, {"who": "ana"})
        else:
            one.begin(one.run(tool, "ana", name="one"))
        await until(lambda: world.bodies)
        second = asyncio.ensure_future(two.run(tool, "ana", name="two"))
        await asyncio.sleep(1)
        return second

    @pytest.mark.parametrize("owned", [True, False])
    async def test_t3_what_had_not_committed_is_free_and_done_once(self, world, owned):
        async with workers(*world.tools) as (one, two):
            second = await self.started(world, one, two, world.order, owned=owned)
            one.die()
            world.go.set()
            assert await second == "booked ana"
            assert len(world.effects) == 1
            assert records(two, r.CommitBegan, "one") == []
            first = folded(two.store, "one")
            assert [run.phase for run in first.runs.values()] == [Phase.CANCELLED]
            (run,) = folded(two.store, "two").runs.values()
            assert (run.phase, run.occurrence) == (Phase.DONE, 1)
            async with two.guard.session("one", tenant="clinic", caller="ana") as recovered:
                await asyncio.sleep(5)
                assert [run.phase for run in recovered.state.runs.values()] == [Phase.CANCELLED]
            assert len(world.effects) == 1

    async def test_t3_of_several_conversations_that_wait_one_does_it(self, world):
        async with workers(*world.tools, many=3) as (one, two, three):
            second = await self.started(world, one, two, world.order, owned=True)
            third = asyncio.ensure_future(three.run(world.order, "ana", name="three"))
            await asyncio.sleep(1)
            one.die()
            world.go.set()
            answers = await asyncio.gather(second, third, return_exceptions=True)
            assert "booked ana" in answers
            assert all(one == "booked ana" or isinstance(one, AlreadyDone) for one in answers), answers
            assert len(world.effects) == 1

    @pytest.mark.parametrize("owned", [True, False])
    async def test_d1_what_was_committing_is_looked_into(self, world, owned):
        async with workers(*world.tools) as (one, two):
            world.finding = Happened("paid", evidence="the bank")
            second = await self.started(world, one, two, world.pay, owned=owned)
            one.die()
            assert await second == "paid"
            first = folded(two.store, "one")
            (run,) = first.runs.values()
            assert (run.phase, run.source) == (Phase.DONE, "probe")
            assert len(records(two, r.Lost, "one")) == 1
            with pytest.raises(AlreadyDone, match="one/1"):
                await two.run(world.pay, "ana", name="two", agent="agent")
            assert world.bodies == 1

    async def test_o3_who_got_a_placeholder_for_it_gets_the_outcome_as_a_note(self, world):
        async with workers(*world.tools) as (one, two):
            one.begin(one.run(world.order, "ana", name="one"))
            await until(lambda: world.bodies)
            waits = await two.asked("c1", world.order, name="two", who="ana")
            assert '"toolguard":"still_running"' in waits.output("c1")
            one.die()
            world.go.set()
            await until(lambda: world.effects.done)
            await asyncio.sleep(1)
            door = await two.asked("c2", world.look, name="two", city="Pune")
            assert ["booked ana" in note.text for note in door.notes] == [True]

    async def test_d1_what_nobody_knows_yet_is_in_doubt_and_settled_later(self, world):
        async with workers(*world.tools) as (one, two):
            world.finding = toolguard.StillUnknown(ask_again_after=5)
            second = await self.started(world, one, two, world.pay, owned=True)
            one.die()
            with pytest.raises(InDoubt):
                await second
            assert folded(two.store, "one").runs[1].phase is Phase.IN_DOUBT
            world.finding = Happened("paid", evidence="the bank")
            await asyncio.sleep(20)
            assert folded(two.store, "one").runs[1].phase is Phase.DONE
            assert world.bodies == 1

    async def test_t3_a_session_that_a_living_owner_went_on_with_is_left_to_it(self, world):
        async with workers(*world.tools, many=3) as (one, two, three):
            second = await self.started(world, one, two, world.order, owned=True)
            one.die()
            async with three.guard.session("one", tenant="clinic", caller="ana") as owner:
                await until(lambda: world.bodies == 2)
                world.go.set()
                assert await second == "booked ana"
                assert owner.state.runs[1].phase is Phase.DONE
            assert len(world.effects) == 1


class TestLeaving:
    async def test_t2_leaving_a_visit_ends_nothing(self, world):
        async with workers(*world.tools) as (one, two):
            async with one.visit(port=RecordingPort(WEB)) as conversation:
                await conversation.number(conversation.receive("c1", "charge", {"who": "ana"}))
            await until(lambda: world.bodies)
            assert one.store.session("conv").state == "open"
            world.go.set()
            assert await two.run(world.charge, "ana") == "charged ana"
            assert records(one, r.Closed) == []

    async def test_g7_a_guard_that_closes_lets_commits_finish_and_leaves_the_conversation_open(self, world):
        async with workers(*world.tools) as (one, two):
            one.begin(one.run(world.charge, "ana"))
            await until(lambda: world.bodies)
            asyncio.get_running_loop().call_later(3, world.go.set)
            await one.guard.close()
            assert world.effects.done == ["ana"]
            assert await two.run(world.charge, "ana") == "charged ana"
            assert records(two, r.Closed) == []

    async def test_h4_what_had_not_committed_when_a_guard_closed_is_gone_on_with_elsewhere(self, world):
        async with workers(*world.tools) as (one, two):
            one.begin(one.run(world.book, "ana"))
            await until(lambda: world.bodies)
            second = asyncio.ensure_future(two.run(world.book, "ana"))
            await asyncio.sleep(1)
            asyncio.get_running_loop().call_later(3, world.go.set)
            await one.guard.close()
            assert await second == "booked ana"
            assert len(world.effects) == 1
            assert [record.attempt for record in records(two, r.CommitBegan)] == [2]

    async def test_ending_ends_it_for_everybody_and_a_later_visit_goes_on(self, ready):
        async with workers(*ready.tools) as (one, two):
            await one.run(ready.charge, "ana")
            await two.guard.end("conv", tenant="clinic")
            assert one.store.session("conv").state == "closed"
            assert records(one, r.Closed)[0].why == "hang_up"
            assert await one.run(ready.charge, "ana") == "charged ana"
            assert await one.run(ready.charge, "ben") == "charged ben"
            assert [record.call for record in records(one, r.Called)] == [1, 2, 3]

    async def test_the_end_stops_uncommitted_writes_here_and_elsewhere(self, world):
        async with workers(*world.tools) as (one, two):
            here = asyncio.ensure_future(two.run(world.book, "ana"))
            there = asyncio.ensure_future(one.run(world.book, "ben"))
            await until(lambda: world.bodies == 2)
            await two.guard.end("conv", tenant="clinic")
            with pytest.raises(StoppedBeforeEffect):
                await here
            await asyncio.sleep(2)
            world.go.set()
            with pytest.raises(StoppedBeforeEffect):
                await there
            assert not world.effects.done

    async def test_a_conversation_that_nobody_had_cannot_be_ended(self, ready):
        async with workers(*ready.tools, many=1) as (one,):
            with pytest.raises(UnknownRef):
                await one.guard.end("nonsense", tenant="clinic")

    async def test_a_call_after_the_end_says_so(self, ready):
        async with workers(*ready.tools, many=1) as (one,), one.visit() as conversation:
            await one.guard.end("conv", tenant="clinic")
            with pytest.raises(SessionClosed):
                await conversation.run(ready.charge, "ana")

    async def test_visits_that_nothing_is_at_are_forgotten_and_read_again(self, ready, monkeypatch):
        monkeypatch.setattr("toolguard.engine.visits.KEPT", 3)
        async with workers(*ready.tools, many=1) as (one,):
            for n in range(8):
                await one.run(ready.charge, "ana", name=f"c{n}")
            assert len(one.guard.sessions) <= 4
            assert await one.run(ready.charge, "ana", name="c0") == "charged ana"
            assert len(ready.effects) == 8


class TestTheStore:
    async def test_a_store_that_is_gone_answers_unavailable_and_runs_nothing(self, ready):
        class Gone(MemoryStore):
            gone = False

            def twin(self):
                other = Gone()
                other._shelf = self._shelf
                return other

            def commit(self, batch):
                if self.gone:
                    raise StoreUnavailable("gone")
                return super().commit(batch)

        async with workers(*ready.tools, many=1, store=Gone()) as (one,):
            await one.run(ready.charge, "ana")
            async with one.visit(port=(door := RecordingPort(WEB))) as conversation:
                one.store.gone = True
                ticket = conversation.receive("c1", "charge", {"who": "ben"})
                await until(lambda: door.outputs)
                assert '"toolguard":"unavailable"' in door.output("c1")
                with pytest.raises(StoreError):
                    await conversation.number(ticket)
                with pytest.raises(StoreError):
                    await conversation.run(ready.charge, "cleo")
            one.store.gone = False
            assert await one.run(ready.charge, "ben") == "charged ben"
            assert ready.effects.done == ["ana", "ben"]
            numbers = [record.call for record in records(one, r.Called)]
            assert all(later > earlier for earlier, later in pairwise(numbers))

    async def test_needs_an_approval_waits_at_its_gate(self, ready):
        @toolguard.mutation(identity="who", needs=Approval(ask="Charge {who}?", within=60))
        async def big(who: str) -> str:
            ready.effects(who)
            return "big"

        async with workers(big) as (one, two):
            call = asyncio.ensure_future(one.run(big, "ana"))
            await asyncio.sleep(5)
            assert not ready.effects.done
            joined = asyncio.ensure_future(two.run(big, "ana"))
            await asyncio.sleep(1)
            async with one.visit() as conversation:
                conversation.approve("conv/1", by="boss")
            assert await call == await joined == "big"
            assert len(ready.effects) == 1


@pytest.mark.parametrize("seed", range(12))
async def test_whoever_dies_whenever_nothing_is_done_twice_and_all_see_the_same(seed):
    """Random calls, retries and deaths over five processes, judged by the world and by the journal."""
    chance = random.Random(seed)
    effects, committed = [], []

    @toolguard.mutation(identity="who", commits="inside")
    async def book(who: str) -> str:
        await asyncio.sleep(chance.random() * 3)
        async with toolguard.committing() as key:
            committed.append(key)
            await asyncio.sleep(chance.random() * 3)
            effects.append(key)
        return f"booked {who}"

    @book.probe
    async def find(attempt: toolguard.Attempt, who: str) -> toolguard.Finding[str]:
        return Happened(f"booked {who}", evidence="the world") if attempt.key in effects else DidNotHappen()

    @toolguard.read
    async def look(city: str) -> str:
        await asyncio.sleep(chance.random())
        return f"sunny in {city}"

    store = MemoryStore()
    living = [Worker(store, book, look) for _ in range(5)]

    async def client(name):
        for number in range(6):
            await asyncio.sleep(chance.random() * 2)
            worker, tool = chance.choice(living), chance.choice([book, book, look])
            arguments = {"who" if tool is book else "city": str(chance.randrange(3))}
            for _ in range(2):  # a platform posts a request again that broke off
                worker.begin(worker.asked(f"{name}.{number}", tool, **arguments))
                await asyncio.wait(worker.begun[-1:], timeout=chance.random() * 8)
                worker = chance.choice(living)

    async def death():
        for _ in range(3):
            await asyncio.sleep(1 + chance.random() * 5)
            dead = living.pop(chance.randrange(len(living)))
            dead.die()
            for task in dead.begun:
                task.cancel()

    await asyncio.gather(death(), *(client(name) for name in "abc"))
    for who in range(3):
        with suppress(ToolguardError):
            await living[0].run(book, str(who))
    await asyncio.sleep(300)
    for worker in living:
        async with worker.visit() as conversation:
            assert conversation.state.runs == folded(living[0].store, "conv").runs
    assert len(set(committed)) == len(committed)
    assert len(set(effects)) == len(effects)
    state = folded(living[0].store, "conv")
    assert sorted(state.slots) == list(range(1, len(state.slots) + 1))
    assert len(state.by_call_id) == len({record.call_id for record in records(living[0], r.Called)} - {""})
    done = [run for run in state.runs.values() if run.tool == "book" and run.phase is Phase.DONE]
    assert {run.key for run in done} <= set(effects)
    assert not [run for run in state.runs.values() if run.phase is Phase.COMMITTING]
    for worker in living:
        for task in worker.begun:
            task.cancel()
        await worker.guard.close()
