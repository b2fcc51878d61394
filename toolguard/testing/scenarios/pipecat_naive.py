"""The same pipeline as a Pipecat bot has it without toolguard, with Pipecat's own defaults: what is then lost."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AsyncExitStack, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema

from toolguard.testing.scenarios.agents import LINGERS, apart
from toolguard.testing.scenarios.context_stage import ContextStage
from toolguard.testing.scenarios.driving import Driving, Naive
from toolguard.testing.scenarios.hooks import HOOKS
from toolguard.testing.scenarios.pipecat_setting import PipecatSetting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipecat.services.llm_service import FunctionCallParams

    from toolguard.testing.pipecat import Line
    from toolguard.testing.scenarios.driving import Process
    from toolguard.testing.scenarios.kit import Room, Script

_SERVICE = "pipecat/services/llm_service.py LLMService"
_AGGREGATOR = "pipecat/processors/aggregators/llm_response_universal.py LLMAssistantAggregator"
_LACKS = {
    "cancel_frame": "pipecat/frames/frames.py FunctionCallCancelFrame: it tells of Pipecat's own cancelling",
    "http_calls": f"{_SERVICE}.run_function_calls: calls come from the model alone",
    "half_calls": f"{_SERVICE}.run_function_calls: services pass on whole calls alone",
    "text_arguments": "pipecat/services/openai/base_llm.py BaseOpenAILLMService: a call that is no JSON is dropped",
    "second_line": f"{_SERVICE}: services connect to their providers by themselves",
    "refused_replies": f"{_AGGREGATOR}._maybe_push_context: a reply is run or held, and nobody refuses it",
    "queued_speech": f"{_AGGREGATOR}._maybe_push_context: the model is not asked while the agent is heard",
    "replaced_responses": "pipecat/processors/aggregators/llm_response_universal.py LLMUserAggregator: what is said "
    "after a turn's end is another turn, and the response to the first one stays",
    "frame_order": f"{_SERVICE}._run_function_call: the frames of a call come in one order",
}


class OverPipecat(Driving[PipecatSetting]):
    """What both drivers over Pipecat have; their process can be made to die in the middle of a play."""

    name = "pipecat"
    hooks: frozenset[str] = frozenset(HOOKS) - _LACKS.keys()
    lacks: Mapping[str, str] = MappingProxyType(_LACKS)
    verbs = ContextStage.verbs

    def setting(self, script: Script, room: Room, faults: list[str], since: float | None) -> PipecatSetting:
        """A Pipecat pipeline."""
        return PipecatSetting(script, room, faults, since)


class NaivePipecat(OverPipecat):
    """The application of the reports: plain handlers, and whatever Pipecat does by itself."""

    guarded = False

    def process(self, setting: PipecatSetting) -> Process:
        """The application's process."""
        return _NaiveApp(setting)


class _NaiveApp(Naive[PipecatSetting]):
    def __init__(self, setting: PipecatSetting) -> None:
        super().__init__(setting)
        self._tools = setting.workshop.naive()
        self._running: list[AsyncExitStack] = []
        self._moves: set[asyncio.Task[None]] = set()

    async def begin(self, messages: list[Any] | None = None) -> None:
        setting = self._setting
        line = setting.line(self._schemas(), messages or ())
        self._running.append(await setting.run(line))
        setting.stage.application = self
        setting.workshop.conversation = self

    def _schemas(self) -> list[FunctionSchema]:
        return [
            FunctionSchema(
                name=one["name"],
                description=one["description"],
                properties=one["parameters"]["properties"],
                required=one["parameters"]["required"],
                handler=_handler(self._tools[one["name"]]),
            )
            for one in self._setting.workshop.schemas()
        ]

    def compact(self, keep_last: int) -> None:
        """Shorten the history to its last messages, whatever they are."""
        messages = self._line.context.get_messages()
        app = self._setting.app
        self.shorten(messages)
        app["rendered"] = {"chat_completions": app["cuts"][min(keep_last, len(messages))]}

    @property
    def _line(self) -> Line:
        return self._setting.lines[-1]

    async def hand_off(self, *, to: str) -> None:
        """Somebody else speaks from now on: on another pipeline, or in this one."""
        if not apart(self._setting.script):
            self._setting.floors.append((self._setting.stage.now(), to))
            return
        task = asyncio.create_task(self._moved(to), name="moving")
        self._moves.add(task)
        task.add_done_callback(self._moves.discard)

    async def _moved(self, to: str) -> None:
        """The next agent begins in a pipeline of its own and is told who it is."""
        setting, before = self._setting, self._running[-1]
        await self.begin([{"role": "system", "content": f"You are {to}."}])
        setting.app.setdefault("moved", []).append(setting.stage.now())
        setting.floors.append((setting.stage.now(), to))
        setting.side.asks("client")
        await asyncio.sleep(LINGERS)
        self._running.remove(before)
        await before.aclose()

    async def again(self) -> None:
        """It starts again with the context that it has kept."""
        kept = list(self._line.context.get_messages())
        await self.end()
        await self.begin(kept)

    async def end(self) -> None:
        for move in list(self._moves):
            move.cancel()
            with suppress(asyncio.CancelledError):
                await move
        for running in reversed(self._running):
            await running.aclose()
        self._running.clear()


def _handler(tool: Callable[..., Any]) -> Callable[[FunctionCallParams], Any]:
    async def handle(params: FunctionCallParams) -> None:
        result = tool(**params.arguments)
        if inspect.isawaitable(result):
            result = await result
        await params.result_callback(result)

    return cast("Callable[[FunctionCallParams], Any]", handle)
