"""How a Pipecat bot declares its tools: unchanged handlers of every kind, and what they report."""

import asyncio
import gc
import json

import pytest

pytest.importorskip("pipecat", reason="needs the extra: pip install 'toolguard-voice[pipecat]'")

from pipecat.adapters.llm.schemas.direct_function import tool_options
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import FunctionCallResultProperties
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat_kit import World, form, guarded, now, records, until

import toolguard
from toolguard import Guard, Phase
from toolguard.adapters.pipecat import function_schemas, handler, protect
from toolguard.core import records as r
from toolguard.testing.pipecat import Called, pipecat_line

pytestmark = pytest.mark.virtual_time


def once(*calls):
    """Call these when nothing was called, then say so."""

    def script(asked):
        return ["All right."] if asked.outputs else [list(calls)]

    return script


async def told(on, within=20.0):
    """The outputs that the model read when it was asked with them."""
    await until(lambda: any(one.outputs for one in on.model.requests), within=within)
    return on.model.requests[-1].outputs


def read(function):
    return toolguard.read(function)


async def test_a_registered_handler_keeps_its_body_and_reads_params_arguments():
    seen = []
    schema = FunctionSchema(name="book", description="Book.", properties={"day": {"type": "string"}}, required=["day"])

    @handler(schema, effect="mutation", identity="day")
    async def book(params: FunctionCallParams):
        seen.append((params.arguments["day"], params.function_name, params.llm, params.pipeline_worker))
        await params.result_callback({"booked": params.arguments["day"]})

    on = pipecat_line(once(Called("book", "a", {"day": "Monday"})), context=LLMContext(tools=ToolsSchema([schema])))
    on.model.register_function("book", book)
    async with Guard("memory:", tools=[book]) as guard, protect(on.worker, guard, id="c") as conversation, on.runs():
        await on.caller.speaks("book")
        assert await told(on) == {"a": '{"booked": "Monday"}'}
        assert seen == [("Monday", "book", on.model, on.worker)]
        assert conversation.state.runs[1].phase is Phase.DONE


async def test_a_schema_may_carry_the_handler_and_tools_without_params_get_one():
    @toolguard.read
    async def plain(day: str) -> list[str]:
        """Look.

        Args:
            day: The day.
        """
        return [day]

    async with guarded(once(Called("plain", "a", {"day": "Monday"}))) as (on, _):
        pass
    on = pipecat_line(once(Called("plain", "a", {"day": "Monday"})), tools=function_schemas([plain]))
    assert on.context.tools.standard_tools[0].properties["day"]["description"] == "The day."
    async with Guard("memory:", tools=[plain]) as guard, protect(on.worker, guard, id="c"), on.runs():
        await on.caller.speaks("look")
        assert await told(on) == {"a": '["Monday"]'}


@pytest.mark.parametrize("empty", [{}, [], 0, False, "", None])
async def test_an_empty_result_reaches_the_model_and_is_spoken_about(empty):
    @read
    async def find(params: FunctionCallParams):
        """Look."""
        await params.result_callback(empty)

    async with guarded(once(Called("find", "a")), find) as (on, _):
        await on.caller.speaks("look")
        assert json.loads((await told(on))["a"]) == {"result": empty}
        await until(lambda: "right." in on.voice.heard)


async def test_the_first_report_is_the_result_and_a_second_one_is_only_noted():
    @read
    async def find(params: FunctionCallParams):
        """Look."""
        await params.result_callback({"n": 1})
        await params.result_callback({"n": 2})

    guard = Guard("memory:", tools=[find])
    async with guarded(once(Called("find", "a")), find, guard=guard) as (on, _):
        await on.caller.speaks("look")
        assert await told(on) == {"a": '{"n": 1}'}
        await asyncio.sleep(5)
        assert len(on.model.requests) == 2
        assert [one.code for one in records(guard, r.Noticed)] == ["result_again"]
    await guard.close()


async def test_a_handler_that_never_reports_has_the_result_that_it_returns():
    @read
    async def find(params: FunctionCallParams):
        """Look."""
        return {"n": 1}

    async with guarded(once(Called("find", "a")), find) as (on, _):
        await on.caller.speaks("look")
        assert await told(on) == {"a": '{"n": 1}'}


async def test_a_handler_that_neither_reports_nor_returns_is_done_at_once():
    @read
    async def find(params: FunctionCallParams):
        """Look."""
        await asyncio.sleep(1)

    async with guarded(once(Called("find", "a")), find) as (on, _):
        await on.caller.speaks("look")
        began = now()
        assert await told(on) == {"a": '{"result": null}'}
        assert now() - began < 2
        gc.collect()


async def test_a_report_after_the_handler_has_returned_still_counts():
    @read
    async def find(params: FunctionCallParams):
        """Look."""

        async def later():
            await asyncio.sleep(2)
            await params.result_callback({"n": 1})

        background.append(asyncio.create_task(later()))

    background = []
    async with guarded(once(Called("find", "a")), find) as (on, _):
        await on.caller.speaks("look")
        assert await told(on) == {"a": '{"n": 1}'}


async def test_work_after_the_report_keeps_no_caller_waiting():
    ended = []

    @read
    async def find(params: FunctionCallParams):
        """Look."""
        await params.result_callback({"n": 1})
        await asyncio.sleep(30)
        ended.append(now())

    async with guarded(once(Called("find", "a")), find) as (on, _):
        await on.caller.speaks("look")
        await told(on, within=2.0)
        await asyncio.sleep(40)
        assert ended


