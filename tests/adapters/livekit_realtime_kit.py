"""A guarded agent on a real LiveKit session whose model hears and speaks by itself, all on the loop's clock."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from livekit.agents import Agent, AgentSession
from livekit_kit import now
from livekit_world import form

from toolguard import Guard
from toolguard.adapters.livekit import function_tools, protect
from toolguard.testing.livekit import Loudspeaker, Microphone
from toolguard.testing.livekit_realtime import Call, Say, ScriptedRealtimeModel


@dataclass
class Line:
    """A conversation in progress, and what became of it."""

    session: AgentSession
    model: ScriptedRealtimeModel
    spoken: list = field(default_factory=list)

    @property
    def said(self):
        """What the caller heard to its end."""
        return [text for _, text, cut in self.spoken if not cut]

    @property
    def server(self):
        return self.model.live.server

    def request(self, words):
        """The first request for a response after the caller's words."""
        return next((one for one in self.model.asked if one.said == words and one.accepted), None)

    def problems(self):
        """What is wrong with what the model was shown: calls without an output, and outputs or items refused."""
        found = [f"{one.unanswered} open at {one.at:.2f}" for one in self.model.asked if one.unanswered]
        for session in self.model.sessions:
            found += session.server.refused
            calls = [one.call_id for one in session.server.items if one.type == "function_call"]
            found += [f"{one} is there twice" for one in calls if calls.count(one) > 1]
        return found


def line(script, **options):
    """A session that is ready to start."""
    model = ScriptedRealtimeModel(script, **options)
    session = AgentSession(
        llm=model, vad=None, aec_warmup_duration=None, turn_handling={"turn_detection": "realtime_llm"}
    )
    session.input.audio, session.output.audio = Microphone(), Loudspeaker()
    made = Line(session, model)

    def added(event):
        item = event.item
        if item.type == "message" and item.role == "assistant":
            made.spoken.append((now(), item.text_content, item.interrupted))

    session.on("conversation_item_added", added)
    return made


@asynccontextmanager
async def guarded(script, world, *, strict=True, guard=None, agent=None, **options):
    """A line with a guarded agent on it, and its conversation."""
    on = line(script, **options)
    async with Guard("memory", tools=world.tools, **(guard or {})) as kept, protect(on.session, kept, id="c") as held:
        agent = agent or Agent(instructions="You work at a front desk.", tools=function_tools(world.tools))
        await on.session.start(agent)
        try:
            yield on, held
        finally:
            await on.session.aclose()
            if strict:
                assert on.problems() == []


def seating(asked):
    """Looks for seats; answers wishes meanwhile; tells the seats when it has them."""
    if not asked.calls:
        return [Call("seats", "c1")]
    if any("4A" in text for text in asked.outputs.values()):
        return [Say("You have 4A and 4B.")]
    return [Say(f"Noted: {asked.said}.")]


def charging(asked):
    """Charges once; tells the charge when it is known, and says that it works on it until then."""
    if not asked.calls:
        return [Call("charge", "c1", '{"order": "o-7"}')]
    known = [text for text in asked.outputs.values() if "ch_1" in text]
    return [Say("Your charge is ch_1.")] if known else [Say("I am still at it.")]


def forms(asked):
    """The forms of the outputs that the model was shown."""
    return [form(text) for text in asked.outputs.values()]
