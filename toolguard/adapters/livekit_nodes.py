"""Around the nodes of the agent that has the conversation: every request passes by here, and every turn (O2, O4)."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_features import agents

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.adapters.livekit_caller import Caller
    from toolguard.adapters.livekit_moves import Moves
    from toolguard.adapters.livekit_port import LiveKitPort
    from toolguard.adapters.livekit_responses import Responses
    from toolguard.adapters.livekit_tools import Toolbox


class Nodes:
    """The nodes of the agents of one session; each agent's own, overridden or not, go on working inside.

    Args:
        toolbox: The guarded tools that agents bring along.
        caller: The caller's side.
        port: The way out; None where the session only watches, as for what follows.
        responses: The model's responses.
        moves: What a new agent has to see.
    """

    def __init__(
        self,
        toolbox: Toolbox,
        caller: Caller,
        port: LiveKitPort | None,
        responses: Responses | None,
        moves: Moves | None,
    ) -> None:
        self._toolbox = toolbox
        self._caller = caller
        self._port = port
        self._responses = responses
        self._moves = moves
        self._on: agents.Agent | None = None
        self._ours: dict[str, Any] = {}

    def put_on(self, agent: agents.Agent) -> None:
        """This agent has the conversation now."""
        if agent is self._on:
            return
        self.take_off()
        self._on = agent
        self._ours = {"llm_node": self._llm_node(agent.llm_node)}
        if self._port is not None:
            self._ours["on_user_turn_completed"] = self._turn_completed(agent.on_user_turn_completed)
        vars(agent).update(self._ours)

    def take_off(self) -> None:
        """It has it no more; what somebody else has put around its nodes since then stays."""
        if self._on is None:
            return
        own = vars(self._on)
        for name, ours in self._ours.items():
            if own.get(name) is ours:
                del own[name]
        self._on, self._ours = None, {}

    # -- the model is asked -------------------------------------------------------------------------------------

    def _llm_node(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def llm_node(
            chat_ctx: agents.llm.ChatContext, tools: list[agents.llm.Tool], model_settings: agents.ModelSettings
        ) -> Any:
            response = self._responses.asked() if self._responses is not None else None
            if self._moves is not None:
                await self._moves.ready(chat_ctx)
            if self._responses is not None and response is not None and response.handle.scheduled:
                self._responses.begin(response)
            self._toolbox.adapt(tools)
            if self._port is not None:
                self._show(chat_ctx, self._port)
            stream = inner(chat_ctx, tools, model_settings)
            if inspect.isawaitable(stream):
                stream = await stream
            self._toolbox.adapt(tools)
            if self._responses is None or response is None or not isinstance(stream, AsyncIterable):
                return stream
            return self._responses.follow(stream, response)  # pyright: ignore[reportUnknownArgumentType]

        return llm_node

    def _show(self, chat_ctx: agents.llm.ChatContext, port: LiveKitPort) -> None:
        """LiveKit shows its own placeholder for a call that was just answered: show what it was answered with."""
        for item in chat_ctx.items:
            if item.type == "function_call_output":
                item.output = port.answer(item.call_id) or item.output
        port.shown(chat_ctx.items)

    # -- the caller's turn has ended ----------------------------------------------------------------------------

    def _turn_completed(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def on_user_turn_completed(turn_ctx: agents.llm.ChatContext, new_message: agents.ChatMessage) -> None:
            no_turn = await self._caller.is_no_turn()
            self._caller.took(new_message)
            if no_turn:
                raise agents.StopResponse
            await inner(turn_ctx, new_message=new_message)
            if self._responses is not None:
                self._responses.turn_ended()

        return on_user_turn_completed
