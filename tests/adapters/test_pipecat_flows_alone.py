"""What Pipecat's flows do by themselves: the day one of these fails, the framework has mended it."""

import asyncio

import pytest
from pipecat.flows import (
    ContextStrategy,
    ContextStrategyConfig,
    FlowManager,
    FlowsFunctionSchema,
    NodeConfig,
)
from pipecat_bots import Bot, calling, until

from toolguard.testing.pipecat import Called, ScriptedModel

pytestmark = pytest.mark.virtual_time


def function(name, handler, **options):
    return FlowsFunctionSchema(name=name, description=name, properties={}, required=[], handler=handler, **options)


def node(name, *functions, **options):
    task = [{"role": "developer", "content": f"You are at {name}."}]
    return NodeConfig(name=name, task_messages=task, functions=list(functions), **options)


def flow_of(bot):
    return FlowManager(worker=bot.worker, llm=bot.llm, context_aggregator=bot.pair)


async def test_a_transition_is_lost_when_a_sibling_call_ends_after_the_edge():
    async def leave(_args, _flow):
        await asyncio.sleep(0.1)
        return {"ok": True}, node("end")

    async def look(_args, _flow):
        await asyncio.sleep(1.0)
        return {"slots": ["Mon 10:00"]}, None

    bot = Bot(ScriptedModel(calling(Called("leave", "c1"), Called("look", "c2"))))
    async with bot.running():
        flow = flow_of(bot)
        await flow.initialize(
            node("start", function("leave", leave), function("look", look), respond_immediately=False)
        )
        await bot.says("go on")
        await asyncio.sleep(20)
        assert flow.current_node == "start"
        assert not bot.pair.assistant().has_function_calls_in_progress


async def test_an_interrupted_edge_has_its_effect_and_no_transition():
    done = []

    async def leave(_args, _flow):
        done.append("left")
        await asyncio.sleep(2.0)
        return {"ok": True}, node("end")

    bot = Bot(ScriptedModel(calling(Called("leave", "c1"))))
    async with bot.running():
        flow = flow_of(bot)
        await flow.initialize(
            node("start", function("leave", leave, cancel_on_interruption=True), respond_immediately=False)
        )
        await bot.says("go on")
        await until(lambda: done)
        await bot.says("mm-hm")
        await asyncio.sleep(20)
        assert (done, flow.current_node, bot.texts["c1"]) == (["left"], "start", "CANCELLED")


async def test_an_edge_goes_on_although_the_caller_took_it_back():
    done = []

    async def leave(_args, _flow):
        await asyncio.sleep(2.0)
        done.append("left")
        return {"ok": True}, node("end")

    bot = Bot(ScriptedModel(calling(Called("leave", "c1"))))
    async with bot.running():
        flow = flow_of(bot)
        await flow.initialize(node("start", function("leave", leave), respond_immediately=False))
        await bot.says("go on")
        await until(lambda: bot.pair.assistant().has_function_calls_in_progress)
        await bot.says("no, stop, don't do it")
        await asyncio.sleep(20)
        assert (done, flow.current_node) == (["left"], "end")


async def test_a_reset_loses_the_result_of_a_running_call():
    async def look(_args, _flow):
        await asyncio.sleep(2.0)
        return {"slots": ["Mon 10:00"]}, None

    bot = Bot(ScriptedModel(calling(Called("look", "c1"))))
    async with bot.running():
        flow = flow_of(bot)
        await flow.initialize(
            node("start", function("look", look, cancel_on_interruption=True), respond_immediately=False)
        )
        await bot.says("go on")
        await until(lambda: bot.pair.assistant().has_function_calls_in_progress)
        reset = ContextStrategyConfig(strategy=ContextStrategy.RESET)
        await flow.set_node_from_config(node("end", context_strategy=reset))
        await asyncio.sleep(20)
        assert "Mon 10:00" not in str(bot.llm.requests[-1].messages)
