"""The line of a session to OpenAI Realtime: one connection after the other, and the application notices nothing."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tenacity import AsyncRetrying, retry_if_exception_type, stop_never, wait_exponential

from toolguard.adapters.realtime_rebuild import Link, opened
from toolguard.adapters.realtime_renewal import renew
from toolguard.adapters.realtime_replay import CUE, Replay, entries_of, proven
from toolguard.adapters.realtime_sending import AGAIN, Sending, plain
from toolguard.core.records import Rebuilt
from toolguard.engine.moving import Moving
from toolguard.errors import LineLost

if TYPE_CHECKING:
    from toolguard.adapters.realtime_events import RealtimeEvents
    from toolguard.adapters.realtime_port import RealtimePort
    from toolguard.adapters.realtime_rebuild import Rebuild
    from toolguard.adapters.realtime_replay import Entry
    from toolguard.engine.session import Session

LEAVES_WITHIN = 2.0
_BUFFER = 64


class RealtimeLine:
    """Reads the connection, and replaces it when it is lost, comes to its limit, or is to be left.

    Args:
        link: The application's own connection.
        session: The session.
        ears: What the connection's events mean.
        port: What is sent by ourselves.
        rebuild: How a connection is replaced.

    Attributes:
        link: The connection that is the line now.
        moving: What the engine knows of the moment, and keeps of the move.
    """

    def __init__(
        self, link: Link, session: Session, ears: RealtimeEvents, port: RealtimePort, rebuild: Rebuild
    ) -> None:
        self.link = link
        self.session = session
        self._ears = ears
        self._port = port
        self._rebuild = rebuild
        self.moving = Moving(session.wiring, session.back)
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Any] = asyncio.Queue(_BUFFER)
        self._sending = Sending(session.id, rebuild)
        self._lost_at = 0.0
        self._leaving = False
        self._readers: dict[Link, asyncio.Task[None]] = {}
        self._replacing: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        session.on_rebuild = self.replace
        port.on_forgotten = self._forgotten
        self._read_from(link)

    @property
    def failed(self) -> bool:
        """Whether the connection is gone and no new one could be made."""
        return self._sending.failed

    # -- what the application does ------------------------------------------------------------------------------

    async def recv(self) -> Any:
        """The next event, of whichever connection."""
        event = await self._events.get()
        if isinstance(event, Exception):
            self._events.put_nowait(event)
            raise event
        return event

    async def send(self, event: Any) -> None:
        """Send a frame of the application; while there is no connection it waits for one, for a while.

        Raises:
            LineDown: There was none in time.
        """
        frame = plain(event)
        while True:
            await self._sending.stands(frame)
            link = self.link
            self._sending.configured(frame)
            self._ears.sent(frame)
            try:
                await link.send(event)
            except Exception as error:
                if self._leaving or self.failed:
                    raise
                self._ended(link, error)
                continue
            return

    async def close(self) -> None:
        """The application closes the connection: it is not to be replaced."""
        self._leaving = True
        await self.link.close()

    async def send_own(self, frame: Any) -> None:
        """Send a frame of ours."""
        await self.link.send(frame)

    # -- reading ------------------------------------------------------------------------------------------------

    def _read_from(self, link: Link) -> None:
        self._readers[link] = asyncio.create_task(self._read(link), name="toolguard:realtime-in")
        if self._rebuild.renew_after is not None:
            self._renewing = asyncio.create_task(renew(self, self._rebuild), name="toolguard:realtime-renewal")

    async def _read(self, link: Link) -> None:
        while True:
            try:
                event = await link.recv()
            except json.JSONDecodeError as error:
                self.session.noticed("bad_frame", f"the server sent a frame that is not JSON: {error}")
                continue
            except Exception as error:  # noqa: BLE001 - a closed socket, in whatever words
                self._ended(link, error)
                return
            if link is not self.link or not self._sending.up:
                link.refused += 1
                continue
            if event.type == "session.created" and link.created:
                self._ended(link, None)
                return
            link.created = link.created or event.type == "session.created"
            self._ears.see(event)
            await self._events.put(event)

    def _ended(self, link: Link, error: Exception | None) -> None:
        """A connection has ended (or, without an error, has begun a session anew: it has lost its context)."""
        if link is not self.link or not self._sending.up:
            return
        if self._leaving or self.session.successor is not None:
            self._ears.gone()
            self._finish(error or ConnectionError("closed"))
            return
        self._replace("context_lost" if error is None else _cause(error))

    def _finish(self, error: Exception) -> None:
        """The application reads what has come, then the error."""
        if self._events.full():
            self._events.get_nowait()
        self._events.put_nowait(error)

    def _forgotten(self, item: str) -> bool:
        """The server does not know an item: if it did on this connection, it has lost its context without a word."""
        lost = self._sending.up and not self._leaving and self._ears.knows(item)
        if lost:
            self._replace("context_lost")
        return lost

    # -- another connection -------------------------------------------------------------------------------------

    async def replace(self, cause: str) -> None:
        """Leave the connection for a new one.

        Raises:
            LineLost: No new one could be made.
        """
        task = self._replacing if not self._sending.up else self._replace(cause)
        if task is not None:
            await asyncio.shield(task)
        if self.failed:
            raise LineLost("no new connection could be made", ref=self.session.id, advice=AGAIN)

    def _replace(self, cause: str) -> asyncio.Task[None]:
        self._sending.wait()
        self._lost_at = self._loop.time()
        self._ears.lost()
        self._port.line_lost()
        if self._renewing is not None:
            self._renewing.cancel()
        self._replacing = asyncio.create_task(self._try(cause), name="toolguard:realtime-rebuild")
        return self._replacing

    async def _try(self, cause: str) -> None:
        tried: list[str] = []
        try:
            async with asyncio.timeout(self._rebuild.within):
                replay = await self._tried(tried)
        except TimeoutError:
            why = next((one for one in reversed(tried) if one), "no answer")
            what = f"the provider's connection ({cause}) could not be replaced in {len(tried)} tries: {why}"
            self.session.noticed("line_lost", what)
            self._finish(LineLost(what, ref=self.session.id, advice=AGAIN))
            self._sending.go_on(failed=True)
        else:
            self.switch(replay, cause, len(tried))

    async def _tried(self, tried: list[str]) -> Replay:
        """Try until a connection stands; what was wrong with each is added to ``tried``."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Exception),
            wait=wait_exponential(multiplier=self._rebuild.pause, max=self._rebuild.longest_pause),
            stop=stop_never,
            sleep=asyncio.sleep,
        )
        async for attempt in retrying:
            with attempt:
                tried.append("")
                try:
                    return await self.made()
                except Exception as error:
                    tried[-1] = f"{type(error).__name__}: {error}"
                    raise
        raise AssertionError("it is tried for ever")

    async def made(self) -> Replay:
        """A new connection with the conversation on it, proven to answer.

        Raises:
            Unproven: It has not answered in time.
        """
        link = None
        try:
            async with asyncio.timeout(self._rebuild.proven_within):
                link = await opened(self._rebuild, self._loop.time)
            replay = Replay(link)
            await proven(replay, self._sending.settings, self.entries(), self._rebuild.proven_within)
        except BaseException:
            if link is not None:
                self.retire(link)
            raise
        return replay

    def entries(self) -> list[Entry]:
        """The conversation as it is to be shown now."""
        packet = self.moving.packet(CUE, max_bytes=self._rebuild.max_bytes)
        return entries_of(packet, self.session.state, self._ears.words, self._sending.settings)

    def switch(self, replay: Replay, cause: str, tries: int) -> None:
        """From here on the new connection is the line."""
        old, self.link = self.link, replay.link
        renewed = self._sending.up
        if renewed and not self.moving.calm:
            self._ears.lost()
        self._renewing = None
        state, entries = self.session.state, self.entries()
        outputs = [entry for entry in entries if entry.output]
        hidden = frozenset(
            state.slots[entry.output].run
            for entry in outputs
            if not replay.shows(entry)
            and (state.slots[entry.output].sent_interim or not state.slots[entry.output].sent)
        )
        for words in replay.refused:
            self.session.noticed("item_refused", f"the new connection did not take an item: {words}")
        self._port.line_moved()
        self.link.created = True
        if replay.session is not None:
            self._ears.moved(replay.session, replay.here)
        gap = 0.0 if renewed else (self._loop.time() - self._lost_at) * 1000
        rebuilt = Rebuilt(
            cause=cause, gap_ms=gap, tries=tries, items_replayed=replay.sent, items_kept=replay.kept, proof=replay.proof
        )
        items = {entry.output: replay.shown_as(entry) for entry in outputs}
        self.moving.opened(rebuilt, items=items, hidden=hidden, asked=bool(self._sending.asks))
        for item in replay.here & set(items.values()):
            self.session.delivered(item)
        self._sending.go_on()
        self._read_from(self.link)
        self.retire(old)

    # -- the end ------------------------------------------------------------------------------------------------

    def retire(self, link: Link) -> None:
        """Leave a connection that is not the line (any more)."""
        task = asyncio.create_task(self._let_go(link), name="toolguard:realtime-leave")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _let_go(self, link: Link) -> None:
        with suppress(Exception):
            async with asyncio.timeout(LEAVES_WITHIN):
                await link.close()
        reader = self._readers.pop(link, None)
        if reader is not None:
            reader.cancel()
            await asyncio.wait({reader})
        if link.refused:
            self.session.noticed("frames_refused", "frames of a replaced connection", frames=link.refused)

    def hold(self) -> None:
        """The application leaves: nothing is replaced any more."""
        self._leaving = True
        for task in (self._replacing, self._renewing):
            if task is not None:
                task.cancel()

    async def leave(self, own: Link) -> None:
        """Close every connection but the application's ``own``, and read no more."""
        self.hold()
        if self.link is not own:
            self.retire(self.link)
        left = [task for task in (*self._retiring, self._replacing, self._renewing) if task is not None]
        for reader in self._readers.values():
            reader.cancel()
            left.append(reader)
        if left:
            await asyncio.wait(left, timeout=LEAVES_WITHIN * 2)


def _cause(error: Exception) -> str:
    code = getattr(getattr(error, "rcvd", None), "code", None)
    return f"closed {code}" if code else "dropped"
