"""A scripted OpenAI Realtime server on loopback, for the real client."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from toolguard.testing.realtime.frames import ScriptError, Violation
from toolguard.testing.realtime.line import Line, Model
from toolguard.testing.realtime.rules import obey
from toolguard.testing.realtime.wire import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from websockets.http11 import Request, Response

    from toolguard.testing.realtime.conversation import Item, SecondOutput

_PATH = "/v1/realtime"
_CLOSE_TIMEOUT = 1.0
_INTERNAL_ERROR = 1011


class RealtimeServer:
    """Serves on 127.0.0.1, in the running event loop, until the ``async with`` block ends.

    Attributes:
        lines: The connections so far, first to last.
        violations: The clients' frames that the official types do not allow.
    """

    def __init__(
        self,
        clock: Callable[[], float] | None = None,
        *,
        model: Model | None = None,
        second_output: SecondOutput = "reject",
        interrupt_response: bool = True,
        session_seconds: float | None = 3600.0,
        echo_event_ids: bool = True,
    ) -> None:
        """Makes a server that is not serving yet.

        Args:
            clock: Stamps what is recorded; the running loop's time if None.
            model: What the model replies on every line; it says "ok" if None.
            second_output: What happens to a second output for an answered call.
            interrupt_response: Whether the caller's speech cancels an active response.
            session_seconds: Loop time after which a connection is closed, None for never.
            echo_event_ids: Whether errors name the client's event that they answer.
        """
        self.lines: list[Line] = []
        self.violations: list[Violation] = []
        self._clock = clock
        self._model = model
        self._second_output: SecondOutput = second_output
        self._interrupt_response = interrupt_response
        self._session_seconds = session_seconds
        self._echo_event_ids = echo_event_ids
        self._prepare: list[Callable[[Line], None]] = []
        self._waiting: asyncio.Queue[Line] = asyncio.Queue()
        self._refusals: list[HTTPStatus] = []
        self._server: Server | None = None
        self._resumes: Callable[[Item], bool] | None = None
        self._closed_until = 0.0
        self._closed_as = HTTPStatus.SERVICE_UNAVAILABLE

    @property
    def url(self) -> str:
        """What the client takes as its ``websocket_base_url``."""
        if self._server is None:
            raise ScriptError("The server is not serving: use it with `async with`.")
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/v1"

    async def caller(self, within: float = PATIENCE) -> Line:
        """Takes the next connection.

        Args:
            within: How long to wait for it, in loop time.

        Returns:
            The connection, on which ``session.created`` has been sent.

        Raises:
            TimeoutError: No client connected in time.
        """
        try:
            async with asyncio.timeout(within):
                return await self._waiting.get()
        except TimeoutError:
            raise TimeoutError(f"No client connected within {within:g} s; {len(self.lines)} did so far.") from None

    def on_connect(self, prepare: Callable[[Line], None]) -> None:
        """Prepares every later connection before anything is sent on it, for example with faults.

        Args:
            prepare: Called with the connection.
        """
        self._prepare.append(prepare)

    def refuse(self, times: int = 1, status: int = HTTPStatus.SERVICE_UNAVAILABLE) -> None:
        """Refuses the next connections.

        Args:
            times: How many.
            status: The HTTP status that they get.
        """
        self._refusals += [HTTPStatus(status)] * times

    def refuse_for(self, seconds: float, status: int = HTTPStatus.SERVICE_UNAVAILABLE) -> None:
        """Refuses every connection for a while.

        Args:
            seconds: For how long from now, in loop time.
            status: The HTTP status that they get.
        """
        self._closed_until = asyncio.get_running_loop().time() + seconds
        self._closed_as = HTTPStatus(status)

    def resume(self, keep: Callable[[Item], bool] = bool) -> None:
        """Lets the next connection begin with items of the newest one, as providers do that resume a session.

        Args:
            keep: Which of its items, all by default.
        """
        self._resumes = keep

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._door,
            compression=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=_CLOSE_TIMEOUT,
            max_size=None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        bugs = [bug for line in self.lines for bug in line.script_errors]
        if bugs and error is None:
            raise BaseExceptionGroup("The script of the realtime server failed.", bugs)

    def _door(self, socket: ServerConnection, request: Request) -> Response | None:
        if self._refusals:
            return socket.respond(self._refusals.pop(0), "refused by the script\n")
        if asyncio.get_running_loop().time() < self._closed_until:
            return socket.respond(self._closed_as, "refused by the script\n")
        if urlsplit(request.path).path != _PATH:
            return socket.respond(HTTPStatus.NOT_FOUND, f"serves {_PATH} only\n")
        if "Authorization" not in request.headers:
            return socket.respond(HTTPStatus.UNAUTHORIZED, "no Authorization header\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        loop = asyncio.get_running_loop()
        line = Line(
            socket,
            len(self.lines) + 1,
            self._clock or loop.time,
            query=dict(parse_qsl(urlsplit(socket.request.path if socket.request else "").query)),
            model=self._model,
            second_output=self._second_output,
            interrupt_response=self._interrupt_response,
            echo_event_ids=self._echo_event_ids,
        )
        if self._resumes is not None and self.lines:
            line.remember(self.lines[-1], self._resumes)
        self._resumes = None
        self.lines.append(line)
        tasks = [asyncio.create_task(line.write())]
        if self._session_seconds is not None:
            tasks.append(asyncio.create_task(_expire(line, self._session_seconds)))
        try:
            await self._listen(line, socket)
        finally:
            line.hang_up()
            for task in tasks:
                task.cancel()

    async def _listen(self, line: Line, socket: ServerConnection) -> None:
        try:
            for prepare in self._prepare:
                prepare(line)
            line.send({"type": "session.created", "session": line.session})
            self._waiting.put_nowait(line)
            async for raw in socket:
                if not line.open:
                    break
                violation = obey(line, raw)
                if violation:
                    self.violations.append(violation)
                    line.wake()
        except ConnectionClosed:
            pass
        except Exception as bug:  # noqa: BLE001 - a fault of the test's own script is raised when the server stops
            line.script_errors.append(bug)
            await socket.close(_INTERNAL_ERROR, "the script failed")


async def _expire(line: Line, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await line.expire()
