"""A real LiveKit AgentSession without a room: scripted model, ears, voice and loudspeaker, all on the loop's clock."""

import asyncio
import time
from dataclasses import dataclass, field

from livekit.agents import Agent, AgentSession, llm, stt, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities

RATE = 16_000
SECONDS_PER_LETTER = 0.02
ENDPOINTING = 0.2
"""Seconds of silence after which LiveKit takes the caller's turn as ended."""
EPOCH = 1_750_000_000.0
_TURNS = {
    "turn_detection": "stt",
    "endpointing": {"min_delay": ENDPOINTING, "max_delay": ENDPOINTING},
    "interruption": {"mode": "vad", "resume_false_interruption": False, "min_duration": 0.0},
    "preemptive_generation": {"enabled": False},
}


def wall_follows_loop(monkeypatch):
    """Let ``time.time()`` run with the loop: LiveKit mixes both when it waits for the end of a turn."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(time, "time", lambda: EPOCH + loop.time())


def now():
    return asyncio.get_running_loop().time()


async def until(condition, *, within=20.0):
    """Wait for something to become true; the bound is in the loop's time."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


@dataclass
class Request:
    """What the model was shown, and when."""

    at: float
    ctx: llm.ChatContext

    @property
    def said(self):
        """The caller's last words in it."""
        texts = [one.text_content for one in self.ctx.items if one.type == "message" and one.role == "user"]
        return texts[-1] if texts else ""

    @property
    def outputs(self):
        """Outputs by call id, in order."""
        return {one.call_id: one.output for one in self.ctx.items if one.type == "function_call_output"}

    @property
    def last(self):
        return self.ctx.items[-1]

    def check(self):
        """What a strict provider would refuse: a call without its one output right behind it, or one out of place."""
        messages, _ = self.ctx.to_provider_format("openai")
        seen, open_ = set(), []
        for message in messages:
            if message["role"] == "tool":
                assert message["tool_call_id"] in open_, messages
                open_.remove(message["tool_call_id"])
                continue
            assert not open_, f"unanswered {open_} in {messages}"
            open_ = [one["id"] for one in message.get("tool_calls") or ()]
            assert not seen.intersection(open_), f"{open_} is there twice"
            seen.update(open_)
        assert not open_, f"unanswered {open_} in {messages}"
        placed = [one for one in self.ctx.items if one.type == "function_call"]
        assert {one.call_id for one in placed} == seen, "a call was dropped on the way to the provider"


@dataclass
class Call:
    """A tool call that the model makes."""

    name: str
    call_id: str
    arguments: str = "{}"


