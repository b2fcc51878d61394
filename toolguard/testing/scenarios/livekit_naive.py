"""The application of the reports, over a LiveKit pipeline: plain tools, LiveKit's own defaults."""

from __future__ import annotations

import inspect
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from livekit.agents import function_tool

from toolguard.testing.scenarios.agents import apart, naive_forms
from toolguard.testing.scenarios.driving import Driving, Naive
from toolguard.testing.scenarios.hooks import HOOKS
from toolguard.testing.scenarios.livekit_setting import FIRST, Setting
from toolguard.testing.scenarios.livekit_stage import LiveKitStage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.testing.scenarios.driving import Process
    from toolguard.testing.scenarios.kit import Room, Script

_LACKS = {
    "cancel_frame": "livekit/agents/llm/llm.py, ChatChunk: no chunk cancels a call by its id",
    "http_calls": "livekit/agents/voice/generation.py, perform_tool_executions: calls come from the model alone",
    "frame_order": "livekit/agents/llm/llm.py, FunctionToolCall: calls come as wholes",
    "refused_replies": "livekit/agents/voice/agent_activity.py, AgentActivity._schedule_speech: replies queue up",
    "replaced_responses": "livekit/agents/voice/agent_activity.py, AgentActivity.on_end_of_turn: what is said "
    "next is a turn of its own",
    "second_line": "livekit/agents/llm/llm.py, LLM.chat: each request is one of its own, no line could break",
    "fixed_speech": "livekit/agents/voice/agent_activity.py, AgentActivity._interrupt_by_audio_activity: a speech that "
    "is not to be interrupted drops the caller's turn",
    "half_calls": "livekit/agents/llm/llm.py, FunctionToolCall: calls come as wholes",
}


class OverLiveKit(Driving[Setting]):
    """What both drivers over a LiveKit pipeline have."""

    name = "livekit"
    hooks: frozenset[str] = frozenset(HOOKS) - set(_LACKS)
    lacks: Mapping[str, str] = MappingProxyType(_LACKS)
    verbs = LiveKitStage.verbs
    place = Setting

    def setting(self, script: Script, room: Room, faults: list[str], since: float | None) -> Setting:
        """A LiveKit session."""
        return self.place(script, room, faults, since)


class NaiveLiveKit(OverLiveKit):
    """The application of the reports: LiveKit's own tools and defaults."""

    guarded = False

    def process(self, setting: Setting) -> Process:
        """The application's process."""
        return _NaiveApp(setting)


class _NaiveApp(Naive[Setting]):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        plain, schemas = setting.workshop.naive(), setting.workshop.schemas()
        self._tools = [_tool(plain[schema["name"]], schema) for schema in schemas]
        setting.workshop.conversation = self
        setting.stage.application = self

    async def begin(self) -> None:
        room: Any = self._setting.connect()
        await room.start(self._setting.agent(FIRST, self._tools))

    async def hand_off(self, *, to: str) -> Callable[[Any], Any]:
        """What a hand-off tool of the application does; the next agent speaks first where it has a line of its own."""
        room, alone = self._setting.room, apart(self._setting.script)
        begins = room.generate_reply if alone else None
        agent = self._setting.agent(to, self._tools, room.current_agent, begins)
        return lambda result: agent if alone else (agent, result)

    def compact(self, keep_last: int) -> None:
        """Shorten the history to its last items, whatever they are."""
        app, items = self._setting.app, _raw(self._setting)
        self.shorten(items)
        app["rendered"] = naive_forms(app["cuts"][min(keep_last, len(items))])

    async def end(self) -> None:
        self._setting.side.open = False
        await self._setting.leave()

    async def again(self) -> None:
        await self.end()
        self._setting.side.open = True
        await self.begin()


def _tool(plain: Callable[..., Any], schema: dict[str, Any]) -> Any:
    async def call(raw_arguments: dict[str, object]) -> Any:
        result = plain(**raw_arguments)
        return await result if inspect.isawaitable(result) else result

    return function_tool(call, raw_schema={key: schema[key] for key in ("name", "description", "parameters")})


def _raw(setting: Setting) -> list[dict[str, Any]]:
    """The session's history as a provider's items."""
    kept = ("message", "function_call", "function_call_output")
    return [item.model_dump() for item in setting.room.history.items if item.type in kept]
