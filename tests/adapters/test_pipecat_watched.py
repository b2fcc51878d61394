"""A Pipecat bot that is only watched: its plain functions answer it as they would alone."""

import asyncio

import pytest
from pipecat.adapters.llm.schemas.direct_function import tool_options
from pipecat.services.llm_service import FunctionCallParams
from pipecat_bots import Bot, calling, until

import toolguard
from toolguard import Guard, Phase
from toolguard.adapters.pipecat import function_schemas, protect
from toolguard.adapters.pipecat_names import by_name
from toolguard.testing.pipecat import Called, ScriptedModel


@pytest.mark.virtual_time
async def test_a_function_that_knows_nothing_of_pipecat_answers_in_observe_mode_too():
    @toolguard.read
    async def look(day: str) -> list[str]:
        """Look for free slots."""
        return [f"{day} 10:00"]

    script = calling(Called("look", "c1", {"day": "Mon"}))
    bot = Bot(ScriptedModel(script), tools=function_schemas([look]))
    async with (
        Guard("memory", tools=[look], mode="observe") as guard,
        protect(bot.worker, guard, id="conv-42") as conversation,
        bot.running(),
    ):
        await bot.says("go on")
        await asyncio.sleep(5)
        assert bot.texts["c1"] == '["Mon 10:00"]'
        assert len(bot.llm.requests) == 2
        assert conversation.state.runs[1].phase is Phase.DONE


@pytest.mark.virtual_time
async def test_a_function_that_is_found_by_its_name_keeps_its_options_in_observe_mode():
    became = []

    @toolguard.mutation(identity="slot")
    @tool_options(cancel_on_interruption=False)
    async def book(params: FunctionCallParams, slot: str):
        """Book an appointment."""
        await asyncio.sleep(2)
        became.append(slot)
        await params.result_callback({"booked": slot})

    bot = Bot(ScriptedModel(calling(Called("book", "c1", {"slot": "Mon 10:00"}))))
    async with (
        Guard("memory", tools=[book], mode="observe") as guard,
        protect(bot.worker, guard, id="conv-42"),
        bot.running(),
    ):
        with by_name(bot.worker, [book]):
            await bot.says("go on")
            await until(lambda: "c1" in bot.texts)
            await bot.says("no, stop, don't do it")
            await asyncio.sleep(5)
    assert became == ["Mon 10:00"]
