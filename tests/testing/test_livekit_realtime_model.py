"""The scripted realtime model under a real LiveKit session: it hears, speaks, is cut off, fails and reconnects."""

import asyncio

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit.agents import Agent, AgentSession, function_tool
from livekit.agents.llm import ChatContext, RealtimeError

from toolguard.testing.livekit import one_clock
from toolguard.testing.livekit_realtime import Call, Say, ScriptedRealtimeModel

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with one_clock():
        yield


def now():
    return asyncio.get_running_loop().time()


async def talking(script, *tools, **options):
    model = ScriptedRealtimeModel(script, **options)
    session = AgentSession(
        llm=model, vad=None, aec_warmup_duration=None, turn_handling={"turn_detection": "realtime_llm"}
    )
    session.output.set_audio_enabled(False)
    await session.start(Agent(instructions="You work at a front desk.", tools=list(tools)))
    return model, session


def booking(asked):
    if not asked.outputs:
        return [Call("book", "c1")]
    return [Say(f"It is {asked.outputs['c1']}.", 0.5)]


@function_tool
async def book() -> str:
    """Book."""
    await asyncio.sleep(1.0)
    return "booked"


async def test_a_turn_a_call_its_output_and_the_reply_take_their_time():
    model, session = await talking(booking, book, round_trip=0.2, thinks=0.1)
    ended = await model.speaks("book it", seconds=1.0)
    await asyncio.sleep(5)
    first, second = model.asked
    assert (first.by, first.said, first.at) == ("platform", "book it", pytest.approx(ended + 0.1))
    # half a round trip there, the tool, a round trip for the output, half a round trip and thinking for the reply
    assert second.at - first.at == pytest.approx(0.1 + 1.0 + 0.2 + 0.1 + 0.1, abs=0.01)
    assert (second.by, second.outputs, second.unanswered) == ("client", {"c1": "booked"}, ())
    assert first.tools == ("book",)
    assert first.instructions == "You work at a front desk."
    assert [item.text_content for item in model.live.chat_ctx.messages()] == ["book it", "It is booked."]
    await session.aclose()
    assert model.live.closed


async def test_who_speaks_cancels_the_response_and_gets_an_answer():
    model, session = await talking(lambda asked: [Say(f"About {asked.said}: " + "word " * 40, 8.0)])
    await model.speaks("one")
    await asyncio.sleep(0.5)
    await model.speaks("two")
    await asyncio.sleep(3)
    assert [one.status for one in model.live.server.responses] == ["cancelled", "completed"]
    assert [one.said for one in model.asked] == ["one", "two"]
    await session.aclose()


async def test_a_call_that_was_not_complete_when_the_caller_spoke_is_none():
    model, session = await talking(lambda asked: [] if asked.said == "two" else [Call("book", "c1", after=3.0)], book)
    await model.speaks("one")
    await asyncio.sleep(1)
    await model.speaks("two")
    await asyncio.sleep(5)
    assert not [item for item in model.live.server.items if item.type == "function_call"]
    await session.aclose()


@pytest.mark.parametrize(
    ("trouble", "seconds", "there"), [("refused", 0.0, False), ("lost", 5.0, False), ("unconfirmed", 5.0, True)]
)
async def test_an_update_fails_as_it_is_told_to(trouble, seconds, there):
    model, session = await talking(lambda _asked: [])
    context = ChatContext.empty()
    item = context.add_message(role="user", content="hello")
    model.live.troubles.append(trouble)
    began = now()
    with pytest.raises(RealtimeError):
        await model.live.update_chat_ctx(context)
    assert now() - began == pytest.approx(seconds)
    assert (item.id in {one.id for one in model.live.server.items}) is there
    assert not model.live.chat_ctx.items
    await session.aclose()


async def test_a_lost_connection_is_made_again_with_what_was_confirmed():
    model, session = await talking(booking, book)
    seen = []
    model.live.on("session_reconnected", seen.append)
    await model.speaks("book it")
    await asyncio.sleep(0.5)
    await model.live.drops(gap=2.0)
    assert len(seen) == 1
    await asyncio.sleep(3)
    kinds = [item.type for item in model.live.server.items]
    assert kinds == ["message", "function_call", "function_call_output", "message"]
    assert model.asked[-1].unanswered == ()
    await session.aclose()


async def test_one_that_answers_outputs_by_itself_is_not_asked():
    model, session = await talking(booking, book, capabilities={"auto_tool_reply_generation": True})
    await model.speaks("book it")
    await asyncio.sleep(5)
    assert [one.by for one in model.asked] == ["platform", "platform"]
    assert [one.accepted for one in model.asked] == [True, True]
    await session.aclose()


@pytest.mark.parametrize(("reusable", "sessions"), [(True, 1), (False, 2)])
async def test_a_hand_off_reuses_the_session_where_it_can(reusable, sessions):
    @function_tool
    async def move() -> Agent:
        """Hand over."""
        return Agent(instructions="You work at billing.")

    model, session = await talking(
        lambda asked: [] if asked.outputs else [Call("move", "c1")],
        move,
        capabilities={"mutable_chat_context": reusable},
    )
    await model.speaks("billing please")
    await asyncio.sleep(3)
    assert len(model.sessions) == sessions
    assert model.live.server.instructions == "You work at billing."
    # the next agent's context is empty: what the model knew is gone from the server
    assert not [item for item in model.live.server.items if item.type != "message"]
    await session.aclose()