async def test_what_a_handler_asks_for_beside_its_result_is_done():
    updated = []

    @read
    async def find(params: FunctionCallParams):
        """Look."""

        async def after():
            updated.append(params.context.get_messages()[-1]["content"])

        await params.result_callback(
            {"n": 1}, properties=FunctionCallResultProperties(run_llm=False, on_context_updated=after)
        )

    async with guarded(once(Called("find", "a")), find) as (on, _):
        await on.caller.speaks("look")
        await asyncio.sleep(15)
        assert len(on.model.requests) == 1
        assert updated == ['{"n": 1}']


async def test_a_handler_that_raises_is_an_error_that_the_model_reads_and_others_go_on():
    @read
    async def find(params: FunctionCallParams):
        """Look."""
        raise ValueError("no such table")

    async with guarded(once(Called("find", "a")), find) as (on, conversation):
        await on.caller.speaks("look")
        assert form((await told(on))["a"]) == "error"
        assert conversation.state.runs[1].phase is Phase.FAILED


async def test_an_unguarded_function_beside_guarded_ones_works_as_before():
    async def plain(params: FunctionCallParams):
        """Look."""
        await params.result_callback({"plain": True})

    calls = [Called("book", "a", {"day": "Monday"}), Called("plain", "b")]
    async with guarded(once(*calls), World().book(), plain) as (on, conversation):
        await on.caller.speaks("both")
        await until(lambda: len(on.model.requests) > 1)
        await asyncio.sleep(10)
        assert on.model.requests[-1].outputs == {"a": '{"booked": "Monday"}', "b": '{"plain": true}'}
        assert len(conversation.state.slots) == 1


@pytest.mark.parametrize("cancels", [True, False])
async def test_cancel_on_interruption_makes_no_difference_to_a_guarded_call(cancels):
    world = World(takes=3.0)
    book = tool_options(cancel_on_interruption=cancels)(world.book())

    def script(asked):
        if not asked.outputs:
            return [Called("book", "a", {"day": "Monday"})]
        return [f"Noted: {asked.said}."]

    async with guarded(script, book) as (on, _conversation):
        await on.caller.speaks("book Monday")
        await asyncio.sleep(0.5)
        await on.caller.speaks("and what about parking")
        await asyncio.sleep(20)
        assert world.booked == ["Monday"]
        shown = on.model.requests[-1]
        assert form(shown.outputs["a"]) == "still_running"
        assert [form(text) for text in shown.news] == ["done"]
        assert len(on.model.requests) == 3
        assert not on.aggregators.assistant().has_function_calls_in_progress


async def test_a_tool_of_no_conversation_is_refused_and_says_what_to_do():
    book = World().book()
    on = pipecat_line(once(Called("book", "a", {"day": "Monday"})), tools=[book])
    errors = []
    on.model.add_event_handler("on_error", lambda _llm, error: errors.append(error.error))
    async with on.runs():
        await on.caller.speaks("book")
        await told(on)
    assert "protect(worker, guard" in errors[0]


async def test_a_tool_that_only_the_context_lists_is_guarded_like_the_guards_own():
    world = World()
    async with guarded(once(Called("book", "a", {"day": "Monday"})), guard=Guard("memory:"), name="c") as (on, held):
        on.context.set_tools([world.book()])
        await on.caller.speaks("book")
        await told(on)
        assert held.state.runs[1].phase is toolguard.Phase.DONE
    assert world.booked == ["Monday"]


async def test_a_tool_that_the_context_lists_under_a_name_of_the_guards_is_refused():
    first, second = World(), World()
    errors = []
    calls = once(Called("book", "a", {"day": "Monday"}))
    async with guarded(calls, guard=Guard("memory:", tools=[first.book()]), name="c") as (on, _):
        on.context.set_tools([second.book()])
        on.model.add_event_handler("on_error", lambda _llm, error: errors.append(error.error))
        await on.caller.speaks("book")
        await told(on)
    assert "two tools are named book" in errors[0]
    assert first.booked == second.booked == []


async def test_a_tool_that_is_registered_twice_is_run_once():
    world = World()
    book = world.book()
    async with guarded(once(Called("book", "a", {"day": "Monday"})), book) as (on, conversation):
        on.model.register_function("book", book)
        await on.caller.speaks("book")
        assert await told(on) == {"a": '{"booked": "Monday"}'}
        assert world.booked == ["Monday"]
        assert len(conversation.state.slots) == 1


async def test_watching_pipecat_has_its_own_way_and_the_journal_says_what_happened():
    world, cut = World(), []

    @toolguard.mutation(identity="day", commits="inside")
    async def book(params: FunctionCallParams, day: str):
        """Book a day."""
        assert type(params) is FunctionCallParams
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            cut.append(now())
            raise
        await params.result_callback({"booked": day})

    async with guarded(once(Called("book", "a", {"day": "Monday"})), book, mode="observe") as (on, conversation):
        await on.caller.speaks("book Monday")
        await until(lambda: conversation.state.runs)
        await on.caller.speaks("no, cancel that")
        await asyncio.sleep(1)
        assert cut
        assert on.model.requests[-1].outputs == {"a": "CANCELLED"}
        assert conversation.state.runs[1].phase is Phase.CANCELLED
    assert world.booked == []
