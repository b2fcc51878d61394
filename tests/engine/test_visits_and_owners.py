"""Where visits, owners and leases meet: no run is forgotten, and no claim says less than is known (T1-T4, H1)."""

import asyncio

import msgspec
import pytest
from engine_house import until
from test_visits import World, records, workers

from toolguard import Happened, Phase, StillUnknown
from toolguard.core import records as r
from toolguard.errors import LeaseLost, StoreUnavailable, ToolguardError
from toolguard.stores.memory import MemoryStore

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def world():
    return World()


class Short(MemoryStore):
    """A store that finds too little left of a lease for a commit, while it says so."""

    short = False

    def twin(self):
        other = Short()
        other._shelf = self._shelf
        return other

    def _append(self, append):
        if self.short and append.lease >= 1:
            raise LeaseLost("too little is left")
        return super()._append(append)


def standing(worker):
    """How the claims stand."""
    rows = [value for _, value in worker.store._shelf.claims.values() if value]
    return [msgspec.json.decode(row)["state"] for row in rows]


def phases(conversation):
    return [run.phase for run in conversation.state.runs.values()]


async def test_t3_the_claim_of_a_recovered_run_says_what_its_probe_found(world):
    async with workers(*world.tools) as (one, two):

        async def owned():
            async with one.guard.session("conv", tenant="clinic", caller="ana") as conversation:
                await conversation.run(world.pay, "ana")

        one.begin(owned())
        await until(lambda: world.bodies == 1)
        world.finding = StillUnknown(ask_again_after=5)
        one.die()
        async with two.guard.recover("conv") as conversation:
            await until(lambda: standing(two) == ["in_doubt"])
            world.finding = Happened("charged ana", evidence="statement")
            await until(lambda: phases(conversation) == [Phase.DONE], 60)
            await until(lambda: standing(two) == ["done"], 60)


async def test_h1_who_enters_a_session_that_it_was_visiting_follows_its_own_commit(world):
    async with workers(*world.tools, many=1) as (one,):
        one.begin(one.run(world.charge, "ana"))
        await until(lambda: world.bodies == 1)
        async with one.guard.session("conv", tenant="clinic", caller="ana") as conversation:
            assert conversation.recovery.followed == ("conv/1",)
            assert phases(conversation) == [Phase.COMMITTING]
            world.go.set()
            await until(lambda: phases(conversation) == [Phase.DONE], 60)
        assert len(world.effects) == 1
        assert not records(one, r.Lost)


async def test_t4_a_visitors_commit_with_a_short_lease_ends_and_may_be_called_again(world):
    world.go.set()
    async with workers(*world.tools, store=Short()) as (one, _two):
        one.store.short = True
        with pytest.raises(ToolguardError, match="too little is left"):
            await one.run(world.charge, "ana")
        one.store.short = False
        await until(lambda: [record.code for record in records(one, r.Failed)] == ["lease_short"])
        async with asyncio.timeout(60):
            assert await one.run(world.charge, "ana") == "charged ana"
        assert len(world.effects) == 1


async def test_w2_a_slot_that_lands_too_late_is_stopped_and_the_call_may_come_again(world, monkeypatch):
    world.go.set()
    async with workers(*world.tools) as (one, two):
        journal = one.guard.journal
        fate = journal.fate

        async def late(entry, *, within=0.0):
            if within and any(isinstance(record, r.Called) for record in entry.records):
                raise TimeoutError
            return await fate(entry, within=within)

        with monkeypatch.context() as slow:
            slow.setattr(journal, "fate", late)
            with pytest.raises(StoreUnavailable, match="in time"):
                await one.run(world.charge, "ana")
        await until(lambda: len(records(one, r.Stopped)) == 1)
        async with asyncio.timeout(60):
            assert await two.run(world.charge, "ana") == "charged ana"
        assert len(world.effects) == 1
