"""Plays a timeline over the scripted speech-to-speech model: its server hears the caller and says what it is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from toolguard.testing.livekit_realtime import Call
from toolguard.testing.scenarios.livekit_stage import LiveKitStage, PipelineSide, items_of
from toolguard.testing.scenarios.played import Request
from toolguard.testing.scenarios.realtime_network import arguments_of

if TYPE_CHECKING:
    from toolguard.testing.livekit import QuietVoice
    from toolguard.testing.livekit_realtime import Asked, Response, ScriptedRealtimeModel, ScriptedServer
    from toolguard.testing.scenarios.context_stage import By, Turn
    from toolguard.testing.scenarios.data import Step
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.stage import Named


_FILLER = "Say exactly this"


class RealtimeSide(PipelineSide):
    """The framework's side of a play: the caller is heard by the model's server.

    Args:
        model: The model.
    """

    def __init__(self, model: ScriptedRealtimeModel) -> None:
        super().__init__()
        self._model = model

    @property
    def server(self) -> ScriptedServer:
        """The server of the newest session."""
        return self._model.live.server

    def caller_starts(self) -> None:
        """The caller begins to speak."""
        self.server.caller_starts()

    def caller_stops(self, words: str = "") -> None:
        """The caller stops: a turn, which the server answers."""
        self.server.caller_stops(words, transcribed=False, turn=True)

    def caller_partly(self, text: str) -> None:
        """Some of the words are understood."""
        self.server.caller_partly(text)

    def caller_said(self, text: str) -> None:
        """The words are understood."""
        self.server.caller_said(text)

    def asks(self, by: By) -> None:
        """The application asks for a reply, or the server makes one by itself."""
        if by == "client":
            self.room.generate_reply()
        else:
            self.server.respond("platform", at_once=True)


class LiveKitRealtimeStage(LiveKitStage):
    """One play.

    Args:
        script: What to play.
        side: The framework's side.
        base: Loop time of the timeline's zero.
        model: The model, which says what the timeline has for it.
    """

    side: RealtimeSide  # pyright: ignore[reportIncompatibleVariableOverride] - this one alone is set
    voice: QuietVoice
    """Knows how long what is said takes: LiveKit is told which words were heard, as its rooms tell it."""

    def __init__(self, script: Script, side: RealtimeSide, base: float, model: ScriptedRealtimeModel) -> None:
        super().__init__(script, side, base, {"caller.stops": LiveKitRealtimeStage.hushes})
        self._model = model
        model.behaviour.script = self.replies

    def hushes(self, step: Step) -> None:
        """The caller stops; the model has heard the words, whenever they are transcribed."""
        later = [one for one in self.script.steps if one.at >= step.at and one.verb in {"caller.said", "caller.starts"}]
        said = later[0].text if later and later[0].does == "said" else ""
        self.side.caller_stops(said)

    async def begin_in_time(self, named: Named) -> None:
        """The server begins it by itself, as soon as no other response is active."""
        await self.until(named.own[0].at)
        while self.side.server.active is not None and not named.begun and self.open:  # noqa: ASYNC110 - no bell
            await asyncio.sleep(0.01)
        await super().begin_in_time(named)

    # -- the model ----------------------------------------------------------------------------------------------

    def replies(self, asked: Asked) -> None:
        """The server's model has been asked: the response is made by the timeline."""
        response = self.side.server.responses[-1]
        if _FILLER in asked.instructions:
            said = asked.instructions.rpartition(_FILLER)[2]
            fields = {"instructions": said}
            self.requests.append(Request(self.now(), asked.by, accepted=True, aside=True, fields=fields))
            response.say(said, 1.0)
            response.finish()
            return
        turn = self.asked(items_of(asked.context.items), by=asked.by, line=self.line, speaking=asked.speaking)
        response.on_ended = turn.ended
        self.spawn(self._make(response, turn))

    async def _make(self, response: Response, turn: Turn) -> None:
        async for step in turn:
            if not response.active:
                return
            if step.does == "says":
                if step.ms:
                    self.voice.pieces.append((step.text, step.ms / 1000))
                response.say(step.text, step.ms / 1000)
            else:
                response.call(Call(step.tool, step.call, arguments_of(step)))
        response.finish()

    def refused(self) -> list[Request]:
        """Requests that the server refused because a response was active."""
        return [
            Request((one.at - self.base) * 1000, one.by, accepted=False, speaking=one.speaking, line=line)
            for line, session in enumerate(self._model.sessions)
            for one in session.server.asked
            if not one.accepted
        ]


LiveKitRealtimeStage.verbs = LiveKitStage.verbs
