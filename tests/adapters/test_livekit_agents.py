"""One LiveKit session, several agents: what is in flight, what was done and what was said goes along (H2, H3, O9)."""

import asyncio

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit.agents import Agent, RunContext, function_tool
from livekit_kit import Call, line, now, until, wall_follows_loop
from livekit_world import form

import toolguard
from toolguard import Guard, Phase
from toolguard.adapters.livekit import protect

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with wall_follows_loop():
        yield


class Billing(Agent):
    """The next agent; it speaks first where it is told to."""

    def __init__(self, *, greets=False, **options):
        super().__init__(instructions="You are billing.", **options)
        self.greets = greets

    async def on_enter(self):
        if self.greets:
            self.session.generate_reply()


class Desk(Agent):
    """The first agent: it looks things up, books, and hands over."""

    def __init__(self, *, greets=False, value=None, history=True, looking=6.0):
        super().__init__(instructions="You are the front desk.")
        self.greets, self.value, self.history, self.looking = greets, value, history, looking
        self.booked, self.charged = [], []

    @function_tool
    @toolguard.read
    async def lookup(self) -> dict[str, int]:
        """Look something up."""
        await asyncio.sleep(self.looking)
        return {"flights": 3}

    @function_tool
    @toolguard.mutation(identity="day")
    async def book(self, day: str) -> str:
        """Book a day."""
        await asyncio.sleep(1.0)
        self.booked.append(day)
        return f"booked {day}"

    @function_tool
    @toolguard.mutation(identity="why")
    async def to_billing(self, context: RunContext, why: str):
        """Hand over to billing."""
        await asyncio.sleep(0.2)
        if self.value == "reports":
            await context.update("One moment.")
        options = {"chat_ctx": self.chat_ctx} if self.history else {}
        agent = Billing(greets=self.greets, **options)
        return agent if self.value in {None, "reports"} else (agent, self.value)

    @function_tool
    async def unguarded_to_billing(self):
        """Hand over to billing, without a guard."""
        return Billing(greets=self.greets, chat_ctx=self.chat_ctx)


def scripted(*turns, otherwise="All right."):
    """Turns by what the caller said last and whether the model was asked for it before."""
    left = dict(turns)

    def script(request):
        return left.pop(request.said, [otherwise])

    return script


def told(request):
    """All that the model reads in a request, in order."""
    shown = []
    for item in request.ctx.items:
        if item.type == "message":
            shown.append(item.text_content)
        elif item.type == "function_call_output":
            shown.append(item.output)
    return "\n".join(shown)


MOVE = Call("to_billing", "h1", '{"why": "a bill"}')


async def test_a_guarded_tool_hands_the_conversation_over():
    on, desk = line(scripted(("bill please", [MOVE]))), Desk(greets=True)
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1", agent="desk") as conversation:
        await on.start(agent=desk)
        await on.ears.speaks("bill please")
        await until(lambda: on.said)
        assert isinstance(on.session.current_agent, Billing)
        assert conversation.agent == "billing"
        assert conversation.state.runs[1].phase is Phase.DONE
        assert conversation.state.runs[1].result == b'{"handed_to":"billing"}'
        assert '{"handed_to":"billing"}' in told(on.model.requests[-1])
        assert len(on.model.requests) == 2
        for request in on.model.requests:
            request.check()
        await on.hangs_up()


async def test_a_value_beside_the_agent_is_the_result():
    on, desk = line(scripted(("bill please", [MOVE]), otherwise="I put you through.")), Desk(value="transferred")
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start(agent=desk)
        await on.ears.speaks("bill please")
        await until(lambda: on.said and isinstance(on.session.current_agent, Billing))
        assert conversation.state.runs[1].result == b'"transferred"'
        assert on.said == ["I put you through."]
        await on.hangs_up()


@pytest.mark.parametrize("history", [True, False], ids=["history", "cold"])
@pytest.mark.parametrize("way", ["to_billing", "unguarded_to_billing", "update_agent"])
async def test_a_result_in_flight_reaches_the_next_agent_and_is_told_once(way, history):
    script = scripted(
        ("find flights", [Call("lookup", "c1")]),
        ("bill please", [MOVE if way == "to_billing" else Call(way, "h1")]),
        otherwise="Go on.",
    )
    on, desk = line(script), Desk(history=history)
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start(agent=desk)
        await on.ears.speaks("find flights")
        await until(lambda: 1 in conversation.state.slots)
        await asyncio.sleep(1)
        if way == "update_agent":
            on.session.update_agent(Billing(**({"chat_ctx": desk.chat_ctx} if history else {})))
        else:
            await on.ears.speaks("bill please")
        await until(lambda: isinstance(on.session.current_agent, Billing))
        assert now() < 5
        await on.ears.speaks("are you there?")
        await until(lambda: on.asked("are you there?"))
        asked = on.request("are you there?")
        assert "still_running" in told(asked)
        await asyncio.sleep(15)
        assert conversation.state.runs[1].phase is Phase.DONE
        last = on.model.requests[-1]
        assert told(last).count('"flights":3') == 1
        assert conversation.state.agent == "billing"
        for request in on.model.requests:
            request.check()
        await on.hangs_up()


