"""A speech-to-speech model behind LiveKit, guarded: hand-offs, and going on after a crash."""

import asyncio
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit.agents import Agent, RunContext
from livekit.agents import function_tool as livekit_tool
from livekit_kit import now, one_clock, until
from livekit_realtime_kit import guarded, line
from livekit_world import World, form, running

import toolguard
from toolguard import Guard, Phase
from toolguard.adapters.livekit import function_tools, protect
from toolguard.stores.memory import MemoryStore
from toolguard.testing.livekit_realtime import Call, Say, ScriptedRealtimeModel

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with one_clock():
        yield


class Desk(Agent):
    """An agent with guarded tools."""

    def __init__(self, name, tools, **options):
        super().__init__(id=name, instructions=f"You are {name}.", tools=function_tools(tools), **options)


class Greeting(Desk):
    """One that speaks first."""

    async def on_enter(self):
        self.session.generate_reply()


def at_billing(model):
    return [one for one in model.asked if "You are billing." in one.instructions]


def moving(asked):
    """Looks for seats; hands over when it is asked to; whoever knows of the seats tells them."""
    here = "billing" if "You are billing." in asked.instructions else "reception"
    if any("4A" in text for text in asked.outputs.values()):
        return [Say(f"{here}: you have 4A and 4B.")]
    if not asked.calls:
        return [Call("seats", "c1")]
    if "billing" in asked.said and here == "reception":
        return [Call("move", "c2")]
    return [Say(f"{here}: {asked.said}.")]


@asynccontextmanager
async def handing(world, *, own_model=False, script=moving, guard=None, **options):
    """A line with an agent that can hand over to another one, which has the same model or one of its own."""
    other = ScriptedRealtimeModel(script) if own_model else None

    @toolguard.mutation(identity=())
    async def move(ctx: RunContext) -> Agent:
        """Hand over to billing."""
        return Greeting("billing", [one for one in world.tools if one.name == "seats"], **more)

    more = {"llm": other} if other is not None else {}
    world.tools.append(move)
    async with guarded(script, world, agent=Desk("reception", world.tools), guard=guard, **options) as (on, held):
        yield on, held, other or on.model


@pytest.mark.parametrize("own_model", [False, True], ids=["reused", "new"])
async def test_a_hand_off_takes_what_is_in_flight_along_and_the_next_agent_tells_it_once(own_model):
    world = World(looking=6.0)
    async with handing(world, own_model=own_model) as (on, conversation, model):
        await on.model.speaks("find me seats")
        await until(running(conversation))
        await asyncio.sleep(0.8)
        await on.model.speaks("now billing please")
        await until(lambda: at_billing(model), within=30)
        assert now() < 4, "the hand-off waited for the call"
        await until(lambda: any("4A" in text for text in on.said), within=30)
        await asyncio.sleep(15)
        assert [text for text in on.said if "4A" in text] == ["billing: you have 4A and 4B."]
        first = at_billing(model)[0]
        assert first.unanswered == ()
        assert form(first.outputs["c1"]) in {"still_running", "done"}
        assert world.looked == 1
        assert len(on.model.sessions) == 1
        assert conversation.agent == "billing"
        assert conversation.state.runs[1].phase is Phase.DONE


async def test_the_next_agents_greeting_stays_with_the_provider_while_it_is_spoken():
    """LiveKit takes the hand-off's call out with the next agent's context; that is no output that was lost."""

    @toolguard.mutation(identity=())
    async def move(context: RunContext) -> Agent:
        """Hand over to billing."""
        return Greeting("billing", [])

    def says(asked):
        if "You are billing." in asked.instructions:
            return [Say("Billing speaking, how can I help you today?")]
        return [Call("move", "c1")]

    async with guarded(says, World(), agent=Desk("reception", [move])) as (on, _):
        await on.model.speaks("billing please")
        await until(lambda: on.said)
        await asyncio.sleep(1)
        assert on.said == ["Billing speaking, how can I help you today?"]
        kept = [one.text_content for one in on.server.items if one.type == "message" and one.role == "assistant"]
        assert kept == on.said


async def test_an_agent_that_is_changed_by_the_application_waits_for_no_call():
    world = World(looking=20.0)
    async with handing(world) as (on, conversation, _):
        await on.model.speaks("find me seats")
        await until(running(conversation))
        began = now()
        on.session.update_agent(Desk("billing", world.tools[:3]))
        await until(lambda: on.server.instructions == "You are billing.")
        assert now() - began < 1
        assert conversation.agent == "billing"
        await until(lambda: len(on.said) == 2, within=40)
        await asyncio.sleep(15)
        # the words came when the first agent was gone, which had not answered them
        assert on.said == ["billing: find me seats.", "billing: you have 4A and 4B."]


