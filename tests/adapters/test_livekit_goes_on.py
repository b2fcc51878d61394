"""A conversation that goes on after its process died, and other ends that nobody plans."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit.agents import Agent, function_tool, llm
from livekit_kit import Call, line, now, until, wall_follows_loop
from livekit_world import form

import toolguard
from toolguard import Guard, Phase
from toolguard.adapters.livekit import protect
from toolguard.engine.clock import LoopClock
from toolguard.engine.limits import Limits
from toolguard.stores.memory import MemoryStore
from toolguard.testing.livekit.clock import EPOCH

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with wall_follows_loop():
        yield


CHARGED = []


@function_tool
@toolguard.mutation(identity="order", commits="inside")
async def charge(order: str) -> dict[str, str]:
    """Charge an order."""
    async with toolguard.committing():
        CHARGED.append(order)
        await asyncio.sleep(8.0 if order == "slow" else 0.5)
    return {"charge": "ch_1"}


class Greeter(Agent):
    async def on_enter(self):
        self.session.generate_reply()


def charging(request):
    if request.said.startswith("charge") and not request.outputs:
        return [Call("charge", f"c{len(CHARGED)}", f'{{"order": "{request.said.split()[1]}"}}')]
    return [f"Known: {[form(text) or text for text in request.outputs.values()]}"]


@asynccontextmanager
async def process(store, *, agent=None, script=charging):
    """One process of the application; at its end it is cancelled, in the middle of whatever it does."""
    on, entered, found = line(script), asyncio.Event(), []
    # a process that dies has no time to wait for commits
    async with Guard(
        store, clock=LoopClock(datetime.fromtimestamp(EPOCH, UTC)), limits=Limits(drain=0.0), tools=[charge.__wrapped__]
    ) as guard:

        async def serve():
            async with protect(on.session, guard, id="conv-1") as conversation:
                found.append(conversation)
                await on.start(agent=agent or Agent(instructions="You work at a desk.", tools=[charge]))
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(serve())
        await entered.wait()
        yield on, found[0]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await on.hangs_up()


def shown(request):
    return [
        (item.type, getattr(item, "text_content", None) or getattr(item, "output", "")) for item in request.ctx.items
    ]


@pytest.mark.parametrize("greets", [False, True], ids=["waits", "greets"])
async def test_the_next_process_shows_its_model_what_was_said_and_done(greets):
    CHARGED.clear()
    store = MemoryStore()
    async with process(store) as (on, _):
        await on.ears.speaks("charge quick")
        await until(lambda: on.said)
    agent = (Greeter if greets else Agent)(instructions="You work at a desk.", tools=[charge])
    async with process(store, agent=agent) as (on, conversation):
        if not greets:
            await on.ears.speaks("are you still there?")
        await until(lambda: on.model.requests)
        request = on.model.requests[0]
        request.check()
        texts = request.texts
        assert texts.index("charge quick") < len(texts) - 1 or greets
        assert '{"charge":"ch_1"}' in request.outputs.values()
        assert {item.type for item in agent.chat_ctx.items} >= {"function_call", "function_call_output", "message"}
        assert conversation.state.agent == "agent"
        assert CHARGED == ["quick"]


async def test_a_call_that_is_in_doubt_stands_there_as_a_pair_that_says_so_and_is_not_repeated():
    CHARGED.clear()
    store = MemoryStore()
    async with process(store) as (on, _):
        await on.ears.speaks("charge slow")
        await until(lambda: CHARGED)
        await asyncio.sleep(1)

    def again(request):
        if request.said == "did it work?" and "c9" not in request.outputs:
            return [Call("charge", "c9", '{"order": "slow"}')]
        return ["I do not know."]

    async with process(store, script=again) as (on, conversation):
        assert conversation.state.runs[1].phase is Phase.IN_DOUBT
        await on.ears.speaks("did it work?")
        await until(lambda: on.said)
        first = on.model.requests[0]
        first.check()
        assert [form(text) for text in first.outputs.values()] == ["in_doubt"]
        assert form(on.model.requests[-1].outputs["c9"]) == "in_doubt"
        assert CHARGED == ["slow"]


async def test_the_agent_speaks_at_once_where_the_caller_waits_for_an_answer():
    CHARGED.clear()
    store = MemoryStore()
    async with process(store, script=lambda _: []) as (on, _):
        await on.ears.speaks("hello?")
        await asyncio.sleep(0.3)
    async with process(store, script=lambda _: ["I am here again."]) as (on, _):
        await until(lambda: on.said)
        assert on.model.requests[0].said == "hello?"


@asynccontextmanager
async def talking(script, **options):
    on = line(script)
    async with Guard("memory", **options) as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start([charge])
        yield on, conversation
        await on.hangs_up()


async def test_a_session_that_is_closed_with_a_call_in_flight_closes_in_time():
    CHARGED.clear()
    on = line(charging)
    async with Guard("memory") as guard:
        async with protect(on.session, guard, id="conv-1") as conversation:
            await on.start([charge])
            await on.ears.speaks("charge slow")
            await until(lambda: CHARGED)
            began = now()
            await on.hangs_up()
            assert now() - began < 2.1  # two of them LiveKit waits for words itself
        assert conversation.state.runs[1].phase is Phase.DONE


async def test_a_context_that_is_emptied_during_a_call_stays_valid_and_the_result_is_told_once():
    CHARGED.clear()
    async with talking(charging) as (on, _):
        await on.ears.speaks("charge slow")
        await until(lambda: CHARGED)
        await on.session.current_agent.update_chat_ctx(llm.ChatContext.empty())
        await asyncio.sleep(20)
        told = [text for text in on.said if "ch_1" in text or "done" in text]
        assert len(told) == 1
        assert CHARGED == ["slow"]
        for request in on.model.requests:
            request.check()


async def test_a_body_that_swallows_its_cancellation_is_not_waited_for():
    done = []

    @function_tool
    @toolguard.mutation(identity="order", commits="inside")
    async def stubborn(order: str) -> str:
        """Do something."""
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
        async with toolguard.committing():
            done.append(order)
        return "done"

    def script(request):
        if request.said == "do it" and not request.outputs:
            return [Call("stubborn", "c1", '{"order": "o-1"}')]
        return ["Stopped."]

    on = line(script)
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start([stubborn])
        await on.ears.speaks("do it")
        await until(lambda: 1 in conversation.state.runs)
        await asyncio.sleep(1)
        ended = await on.ears.speaks("no, cancel that")
        await until(lambda: on.asked("no, cancel that"))
        assert now() - ended < 0.4
        assert form(on.request("no, cancel that").outputs["c1"]) == "cancelled"
        await asyncio.sleep(20)
        assert done == []
        await on.hangs_up()