class ScriptedModel(llm.LLM):
    """``script(request)`` gives what the model says and calls; every request is kept."""

    def __init__(self, script):
        super().__init__()
        self.script = script
        self.requests = []

    def chat(self, *, chat_ctx, tools=None, conn_options=DEFAULT_API_CONNECT_OPTIONS, **_options):
        return _Answering(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answering(llm.LLMStream):
    async def _run(self):
        request = Request(now(), self._chat_ctx.copy())
        self._llm.requests.append(request)
        for part in self._llm.script(request):
            delta = llm.ChoiceDelta(role="assistant")
            if isinstance(part, Call):
                made = llm.FunctionToolCall(name=part.name, arguments=part.arguments, call_id=part.call_id)
                delta.tool_calls = [made]
            else:
                delta.content = part
            self._event_ch.send_nowait(llm.ChatChunk(id=f"answer-{len(self._llm.requests)}", delta=delta))


class ScriptedEars(stt.STT):
    """Hears what :meth:`speaks` tells it."""

    def __init__(self):
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.stream_now = None

    async def _recognize_impl(self, *_args, **_kwargs):
        raise NotImplementedError

    def stream(self, *, language=None, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        self.stream_now = _Hearing(stt=self, conn_options=conn_options)
        return self.stream_now

    async def speaks(self, words, seconds=0.4):
        """The caller speaks for a while; half of the words arrive on the way, all of them at the end, whose time it returns."""
        kind = stt.SpeechEventType
        self._tell(kind.START_OF_SPEECH)
        await asyncio.sleep(seconds / 2)
        if words:
            self._tell(kind.INTERIM_TRANSCRIPT, words[: len(words) // 2])
        await asyncio.sleep(seconds / 2)
        if words:
            self._tell(kind.FINAL_TRANSCRIPT, words)
        self._tell(kind.END_OF_SPEECH)
        return now()

    def _tell(self, kind, words=""):
        heard = [stt.SpeechData(language="en", text=words)] if words else []
        self.stream_now._event_ch.send_nowait(stt.SpeechEvent(type=kind, alternatives=heard))


class _Hearing(stt.RecognizeStream):
    async def _run(self):
        async for _frame in self._input_ch:
            pass
        await asyncio.get_running_loop().create_future()


class QuietVoice(tts.TTS):
    """Speech without a sound, as long as its text."""

    def __init__(self):
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return _Speaking(tts=self, input_text=text, conn_options=conn_options)


class _Speaking(tts.ChunkedStream):
    async def _run(self, output_emitter):
        output_emitter.initialize(request_id="v", sample_rate=RATE, num_channels=1, mime_type="audio/pcm")
        output_emitter.push(b"\0\0" * int(RATE * SECONDS_PER_LETTER * len(self._input_text)))
        output_emitter.flush()


class Microphone(AudioInput):
    """A microphone that is never spoken into: the ears are told what they hear."""

    def __init__(self):
        super().__init__(label="microphone")
        self._frames = utils.aio.Chan()

    async def __anext__(self):
        return await self._frames.__anext__()


class Loudspeaker(AudioOutput):
    """Plays at the pace of the loop's clock, and can be cut off."""

    def __init__(self):
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False), sample_rate=RATE)
        self._length = 0.0
        self._began = None
        self._end = None

    async def capture_frame(self, frame):
        await super().capture_frame(frame)
        if self._began is None:
            self._began = now()
            self.on_playback_started(created_at=time.time())
        self._length += frame.duration

    def flush(self):
        super().flush()
        if self._began is not None:
            rest = self._began + self._length - now()
            self._end = asyncio.get_running_loop().call_later(max(0.0, rest), self._stop, False)

    def clear_buffer(self):
        self._stop(True)

    def _stop(self, cut):
        if self._began is None:
            return
        if self._end is not None:
            self._end.cancel()
        played = min(self._length, now() - self._began)
        self._length, self._began, self._end = 0.0, None, None
        self.on_playback_finished(playback_position=played, interrupted=cut)


@dataclass
class Line:
    """A conversation in progress, and what became of it."""

    session: AgentSession
    model: ScriptedModel
    ears: ScriptedEars
    spoken: list = field(default_factory=list)
    executed: list = field(default_factory=list)

    @property
    def said(self):
        """What the caller heard to its end."""
        return [text for _, text, cut in self.spoken if not cut]

    def request(self, words):
        """The first request of the model after the caller's ``words``."""
        return next((one for one in self.model.requests if one.said == words), None)

    async def start(self, tools=()):
        await self.session.start(Agent(instructions="You work at a front desk.", tools=list(tools)))

    async def hangs_up(self):
        await self.session.aclose()


def line(script):
    """A session that is ready to start."""
    model, ears = ScriptedModel(script), ScriptedEars()
    session = AgentSession(
        llm=model, stt=ears, tts=QuietVoice(), vad=None, aec_warmup_duration=None, turn_handling=_TURNS
    )
    session.input.audio, session.output.audio = Microphone(), Loudspeaker()
    made = Line(session, model, ears)

    def added(event):
        item = event.item
        if item.type == "message" and item.role == "assistant":
            made.spoken.append((now(), item.text_content, item.interrupted))

    session.on("conversation_item_added", added)
    session.on("function_tools_executed", made.executed.append)
    return made