async def test_what_was_done_before_stays_known_though_the_next_agent_lacks_the_tool():
    script = scripted(
        ("book Monday", [Call("book", "c1", '{"day": "Monday"}')]), ("bill please", [MOVE]), otherwise="Done."
    )
    on, desk = line(script), Desk()
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1"):
        await on.start(agent=desk)
        await on.ears.speaks("book Monday")
        await until(lambda: on.said)
        await on.ears.speaks("bill please")
        await until(lambda: isinstance(on.session.current_agent, Billing))
        await on.ears.speaks("what did I book?")
        await until(lambda: on.asked("what did I book?"))
        assert "called book" in told(on.request("what did I book?"))
        assert "booked Monday" in told(on.request("what did I book?"))
        on.request("what did I book?").check()
        await on.hangs_up()


async def test_words_that_livekit_drops_during_the_hand_off_are_answered_by_the_next_agent():
    def script(request):
        if request.said == "bill please" and "h1" not in request.outputs:
            return [MOVE]
        return [f"About {request.said}"]

    on, desk = line(script), Desk(value="transferred, one moment please, it takes a little while to put you through")
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1"):
        await on.start(agent=desk)
        await on.ears.speaks("bill please")
        await until(lambda: on.session.agent_state == "speaking")
        await on.ears.speaks("it is about March")
        await until(lambda: isinstance(on.session.current_agent, Billing))
        await until(lambda: "About it is about March" in on.said)
        await asyncio.sleep(10)
        users = [i.text_content for i in on.session.history.items if i.type == "message" and i.role == "user"]
        assert users.count("it is about March") == 1
        assert on.said.count("About it is about March") == 1
        await on.hangs_up()


async def test_a_second_hand_off_in_a_batch_is_refused():
    again = Call("to_billing", "h2", '{"why": "another bill"}')
    on, desk = line(scripted(("bill please", [MOVE, again]))), Desk(greets=True)
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start(agent=desk)
        await on.ears.speaks("bill please")
        await until(lambda: isinstance(on.session.current_agent, Billing))
        assert {run.phase for run in conversation.state.runs.values()} == {Phase.DONE, Phase.FAILED}
        assert "hands the conversation over already" in told(on.model.requests[-1])
        await on.hangs_up()


async def test_an_agent_after_a_progress_update_is_refused_and_the_model_is_told():
    on, desk = line(scripted(("bill please", [MOVE]))), Desk(value="reports")
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start(agent=desk)
        await on.ears.speaks("bill please")
        await until(lambda: 1 in conversation.state.runs and conversation.state.runs[1].settled)
        await asyncio.sleep(5)
        assert isinstance(on.session.current_agent, Desk)
        assert conversation.state.runs[1].phase is not Phase.DONE
        assert "progress update" in told(on.model.requests[-1])
        await on.hangs_up()


async def test_a_hand_off_whose_preamble_is_cut_off_happens_all_the_same():
    def script(request):
        if request.said == "bill please" and "h1" not in request.outputs:
            return ["I put you through to billing now, please stay on the line for a moment. ", MOVE]
        return ["All right."]

    on, desk = line(script), Desk()
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1") as conversation:
        await on.start(agent=desk)
        await on.ears.speaks("bill please")
        await until(lambda: 1 in conversation.state.runs and conversation.state.runs[1].settled)
        await asyncio.sleep(0.2)
        assert on.session.agent_state == "speaking"
        await on.ears.speaks("thank you so much")
        await until(lambda: isinstance(on.session.current_agent, Billing))
        await asyncio.sleep(5)
        assert "did not happen" not in told(on.model.requests[-1])
        await on.hangs_up()


async def test_handing_back_works():
    on, desk = line(scripted()), Desk(looking=2.0)
    async with Guard("memory") as guard, protect(on.session, guard, id="conv-1", agent="desk") as conversation:
        await on.start(agent=desk)
        on.session.update_agent(Billing())
        await until(lambda: conversation.agent == "billing")
        again = Desk(looking=1.0)
        on.session.update_agent(again)
        await until(lambda: conversation.agent == "desk")
        on.model.script = lambda r: [Call("lookup", "c9")] if "c9" not in r.outputs else [form(r.outputs["c9"]) or "3"]
        await on.ears.speaks("find flights")
        await until(lambda: on.said)
        assert on.said == ["3"]
        await on.hangs_up()