async def test_livekit_alone_waits_for_it_and_loses_its_result():
    @livekit_tool
    async def seats() -> str:
        """Look for seats."""
        await asyncio.sleep(20.0)
        return "seats 4A and 4B"

    on = line(moving)
    await on.session.start(Agent(id="reception", instructions="You are reception.", tools=[seats]))
    await on.model.speaks("find me seats")
    await asyncio.sleep(0.5)
    on.session.update_agent(Agent(id="billing", instructions="You are billing.", tools=[seats]))
    began = now()
    await until(lambda: on.server.instructions == "You are billing.", within=60)
    assert now() - began > 15
    assert not [item for item in on.server.items if item.type == "function_call_output"]
    await on.session.aclose()


@pytest.mark.parametrize("own_model", [False, True], ids=["reused", "new"])
async def test_words_that_are_spoken_during_a_hand_off_reach_the_next_agent_and_are_answered(own_model):
    def greeting(asked):
        here = "billing" if "You are billing." in asked.instructions else "reception"
        return [Say(f"{here}: {asked.said or 'hello'}.")]

    class Slow(Desk):
        async def on_exit(self):
            await asyncio.sleep(2.0)

    world = World()
    other = ScriptedRealtimeModel(greeting) if own_model else None
    async with guarded(greeting, world, agent=Slow("reception", world.tools)) as (on, conversation):
        await on.model.speaks("good morning")
        await until(lambda: on.said)
        more = {"llm": other} if other is not None else {}
        on.session.update_agent(Desk("billing", world.tools, **more))
        await asyncio.sleep(0.2)
        await on.model.speaks("what do I owe?")
        await until(lambda: len(on.said) == 2, within=30)
        await asyncio.sleep(10)
        assert on.said == ["reception: good morning.", "billing: what do I owe?."]
        own = [item.text_content for item in on.session.current_agent.chat_ctx.items if item.type == "message"]
        assert own.count("what do I owe?") == 1
        assert [one.text for one in conversation.state.conversation.items if one.kind == "caller"] == [
            "good morning",
            "what do I owe?",
        ]


async def test_a_call_of_a_response_that_livekit_skips_while_it_changes_agents_is_closed_and_not_run():
    def eager(asked):
        if asked.said == "charge it" and not asked.calls:
            return [Call("charge", "c9", '{"order": "o-7"}')]
        return [Say("Very well.")]

    class Slow(Desk):
        async def on_exit(self):
            await asyncio.sleep(2.0)

    world = World()
    async with guarded(eager, world, agent=Slow("reception", world.tools), strict=False) as (on, _):
        on.session.update_agent(Desk("billing", world.tools))
        await asyncio.sleep(0.2)
        await on.model.speaks("charge it")
        await until(lambda: on.said, within=30)
        await asyncio.sleep(5)
        assert len(world.charged) <= 1
        assert on.model.asked[-1].unanswered == ()
        left = [item.call_id for item in on.server.items if item.type == "function_call"]
        assert set(left) <= set(on.model.asked[-1].outputs) | {"c9"}


async def test_after_a_crash_the_conversation_is_there_in_closed_pairs():
    store = MemoryStore()

    def talk(asked):
        known = [text for text in asked.outputs.values() if "ch_1" in text]
        if asked.said == "charge it" and not asked.calls:
            return [Call("charge", "c1", '{"order": "o-7"}')]
        return [Say("Your charge is ch_1." if known else "Nothing is known.")]

    first, second = World(before=0.1), World()
    on = line(talk)

    async def serve():
        async with Guard(store, tools=first.tools) as guard, protect(on.session, guard, id="c"):
            await on.session.start(Desk("reception", first.tools))
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await asyncio.sleep(0.5)
    await on.model.speaks("charge it")
    await until(lambda: on.said)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    await on.session.aclose()

    again = line(talk)
    async with Guard(store, tools=second.tools) as guard, protect(again.session, guard, id="c") as conversation:
        await again.session.start(Desk("reception", second.tools))
        assert [item.type for item in again.server.items][1:4] == ["message", "function_call", "function_call_output"]
        await again.model.speaks("did it go through?")
        await until(lambda: again.said)
        assert again.said == ["Your charge is ch_1."]
        assert again.problems() == []
        assert second.charged == []
        assert conversation.state.agent == "agent"
        await again.session.aclose()


async def test_a_tool_under_livekits_own_decorator_is_guarded_as_well():
    charged = []

    class Reception(Agent):
        @livekit_tool
        @toolguard.mutation(identity="order")
        async def charge(self, ctx: RunContext, order: str) -> str:
            """Charge an order."""
            charged.append((order, ctx.function_call.call_id, asyncio.current_task().get_name()))
            return "ch_1"

    world = World()
    world.tools = []

    def talk(asked):
        return [Say("Done.")] if asked.calls else [Call("charge", "c1", '{"order": "o-7"}')]

    async with guarded(talk, world, agent=Reception(instructions="x")) as (on, conversation):
        await on.model.speaks("charge it")
        await until(lambda: on.said)
        assert charged == [("o-7", "c1", "toolguard:charge")]
        assert conversation.state.runs[1].phase is Phase.DONE
        assert on.model.asked[0].tools == ("charge",)
