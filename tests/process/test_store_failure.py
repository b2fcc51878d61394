"""The store fails under a live conversation: what goes on, what is refused in words, and what is there afterwards (W2-W5)."""

import asyncio
import threading

import pytest
from process_reading import Journal

import toolguard
from toolguard import Guard, Refused, ToolguardError
from toolguard.core import records as r
from toolguard.core.law import Phase
from toolguard.engine.limits import Limits
from toolguard.engine.port import Parcel, Traits
from toolguard.errors import StoreError, StoreFull, StoreUnavailable, ToolFailed
from toolguard.stores.disk import DiskStore

LIMITS = Limits(commit=0.3, record=0.1)
FULL = StoreFull("the disk is full")
GONE = StoreUnavailable("the disk is gone")


class Flaky:
    """A disk store that fails while ``error`` is set, or does not answer while ``stuck`` is."""

    def __init__(self, home) -> None:
        self._store = DiskStore(home / "journal")
        self.error = None
        self.landed_all_the_same = False
        self.failures = 0
        self.free = threading.Event()
        self.free.set()

    def __getattr__(self, name):
        inner = getattr(self._store, name)
        if name in {"threaded", "name", "open", "close", "idle"}:
            return inner

        def work(*args, **kwargs):
            self.free.wait(10.0)
            if self.error is not None and self.landed_all_the_same:
                inner(*args, **kwargs)
            if self.error is not None:
                self.failures += 1
                raise self.error if name == "commit" or isinstance(self.error, StoreError) else GONE
            return inner(*args, **kwargs)

        return work


class Line:
    """A framework's door that keeps what it was given."""

    traits = Traits(confirms=False)

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []

    def place(self, parcel):
        self.parcels.append(parcel)

    def ask_reply(self):
        pass

    def say(self, text):
        pass

    def in_flight(self, calls):
        pass


class House:
    """A guard over a flaky store, with tools that count what they do."""

    def __init__(self, home) -> None:
        self.home = home
        self.store = Flaky(home)
        self.did: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

        @toolguard.read
        async def look(who: str) -> str:
            return f"seen {who}"

        @toolguard.mutation(identity="who")
        async def charge(who: str) -> str:
            self.did.append(who)
            await self.gate.wait()
            return f"charged {who}"

        @toolguard.mutation(identity="who", commits="inside")
        async def book(who: str) -> str:
            await toolguard.checkpoint(who=who)
            async with toolguard.committing():
                self.did.append(who)
            return f"booked {who}"

        @toolguard.mutation(identity="who", scope="tenant")
        async def pay(who: str) -> str:
            self.did.append(who)
            await self.gate.wait()
            return f"paid {who}"

        self.look, self.charge, self.book, self.pay = look, charge, book, pay
        self.guard = Guard(self.store, tools=[look, charge, book, pay], limits=LIMITS)
        self.line = Line()

    async def told(self, call_id):
        """The output that the model reads."""
        async with asyncio.timeout(5):
            while True:
                for parcel in self.line.parcels:
                    if parcel.call_id == call_id:
                        return parcel
                await asyncio.sleep(0.005)

    def journal(self):
        with Journal(self.home) as journal:
            assert journal.verify("conv").ok
            return journal.records("conv"), journal.state("conv")


@pytest.fixture
async def house(tmp_path):
    made = House(tmp_path)
    async with made.guard:
        yield made
        made.store.error = None
        made.store.free.set()


