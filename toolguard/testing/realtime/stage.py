"""What the server holds for one connection, and the responses of the scripted model on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.testing.realtime.conversation import Conversation, Item, Refusal, SecondOutput
from toolguard.testing.realtime.frames import Event, ScriptError
from toolguard.testing.realtime.generation import Generation
from toolguard.testing.realtime.script import Call, ItemStatus, Reason, Status
from toolguard.testing.realtime.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from websockets.asyncio.server import ServerConnection

_PCM_BYTES_PER_MS = 48
_G711_BYTES_PER_MS = 8


class Stage(Wire):
    """One connection with its session, its conversation and its responses.

    Attributes:
        held: The conversation, its rules included.
        session: The session's configuration, as the client has updated it.
        responses: All responses, first to last.
        opened_at: When the connection was made, on the server's clock.
    """

    def __init__(
        self,
        socket: ServerConnection,
        number: int,
        clock: Callable[[], float],
        *,
        model: str,
        second_output: SecondOutput,
    ) -> None:
        super().__init__(socket, number, clock)
        self.held = Conversation(second_output)
        self.responses: list[Generation] = []
        self.opened_at = clock()
        self.session: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": f"sess_{number}",
            "model": model,
            "output_modalities": ["audio"],
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "turn_detection": {"type": "server_vad", "create_response": True, "interrupt_response": True},
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
            },
        }

    @property
    def active(self) -> Generation | None:
        """The response being made in the conversation, if there is one."""
        return next((made for made in self.responses if made.active and not made.out_of_band), None)

    @property
    def conversation(self) -> list[Item]:
        """The items that the server holds now, first to last."""
        return list(self.held.items)

    def setting(self, *path: str) -> Event:
        """The part of the session's configuration at this path, empty where the client set it to null."""
        part: Event = self.session
        for name in path:
            part = part.get(name) or {}
        return part

    def start_response(
        self, *, response_id: str | None = None, out_of_band: bool = False, metadata: Event | None = None
    ) -> Generation:
        """Starts a response and leaves it open.

        Args:
            response_id: Its id, a new one if None.
            out_of_band: Whether it stays outside the conversation.
            metadata: What the client asked to have echoed.

        Returns:
            The response: ``say``, ``open_call``, ``arguments``, ``call`` and ``close`` fill it.

        Raises:
            ScriptError: Another response is active.
        """
        if self.active and not out_of_band:
            raise ScriptError(f"Response {self.active.id} is active; the server makes one at a time.")
        pcm = self.setting("audio", "output", "format").get("type", "audio/pcm") == "audio/pcm"
        made = Generation(
            self,
            response_id=response_id,
            out_of_band=out_of_band,
            metadata=metadata,
            text_only=self.session.get("output_modalities") == ["text"],
            bytes_per_ms=_PCM_BYTES_PER_MS if pcm else _G711_BYTES_PER_MS,
        )
        self.responses.append(made)
        return made

    def finish_response(
        self, status: Status = "completed", reason: Reason | None = None, *, error_code: str = "server_error"
    ) -> None:
        """Ends the active response.

        Args:
            status: How it ends.
            reason: Why, if it is cancelled or incomplete.
            error_code: What went wrong, if it failed.

        Raises:
            ScriptError: No response is active.
        """
        if self.active is None:
            raise ScriptError("No response is active.")
        self.active.finish(status, reason, error_code)

    def respond(
        self,
        text: str | None = None,
        calls: Sequence[Call] = (),
        audio_ms: int = 0,
        *,
        response_id: str | None = None,
        done: bool = True,
        raw_arguments: str | None = None,
        item_status: ItemStatus = "completed",
    ) -> Generation:
        """Lets the model make one response by itself, all at once, as after a turn of the caller.

        Args:
            text: What it says before its calls.
            calls: The calls that it makes.
            audio_ms: Milliseconds of speech.
            response_id: The response's id, a new one if None.
            done: False leaves the response active, until ``finish_response`` or an interruption.
            raw_arguments: Sent as the calls' arguments in place of their own.
            item_status: The status with which the calls' items end.

        Returns:
            The response.
        """
        made = self.start_response(response_id=response_id)
        if text is not None or audio_ms:
            made.say(text or "", audio_ms)
        for call in calls:
            arguments = call.arguments if raw_arguments is None else raw_arguments
            made.call(Call(call.call_id, call.name, arguments), item_status)
        if done:
            made.finish()
        return made

    def cancelled_response_with_truncated_call(
        self, call_id: str, name: str, arguments: str, *, text: str | None = None, reason: Reason = "turn_detected"
    ) -> Generation:
        """Lets the model be cut off inside the arguments of a call.

        The client gets ``arguments.done`` with the arguments as far as they came, an item with the status
        ``incomplete`` and a cancelled response.

        Args:
            call_id: The call's id.
            name: The tool.
            arguments: The beginning of the arguments.
            text: What the model said before.
            reason: Why the response was cancelled.

        Returns:
            The response.
        """
        made = self.start_response()
        if text is not None:
            made.say(text)
        made.open_call(call_id, name)
        made.arguments(arguments)
        made.finish("cancelled", reason)
        return made

    def confirm(self, item: Item) -> None:
        """Tells the client that an item has entered the conversation."""
        previous = self.held.before(item)
        for what in ("added", "done"):
            self.send({"type": f"conversation.item.{what}", "item": item, "previous_item_id": previous})

    def suppress_confirmations(self, times: int | None = None) -> None:
        """Takes the client's items without saying so.

        Args:
            times: For how many items, all if None.
        """
        for what in ("added", "done"):
            self.suppress(f"conversation.item.{what}", times=times, where=self._is_clients)

    def delay_confirmations(self, seconds: float, times: int | None = None) -> None:
        """Takes the client's items and says so late.

        Args:
            seconds: How late, in loop time.
            times: For how many items, all if None.
        """
        for what in ("added", "done"):
            self.delay(f"conversation.item.{what}", seconds, times=times, where=self._is_clients)

    def error(self, code: str, message: str, *, param: str | None = None, event_id: str | None = None) -> None:
        """Sends an ``error`` event; the session goes on.

        Args:
            code: The error's code.
            message: The error's words.
            param: The field concerned.
            event_id: The client's event that it answers.
        """
        words = {"type": "invalid_request_error", "code": code, "message": message}
        self.send({"type": "error", "error": {**words, "param": param, "event_id": event_id}})

    def find_response(self, response_id: str | None) -> Generation:
        """The active response with this id, or the one in the conversation if no id is given.

        Raises:
            Refusal: There is none.
        """
        found = self.active
        if response_id is not None:
            found = next((made for made in self.responses if made.active and made.id == response_id), None)
        if found is None:
            raise Refusal("response_cancel_not_active", "Cancellation failed: no active response found")
        return found

    def forget(self, keep: Callable[[Item], bool] | None = None, *, announce: bool = False) -> None:
        """Loses the conversation, as a provider does that takes up a session anew behind the client's back.

        Args:
            keep: Which items stay, none by default.
            announce: Whether the client is told by another ``session.created``; otherwise nothing is said.
        """
        self.held.items = [item for item in self.held.items if keep is not None and keep(item)]
        if announce:
            self.send({"type": "session.created", "session": self.session})

    def remember(self, other: Stage, keep: Callable[[Item], bool]) -> None:
        """Begins with items of another connection.

        Args:
            other: The connection that had them.
            keep: Which of its items.
        """
        self.held.items = [dict(item) for item in other.held.items if keep(item)]
        self.held.audio_ms = dict(other.held.audio_ms)

    def _is_clients(self, event: Event) -> bool:
        return event["item"]["id"] in self.held.client_made
