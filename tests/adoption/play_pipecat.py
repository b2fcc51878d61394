"""Plays Pipecat's bot with direct functions: the caller asks for a restaurant, and the model is told of one."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from pipecat.processors.filters.identity_filter import IdentityFilter
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from toolguard.testing.pipecat import Called, ScriptedCaller, ScriptedModel, ScriptedVoice

if TYPE_CHECKING:
    from pathlib import Path

    from toolguard.testing.pipecat import Asked

_FILE = "function-calling-direct.py"
_KEYS = ("DEEPGRAM_API_KEY", "CARTESIA_API_KEY", "OPENAI_API_KEY")
_SERVICES = (
    "pipecat.services.deepgram.stt",
    "pipecat.transports.daily.transport",
    "pipecat.transports.websocket.fastapi",
)
"""Modules of paid services, which need packages of theirs to be imported."""


@dataclass
class Table:
    """What became of the call.

    Attributes:
        found: What the model was shown of the restaurant in the end.
        journaled: The tools whose calls are in the trail, where the bot is guarded.
    """

    found: str
    journaled: list[str]

    @property
    def right(self) -> bool:
        """Whether the restaurant was found, and the call is in the trail."""
        return "The Golden Dragon" in self.found and self.journaled == ["get_restaurant_recommendation"]


def _script(asked: Asked) -> list[Any]:
    if asked.said == "where can I eat in Pune" and "c1" not in asked.outputs:
        return [Called("get_restaurant_recommendation", "c1", {"location": "Pune"})]
    return ["Let me see."]


class _Transport:
    """A transport without a network: its ends pass everything on, and nobody connects."""

    def __init__(self, voice: ScriptedVoice) -> None:
        self._voice = voice

    def input(self) -> Any:
        return IdentityFilter()

    def output(self) -> Any:
        return self._voice

    def event_handler(self, _name: str) -> Any:
        return lambda function: function


async def play(folder: Path) -> Table:
    """Answer one call with the bot in a folder, by its own entry point."""
    model, voice = ScriptedModel(_script), ScriptedVoice()
    journaled: list[str] = []
    with ExitStack() as stack:
        for name in _SERVICES:
            stack.enter_context(patch.dict(sys.modules, {name: _stand_in(name)}))
        stack.enter_context(patch.dict(os.environ, dict.fromkeys(_KEYS, "none")))
        bot = _imported(folder / _FILE)
        for name, made in (("CartesiaTTSService", IdentityFilter()), ("OpenAILLMService", model)):
            stack.enter_context(patch.object(bot, name, _service(made)))
        workers: list[Any] = []
        started = asyncio.Event()
        stack.enter_context(patch.object(bot, "PipelineWorker", _kept(bot.PipelineWorker, workers, started)))
        stack.enter_context(patch.object(bot, "LLMUserAggregatorParams", _by_voice_activity(bot)))
        running = asyncio.create_task(bot.run_bot(_Transport(voice), _Arguments()))
        await started.wait()
        await ScriptedCaller(workers[0]).speaks("where can I eat in Pune")
        async with asyncio.timeout(20):
            while not any("c1" in one.outputs for one in model.requests):
                await asyncio.sleep(0.01)
        await workers[0].cancel()
        await running
        guard = getattr(bot, "GUARD", None)
        if guard is not None:
            journaled = [call.tool async for call in guard.trail.calls()]
            await guard.close()
    return Table(model.requests[-1].outputs.get("c1", ""), journaled)


class _Arguments(SimpleNamespace):
    handle_sigint = False
    pipeline_idle_timeout_secs = None
    session_id = "conv-42"


def _imported(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("direct_bot", path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _stand_in(name: str) -> ModuleType:
    module: Any = ModuleType(name)
    module.DeepgramSTTService = _service(IdentityFilter())
    module.DailyParams = module.FastAPIWebsocketParams = SimpleNamespace
    return module


def _service(made: Any) -> Any:
    """A class of a service: whatever it is made with, it is the scripted one."""

    def make(*_args: Any, **_options: Any) -> Any:
        return made

    make.Settings = SimpleNamespace  # type: ignore[attr-defined]
    return make


def _kept(kind: Any, made: list[Any], started: asyncio.Event) -> Any:
    async def tell(_worker: Any, _frame: Any) -> None:
        started.set()

    def make(*args: Any, **options: Any) -> Any:
        worker = kind(*args, **{**options, "enable_rtvi": False})
        worker.add_event_handler("on_pipeline_started", tell)
        made.append(worker)
        return worker

    return make


def _by_voice_activity(bot: Any) -> Any:
    """Turns begin and end with the scripted caller's voice, and not with the model that hears a real one's."""
    kind = bot.LLMUserAggregatorParams
    turns = UserTurnStrategies(
        start=[VADUserTurnStartStrategy()], stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.05)]
    )
    return lambda **_options: kind(user_turn_strategies=turns)
