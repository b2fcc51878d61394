"""A thread with a connection of its own that hears when anybody's records have landed."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg
from loguru import logger
from tenacity import AsyncRetrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential

from toolguard.stores.postgres_errors import FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.postgres_address import Address

_LOOK = 15.0  # seconds between two looks at whether a silent connection is still there


class Listener:
    """Hears the store's notifications until it is ended; makes its connection anew whenever it is lost.

    Args:
        place: Where the store is.
        wake: Called on this thread.
        wait: Seconds that the server may take for an answer.
    """

    def __init__(self, place: Address, wake: Callable[[], None], *, wait: float) -> None:
        self._place = place
        self._wake = wake
        self._wait = wait
        self._hears = threading.Event()
        self._late = False
        self._over = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="toolguard-listener", daemon=True)

    @property
    def running(self) -> bool:
        """Whether its thread is there."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin; waits a bounded time until it hears, and goes on trying where it does not."""
        self._thread.start()
        self._hears.wait(self._wait)
        self._late = not self._hears.is_set()

    def end(self) -> None:
        """Stop hearing; the thread ends soon."""
        self._over.set()
        if self._loop is not None and self._bell is not None:
            with suppress(RuntimeError):  # the thread has ended already
                self._loop.call_soon_threadsafe(self._bell.set)

    def join(self) -> None:
        """Wait, for a bounded time, until the thread has ended."""
        if self._thread is not threading.current_thread():
            self._thread.join(self._wait)

    def _run(self) -> None:
        with suppress(Exception):
            asyncio.run(self._listen())

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._bell = asyncio.Event()
        tries = AsyncRetrying(
            stop=stop_when_event_set(self._over),
            wait=wait_random_exponential(multiplier=0.05, max=2.0),
            retry=retry_if_exception_type((*FAILED, TimeoutError)),
            sleep=self._pause,
            reraise=True,
        )
        while not self._over.is_set():
            with suppress(*FAILED):
                await tries(self._hear)

    async def _pause(self, seconds: float) -> None:
        assert self._bell is not None  # noqa: S101 - made before anything is tried
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bell.wait()

    async def _hear(self) -> None:
        """One connection's life; returns when it is lost or when this is over."""
        bell = self._bell
        assert bell is not None  # noqa: S101 - made before anything is tried
        if self._over.is_set():
            return
        bell.clear()
        async with asyncio.timeout(self._wait):
            conn = await asyncpg.connect(self._place.url, timeout=self._wait)
        try:
            conn.add_termination_listener(lambda _conn: bell.set())
            schema = self._place.schema
            async with asyncio.timeout(self._wait):
                await conn.execute(
                    f"SELECT set_config('application_name', 'toolguard listener', false),"
                    f" pg_advisory_lock_shared('{schema}.journal'::regclass::oid::int, 1)"
                )
                await conn.add_listener(f"landed_{schema[1:-1]}", self._ring)
            if self._hears.is_set() or self._late:
                self._ring()  # what landed meanwhile was not heard
            self._hears.set()
            while not self._over.is_set() and not conn.is_closed():
                await self._pause(_LOOK)
                bell.clear()
                if not self._over.is_set() and not conn.is_closed():
                    await conn.execute("SELECT 1", timeout=self._wait)
        finally:
            conn.terminate()

    def _ring(self, *_said: object) -> None:
        try:
            self._wake()
        except Exception as error:  # noqa: BLE001 - a hint must not end the hearing of others
            logger.warning("toolguard: what was to be woken failed: {}: {}", type(error).__name__, error)
