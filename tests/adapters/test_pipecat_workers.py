"""Guarded tools of workers on a bus, and of a model that was switched away from: nothing is late, lost or done behind a stop."""

import asyncio
import contextlib

import pytest
from pipecat.bus import AsyncQueueBus, BusBridgeProcessor
from pipecat.frames.frames import ManuallySwitchServiceFrame, TTSSpeakFrame
from pipecat.pipeline.llm_switcher import LLMSwitcher
from pipecat.pipeline.service_switcher import ServiceSwitcherStrategyManual
from pipecat.services.llm_service import FunctionCallParams
from pipecat.workers.llm import LLMWorker, tool
from pipecat_bots import Bot, Watch, calling, form, now, until

import toolguard
from toolguard import Guard, Phase
from toolguard.adapters.pipecat import hook, protect
from toolguard.adapters.pipecat_workers import GuardedTools
from toolguard.testing.pipecat import Called, ScriptedModel

pytestmark = pytest.mark.virtual_time
STOP = "no, stop, don't do it"


class Desk(GuardedTools):
    """A worker whose tools take their time before they do what they do."""

    def __init__(self, name, script, done, **options):
        super().__init__(name, llm=ScriptedModel(script), **{"bridged": (), **options})
        self.done, self.takes = done, 2.0

    @tool
    @toolguard.mutation(identity="slot", commits="inside")
    async def announce(self, params: FunctionCallParams, slot: str):
        """Say something, then book."""
        await self.queue_frame(TTSSpeakFrame(f"I book {slot}."))
        await asyncio.sleep(self.takes)
        async with toolguard.committing():
            self.done.append(f"booked {slot}")
        await params.result_callback({"booked": slot})

    @tool
    @toolguard.mutation(identity="slot", commits="inside")
    async def pass_on(self, params: FunctionCallParams, slot: str):
        """Book, and hand over to billing."""
        await self.activate_worker("billing", deactivate_self=True)
        await asyncio.sleep(self.takes)
        async with toolguard.committing():
            self.done.append(f"booked {slot}")
        await params.result_callback({"booked": slot})


MON = {"slot": "Mon 10:00"}


class PlainDesk(LLMWorker):
    """A worker without our base class."""

    def __init__(self, name, script, done):
        super().__init__(name, llm=ScriptedModel(script), bridged=())
        self.done = done

    @tool
    @toolguard.mutation(identity="slot")
    async def announce(self, params: FunctionCallParams, slot: str):
        """Book, and say so."""
        await asyncio.sleep(1)
        await self.queue_frame(TTSSpeakFrame(f"I book {slot}."))
        await params.result_callback({"booked": slot})


@contextlib.asynccontextmanager
async def office(*calls, kind=Desk, tools=("announce", "pass_on"), takes=2.0):
    """A main worker with ears and voice, two desks behind the bus; the caller has asked the front desk for something."""
    done, bus, watch = [], AsyncQueueBus(), Watch()
    front = kind("front", calling(*calls), done)
    front.takes = takes
    billing = Desk("billing", lambda _asked: ["Billing."], done)
    bot = Bot(BusBridgeProcessor(bus=bus, worker_name="main"), after=(watch,), workers=(front, billing), bus=bus)
    bot.watch, bot.front, bot.billing, bot.done = watch, front, billing, done
    async with (
        Guard("memory", tools=[getattr(front, name) for name in tools]) as guard,
        protect(bot.worker, guard, id="conv-42", agent="front") as conversation,
    ):
        hook(conversation, front)
        hook(conversation, billing)
        async with bot.running():
            await bot.worker.activate_worker("front")
            await until(lambda: front.active)
            await asyncio.sleep(0.1)
            await bot.says("go on")
            await until(lambda: "c1" in bot.texts)
            yield bot, conversation


async def test_an_interruption_of_a_tool_that_has_queued_a_frame_is_not_late():
    async with office(Called("announce", "c1", MON)) as (bot, _):
        bot.watch.interrupted.clear()
        began = now()
        await bot.starts_speaking()
        await until(lambda: bot.watch.interrupted)
        assert bot.watch.interrupted[0] - began < 0.05


