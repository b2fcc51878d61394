"""What Pipecat's workers and switchers do by themselves: the day one of these fails, the framework has mended it."""

import asyncio

import pytest
from pipecat.bus import AsyncQueueBus, BusBridgeProcessor
from pipecat.frames.frames import ManuallySwitchServiceFrame, TTSSpeakFrame
from pipecat.pipeline.llm_switcher import LLMSwitcher
from pipecat.pipeline.service_switcher import ServiceSwitcherStrategyManual
from pipecat.workers.llm import LLMWorker, tool
from pipecat_bots import Bot, Watch, calling, now, until

from toolguard.testing.pipecat import Called, ScriptedModel

pytestmark = pytest.mark.virtual_time


class Desk(LLMWorker):
    """A worker whose tools take their time."""

    def __init__(self, name, script, became, bridged=()):
        super().__init__(name, llm=ScriptedModel(script), bridged=bridged)
        self.became = became

    @tool
    async def announce(self, params):
        """Say something, then look."""
        await self.queue_frame(TTSSpeakFrame("One moment."))
        await self._slow("announce", params)

    @tool
    async def pass_on(self, params):
        """Wake the clerk, who talks to nobody, then note it."""
        await self.activate_worker("clerk")
        await self._slow("pass_on", params)

    @tool
    async def look(self, params):
        """Look."""
        await self._slow("look", params)

    async def _slow(self, name, params):
        try:
            await asyncio.sleep(3)
            self.became.append(f"{name} done")
            await params.result_callback({"ok": name})
        except asyncio.CancelledError:
            self.became.append(f"{name} cancelled")
            raise


def office(script, became):
    """A main worker with ears and voice, and desks behind the bus."""
    bus = AsyncQueueBus()
    watch = Watch()
    desks = (
        Desk("front", script, became),
        Desk("billing", lambda _asked: ["Billing."], became),
        Desk("clerk", lambda _asked: [], became, bridged=None),
    )
    bridge = BusBridgeProcessor(bus=bus, worker_name="main")
    return Bot(bridge, after=(watch,), workers=desks, bus=bus), watch, desks


async def opened(bot, desk):
    await bot.worker.activate_worker(desk.name)
    await until(lambda: desk.active)
    await asyncio.sleep(0.1)


async def test_an_interruption_of_a_tool_that_has_queued_a_frame_comes_a_second_late():
    became = []
    bot, watch, (front, _, _) = office(calling(Called("announce", "c1")), became)
    async with bot.running():
        await opened(bot, front)
        await bot.says("go on")
        await until(lambda: "c1" in bot.texts)
        watch.interrupted.clear()
        began = now()
        await bot.starts_speaking()
        await until(lambda: watch.interrupted)
        assert became == ["announce cancelled"]
        assert watch.interrupted[0] - began == pytest.approx(1.0, abs=0.05)


async def test_an_interrupted_tool_activates_the_other_worker_all_the_same():
    became = []
    bot, _, (front, _, clerk) = office(calling(Called("pass_on", "c1")), became)
    async with bot.running():
        await opened(bot, front)
        await bot.says("go on")
        await until(lambda: "c1" in bot.texts)
        await bot.says("no, stop, don't do it")
        await asyncio.sleep(10)
        assert became == ["pass_on cancelled"]
        assert clerk.active


async def test_a_worker_that_has_handed_over_is_not_told_of_an_interruption():
    became = []
    bot, _, (front, billing, _) = office(calling(Called("look", "c1")), became)
    async with bot.running():
        await opened(bot, front)
        await bot.says("go on")
        await until(lambda: "c1" in bot.texts)
        await front.activate_worker("billing", deactivate_self=True)
        await until(lambda: billing.active)
        await bot.says("no, stop, don't do it")
        await asyncio.sleep(10)
        assert became == ["look done"]
        assert bot.texts["c1"] == '{"ok": "look"}'


async def test_a_call_of_a_model_that_was_switched_away_from_is_not_told_of_an_interruption():
    became = []

    async def book(params):
        await asyncio.sleep(3)
        became.append("booked")
        await params.result_callback({"ok": True})

    one, other = ScriptedModel(calling(Called("book", "c1"))), ScriptedModel(lambda _asked: ["Other."])
    switcher = LLMSwitcher(llms=[one, other], strategy_type=ServiceSwitcherStrategyManual)
    switcher.register_function("book", book)
    bot = Bot(switcher)
    async with bot.running():
        await bot.says("go on")
        await until(lambda: "c1" in bot.texts)
        await bot.worker.queue_frame(ManuallySwitchServiceFrame(service=other))
        await until(lambda: switcher.active_llm is other)
        await bot.says("no, stop, don't do it")
        await asyncio.sleep(10)
        assert became == ["booked"]
        assert bot.texts["c1"] == '{"ok": true}'
