"""Which response of LiveKit's model is which: asked for, streamed, heard or cut off, and whose calls it made."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_features import agents

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Collection

    from toolguard.adapters.livekit_port import LiveKitPort
    from toolguard.engine.session import Session

ASK_AGAIN = 2
"""How often in a row a model is asked to go on that makes calls which are no whole ones."""
AGAIN = "-again"
"""What stands in the id of a call that the model has made under the id of another one: contexts have each id once."""


class Response:
    """One request to the model and what comes of it; a speech of LiveKit's has several, one for each step.

    Attributes:
        id: Its generation in the journal.
        handle: The speech that it belongs to.
        begun: Whether the session knows of it: one that LiveKit makes ahead of time may never be used.
        status: How its stream ended; empty while it lasts.
        over: Whether the session knows that it is over.
        calls: Its calls, in order.
        coming: Guarded calls of it that LiveKit has not made yet: until then it is not over (O9).
        broken: Calls of it that were no whole ones, by id and name.
        text: What it said, heard or not.
        told: Whether LiveKit has told what of it was heard; of a speech that was cut off at once it does not.
        to_turn: Whether it answers a turn of the caller.
    """

    def __init__(self, handle: agents.voice.SpeechHandle) -> None:
        self.id = generation_of(handle)
        self.handle = handle
        self.begun = False
        self.status = ""
        self.calls: list[str] = []
        self.coming: set[str] = set()
        self.over = False
        self.broken: list[tuple[str, str]] = []
        self.text = ""
        self.told = False
        self.to_turn = False


def generation_of(handle: agents.voice.SpeechHandle) -> str:
    """One response of the model: a speech of LiveKit's has several, one for each step."""
    return f"{handle.id}/{handle.num_steps}"


