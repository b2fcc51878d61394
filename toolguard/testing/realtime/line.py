"""One live connection as a test holds it: the caller's verbs, the model's turn, and what a judge reads."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from math import ceil
from typing import TYPE_CHECKING, Any

from toolguard.testing.realtime.frames import Event, ScriptError
from toolguard.testing.realtime.script import OK, Output, Reply, ReplyRequest
from toolguard.testing.realtime.stage import Stage

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from toolguard.testing.realtime.conversation import Item, SecondOutput
    from toolguard.testing.realtime.generation import Generation

Model = Callable[["Line", ReplyRequest], Reply | Awaitable[Reply | None] | None]
"""Decides what the scripted model replies; None means that it says "ok"."""

SESSION_LIMIT = "Your session hit the maximum duration of 60 minutes."
_TICK = 0.1
_GOING_AWAY = 1001


class Line(Stage):
    """One connection of a client, from ``session.created`` to the end.

    Attributes:
        caller_speaking: Whether the caller is speaking.
        response_creates: The client's ``response.create`` events, accepted or refused.
        accepted_outputs: The outputs that the server took, in order.
        script_errors: What went wrong in the test's own handlers; the server raises it when it stops.
        echo_event_ids: Whether errors name the client's event.
        query: The query of the address that the client connected to.
    """

    def __init__(
        self,
        socket: ServerConnection,
        number: int,
        clock: Callable[[], float],
        *,
        query: dict[str, str],
        model: Model | None,
        second_output: SecondOutput,
        interrupt_response: bool,
        echo_event_ids: bool,
    ) -> None:
        super().__init__(socket, number, clock, model=query.get("model", "gpt-realtime-2"), second_output=second_output)
        self.query = query
        self.caller_speaking = False
        self.response_creates: list[ReplyRequest] = []
        self.accepted_outputs: list[Output] = []
        self.script_errors: list[BaseException] = []
        self.echo_event_ids = echo_event_ids
        self.buffered_audio_ms = 0.0
        self._interrupt_response = interrupt_response
        self._model = model
        self._speech: str | None = None
        self._last_speech: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # The caller.

    def speech_started(self, item_id: str | None = None, *, audio_start_ms: int | None = None) -> str:
        """Lets the caller begin to speak; an active response is cancelled, unless the session says otherwise.

        Args:
            item_id: Id that the turn will have, a new one if None.
            audio_start_ms: Where it begins in the caller's audio; now if None.

        Returns:
            The id.
        """
        if self._speech:
            raise ScriptError("The caller is speaking already.")
        self._speech = self._last_speech = item_id or self.new_id("item")
        self.caller_speaking = True
        begin = self._now_ms() if audio_start_ms is None else audio_start_ms
        self.send({"type": "input_audio_buffer.speech_started", "item_id": self._speech, "audio_start_ms": begin})
        detects = self.setting("audio", "input", "turn_detection").get("interrupt_response", True)
        if self.active and self._interrupt_response and detects:
            self.active.finish("cancelled", "turn_detected")
        return self._speech

    def speech_stopped(self, *, audio_end_ms: int | None = None, commit: bool = True, reply: bool = False) -> None:
        """Lets the caller stop speaking; the turn enters the conversation.

        Args:
            audio_end_ms: Where it ends in the caller's audio; now if None.
            commit: False if the server does not take it for a turn.
            reply: Whether the server has the model reply by itself.
        """
        if self._speech is None:
            raise ScriptError("The caller is not speaking.")
        item_id, self._speech = self._speech, None
        self.caller_speaking = False
        end = self._now_ms() if audio_end_ms is None else audio_end_ms
        self.send({"type": "input_audio_buffer.speech_stopped", "item_id": item_id, "audio_end_ms": end})
        if commit:
            self.commit_audio(item_id)
        if reply:
            self.request_reply({})

    def transcript_delta(self, text: str, item_id: str | None = None) -> None:
        """Sends a piece of the transcript of what the caller said (last, if no item is named)."""
        kind = "conversation.item.input_audio_transcription.delta"
        self.send({"type": kind, "item_id": self._spoken(item_id), "content_index": 0, "delta": text})

    def transcript(self, text: str, item_id: str | None = None) -> None:
        """Sends the whole transcript of what the caller said (last, if no item is named)."""
        spoken = self._spoken(item_id)
        item = self.held.find(spoken)
        if item is not None:
            item["content"][0]["transcript"] = text
        kind = "conversation.item.input_audio_transcription.completed"
        usage = {"type": "duration", "seconds": 1.0}
        self.send({"type": kind, "item_id": spoken, "content_index": 0, "transcript": text, "usage": usage})

    async def caller_says(
        self, text: str, *, seconds: float = 0.5, transcript_after: float = 0.1, reply: bool = False
    ) -> str:
        """Plays one turn of the caller: starts, speaks, stops, and is transcribed.

        Args:
            text: The words.
            seconds: How long they take, in loop time.
            transcript_after: How long the transcript takes after that.
            reply: Whether the server has the model reply by itself.

        Returns:
            The id of the turn's item.
        """
        item_id = self.speech_started()
        await asyncio.sleep(seconds)
        self.speech_stopped(reply=reply)
        await asyncio.sleep(transcript_after)
        self.transcript(text, item_id)
        return item_id

    def commit_audio(self, item_id: str) -> None:
        """Makes a turn of the caller's audio, at the end of the conversation."""
        item: Item = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed"}
        item |= {"role": "user", "content": [{"type": "input_audio", "transcript": None}]}
        self.held.append(item)
        previous = self.held.before(item)
        self.send({"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": previous})
        self.confirm(item)
        self._last_speech = item_id
        self.buffered_audio_ms = 0.0

    # The model.

    def on_response_create(self, model: Model) -> None:
        """Sets what the scripted model does when it is asked for a reply.

        Args:
            model: Gets the line (``line.conversation`` is what it sees) and the request; returns the reply, or
                None to say "ok". It may be a coroutine function.
        """
        self._model = model

    def request_reply(self, event: Event) -> ReplyRequest:
        """Asks the model for a reply, as the client does with ``response.create``.

        Args:
            event: The client's event, empty if the server asks by itself.

        Returns:
            What became of it; a refused one has started nothing.
        """
        fields: Event = event.get("response") or {}
        out_of_band = fields.get("conversation") == "none"
        blocking = None if out_of_band else self.active
        made = None if blocking else self.start_response(out_of_band=out_of_band, metadata=fields.get("metadata"))
        named = blocking or made
        request = ReplyRequest(
            at=self.clock(),
            event=event,
            accepted=made is not None,
            code="conversation_already_has_active_response" if blocking else None,
            response_id=named.id if named else None,
            out_of_band=out_of_band,
            caller_speaking=self.caller_speaking,
            problems=tuple(self.held.problems()),
        )
        if event:
            self.response_creates.append(request)
        if made is not None:
            answer = self._model(self, request) if self._model else None
            self._spawn(self._play(made, answer))
        return request

    async def idle(self, within: float = 60.0) -> None:
        """Waits until no response is being made in the conversation.

        Args:
            within: How long to wait, in loop time.
        """
        await self.until(lambda: None if self.active else True, "the end of the active response", within)

    # The network.

    def drop(self) -> None:
        """Cuts the connection without a word, as a broken network does."""
        self.hang_up()
        self._socket.transport.abort()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the connection properly, after what was sent.

        Args:
            code: The close code.
            reason: The reason.
        """
        await self.flush()
        await self._socket.close(code, reason)

    def close_in(self, seconds: float, code: int = 1000, reason: str = "") -> None:
        """Closes the connection properly when this time has passed.

        Args:
            seconds: In how long, in loop time.
            code: The close code.
            reason: The reason.
        """

        async def due() -> None:
            await asyncio.sleep(seconds)
            await self.close(code, reason)

        self._spawn(due())

    async def expire(self) -> None:
        """Closes the connection as the real server does after 60 minutes, without a warning."""
        await self.close(_GOING_AWAY, SESSION_LIMIT)

    def hang_up(self) -> None:
        """Notes that the connection has ended; nothing is said or sent any more."""
        for task in self._tasks:
            task.cancel()
        super().hang_up()

    async def closed(self, within: float = 60.0) -> None:
        """Waits until the connection has ended.

        Args:
            within: How long to wait, in loop time.
        """
        await self.until(lambda: None if self.open else True, "the end of the line", within)

    # The judge.

    @property
    def errors(self) -> list[Event]:
        """The ``error`` fields of the error events sent, in order."""
        return [frame.event["error"] for frame in self.sent if frame.type == "error"]

    def outputs(self, call_id: str) -> list[Output]:
        """The outputs that the server took for a call id, in order."""
        return [output for output in self.accepted_outputs if output.call_id == call_id]

    def conversation_problems(self) -> list[str]:
        """What is wrong with the calls and outputs of the conversation; empty if it is well-formed."""
        return self.held.problems()

    def _now_ms(self) -> int:
        return round((self.clock() - self.opened_at) * 1000)

    def _spoken(self, item_id: str | None) -> str:
        spoken = item_id or self._last_speech
        if spoken is None:
            raise ScriptError("The caller has not spoken yet.")
        return spoken

    async def _play(self, made: Generation, answer: Reply | Awaitable[Reply | None] | None) -> None:
        reply = (await answer if inspect.isawaitable(answer) else answer) or OK
        pieces = _pieces(reply.text or "", max(1, ceil(reply.seconds / _TICK - 1e-9)))
        for piece in pieces:
            await asyncio.sleep(reply.seconds / len(pieces))
            if not (made.active and self.open):
                return
            if reply.text is not None:
                made.say(piece, reply.length_ms / len(pieces))
        for call in reply.calls:
            made.call(call)
        made.finish(reply.status, reply.reason)

    def _spawn(self, play: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(play)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        bug = None if task.cancelled() else task.exception()
        if bug is not None:
            self.script_errors.append(bug)
            self.wake()


def _pieces(text: str, count: int) -> list[str]:
    """Cuts text into so many pieces that together are the text."""
    size = len(text) / count
    return [text[round(size * n) : round(size * (n + 1))] for n in range(count)]
