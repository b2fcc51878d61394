"""What a play over a LiveKit pipeline takes place in: model, ears, voice, loudspeaker, sessions, one clock."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from livekit.agents import Agent, AgentSession
from livekit.agents.llm import AgentHandoff, ChatMessage, FunctionCallOutput

from toolguard.adapters.livekit_responses import AGAIN
from toolguard.testing.livekit import Loudspeaker, Microphone, QuietVoice, ScriptedModel, one_clock
from toolguard.testing.scenarios.evidence import EPOCH, problems_of
from toolguard.testing.scenarios.ground import Ground
from toolguard.testing.scenarios.ledger import acts_in
from toolguard.testing.scenarios.livekit_stage import LiveKitStage, PipelineSide, items_of
from toolguard.testing.scenarios.played import Cut, Played, Request, Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from livekit.agents.llm import ChatContext

    from toolguard.testing import livekit
    from toolguard.testing.scenarios.kit import Room, Script

OURS = "tg_"
"""How the call ids of pairs begin by which late results are told."""
SHOWN_AGAIN = "_o"
"""How the ids of outputs end that another model's context is shown again."""
FIRST = "A"
"""The agent that a conversation begins with."""
ENDPOINTING = 0.15
"""Seconds of silence after which LiveKit takes the caller's turn as ended; the words come a moment before."""
WORDS_AFTER = 0.1
_LEAVES_WITHIN = 30.0


