"""A Pipecat model that says and calls what a script tells it."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings

if TYPE_CHECKING:
    from pipecat.processors.aggregators.llm_context import LLMContext
    from pipecat.processors.frame_processor import FrameDirection


@dataclass(frozen=True)
class Called:
    """A tool call that the model makes."""

    name: str
    call_id: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Asked:
    """One request: what the model was shown, and when.

    Attributes:
        at: The loop's time.
        messages: A copy of the context's messages.
    """

    at: float
    messages: Sequence[Mapping[str, Any]]

    @property
    def said(self) -> str:
        """The caller's last words in it."""
        words = [str(one["content"]) for one in self.messages if one.get("role") == "user"]
        return words[-1] if words else ""

    @property
    def outputs(self) -> dict[str, str]:
        """Tool messages by the call's id, in order."""
        return {str(one["tool_call_id"]): str(one["content"]) for one in self.messages if one.get("role") == "tool"}

    @property
    def news(self) -> list[str]:
        """What was added about calls beside their outputs."""
        return [str(one["content"]) for one in self.messages if one.get("role") == "developer"]


Part = str | Called | Sequence[Called]
"""Something that the model does: words, a call, or several calls at once."""
Script = Callable[[Asked], Iterable[Part] | AsyncGenerator[Part, None]]
"""What the model does when it is asked; asynchronous where its parts come one after the other."""


class ScriptedModel(LLMService[Any]):
    """A model.

    Args:
        script: What it does when it is asked.
        **options: Options of Pipecat's ``LLMService``, as ``run_in_parallel``.

    Attributes:
        requests: Every request.
    """

    def __init__(self, script: Script, **options: Any) -> None:
        unset: dict[str, Any] = dict.fromkeys(
            one.name for one in dataclasses.fields(LLMSettings) if one.name != "extra"
        )
        super().__init__(settings=LLMSettings(**unset), **options)  # pyright: ignore[reportUnknownMemberType]
        self.script = script
        self.requests: list[Asked] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a context; pass everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self._answer(frame.context)
        else:
            await self.push_frame(frame, direction)

    async def _answer(self, context: LLMContext) -> None:
        shown = cast("list[dict[str, Any]]", copy.deepcopy(context.get_messages()))
        asked = Asked(asyncio.get_running_loop().time(), shown)
        self.requests.append(asked)
        parts = self.script(asked)
        await self.push_frame(LLMFullResponseStartFrame())
        if isinstance(parts, AsyncGenerator):
            async with aclosing(parts):
                async for part in parts:
                    await self._do(part, context)
        else:
            for part in parts:
                await self._do(part, context)
        await self.push_frame(LLMFullResponseEndFrame())

    async def _do(self, part: Part, context: LLMContext) -> None:
        if isinstance(part, str):
            await self.push_frame(LLMTextFrame(part))
            return
        calls = [part] if isinstance(part, Called) else part
        await self.run_function_calls(
            [
                FunctionCallFromLLM(
                    function_name=one.name, tool_call_id=one.call_id, arguments=one.arguments, context=context
                )
                for one in calls
            ]
        )
