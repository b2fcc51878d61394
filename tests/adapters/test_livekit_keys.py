"""Keys that the caller presses on a telephone line of LiveKit's."""

import asyncio

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit import rtc
from livekit.agents import Agent
from livekit.agents.voice.room_io import RoomOptions
from livekit_kit import line, until
from livekit_world import World, charging, running

from toolguard import Guard, Phase
from toolguard.adapters.livekit import function_tools, protect
from toolguard.engine.keys import Keys


async def test_a_key_that_cancels_stops_the_write():
    world, on, room = World(before=8.0), line(charging), rtc.Room()
    async with (
        Guard("memory", tools=world.tools, keys=Keys({"*": "cancellation"})) as guard,
        protect(on.session, guard, id="conv-1") as conversation,
    ):
        agent = Agent(instructions="You work at a front desk.", tools=function_tools(world.tools))
        options = RoomOptions(audio_input=False, audio_output=False, text_input=False, text_output=False)
        await on.session.start(agent, room=room, room_options=options)
        on.session.generate_reply(user_input="charge it")
        await until(running(conversation))
        room.emit("sip_dtmf_received", rtc.SipDTMF(code=10, digit="*"))
        await asyncio.sleep(0.1)
        assert conversation.state.runs[1].phase is Phase.CANCELLED
        await on.hangs_up()
    room.emit("sip_dtmf_received", rtc.SipDTMF(code=10, digit="*"))
    assert world.charged == []