class Setting(Ground[LiveKitStage]):
    """Sessions and stage of one play, or, with ``since``, of the part that a second process plays.

    Attributes:
        room: The ``AgentSession``.
    """

    room: AgentSession[None]

    def __init__(self, script: Script, room: Room, faults: list[str], since: float | None = None) -> None:
        super().__init__(script, room, faults, since)
        self._stack = ExitStack()
        self._onsets: list[float] = []
        self._outputs: list[Sent] = []
        self._notes: list[Sent] = []
        self._cuts: list[Cut] = []
        self._ended: dict[str, float] = {}
        self._filler: dict[str, str] | None = None
        self._floors: list[tuple[float, str]] = []
        self._known: set[str] = set()
        self._lines = -1

    async def __aenter__(self) -> Self:
        self._stack.enter_context(one_clock(EPOCH.timestamp()))
        self.side = PipelineSide()
        part = self.begins()
        self.opens(LiveKitStage(part, self.side, self.base))
        if self.since is not None:
            await self.stage.until(self.since)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage.stop()
        self._stack.close()

    def connect(self) -> AgentSession[None]:
        """Another LiveKit session, not started yet."""
        self.side.renew()
        turns: Any = {
            "turn_detection": "vad",
            "endpointing": {"min_delay": ENDPOINTING, "max_delay": ENDPOINTING},
            "interruption": {"mode": "vad", "resume_false_interruption": False, "min_duration": 0.0},
            "preemptive_generation": {"enabled": False},
        }
        voice = QuietVoice(self._seconds, streaming=True)
        room: AgentSession[None] = AgentSession(
            llm=ScriptedModel(self._answers),
            stt=self.side.ears,
            vad=self.side.detector,
            tts=voice,
            aec_warmup_duration=None,
            turn_handling=turns,
        )
        self._speaker = Loudspeaker(voice)
        room.input.audio, room.output.audio = Microphone(), self._speaker
        self.room = self.side.room = room
        emitter: Any = room
        listening: Callable[..., Any] = emitter.on
        listening("user_state_changed", self._heard)
        listening("function_tools_executed", self._executed)
        listening("conversation_item_added", self._added)
        listening("tool_execution_updated", self._tool)
        listening("speech_created", self._speech)
        return room

    def _answers(self, request: livekit.Request) -> Any:
        return self.stage.answers(request)

    def _seconds(self, text: str) -> float:
        if self._filler is not None:
            self._filler["instructions"] += text
        shown = len(text.strip())
        return self.stage.milliseconds(text) / 1000 * (len(text) / shown if shown else 0.0)

    async def leave(self) -> None:
        """LiveKit's session ends."""
        async with asyncio.timeout(_LEAVES_WITHIN):
            await self.room.aclose()

    def agent(
        self,
        name: str,
        tools: Sequence[Any],
        before: Agent | None = None,
        begins: Callable[[], object] | None = None,
    ) -> Agent:
        """An agent of this name; one that takes over is given what the one before had in its context.

        Args:
            name: Its name.
            tools: Its tools.
            before: The agent before it.
            begins: Called when it has the conversation.
        """
        more: dict[str, Any] = {} if before is None else {"chat_ctx": before.chat_ctx}
        return _Named(self._find_news, begins, id=name, instructions=f"You are {name}.", tools=list(tools), **more)

    # -- what LiveKit tells -------------------------------------------------------------------------------------

    def _heard(self, event: Any) -> None:
        if event.new_state == "speaking":
            self._onsets.append(self.stage.now())

    def _executed(self, event: Any) -> None:
        for output in event.function_call_outputs:
            self._known.add(output.id)
            self._outputs.append(replace(self._sent(output), at=self._ended.pop(output.call_id, self.stage.now())))

    def _tool(self, event: Any) -> None:
        if event.update.type == "tool_call_ended":
            self._ended[event.update.call_id] = self.stage.now()

    def _speech(self, event: Any) -> None:
        if event.source == "say":
            self._filler = {"instructions": ""}
            asked = Request(self.stage.now(), "client", accepted=True, aside=True, fields=self._filler)
            self.stage.requests.append(asked)
        else:
            self._filler = None

    def _sent(self, output: FunctionCallOutput) -> Sent:
        return Sent(self.stage.now(), output.output, output.id, output.call_id, self._lines)

    def _added(self, event: Any) -> None:
        item = event.item
        if isinstance(item, AgentHandoff):
            self._lines += 1
            self.stage.line = self._lines
            if item.old_agent_id is not None:
                self._floors.append((self.stage.now(), item.new_agent_id))
                self.app.setdefault("moved", []).append(self.stage.now())
        elif isinstance(item, ChatMessage) and item.role == "assistant" and item.interrupted:
            heard = int(self.stage.now() - self._spoke_at())
            given = self._speaker.given
            if self.side.open and len((item.text_content or "").strip()) < len(given.strip()):
                self._cuts.append(Cut(self.stage.now(), given, heard))

    def _spoke_at(self) -> float:
        played = self._speaker.played
        return (played[-1][0] - self.base) * 1000 if played else self.stage.now()

    def _find_news(self, agent: Agent) -> None:
        """Look for news in the context: LiveKit tells nobody of it."""
        for item in agent.chat_ctx.items:
            if isinstance(item, FunctionCallOutput) and item.id not in self._known:
                self._known.add(item.id)
                if item.call_id == item.id and item.id.startswith(OURS):
                    self._notes.append(Sent(self.stage.now(), item.output, item.id, line=self._lines))
                elif item.id.startswith(OURS) and not item.id.endswith(SHOWN_AGAIN):
                    self._outputs.append(self._sent(item))

    # -- what is left of it -------------------------------------------------------------------------------------

    def played(self, adapter: str, *, guarded: bool) -> Played:
        """What is left of the play but the journal."""
        stage = self.stage
        items = items_of(self.room.current_agent.chat_ctx.items)
        return Played(
            script=self.script,
            adapter=adapter,
            guarded=guarded,
            requests=stage.requests,
            responses=stage.responses,
            outputs=self._outputs,
            notes=self._notes,
            items=items,
            problems=problems_of(items),
            given=[replace(one, call=one.call.partition(AGAIN)[0]) for one in self._outputs],
            cuts=self._cuts,
            floors=self._floors,
            onsets=self._onsets,
            turn_ms=(ENDPOINTING - WORDS_AFTER) * 1000,
            acts=acts_in(self.ledger),
            faults=tuple(self.faults),
            lag=stage.lag,
            app=self.app,
        )


class _Named(Agent):
    """An agent that has a name (LiveKit calls plain ones all the same), and tells when its context is changed."""

    def __init__(self, changed: Callable[[Agent], None], begins: Callable[[], object] | None, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        self._changed = changed
        self._begins = begins

    async def on_enter(self) -> None:
        """It has the conversation."""
        if self._begins is not None:
            self._begins()

    async def update_chat_ctx(self, chat_ctx: ChatContext, *, exclude_invalid_function_calls: bool = True) -> None:
        """As every agent does it."""
        await super().update_chat_ctx(chat_ctx, exclude_invalid_function_calls=exclude_invalid_function_calls)
        self._changed(self)
