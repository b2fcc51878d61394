"""Guarded tools wherever LiveKit's function tools go: one line under ``@function_tool``, nothing else changed."""

import asyncio

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit.agents import Agent, RunContext, function_tool
from livekit.agents.llm import Toolset
from livekit_kit import Call, line, until, wall_follows_loop

import toolguard
from toolguard import Guard, Phase
from toolguard.adapters.livekit import function_tools, protect
from toolguard.adapters.livekit_tools import Toolbox
from toolguard.errors import DeclarationError

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with wall_follows_loop():
        yield


BOOKED = []


@function_tool
@toolguard.mutation(identity="day")
async def book(day: str) -> str:
    """Book a day."""
    BOOKED.append(day)
    return f"booked {day}"


class Desk(Agent):
    """An agent with a guarded method and a plain one."""

    def __init__(self):
        super().__init__(instructions="You work at a front desk.")
        self.booked = []

    @function_tool
    @toolguard.mutation(identity="day")
    async def book(self, context: RunContext, day: str) -> str:
        """Book a day.

        Args:
            day: The day of the week.
        """
        self.booked.append((day, context.function_call.call_id, asyncio.current_task().get_name()))
        return f"booked {day}"

    @function_tool
    async def hours(self) -> str:
        """Tell the opening hours."""
        return "nine to five"


def books(request):
    if "c1" not in request.outputs:
        return [Call("book", "c1", '{"day": "Monday"}')]
    return [f"Answer: {request.outputs['c1']}"]


async def talk(on, words="book Monday"):
    await on.ears.speaks(words)
    await until(lambda: on.said)


async def test_a_method_of_an_agent_is_guarded_by_one_line():
    on, desk = line(books), Desk()
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start(agent=desk)
        await talk(on)
        assert desk.booked == [("Monday", "c1", "toolguard:book")]
        assert on.said == ["Answer: booked Monday"]
        assert sorted(on.model.requests[0].tools) == ["book", "hours"]
        slot = conversation.state.slots[1]
        assert (slot.call_id, slot.tool, slot.arguments) == ("c1", "book", b'{"day":"Monday"}')
        assert conversation.state.runs[1].phase is Phase.DONE
        await on.hangs_up()


async def test_plain_tools_beside_guarded_ones_stay_livekits():
    def both(request):
        if not request.outputs:
            return [Call("hours", "h1"), Call("book", "c1", '{"day": "Monday"}')]
        return [" and ".join(request.outputs.values())]

    on, desk = line(both), Desk()
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start(agent=desk)
        await talk(on)
        assert sorted(on.said[0].split(" and ")) == ["booked Monday", "nine to five"]
        assert [slot.tool for slot in conversation.state.slots.values()] == ["book"]
        await on.hangs_up()


@pytest.mark.parametrize("where", ["agent", "session", "toolset", "made", "updated"])
async def test_guarded_tools_work_wherever_function_tools_do(where):
    BOOKED.clear()
    on = line(books, **({"tools": [book]} if where == "session" else {}))
    plain = book.__wrapped__
    tools = {"agent": [book], "toolset": [Toolset(id="desk", tools=[book])], "made": function_tools([plain])}
    agent = Agent(instructions="You work at a front desk.", tools=tools.get(where, []))
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start(agent=agent)
        if where == "updated":
            await agent.update_tools([book])
        await talk(on)
        assert BOOKED == ["Monday"]
        assert on.said == ["Answer: booked Monday"]
        assert conversation.state.slots[1].call_id == "c1"
        await on.hangs_up()


async def test_the_session_may_be_protected_when_it_has_started():
    BOOKED.clear()
    on = line(books)
    await on.start([book])
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await talk(on)
        assert (BOOKED, conversation.state.slots[1].call_id) == (["Monday"], "c1")
        await on.hangs_up()


async def test_an_agent_that_has_nodes_of_its_own_keeps_them():
    seen = []

    class Own(Desk):
        async def on_user_turn_completed(self, turn_ctx, new_message):
            seen.append(("turn", new_message.text_content))

        async def llm_node(self, chat_ctx, tools, model_settings):
            seen.append(("asked", len(tools)))
            async for chunk in Agent.default.llm_node(self, chat_ctx, tools, model_settings):
                yield chunk

    on, desk = line(books), Own()
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start(agent=desk)
        await talk(on)
        assert seen == [("turn", "book Monday"), ("asked", 2), ("asked", 2)]
        assert conversation.state.runs[1].phase is Phase.DONE
        await on.hangs_up()
    assert "llm_node" not in vars(desk)
    assert "on_user_turn_completed" not in vars(desk)


async def test_watching_changes_nothing_that_livekit_sees():
    on, desk = line(books), Desk()
    async with Guard("memory", mode="observe") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start(agent=desk)
        await talk(on)
        assert desk.booked == [("Monday", "c1", "tool_exec_book")]
        assert conversation.state.runs[1].phase is Phase.DONE
        await on.hangs_up()


def test_the_other_order_is_refused_with_what_to_do():
    @function_tool
    async def cancel(day: str) -> str:
        """Cancel a day."""
        return day

    with pytest.raises(DeclarationError, match=r"@function_tool above @toolguard.mutation"):
        toolguard.mutation(identity="day")(cancel)


def test_a_tool_that_is_given_twice_is_told():
    with pytest.raises(DeclarationError, match="two tools are named book"):
        function_tools([book.__wrapped__, book.__wrapped__])


async def test_two_tools_of_one_name_are_told():
    @function_tool(name="book")
    @toolguard.mutation(identity="day", name="book")
    async def other(day: str) -> str:
        """Book a day elsewhere."""
        return day

    on = line(books)
    async with (
        Guard("memory", tools=[other.__wrapped__]) as guard,
        protect(on.session, guard, id="conv-1") as conversation,
    ):
        with pytest.raises(DeclarationError, match="two tools are named book"):
            Toolbox(conversation, watching=False).adapt([book])


async def test_a_tool_with_two_names_is_told():
    @function_tool(name="reserve")
    @toolguard.mutation(identity="day")
    async def keep(day: str) -> str:
        """Keep a day."""
        return day

    on = line(books)
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        with pytest.raises(DeclarationError, match=r'name="reserve"'):
            Toolbox(conversation, watching=False).adapt([keep])


async def test_a_call_that_is_no_whole_one_runs_nothing():
    BOOKED.clear()

    def broken(request):
        if len(on.model.requests) == 1:
            return [Call("book", "c1", '{"day": "Mon')]
        return ["Which day was it?"]

    on = line(broken)
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start([book])
        await talk(on)
        assert BOOKED == []
        assert conversation.state.slots[1].verdict == "incomplete"
        assert on.said == ["Which day was it?"]
        await on.hangs_up()


async def test_livekits_own_way_to_test_an_agent_works_with_guarded_tools():
    on, desk = line(books), Desk()
    on.session.input.audio = on.session.output.audio = None
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start(agent=desk)
        result = await on.session.run(user_input="book Monday")
        result.expect.next_event().is_function_call(name="book", arguments={"day": "Monday"})
        result.expect.next_event().is_function_call_output(output="booked Monday")
        result.expect.next_event().is_message(role="assistant")
        assert conversation.state.runs[1].phase is Phase.DONE
        await on.hangs_up()
