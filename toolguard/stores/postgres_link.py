"""One process's connection to a PostgreSQL server: made anew when it is lost, every wait bounded."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
from loguru import logger
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from toolguard.stores.postgres_errors import FAILED, explain, lost
from toolguard.stores.postgres_schema import settle_in
from toolguard.stores.private_loop import PrivateLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from toolguard.stores.postgres_address import Address

    Connection = asyncpg.Connection[asyncpg.Record]

T = TypeVar("T")
SET_UP = 60.0
"""Seconds that the first connection may take where other processes are setting the schema up."""
_CARRIED: list[object] = []  # connections of a parent process, which a forked child must neither use nor close


class Link:
    """The connection of one store.

    Args:
        place: Where the store is.
        chain_key: Key of the hash chains, or None.
        wait: Seconds that the server may take for an answer, and to come back.
    """

    def __init__(self, place: Address, chain_key: bytes | None, *, wait: float) -> None:
        self.place = place
        self.wait = wait
        self._key = chain_key
        self._loop = PrivateLoop(place.shown, wait=wait)
        self._conn: Connection | None = None
        self._echo: asyncio.Task[str] | None = None
        self._pid = os.getpid()
        self._fresh = True
        self._down = False

    def call(self, work: Callable[[Connection, bool], Awaitable[T]], *, within: float = 0.0) -> T:
        """Do ``work`` over the connection; once more over a new one if that was lost meanwhile.

        Args:
            work: Gets the connection, and whether this is the second time.
            within: Seconds that it may take, where the server's own limit of ``wait`` is too short for it.

        Raises:
            StoreError: The server does not answer or refuses; subclasses say why.
        """
        return self.run(lambda: self._twice(work, within))

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run something that bounds its own waits; what it raises is explained.

        Raises:
            StoreError: See :func:`toolguard.stores.postgres_errors.explain`.
        """
        return self._loop.run(self._explained(work), within=SET_UP * 2)

    async def connected(self) -> Connection:
        """The connection; made anew, with bounded tries, where there is none.

        Raises:
            StoreError: The server does not let us in, or the store on it is not ours.
        """
        echo, self._echo = self._echo, None
        if echo is not None:
            await self._hear(echo)
        if self._conn is not None and not self._conn.is_closed():
            return self._conn
        self.drop()
        tries = AsyncRetrying(
            stop=stop_after_attempt(1) if self._down else stop_after_delay(self.wait),
            wait=wait_random_exponential(multiplier=0.02, max=0.5),
            retry=retry_if_exception(lost),
            reraise=True,
        )
        try:
            conn: Connection = await tries(self._connect)
        except FAILED as error:
            self._down = True
            refused = explain(error, self.place.shown, self.wait)
            raise refused from None if isinstance(error, ValueError) else error  # an address may hold a password
        self._down = self._fresh = False
        self._conn = conn
        return conn

    def tell(self, conn: Connection, statement: str) -> None:
        """Send a statement whose answer nobody waits for; the next use of the connection takes it."""
        self._echo = asyncio.ensure_future(conn.execute(statement))

    def drop(self) -> None:
        """Give the connection up."""
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(Exception):
                conn.terminate()

    def close(self, last: Callable[[Connection], Awaitable[Any]]) -> None:
        """Say something last, and close; a server that does not answer is left alone."""
        try:
            self._loop.run(self._leave(last), within=self.wait * 2)
        except Exception as error:  # noqa: BLE001 - closing must not fail for what is gone anyway
            logger.debug("toolguard: {} did not hear that the store was closed: {}", self.place.shown, error)
        finally:
            if self._pid == os.getpid():
                self.drop()
            else:
                _CARRIED.append(self._conn)
            self._loop.close()

    async def _explained(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except (*FAILED, ValueError, OverflowError) as error:
            if lost(error):
                self.drop()
            raise explain(error, self.place.shown, self.wait) from error

    async def _leave(self, last: Callable[[Connection], Awaitable[Any]]) -> None:
        echo, self._echo = self._echo, None
        if echo is not None:
            await self._hear(echo)
        conn = self._conn
        if conn is not None and not conn.is_closed():
            await last(conn)
            await conn.close(timeout=self.wait)

    async def _hear(self, echo: asyncio.Task[str]) -> None:
        try:
            async with asyncio.timeout(self.wait):
                await echo
        except FAILED:
            self.drop()  # it was a hint; only the connection matters

    async def _twice(self, work: Callable[[Connection, bool], Awaitable[T]], within: float) -> T:
        try:
            return await self._once(work, within, again=False)
        except FAILED as error:
            if isinstance(error, TimeoutError) or not lost(error):
                raise
        return await self._once(work, within, again=True)

    async def _once(self, work: Callable[[Connection, bool], Awaitable[T]], within: float, *, again: bool) -> T:
        conn = await self.connected()
        limit = max(self.wait, within)
        try:
            async with asyncio.timeout(limit * 1.5):  # the server's own limit comes first
                if not within:
                    return await work(conn, again)
                await _limit(conn, within)
                answer = await work(conn, again)
                await _limit(conn, self.wait)
                return answer
        except BaseException as error:
            if within or isinstance(error, asyncio.CancelledError) or lost(error):
                self.drop()
            raise

    async def _connect(self) -> Connection:
        async with asyncio.timeout(self.wait):
            conn = await asyncpg.connect(self.place.url, timeout=self.wait)
        try:
            async with asyncio.timeout(SET_UP if self._fresh else self.wait):
                await settle_in(conn, self.place, self._key, wait=self.wait, fresh=self._fresh)
        except BaseException:
            conn.terminate()
            raise
        return conn


async def _limit(conn: Connection, seconds: float) -> None:
    await conn.execute("SELECT set_config('statement_timeout', $1, false)", str(max(int(seconds * 1000), 1)))


def rows(found: Sequence[asyncpg.Record]) -> list[tuple[Any, ...]]:
    """Records as plain tuples."""
    return [tuple(record) for record in found]