class Responses:
    """The responses of one session.

    Args:
        session: The guarded session.
        port: Its way out.
        guarded: The names of guarded tools, as they become known.
    """

    def __init__(self, session: Session, port: LiveKitPort, guarded: Collection[str]) -> None:
        self._session = session
        self._port = port
        self._guarded = guarded
        self._expected: deque[agents.voice.SpeechHandle] = deque()
        self._last: dict[str, Response] = {}
        self._by_call: dict[str, Response] = {}
        self._broken = 0
        self._ids: set[str] = set()
        self._again: dict[str, str] = {}
        self._turn = False
        self.since_stop: Response | None = None
        """The response that began since the caller stopped speaking; the caller's side takes it away."""

    # -- what LiveKit's model is asked --------------------------------------------------------------------------

    def expect(self, handle: agents.voice.SpeechHandle) -> None:
        """The model is about to be asked for this speech."""
        self._expected.append(handle)

    def asked(self) -> Response | None:
        """The model is asked; None where nobody has said that it would be, as by code that calls the node itself."""
        while self._expected:
            handle = self._expected.popleft()
            if not handle.done():
                response = self._last[handle.id] = Response(handle)
                response.to_turn, self._turn = self._turn, False
                return response
        return None

    def turn_ended(self) -> None:
        """LiveKit asks the model now, or speaks what it had it say ahead of time: then that is a reply after all."""
        self._turn = True
        asyncio.get_running_loop().call_soon(self._adopt)

    def _adopt(self) -> None:
        for response in tuple(self._last.values()):
            if not response.begun and response.handle.scheduled:
                self.begin(response)

    def begin(self, response: Response) -> None:
        """The response is a reply that is to be heard.

        One to the caller's turn finds every open call answered (O2). For another one LiveKit shows a placeholder, in
        that request alone.
        """
        if response.begun:
            return
        response.begun = True
        self.since_stop = response
        self._port.responses += 1
        if response.to_turn:
            self._session.answering()
        self._session.generation_began(response.id)
        self._over(response)

    async def follow(self, stream: AsyncIterable[Any], response: Response) -> AsyncIterator[Any]:
        """Pass on what the model says; a call that is no whole one is not passed on (O10)."""
        status = "cancelled"
        try:
            async for chunk in stream:
                yield self._seen(chunk, response)
            status = "completed"
        except Exception:
            status = "failed"
            raise
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
            response.status = status
            self._over(response)

    def _seen(self, chunk: Any, response: Response) -> Any:
        if isinstance(chunk, str):
            response.text += chunk
        if not isinstance(chunk, agents.llm.ChatChunk) or chunk.delta is None:
            return chunk
        delta = chunk.delta
        response.text += delta.content or ""
        calls = [made for call in delta.tool_calls if (made := self._taken(call, response)) is not None]
        if calls == delta.tool_calls:
            return chunk
        return chunk.model_copy(update={"delta": delta.model_copy(update={"tool_calls": calls})})

    def _taken(self, call: agents.llm.FunctionToolCall, response: Response) -> agents.llm.FunctionToolCall | None:
        guarded = call.name in self._guarded
        if guarded and not _whole(call.arguments):
            response.broken.append((call.call_id, call.name))
            return None
        if guarded and call.call_id in self._ids:
            name = f"{call.call_id}{AGAIN}{len(self._again) + 2}"
            self._again[name] = call.call_id
            call = call.model_copy(update={"call_id": name})
        self._ids.add(call.call_id)
        self._by_call[call.call_id] = response
        response.calls.append(call.call_id)
        if guarded:
            response.coming.add(call.call_id)
        return call

    def as_made(self, call_id: str) -> str:
        """The id that the model has given a call, where it had given it to another one before."""
        return self._again.get(call_id, call_id)

    def _over(self, response: Response) -> None:
        if not response.begun or not response.status or response.over:
            return
        if response.coming and response.status == "completed" and not response.handle.done():
            return
        response.over = True
        session = self._session
        self._broken = self._broken + 1 if response.broken else 0
        for call_id, name in response.broken:
            goes_on = response.status == "completed" and self._broken <= ASK_AGAIN
            session.incomplete(call_id, name, generation=response.id, reply=goes_on)
        if response.status == "failed":
            session.cut_off(response.id)
        session.generation_ended(response.id, response.status)

    # -- what becomes of it -------------------------------------------------------------------------------------

    def of_call(self, context: agents.RunContext[Any]) -> tuple[Response, int]:
        """The response that made a call, and the call's place in it."""
        call_id, handle = context.function_call.call_id, context.speech_handle
        response = self._by_call.get(call_id)
        if response is None or response.handle is not handle:
            known = self._last.get(handle.id)
            if known is None or known.id != generation_of(handle):
                known = self._last[handle.id] = Response(handle)
            response = self._by_call[call_id] = known
        self.begin(response)
        if call_id not in response.calls:
            response.calls.append(call_id)
        return response, response.calls.index(call_id)

    def served(self, response: Response, call_id: str) -> None:
        """The session has a call of this response."""
        response.coming.discard(call_id)
        self._over(response)

    def unheard(self, handle: agents.voice.SpeechHandle, heard: str) -> str:
        """What a speech that was cut off would still have said."""
        response = self._last.get(handle.id)
        if response is not None:
            response.told = True
        whole, heard = (response.text.strip() if response is not None else ""), heard.strip()
        return whole[len(heard) :].strip() if whole.startswith(heard) else ""

    def done(self, handle: agents.voice.SpeechHandle) -> None:
        """A speech has ended: what its last response told and nobody heard out is told again."""
        if handle in self._expected:
            self._expected.remove(handle)
        response = self._last.pop(handle.id, None)
        if response is None or not response.begun:
            return
        self._over(response)
        if handle.interrupted and response.text.strip() and not response.told:
            self._session.agent_spoke(response.id, "", unheard=response.text.strip())
        if handle.interrupted or not (response.text or response.calls):
            self._session.cut_off(response.id)

    def forget(self, call_ids: set[str]) -> None:
        """LiveKit has the outputs of these calls."""
        for call_id in call_ids:
            self._by_call.pop(call_id, None)


def _whole(arguments: str | None) -> bool:
    """Whether the arguments are a whole JSON object; broken ones are never repaired (O10)."""
    try:
        return isinstance(json.loads(arguments or "{}"), dict)
    except json.JSONDecodeError:
        return False