@pytest.fixture
async def conversation(house):
    async with house.guard.session("conv", tenant="clinic", caller="ana", port=house.line) as session:
        yield session


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("error", [FULL, GONE, OSError(5, "Input/output error")], ids=["full", "gone", "io"])
class TestFailing:
    async def test_reads_go_on(self, house, conversation, error):
        house.store.error = error
        assert await conversation.run(house.look, "ana") == "seen ana"

    @pytest.mark.parametrize("tool", ["charge", "book", "pay"])
    async def test_w2_mutations_are_refused_before_their_effect(self, house, conversation, error, tool):
        house.store.error = error
        with pytest.raises((Refused, ToolFailed)):
            await conversation.run(getattr(house, tool), "ana")
        assert house.did == []

    @pytest.mark.parametrize("tool", ["charge", "book", "pay"])
    async def test_w2_the_model_is_told_so_in_words(self, house, conversation, error, tool):
        house.store.error = error
        conversation.receive("c1", tool, {"who": "ana"})
        parcel = await house.told("c1")
        assert parcel.form == "unavailable"
        assert "offer to try again" in parcel.text
        assert house.did == []

    @pytest.mark.parametrize("tool", ["charge", "book", "pay"])
    async def test_w2_the_same_wish_is_done_once_the_store_is_back(self, house, conversation, error, tool):
        house.store.error = error
        with pytest.raises(ToolguardError):
            await conversation.run(getattr(house, tool), "ana")
        house.store.error = None
        assert (await conversation.run(getattr(house, tool), "ana")).endswith("ana")
        assert house.did == ["ana"]

    async def test_w4_a_known_outcome_is_told_and_recorded_later(self, house, conversation, error):
        house.gate.clear()
        call = asyncio.ensure_future(conversation.run(house.charge, "ana"))
        await until(lambda: house.did)
        house.store.error = error
        house.gate.set()
        assert await call == "charged ana"
        (live,) = [run for run in conversation.state.runs.values() if run.tool == "charge"]
        assert live.phase is Phase.DONE
        with pytest.raises(ToolguardError):
            await conversation.run(house.charge, "ben")
        conversation.receive("c2", "charge", {"who": "cleo"})
        parcel = await house.told("c2")
        assert parcel.form == "unavailable"
        assert house.did == ["ana"]
        house.store.error = None
        await until(lambda: not conversation.wiring.execution.unrecorded)
        found, state = house.journal()
        assert [record for record in found if isinstance(record, r.Returned)]
        assert state.runs[1].phase is Phase.DONE
        assert await conversation.run(house.charge, "ben") == "charged ben"

    async def test_nothing_that_was_said_meanwhile_is_lost(self, house, conversation, error):
        """Records that nobody awaits wait for the store, in order."""
        conversation.caller_said("hello")
        await house.guard.journal.ask(lambda _store: None)
        house.store.error = error
        conversation.caller_said("I would like an appointment")
        conversation.agent_spoke("g1", "Of course.")
        assert await conversation.run(house.look, "ana") == "seen ana"
        await until(lambda: house.store.failures)
        house.store.error = None
        assert await conversation.run(house.charge, "ana") == "charged ana"
        found, state = house.journal()
        words = [record.text for record in found if isinstance(record, (r.Heard, r.Said))]
        assert words == ["hello", "I would like an appointment", "Of course."]
        assert [run.tool for run in state.runs.values()] == ["look", "charge"]
        assert any(isinstance(record, r.Noticed) and record.code == "recording_delayed" for record in found)

    async def test_w1_a_stop_that_was_told_is_recorded_later(self, house, conversation, error):
        """What the caller stopped while the store was away is not resumed after a crash."""
        conversation.caller_started("o1")
        call = asyncio.ensure_future(conversation.run(house.charge, "ana"))
        await until(lambda: conversation.state.runs)
        await house.guard.journal.ask(lambda _store: None)
        house.store.error = error
        conversation.caller_said("no, cancel that", onset="o1")
        with pytest.raises(ToolguardError):
            await call
        await until(lambda: house.store.failures)
        house.store.error = None
        await until(lambda: house.journal()[1].runs[1].phase is Phase.CANCELLED)
        assert house.did == []


class TestUnknown:
    async def test_w2_a_commit_record_of_unknown_fate_means_no_effect(self, house, conversation):
        """If the outcome of the append is unknown the effect is not run, and a ``failed`` record follows."""
        await house.guard.journal.ask(lambda _store: None)  # nothing is waiting before the call's own records
        house.store.error, house.store.landed_all_the_same = GONE, True
        with pytest.raises((Refused, ToolFailed)):
            await conversation.run(house.charge, "ana")
        house.store.error = None
        assert house.did == []
        await until(lambda: house.journal()[1].runs[1].phase is Phase.FAILED)


class TestStuck:
    """The store does not answer at all."""

    @pytest.mark.parametrize("tool", ["charge", "book", "pay"])
    async def test_w2_a_mutation_does_not_wait_for_ever(self, house, conversation, tool):
        house.store.free.clear()
        conversation.receive("c1", tool, {"who": "ana"})
        parcel = await house.told("c1")
        assert parcel.form == "unavailable"
        assert house.did == []
        house.store.free.set()

    async def test_w5_a_checkpoint_waits_half_a_second(self, house, conversation):
        began = asyncio.Event()

        @toolguard.read
        async def slow(who: str) -> str:
            began.set()
            await toolguard.checkpoint(who=who)
            return who

        house.store.free.clear()
        async with asyncio.timeout(2):
            assert await conversation.run(slow, "ana") == "ana"
        house.store.free.set()

    async def test_w4_a_slow_store_does_not_hold_a_known_outcome(self, house, conversation):
        house.gate.clear()
        call = asyncio.ensure_future(conversation.run(house.charge, "ana"))
        await until(lambda: house.did)
        house.store.free.clear()
        house.gate.set()
        async with asyncio.timeout(2):
            assert await call == "charged ana"
        assert conversation.wiring.execution.unrecorded
        house.store.free.set()
        await until(lambda: not conversation.wiring.execution.unrecorded)
        found, _state = house.journal()
        assert len([record for record in found if isinstance(record, r.Returned)]) == 1

    async def test_t3_a_claim_is_settled_when_the_store_is_back(self, house, conversation):
        """Another session is told what was done, also where the claim could not be written at once."""
        house.gate.clear()
        call = asyncio.ensure_future(conversation.run(house.pay, "ana"))
        await until(lambda: house.did)
        house.store.error = GONE
        house.gate.set()
        assert await call == "paid ana"
        house.store.error = None
        await until(lambda: not conversation.wiring.execution.unrecorded)
        async with house.guard.session("other", tenant="clinic", caller="ben") as other, asyncio.timeout(5):
            with pytest.raises(ToolguardError) as caught:
                await other.run(house.pay, "ana")
            assert "conv/1" in str(caught.value)
        assert house.did == ["ana"]
