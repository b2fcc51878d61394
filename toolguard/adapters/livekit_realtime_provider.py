"""What a realtime provider has of the conversation, and what it lacks: it is given that until it confirms it (O4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_features import agents
from toolguard.adapters.livekit_port import LiveKitPort
from toolguard.adapters.livekit_realtime_context import at_once, calls, combined, kept, outputs, running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.engine.port import Parcel, Traits

    ChatItem = agents.llm.ChatItem
    RealtimeSession = agents.llm.RealtimeSession[Any]

CONFIRMED_WITHIN = 6.0
"""Seconds after which an output that LiveKit has given is looked for; its plugins wait five for the provider."""
RESTORED_WITHIN = 1.0
"""Seconds that a plugin has to put the conversation on a new connection, before we look what is missing."""
GIVE_AGAIN = 3
PAUSE = 0.5
"""Seconds until what the provider has not taken is given to it again."""
LOOKS_EVERY = 0.02


class Provider(LiveKitPort):
    """The part of the way out that keeps the provider's conversation as it has to be.

    LiveKit passes outputs on once, and warns where that fails. What goes in from here goes into the agent's context and
    the provider's as one.

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
        traits: What its model can do.
    """

    def __init__(self, agent_session: agents.AgentSession[Any], traits: Traits) -> None:
        super().__init__(agent_session, traits)
        self._owed: dict[str, tuple[ChatItem, ...]] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._giving: set[asyncio.Task[Any]] = set()
        self._last: RealtimeSession | None = None

    @property
    def line(self) -> RealtimeSession | None:
        """The realtime session of the agent that has the conversation; None before it begins and between agents."""
        try:
            agent: Any = self._room.current_agent
            line: RealtimeSession = agent.realtime_llm_session
        except RuntimeError:
            return None
        return line

    def stop(self) -> None:
        """The session has ended."""
        super().stop()
        for timer in self._timers:
            timer.cancel()

    # -- what the adapter saw -----------------------------------------------------------------------------------

    def executed(self, event: agents.FunctionToolsExecutedEvent) -> None:
        """LiveKit has these outputs, and is about to pass on what the provider does not have yet."""
        there = outputs(self.line.chat_ctx.items) if self.line is not None else {}
        for output in event.function_call_outputs:
            given = self.given.get(output.call_id)
            if given is not None:
                output.id = given.item  # it is the same item, wherever it is given (O4)
            if output.call_id not in there:
                self._owed[output.call_id] = (output,)
        self._later(CONFIRMED_WITHIN, self.look)

    def confirmed(self, item: ChatItem) -> None:
        """The provider has an item."""
        if isinstance(item, agents.FunctionCallOutput):
            self._owed.pop(item.call_id, None)
            self.shown([item])

    def look(self) -> None:
        """Give again what LiveKit has passed on and the provider does not have."""
        line = self.line
        if line is None:
            return
        there = outputs(line.chat_ctx.items)
        for call_id in list(self._owed):
            if call_id in there:
                self.confirmed(there[call_id])
        if self._owed and not self._giving:
            self._give_beside(self._again())

    def rebuilt(self) -> None:
        """The provider's connection was replaced: whatever the agent's context has and the provider lacks is given."""
        self._give_beside(self._restored())

    async def _restored(self) -> None:
        """The plugin puts there again what was confirmed; what it leaves out is given when that has been confirmed."""
        loop = asyncio.get_running_loop()
        until = loop.time() + RESTORED_WITHIN
        while self._lacks() and loop.time() < until:  # noqa: ASYNC110 - no plugin has a bell for it
            await asyncio.sleep(LOOKS_EVERY)
        if self._lacks():
            await self._put_there(())

    def _lacks(self) -> bool:
        """Whether the provider has not confirmed something of the agent's context."""
        line = self.line
        there = {item.id for item in line.chat_ctx.items} if line is not None else set[str]()
        return any(item.id not in there for item in kept(self._room.current_agent.chat_ctx.items))

    # -- what goes there ----------------------------------------------------------------------------------------

    def forget(self, item: str) -> None:
        """Take an item of the caller out of the conversation: it was no turn."""
        self._give_beside(self._put_there((), without=item))

    def as_known(self, items: Sequence[ChatItem], agent: agents.Agent) -> list[ChatItem]:
        """The same items, but as the provider has them where it does: it then has nothing to do about them."""
        there = self._last.chat_ctx.items if self._last is not None else ()
        given, made, own = outputs(there), calls(there), calls(agent.chat_ctx.items)
        told = outputs(items)
        found: list[ChatItem] = []
        for item in items:
            if isinstance(item, agents.FunctionCall):
                if item.call_id not in own:
                    same = item.call_id in given and given[item.call_id].output == told[item.call_id].output
                    found.append(made[item.call_id] if same and item.call_id in made else item)
            elif isinstance(item, agents.FunctionCallOutput):
                same = item.call_id in given and given[item.call_id].output == item.output
                known = given[item.call_id] if same else item
                call = own.get(item.call_id) or made.get(item.call_id)
                at = item.created_at if call is None else call.created_at
                found.append(known.model_copy(update={"created_at": at}))  # right behind its call
            else:
                found.append(item)
        return found

    def lay(self, items: Sequence[ChatItem], agent: agents.Agent) -> None:
        """Put items into the context of an agent that is about to begin: its model gets them with the rest of it."""
        context = agent.chat_ctx.copy()
        new = [item for item in items if context.get_by_id(item.id) is None]
        if new:
            context.insert(new)
            at_once(agent.update_chat_ctx(context, exclude_invalid_function_calls=False))
            self._room.history.insert([item for item in new if self._room.history.get_by_id(item.id) is None])

    async def put(self, items: Sequence[ChatItem], agent: agents.Agent | None = None) -> None:
        """Put items into an agent's context, and into the provider's where it has begun."""
        to = agent or self._room.current_agent
        if running(to):
            for item in items:
                if isinstance(item, agents.FunctionCallOutput):
                    self._owed[item.call_id] = tuple(
                        one for one in items if getattr(one, "call_id", "") == item.call_id
                    )
            await self._put_there(items)
            self._room.history.insert([item for item in items if self._room.history.get_by_id(item.id) is None])
        else:
            self.lay(items, to)

    async def behind_its_call(self, parcel: Parcel) -> None:
        """Put an output behind the calls of its batch; LiveKit would put it behind what has been said since (O1)."""
        line = self.line
        call = calls(line.chat_ctx.items).get(parcel.call_id) if line is not None else None
        if line is None or call is None:
            return
        output = agents.FunctionCallOutput(
            id=parcel.item, call_id=parcel.call_id, name=call.name, output=parcel.text, is_error=False
        )
        async with self._writing:
            items = list(line.chat_ctx.items)
            if parcel.call_id in outputs(items):
                return
            place = items.index(call) + 1
            while place < len(items) and items[place].type in {"function_call", "function_call_output"}:
                place += 1
            items.insert(place, output)
            try:
                await line.update_chat_ctx(agents.ChatContext(items))
            except agents.llm.RealtimeError as error:
                self._notice("not_taken", f"the provider has not taken an output: {error}")

    async def answer_there(self, parcel: Parcel) -> None:
        """An output that no call of LiveKit's waits for: the call has never been run, or not by this agent."""
        line = self.line
        known = calls(line.chat_ctx.items).get(parcel.call_id) if line is not None else None
        if known is None or line is None or parcel.call_id in outputs(line.chat_ctx.items):
            return
        output = agents.FunctionCallOutput(
            id=parcel.item, call_id=parcel.call_id, name=known.name, output=parcel.text, is_error=False
        )
        self._owed[parcel.call_id] = (known, output)
        await self._put_there([known, output])

    def _give_beside(self, work: Any) -> None:
        before = set(self._beside)
        self._run(work, "give")
        self._giving |= self._beside - before
        for task in self._beside - before:
            task.add_done_callback(self._giving.discard)

    async def _again(self) -> None:
        """Give what LiveKit has passed on in vain; the model has to be asked again where it had not seen that."""
        line = self.line
        if line is None or not self._owed:
            return
        known = calls(line.chat_ctx.items)
        new = [item for call_id, items in self._owed.items() if call_id in known or len(items) > 1 for item in items]
        taken = await self._put_there(new)
        if self.session is not None and taken:
            self.session.not_told(taken)

    async def _put_there(self, new: Sequence[ChatItem], *, without: str = "") -> list[str]:
        """Put items into the agent's context and the provider's, again where the provider fails (O4, H6).

        Returns:
            The calls whose outputs the provider has now.
        """
        async with self._writing:
            for attempt in range(GIVE_AGAIN):
                agent, line = self._room.current_agent, self.line
                theirs = line.chat_ctx.items if line is not None else ()
                try:
                    context = combined(agent.chat_ctx.items, theirs, new, without=without)
                    await agent.update_chat_ctx(context, exclude_invalid_function_calls=False)
                    break
                except agents.llm.RealtimeError as error:
                    self._notice("not_taken", f"the provider has not taken an update: {error}")
                    await asyncio.sleep(PAUSE * (attempt + 1))
        there = outputs(self.line.chat_ctx.items) if self.line is not None else {}
        given = outputs(new)
        for call_id, item in given.items():
            if call_id in there:
                self.confirmed(item)
            elif self._owed.pop(call_id, None):
                self._notice("not_confirmed", f"the provider never confirmed the output of {call_id}")
        return [call_id for call_id in given if call_id in there]

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            work()

        timer = asyncio.get_running_loop().call_later(seconds, fire)
        self._timers.add(timer)
