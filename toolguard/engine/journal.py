"""The one writer: one thread and one connection per process, committing whatever is waiting, waking the loop once.

The event loop never touches a store. Records are encoded on the loop, put into a queue and forgotten or awaited; the
writer takes all that has gathered while the last commit ran (the fsync itself is the batching window, so there is no
linger) and answers them with one wake-up. What nobody awaits is handed over as soon as the loop comes round again, so
that what one turn of the loop writes lands together. Stores that return at once (memory) are written in place.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from loguru import logger

from toolguard.engine.batch import Entry
from toolguard.engine.lander import MAX_BATCH, MAX_WAITING, Lander
from toolguard.errors import Fenced, LeaseLost, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.stores.base import Append, Receipt, Store

T = TypeVar("T")
AGAIN = 0.25
"""Seconds between two tries to write what a failing store has left waiting."""
CLOSE_WITHIN = 30.0
"""Seconds that closing waits for what is still to be written."""


_Work = Entry | Callable[[], None] | None


def _NOTHING() -> None:  # noqa: N802 - a marker that is never called
    """The writer holds no work."""


class Journal:
    """The process's way into its store.

    Args:
        store: Where to write.
        process: This process's unique token.
    """

    def __init__(self, store: Store, process: str) -> None:
        self.store = store
        self.process = process
        self.landed: Callable[[list[Entry]], None] | None = None
        """Called on the loop with every batch that landed, when set (the feed sets it while somebody listens)."""
        self.refused: Callable[[Entry], None] | None = None
        """Called on the loop for an append that was refused: its session has another owner, or the lease is short."""
        self.delayed: Callable[[set[str], StoreError], None] | None = None
        """Called on the loop with sessions whose records have to wait, because the store fails."""
        self._lander = Lander(store, self._waits)
        self._queue: SimpleQueue[_Work] = SimpleQueue()
        self._held: list[Entry] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened = False
        self.busy = 0

    @property
    def waiting(self) -> int:
        """How many appends wait for the writer."""
        return self._queue.qsize() + len(self._held)

    async def open(self) -> None:
        """Open the store on the writer's side."""
        if self._opened:
            return
        self._loop = asyncio.get_running_loop()
        self._opened = True
        if self.store.threaded:
            self._thread = threading.Thread(target=self._write, name="toolguard-writer", daemon=True)
            self._thread.start()
        try:
            await self.ask(lambda store: store.open(self.process))
        except StoreError:
            self._stop()
            raise

    async def rejoin(self, process: str) -> None:
        """Open the store again under another token: the old one was found dead.

        Raises:
            StoreError: The store cannot be opened; the journal stays as it is and may be asked again.
        """

        def again(store: Store) -> None:
            with suppress(StoreError):
                store.close()
            store.open(process)

        await self.ask(again)
        self.process = process

    async def close(self) -> None:
        """Write what is waiting, close the store, end the thread; a store that hangs is left to its thread."""
        if not self._opened:
            return
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await self.ask(self._last)
        except TimeoutError:
            self._queue.put(None)
            self._thread = None
            logger.error("toolguard: the store did not close within {:g} s; records may be lost", CLOSE_WITHIN)
        finally:
            self._stop()

    def _last(self, store: Store) -> None:
        self._report(self._lander.commit([]))
        if self._lander.late:
            logger.error(
                "toolguard: {} records could not be written before the store was closed", len(self._lander.late)
            )
        store.close()

    def _stop(self) -> None:
        self._opened = False
        if self._thread is not None:
            self._hand_over()
            self._queue.put(None)
            self._thread.join(timeout=5)
            self._thread = None

    def put(self, append: Append, records: Sequence[Any] = (), *, wait: bool, after: Entry | None = None) -> Entry:
        """Queue an append.

        Args:
            append: What to write; it lands whole or not at all.
            records: The records as objects, for the feed.
            wait: Whether its fate will be awaited (``await journal.fate(entry)``).
            after: An earlier append without which this one must not land; if both are still waiting they are
                written as one.
        """
        entry = Entry(append, records, after, awaited=wait)
        if not self._opened or self._loop is None or self.waiting > MAX_WAITING:
            entry.error = StoreUnavailable(
                "the journal is closed" if not self._opened else f"{MAX_WAITING} records wait for a store that is slow",
                ref=append.session,
                advice="Mutations are refused until it has caught up.",
            )
            return entry
        if self._thread is None:
            self._finish(self._lander.commit([entry]))
            return entry
        self._held.append(entry)
        if wait:
            self._hand_over()
        elif len(self._held) == 1:  # behind whatever this turn of the loop has set in motion
            self._loop.call_soon(self._loop.call_soon, self._hand_over)
        return entry

    def _hand_over(self) -> None:
        """Give the writer what has gathered, in order."""
        for entry in self._held:
            self._queue.put(entry)
        self._held.clear()

    async def fate(self, entry: Entry, *, within: float = 0.0) -> Receipt:
        """Wait until an append has landed.

        Args:
            entry: What :meth:`put` returned.
            within: Seconds after which to give up waiting; 0 waits as long as it takes.

        Raises:
            StoreError: It was refused, or the store failed.
            TimeoutError: Nothing is known yet; it may still land.
        """
        if entry.error is not None:
            raise entry.error
        if entry.receipt is not None:
            return entry.receipt
        if not entry.awaited:
            await self.ask(lambda _store: None)
            if not entry.settled:
                raise StoreUnavailable("the record waits until the store is back", ref=entry.append.session)
            return await self.fate(entry)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Receipt] = loop.create_future()  # one each: giving up waiting is nobody else's affair
        entry.waiters.append(waiter)
        limit = loop.call_later(within, _give_up, waiter) if within else None
        self.busy += 1
        try:
            return await waiter
        finally:
            self.busy -= 1
            if limit is not None:
                limit.cancel()

    async def ask(self, question: Callable[[Store], T]) -> T:
        """Ask the store something, on its own thread, in order with the appends."""
        if self._thread is None:
            return question(self.store)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self.busy += 1

        def on_thread() -> None:
            try:
                result = question(self.store)
            except BaseException as error:  # noqa: BLE001 - carried over to the asker
                _tell(loop, answer, None, error)
            else:
                _tell(loop, answer, result, None)

        self._hand_over()
        self._queue.put(on_thread)
        try:
            return await asyncio.shield(answer)
        finally:
            self.busy -= 1

    async def bury(self, process: str) -> bool:
        """Whether a process is dead, and found dead for good from here on (T4)."""
        return await self.ask(lambda store: store.bury(process))

    def _write(self) -> None:
        queue = self._queue
        held: _Work = _NOTHING
        while True:
            if held is _NOTHING:
                if queue.empty():
                    with suppress(StoreError):  # housekeeping that cannot be done now is done later
                        self.store.idle()
                held = self._next()
            batch: list[Entry] = []
            while isinstance(held, Entry):
                batch.append(held)
                held = _NOTHING
                if len(batch) < MAX_BATCH and not queue.empty():
                    held = queue.get()
            if batch:
                self._report(self._lander.commit(batch))
                continue
            if held is None:
                return
            if not isinstance(held, Entry):
                held()
            held = _NOTHING

    def _next(self) -> _Work:
        """The next piece of work; what waits for a failing store is tried again meanwhile."""
        while self._lander.late:
            try:
                return self._queue.get(timeout=AGAIN)
            except Empty:
                self._report(self._lander.commit([]))
        return self._queue.get()

    def _waits(self, sessions: set[str], error: StoreError) -> None:
        """On the writer's side: records of these sessions have to wait."""
        if self.delayed is not None and self._loop is not None:
            with suppress(RuntimeError):  # the loop closed in between; nobody is left to tell
                self._loop.call_soon_threadsafe(self.delayed, sessions, error)

    def _report(self, batch: list[Entry]) -> None:
        if self.landed is None and not any(e.awaited or e.error is not None for e in batch):
            return
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(self._finish, batch)
            except RuntimeError:  # the loop closed in between; nobody is left to tell
                return

    def _finish(self, batch: list[Entry]) -> None:
        for entry in batch:
            for waiter in entry.waiters:
                if waiter.done():
                    continue
                if entry.error is not None:
                    waiter.set_exception(entry.error)
                elif entry.receipt is not None:
                    waiter.set_result(entry.receipt)
            if isinstance(entry.error, (Fenced, LeaseLost)) and self.refused is not None:
                self.refused(entry)
        if self.landed is not None:
            good = [entry for entry in batch if entry.receipt is not None and entry.records]
            if good:
                self.landed(good)


def _give_up(waiter: asyncio.Future[Receipt]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


def _tell(
    loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T], result: T | None, error: BaseException | None
) -> None:
    def set_it() -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]

    try:
        loop.call_soon_threadsafe(set_it)
    except RuntimeError:  # the loop closed in between; nobody is left to tell
        return
