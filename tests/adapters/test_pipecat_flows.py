"""A guarded flow: its node changes when an edge has had its effect, once, whatever runs beside it and whoever speaks."""

import asyncio
import contextlib
import json

import pytest
from pipecat.flows import (
    NO_RESPONSE,
    TRANSITION_IN_YAML,
    ContextStrategy,
    ContextStrategyConfig,
    Flow,
    FlowConfig,
    FlowManager,
    FlowsFunctionSchema,
    NodeConfig,
)
from pipecat_bots import Bot, calling, form, until

import toolguard
from toolguard import Guard, Phase
from toolguard.adapters import pipecat_flows
from toolguard.adapters.pipecat_flows import protect
from toolguard.errors import NoSession
from toolguard.testing.pipecat import Called, ScriptedModel

pytestmark = pytest.mark.virtual_time
RESET = ContextStrategyConfig(strategy=ContextStrategy.RESET)


def node(name, *functions, **options):
    task = [{"role": "developer", "content": f"You are at {name}."}]
    return NodeConfig(name=name, task_messages=task, functions=list(functions), **options)


class Clinic:
    """What the functions of the flow do; ``first`` and ``after`` are their time before and after the point of no return."""

    def __init__(self, first=0.1, after=0.0, looking=1.0, end=None):
        self.first, self.after, self.looking, self.end = first, after, looking, end or node("end")
        self.booked = []
        clinic = self

        @toolguard.mutation(identity="slot", commits="inside")
        async def book(flow_manager: FlowManager, slot: str) -> tuple[dict[str, str], NodeConfig]:
            """Book an appointment."""
            await asyncio.sleep(clinic.first)
            async with toolguard.committing():
                clinic.booked.append(slot)
                await asyncio.sleep(clinic.after)
            flow_manager.state["slot"] = slot
            return {"booked": slot}, clinic.end

        @toolguard.read
        async def look(flow_manager: FlowManager) -> tuple[dict[str, str], None]:
            """Look for something."""
            await asyncio.sleep(clinic.looking)
            return {"found": "the blue chart"}, None

        self.book, self.look = book, look


BOOK, LOOK = Called("book", "c1", {"slot": "Mon 10:00"}), Called("look", "c2")


@contextlib.asynccontextmanager
async def at_the_desk(clinic, *calls, plain=(), tools=None):
    """The caller is at the node ``start``, and has asked for something."""
    bot = Bot(ScriptedModel(calling(*calls)))
    flow = FlowManager(worker=bot.worker, llm=bot.llm, context_aggregator=bot.pair)
    async with (
        Guard("memory", tools=tools or [clinic.book, clinic.look]) as guard,
        protect(flow, guard, id="conv-42") as conversation,
        bot.running(),
    ):
        functions = [*(tools or [clinic.book, clinic.look]), *plain]
        await flow.initialize(node("start", *functions, respond_immediately=False))
        await bot.says("go on")
        yield bot, flow, conversation


def asked_at_end(bot):
    """Requests in which the model knew that it is at the end node."""
    return [one for one in bot.llm.requests if "You are at end." in str(one.messages)]


async def test_an_edge_and_a_slow_read_of_one_response_change_the_node_once_and_the_reads_result_follows():
    clinic = Clinic()
    async with at_the_desk(clinic, BOOK, LOOK) as (bot, flow, _):
        await until(lambda: flow.current_node == "end", within=0.9)
        assert clinic.booked == ["Mon 10:00"]
        await asyncio.sleep(20)
        first = asked_at_end(bot)[0]
        assert first.outputs["c1"] == '{"booked": "Mon 10:00"}'
        assert form(first.outputs["c2"]) == "still_running"
        assert "the blue chart" in str(bot.llm.requests[-1].messages)
        assert str(bot.messages).count("You are at end.") == 1
        assert [len(bot.llm.requests), len(asked_at_end(bot))] == [3, 2], "one for the node, one for the news"
        assert flow.state == {"slot": "Mon 10:00"}


async def test_the_transition_waits_for_a_sibling_that_nobody_guards():
    clinic = Clinic()

    async def weigh(_args, _flow):
        await asyncio.sleep(2.0)
        return {"kilos": 70}, NO_RESPONSE

    plain = FlowsFunctionSchema(name="weigh", description="Weigh.", properties={}, required=[], handler=weigh)
    async with at_the_desk(clinic, BOOK, Called("weigh", "c2"), plain=[plain]) as (bot, flow, _):
        await until(lambda: clinic.booked)
        await asyncio.sleep(1.0)
        assert flow.current_node == "start"
        await until(lambda: flow.current_node == "end", within=1.5)
        await asyncio.sleep(10)
        assert "kilos" in str(asked_at_end(bot)[0].messages)
        assert len(asked_at_end(bot)) == 1


