"""The sending and remembering side of one connection, and the faults that a test puts on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, TypeVar

from websockets.exceptions import ConnectionClosed

from toolguard.testing.realtime.frames import Event, Frame, ScriptError, check_server_event

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

T = TypeVar("T")
Which = Callable[[Event], bool]
"""Says of an event whether it is meant."""

PATIENCE = 5.0
"""Seconds of loop time that the waiting helpers wait."""


@dataclass(slots=True)
class _Fault:
    """What happens to the next events of a kind."""

    way: Literal["in", "out"]
    pattern: str
    where: Which | None
    times: int | None
    delay: float | None

    def takes(self, event: Event) -> bool:
        if self.times == 0 or not fnmatchcase(str(event["type"]), self.pattern):
            return False
        if self.where is not None and not self.where(event):
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Wire:
    """One connection's frames: sent in order, recorded, and now and then delayed or lost.

    Attributes:
        number: Which connection of the server this is, from 1.
        received: The client's valid frames, in order.
        sent: What the server sent, in order.
        withheld: What a fault kept from being sent.
        lost: What the client sent and a fault kept from having an effect.
        clock: Stamps the frames.
    """

    def __init__(self, socket: ServerConnection, number: int, clock: Callable[[], float]) -> None:
        self.number = number
        self.clock = clock
        self.received: list[Frame] = []
        self.sent: list[Frame] = []
        self.withheld: list[Frame] = []
        self.lost: list[Frame] = []
        self._socket = socket
        self._open = True
        self._ids = 0
        self._faults: list[_Fault] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._news = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether the connection still stands."""
        return self._open

    def new_id(self, kind: str) -> str:
        """Makes an id that nothing else on this server has."""
        self._ids += 1
        return f"{kind}_{self.number}_{self._ids}"

    def send(self, event: Event) -> None:
        """Sends one event, late or never if a fault says so.

        Args:
            event: The event; an ``event_id`` is added if it has none.

        Raises:
            ScriptError: The official types do not allow the event, or the connection is gone.
        """
        if not self._open:
            raise ScriptError(f"Line {self.number} is closed: {event.get('type')} cannot be sent.")
        whole: Event = json.loads(json.dumps({"event_id": self.new_id("event"), **event}))
        check_server_event(whole)
        fault = next((fault for fault in self._faults if fault.way == "out" and fault.takes(whole)), None)
        if fault is None:
            self._put(whole)
        elif fault.delay is None:
            self.withheld.append(Frame(self.clock(), whole))
        else:
            self._later(fault.delay, whole)

    def send_raw(self, text: str) -> None:
        """Sends text as it is, valid or not: a frame cut short, or one of another dialect."""
        if not self._open:
            raise ScriptError(f"Line {self.number} is closed: nothing can be sent.")
        self._queue.put_nowait(text)

    def suppress(self, pattern: str, *, times: int | None = None, where: Which | None = None) -> None:
        """Keeps events from being sent; what they report has happened all the same.

        Args:
            pattern: Their type, with shell wildcards.
            times: How many of them, all if None.
            where: Which of them, all if None.
        """
        self._faults.append(_Fault("out", pattern, where, times, None))

    def delay(self, pattern: str, seconds: float, *, times: int | None = None, where: Which | None = None) -> None:
        """Sends events late; events after them overtake them.

        Args:
            pattern: Their type, with shell wildcards.
            seconds: How late, in loop time.
            times: How many of them, all if None.
            where: Which of them, all if None.
        """
        self._faults.append(_Fault("out", pattern, where, times, seconds))

    def ignore(self, pattern: str, *, times: int | None = None, where: Which | None = None) -> None:
        """Lets frames of the client arrive without effect or answer.

        Args:
            pattern: Their type, with shell wildcards.
            times: How many of them, all if None.
            where: Which of them, all if None.
        """
        self._faults.append(_Fault("in", pattern, where, times, None))

    def loses(self, event: Event) -> bool:
        """Records a client's frame; True if a fault says that it has no effect."""
        frame = Frame(self.clock(), event)
        self.received.append(frame)
        lost = any(fault.way == "in" and fault.takes(event) for fault in self._faults)
        if lost:
            self.lost.append(frame)
        return lost

    async def wait_for(
        self, kind: str, *, count: int = 1, where: Which | None = None, within: float = PATIENCE
    ) -> Frame:
        """Waits until the client has sent a frame, counting from the first one of this connection.

        Args:
            kind: Its type.
            count: Which of the matching frames: the first, the second, ...
            where: Which frames match, all of this type if None.
            within: How long to wait, in loop time.

        Returns:
            The frame, after the server has acted on it.
        """
        return await self._nth(self.received, kind, count, where, within)

    async def wait_sent(
        self, kind: str, *, count: int = 1, where: Which | None = None, within: float = PATIENCE
    ) -> Frame:
        """Waits until the server has sent an event; arguments as for ``wait_for``."""
        return await self._nth(self.sent, kind, count, where, within)

    async def until(self, check: Callable[[], T | None], what: str, within: float = PATIENCE) -> T:
        """Waits until something is so.

        Args:
            check: Asked after every frame; anything but None ends the wait.
            what: What is waited for, for the error.
            within: How long to wait, in loop time.

        Returns:
            What ``check`` answered.

        Raises:
            TimeoutError: It did not come in time, or the connection ended before.
        """
        seen = "the client sent"
        try:
            async with asyncio.timeout(within):
                while (found := check()) is None:
                    if not self._open:
                        seen = "the line closed; the client sent"
                        break
                    await self._news.wait()
                else:
                    return found
        except TimeoutError:
            pass
        types = ", ".join(frame.type for frame in self.received) or "nothing"
        raise TimeoutError(f"Waited in vain for {what} on line {self.number}: {seen} {types}.")

    async def flush(self) -> None:
        """Waits until everything that was sent so far has been given to the network."""
        await self._queue.join()

    async def write(self) -> None:
        """Carries frames to the socket, in order, until it is cancelled."""
        while True:
            text = await self._queue.get()
            try:
                await self._socket.send(text)
            except ConnectionClosed:
                pass
            finally:
                self._queue.task_done()

    def wake(self) -> None:
        """Lets everybody who waits look again."""
        self._news.set()
        self._news = asyncio.Event()

    def hang_up(self) -> None:
        """Notes that the connection has ended; nothing is sent any more."""
        self._open = False
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        while not self._queue.empty():
            self._queue.get_nowait()
            self._queue.task_done()
        self.wake()

    def _later(self, seconds: float, event: Event) -> None:
        def due() -> None:
            self._timers.discard(timer)
            self._put(event)

        timer = asyncio.get_running_loop().call_later(seconds, due)
        self._timers.add(timer)

    def _put(self, event: Event) -> None:
        self.sent.append(Frame(self.clock(), event))
        self._queue.put_nowait(json.dumps(event))
        self.wake()

    async def _nth(self, frames: list[Frame], kind: str, count: int, where: Which | None, within: float) -> Frame:
        def nth() -> Frame | None:
            fitting = [f for f in frames if f.type == kind and (where is None or where(f.event))]
            return fitting[count - 1] if len(fitting) >= count else None

        return await self.until(nth, f"{kind} number {count}", within)
