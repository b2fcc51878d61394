"""A model that says and calls what a script tells it; every request is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from livekit.agents import llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions


@dataclass(frozen=True)
class Call:
    """A tool call that the model makes."""

    name: str
    call_id: str
    arguments: str = "{}"


@dataclass(frozen=True)
class Request:
    """What the model was shown, and when.

    Attributes:
        at: In the loop's time.
        ctx: The context.
        tools: The names of the tools that it could call.
    """

    at: float
    ctx: llm.ChatContext
    tools: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """The caller's last words in it."""
        texts = [one.text_content for one in self.ctx.items if one.type == "message" and one.role == "user"]
        return (texts[-1] or "") if texts else ""

    @property
    def outputs(self) -> dict[str, str]:
        """Outputs by call id, in order."""
        return {one.call_id: one.output for one in self.ctx.items if one.type == "function_call_output"}

    @property
    def texts(self) -> list[str]:
        """All messages, in order."""
        return [one.text_content or "" for one in self.ctx.items if one.type == "message"]

    @property
    def last(self) -> Any:
        """The last item."""
        return self.ctx.items[-1]

    def check(self) -> None:
        """Look for what a strict provider would refuse: a call without its one output right behind it, or a stray one.

        Raises:
            AssertionError: It says what and where.
        """
        ctx: Any = self.ctx
        messages: list[Any] = ctx.to_provider_format("openai")[0]
        seen: set[str] = set()
        open_: list[str] = []
        for message in messages:
            if message["role"] == "tool":
                _must(message["tool_call_id"] in open_, "an output without its call", messages)
                open_.remove(message["tool_call_id"])
                continue
            _must(not open_, f"no answer to {open_}", messages)
            open_ = [one["id"] for one in message.get("tool_calls") or ()]
            _must(not seen.intersection(open_), f"{open_} stands there twice", messages)
            seen.update(open_)
        _must(not open_, f"no answer to {open_}", messages)
        placed = {one.call_id for one in self.ctx.items if one.type == "function_call"}
        _must(placed == seen, "a call was dropped on the way to the provider", messages)


def _must(holds: object, otherwise: str, messages: object) -> None:
    if not holds:
        raise AssertionError(f"{otherwise}: {messages}")


Script = Callable[[Request], "Iterable[str | Call] | AsyncIterable[str | Call]"]
"""What the model says (text) and calls, given what it was shown."""


class ScriptedModel(llm.LLM[Any]):
    """A model after a script.

    Args:
        script: What it says.
    """

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script
        self.requests: list[Request] = []

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_options: Any,
    ) -> llm.LLMStream:
        """Answer a request."""
        return _Answering(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answering(llm.LLMStream):
    def __init__(self, model: ScriptedModel, **options: Any) -> None:
        super().__init__(model, **options)  # pyright: ignore[reportUnknownMemberType]
        self._model = model

    async def _run(self) -> None:
        names = tuple(one.info.name for one in self._tools if isinstance(one, llm.FunctionTool | llm.RawFunctionTool))
        request = Request(asyncio.get_running_loop().time(), self._chat_ctx.copy(), names)
        self._model.requests.append(request)
        name = f"answer-{len(self._model.requests)}"
        parts = self._model.script(request)
        if isinstance(parts, AsyncIterable):
            try:
                async for part in parts:
                    self._event_ch.send_nowait(_chunk(name, part))
            finally:
                if isinstance(parts, AsyncGenerator):
                    await parts.aclose()
        else:
            for part in parts:
                self._event_ch.send_nowait(_chunk(name, part))


def _chunk(name: str, part: str | Call) -> llm.ChatChunk:
    if isinstance(part, str):
        return llm.ChatChunk(id=name, delta=llm.ChoiceDelta(role="assistant", content=part))
    made = llm.FunctionToolCall(name=part.name, arguments=part.arguments, call_id=part.call_id)
    return llm.ChatChunk(id=name, delta=llm.ChoiceDelta(role="assistant", tool_calls=[made]))