async def test_an_edge_that_is_interrupted_after_its_effect_changes_the_node():
    clinic = Clinic(after=2.0)
    async with at_the_desk(clinic, BOOK) as (bot, flow, conversation):
        await until(lambda: clinic.booked)
        await bot.says("no, stop, don't do it")
        await asyncio.sleep(10)
        assert conversation.state.runs[1].phase is Phase.DONE
        assert (clinic.booked, flow.current_node) == (["Mon 10:00"], "end")
        assert "booked" in str(asked_at_end(bot)[-1].messages)


async def test_an_edge_that_is_stopped_before_its_effect_changes_nothing():
    clinic = Clinic(first=1.0)
    async with at_the_desk(clinic, BOOK) as (bot, flow, conversation):
        await until(lambda: "c1" in bot.texts)
        await bot.says("no, stop, don't do it")
        await asyncio.sleep(10)
        assert conversation.state.runs[1].phase is Phase.CANCELLED
        assert (clinic.booked, flow.current_node) == ([], "start")
        assert form(bot.llm.requests[-1].outputs["c1"]) == "cancelled"


async def test_an_edge_that_the_model_makes_again_has_one_effect_and_one_transition():
    clinic = Clinic(after=2.0)

    def impatient(asked):
        if asked.said and len(asked.outputs) < 2:
            return [Called("book", f"c{len(asked.outputs) + 1}", {"slot": "Mon 10:00"})]
        return ["Noted."]

    bot = Bot(ScriptedModel(impatient))
    flow = FlowManager(worker=bot.worker, llm=bot.llm, context_aggregator=bot.pair)
    async with (
        Guard("memory", tools=[clinic.book]) as guard,
        protect(flow, guard, id="conv-42"),
        bot.running(),
    ):
        await flow.initialize(node("start", clinic.book, respond_immediately=False))
        await bot.says("go on")
        await until(lambda: clinic.booked)
        await bot.says("are you there?")
        await asyncio.sleep(20)
        assert (clinic.booked, flow.current_node) == (["Mon 10:00"], "end")
        assert set(bot.texts) == {"c1", "c2"}
        assert not bot.pair.assistant().has_function_calls_in_progress
        assert str(bot.messages).count("You are at end.") == 1


async def test_a_reset_does_not_lose_the_result_of_a_running_call():
    clinic = Clinic(end=node("end", context_strategy=RESET))
    async with at_the_desk(clinic, BOOK, LOOK) as (bot, flow, _):
        await until(lambda: flow.current_node == "end")
        await asyncio.sleep(10)
        assert "go on" not in str(bot.messages)
        assert "the blue chart" in str(bot.llm.requests[-1].messages)


async def test_a_handler_with_arguments_and_manager_is_guarded_under_the_name_of_its_schema():
    booked, shown = [], {"slot": {"type": "string"}}

    async def go(args, flow_manager):
        booked.append((args, flow_manager.current_node))
        return None, node("end")

    schema = FlowsFunctionSchema(name="book", description="Book.", properties=shown, required=["slot"], handler=go)
    schema.handler = pipecat_flows.handler(schema, effect="mutation", identity="slot")(go)
    bot = Bot(ScriptedModel(calling(BOOK, Called("book", "c2", {"slot": "Mon 10:00"}))))
    flow = FlowManager(worker=bot.worker, llm=bot.llm, context_aggregator=bot.pair)
    async with (
        Guard("memory", tools=[schema.handler]) as guard,
        protect(flow, guard, id="conv-42"),
        bot.running(),
    ):
        await flow.initialize(node("start", schema, respond_immediately=False))
        await bot.says("go on")
        await until(lambda: flow.current_node == "end")
        assert booked == [({"slot": "Mon 10:00"}, "start")]
        assert bot.texts["c1"] == '{"status": "acknowledged"}'


async def test_a_function_that_asks_for_no_response_gets_none():
    @toolguard.read
    async def note(flow_manager: FlowManager) -> tuple[dict[str, str], object]:
        """Note something."""
        return {"noted": "yes"}, NO_RESPONSE

    async with at_the_desk(Clinic(), Called("note", "c1"), tools=[note]) as (bot, flow, _):
        await until(lambda: "yes" in bot.texts.get("c1", ""))
        await asyncio.sleep(5)
        assert (len(bot.llm.requests), flow.current_node) == (1, "start")


async def test_behind_the_conversation_the_flow_is_as_it_was():
    clinic = Clinic()
    async with at_the_desk(clinic, BOOK) as (bot, flow, _):
        await until(lambda: flow.current_node == "end")
        assert bot.llm.has_function("book")
    assert not bot.llm.has_function("book")
    with pytest.raises(NoSession, match="its flow is not"):
        await clinic.book(flow_manager=flow, slot="Mon 11:30")


FROM_FILE = {
    "initial_node": "start",
    "nodes": {
        "start": {
            "task_messages": [{"role": "developer", "content": "You are at start."}],
            "respond_immediately": False,
            "functions": [
                {
                    "name": "book",
                    "transition_to": {"field": "booked", "cases": {"Mon 10:00": "end"}, "default": "start"},
                },
                {"name": "look"},
            ],
        },
        "end": {"task_messages": [{"role": "developer", "content": "You are at end."}], "functions": []},
    },
}