async def test_what_a_tool_has_queued_follows_its_result():
    async with office(Called("announce", "c1", MON)) as (bot, _):
        assert bot.watch.spoken == []
        await until(lambda: bot.watch.spoken)
        assert (bot.done, bot.watch.spoken) == (["booked Mon 10:00"], ["I book Mon 10:00."])
        assert bot.texts["c1"] == '{"booked": "Mon 10:00"}'


async def test_what_a_stopped_tool_has_queued_is_not_said():
    async with office(Called("announce", "c1", MON)) as (bot, conversation):
        await bot.says(STOP)
        await asyncio.sleep(10)
        assert conversation.state.runs[1].phase is Phase.CANCELLED
        assert (bot.done, bot.watch.spoken) == ([], [])


async def test_a_tool_hands_over_when_its_result_has_been_delivered():
    async with office(Called("pass_on", "c1", MON)) as (bot, conversation):
        await asyncio.sleep(1)
        assert (bot.front.active, bot.billing.active) == (True, False)
        await until(lambda: bot.billing.active)
        assert (conversation.agent, conversation.state.handed.frm) == ("billing", "front")
        assert not bot.front.active
        assert bot.texts["c1"] == '{"booked": "Mon 10:00"}'
        await bot.says("what do I owe?")
        await until(lambda: bot.billing.llm.requests)
        assert bot.billing.llm.requests[0].outputs == {"c1": '{"booked": "Mon 10:00"}'}


async def test_a_stopped_tool_does_not_hand_over():
    async with office(Called("pass_on", "c1", MON)) as (bot, conversation):
        await bot.says(STOP)
        await asyncio.sleep(10)
        assert conversation.state.runs[1].phase is Phase.CANCELLED
        assert (bot.front.active, bot.billing.active, bot.done) == (True, False, [])
        assert form(bot.front.llm.requests[-1].outputs["c1"]) == "cancelled"


async def test_a_call_of_a_worker_that_has_handed_over_is_told_of_an_interruption():
    async with office(Called("announce", "c1", MON), takes=10.0) as (bot, conversation):
        await bot.front.activate_worker("billing", deactivate_self=True)
        await until(lambda: bot.billing.active)
        await bot.says(STOP)
        await asyncio.sleep(10)
        assert conversation.state.runs[1].phase is Phase.CANCELLED
        assert bot.done == []
        last = bot.billing.llm.requests[-1]
        assert "cancelled" in [form(text) for text in (*last.outputs.values(), *last.news)]


async def test_a_hand_over_waits_for_a_write_that_is_on_its_way():
    async with office(Called("announce", "c1", MON)) as (bot, conversation):
        await bot.front.activate_worker("billing", deactivate_self=True)
        await until(lambda: bot.billing.active)
        assert conversation.state.runs[1].phase is Phase.DONE
        assert bot.done == ["booked Mon 10:00"]


async def test_frames_of_a_worker_without_our_base_class_are_not_held_for_ever():
    async with office(Called("announce", "c1", MON), kind=PlainDesk, tools=["announce"]) as (bot, _):
        await until(lambda: bot.watch.spoken, within=5)
        assert bot.watch.spoken == ["I book Mon 10:00."]


async def test_a_call_of_a_model_that_was_switched_away_from_is_told_of_an_interruption():
    booked = []

    @toolguard.mutation(identity="slot", commits="inside")
    async def book(params: FunctionCallParams, slot: str):
        """Book an appointment."""
        await asyncio.sleep(3)
        async with toolguard.committing():
            booked.append(slot)

    one, other = ScriptedModel(calling(Called("book", "c1", MON))), ScriptedModel(lambda _asked: ["Other."])
    switcher = LLMSwitcher(llms=[one, other], strategy_type=ServiceSwitcherStrategyManual)
    bot = Bot(switcher, tools=[book])
    async with (
        Guard("memory", tools=[book]) as guard,
        protect(bot.worker, guard, id="conv-42") as conversation,
        bot.running(),
    ):
        await bot.says("go on")
        await until(lambda: "c1" in bot.texts)
        await bot.worker.queue_frame(ManuallySwitchServiceFrame(service=other))
        await until(lambda: switcher.active_llm is other)
        await bot.says(STOP)
        await asyncio.sleep(10)
        assert conversation.state.runs[1].phase is Phase.CANCELLED
        assert booked == []
        assert form(other.requests[-1].outputs["c1"]) == "cancelled"