async def test_a_flow_from_a_file_goes_where_the_file_says_when_all_calls_have_ended():
    booked = []

    @toolguard.mutation(identity="slot")
    async def book(flow_manager: FlowManager, slot: str) -> tuple[dict[str, str], object]:
        """Book an appointment."""
        booked.append(slot)
        return {"booked": slot}, TRANSITION_IN_YAML

    @toolguard.read
    async def look(flow_manager: FlowManager) -> tuple[dict[str, str], object]:
        """Look for something."""
        await asyncio.sleep(1.0)
        return {"found": "the blue chart"}, TRANSITION_IN_YAML

    made = Flow(FlowConfig.from_json(json.dumps(FROM_FILE)), handlers={"book": book, "look": look})
    bot = Bot(ScriptedModel(calling(BOOK, LOOK)))
    flow = FlowManager(worker=bot.worker, llm=bot.llm, context_aggregator=bot.pair)
    async with Guard("memory", tools=[book, look]) as guard, protect(flow, guard, id="conv-42"), bot.running():
        await flow.initialize(made.initial_node)
        await bot.says("go on")
        await until(lambda: flow.current_node == "end", within=2.0)
        await asyncio.sleep(5)
        assert booked == ["Mon 10:00"]
        assert asked_at_end(bot)[0].outputs == {"c1": '{"booked": "Mon 10:00"}', "c2": '{"found": "the blue chart"}'}
        assert len(asked_at_end(bot)) == 1


async def test_in_observe_mode_the_flow_is_the_plain_one_and_its_calls_are_journaled():
    clinic = Clinic()
    bot = Bot(ScriptedModel(calling(BOOK, LOOK)))
    flow = FlowManager(worker=bot.worker, llm=bot.llm, context_aggregator=bot.pair)
    async with (
        Guard("memory", tools=[clinic.book, clinic.look], mode="observe") as guard,
        protect(flow, guard, id="conv-42") as conversation,
        bot.running(),
    ):
        await flow.initialize(node("start", clinic.book, clinic.look, respond_immediately=False))
        await bot.says("go on")
        await until(lambda: clinic.booked)
        await asyncio.sleep(10)
        assert flow.current_node == "start", "plain flows lose this transition"
        assert '"booked": "Mon 10:00"' in bot.texts["c1"]
        assert {run.tool: run.phase for run in conversation.state.runs.values()} == {
            "book": Phase.DONE,
            "look": Phase.DONE,
        }


async def test_in_observe_mode_a_handler_with_arguments_and_manager_is_the_plain_one():
    async def go(args, flow_manager):
        return {"was at": flow_manager.current_node, **args}, node("end")

    shown = {"slot": {"type": "string"}}
    schema = FlowsFunctionSchema(name="book", description="Book.", properties=shown, required=["slot"], handler=go)
    schema.handler = pipecat_flows.handler(schema, effect="mutation", identity="slot")(go)
    bot = Bot(ScriptedModel(calling(BOOK)))
    flow = FlowManager(worker=bot.worker, llm=bot.llm, context_aggregator=bot.pair)
    async with (
        bot.running(),
        Guard("memory", tools=[schema.handler], mode="observe") as guard,
        protect(flow, guard, id="conv-42") as conversation,
    ):
        await flow.initialize(node("start", schema, respond_immediately=False))
        await bot.says("go on")
        await until(lambda: flow.current_node == "end")
        assert bot.texts["c1"] == '{"was at": "start", "slot": "Mon 10:00"}'
        assert [(run.tool, run.phase) for run in conversation.state.runs.values()] == [("book", Phase.DONE)]


async def test_the_application_calls_a_function_of_the_flow_as_the_model_does():
    clinic = Clinic()
    async with at_the_desk(clinic) as (bot, flow, conversation):
        assert await clinic.book(flow_manager=flow, slot="Mon 11:30") == {"booked": "Mon 11:30"}
        assert clinic.booked == ["Mon 11:30"]
        assert conversation.state.runs[1].phase is Phase.DONE
        await until(lambda: flow.current_node == "end")
        assert "You are at end." in str(bot.messages)


async def test_a_function_that_the_guard_does_not_know_says_so():
    clinic = Clinic()
    bot = Bot(ScriptedModel(calling(BOOK)))
    flow = FlowManager(worker=bot.worker, llm=bot.llm, context_aggregator=bot.pair)
    async with Guard("memory", tools=[clinic.look]) as guard, protect(flow, guard, id="conv-42"), bot.running():
        await flow.initialize(node("start", clinic.book, respond_immediately=False))
        await bot.says("go on")
        await until(lambda: "does not know it" in bot.texts.get("c1", ""))
        assert clinic.booked == []
