"""One process's connection to Redis or Valkey: waits are bounded, and no request is carried out twice."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import hiredis
from redis import exceptions as said
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from toolguard.errors import StoreError, StoreUnavailable
from toolguard.stores.private_loop import PrivateLoop
from toolguard.stores.redis_commit_lua import SETTLE
from toolguard.stores.redis_explain import explain, lost
from toolguard.stores.redis_server import Server, read_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.redis_address import Address

Word = bytes | str | int
_SHAS: dict[str, str] = {}
_PACK: Callable[[tuple[Word, ...]], bytes] = cast("Any", hiredis).pack_command


class Link:
    """What is open between :meth:`RedisStore.open` and :meth:`RedisStore.close`.

    Args:
        where: The server.
        process: On whose behalf; a unique token.
        wait: Seconds that a request may take, connecting anew and asking again included.

    Attributes:
        open: The number of a request of which nobody knows whether it was carried out; 0 where there is none.
        settled: What became of the last such request, by its number: its answer, or nothing.

    Raises:
        StoreError: The server cannot be reached, or its settings break the promise.
    """

    def __init__(self, where: Address, process: str, *, wait: float) -> None:
        self.where = where
        self.process = process
        self.server = Server("", promoted=False, logged=False, synced="")
        self._wait = wait
        self._handle = secrets.token_hex(8)
        self._number = 0
        self.open = 0
        self.settled: dict[int, list[Any]] = {}
        self._unsure = False
        self._trouble: said.RedisError | OSError | None = None
        self._conn: Any = None
        self._pool: Any = ConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
            where.url, protocol=2, socket_timeout=None, socket_connect_timeout=wait, retry=Retry(NoBackoff(), 0)
        )
        self._loop = PrivateLoop(where.shown, wait=wait)
        try:
            self.ask("PING")
        except BaseException:
            self.close()
            raise

    def ask(self, *words: Word) -> Any:
        """Say a command that may be said twice.

        Raises:
            StoreError: The server refuses, or is gone.
        """
        return self._run(lambda: words)

    def look(self, script: str, *values: Word) -> Any:
        """Run a script that may be run twice.

        Raises:
            StoreError: The server refuses, or is gone.
        """
        words = ("EVALSHA", _sha(script), 1, self.where.prefix, *values)
        return self._run(lambda: words, script)

    def write(self, script: str, *values: Word) -> list[Any]:
        """Run a script that must not be run twice: where its answer was lost, the same request fetches it.

        Raises:
            StoreError: The server refuses and nothing was written, or (``StoreUnavailable``) nobody can tell. Then
                ``open`` is the request's number, until the next one finds out with :meth:`settle`.
        """
        self.settle()
        try:
            return self._numbered(script, values)
        except StoreError as error:
            if not self._unsure:
                raise
            self.open = self._number
            raise StoreUnavailable(
                f"the connection to {self.where.shown} was lost and it does not answer any more: nobody knows whether"
                " the request was carried out",
                advice="Read the sessions again before anything is decided for them.",
            ) from error

    def settle(self) -> None:
        """Find out what became of a request whose answer was lost; if it was not carried out, it never will be.

        Raises:
            StoreError: The server is still gone; nothing was written.
        """
        if self.open:
            found = self._numbered(SETTLE, (self.open,))
            self.settled = {self.open: found[2] if found[0] == b"was" else []}
            self.open = 0

    def _numbered(self, script: str, values: tuple[Word, ...]) -> list[Any]:
        self._number += 1
        self._unsure = False
        first = ("EVALSHA", _sha(script), 1, self.where.prefix, self.process, self._handle, self._number)

        def words() -> tuple[Word, ...]:
            return (*first, self.server.run, int(self.server.forgetful), *values)

        answer: list[Any] = self._run(words, script)
        if answer[0] == b"late":
            raise StoreUnavailable(
                f"{self.where.shown} had answered a later request of this process; this one was not carried out",
                advice="Try again.",
            )
        return answer

    def close(self) -> None:
        """Release the connection. In a forked child the parent's is left alone."""
        if self._loop.forked:
            self._loop.carry(self._conn, self._pool)
        else:
            with suppress(StoreError):
                self._loop.run(self._drop())
        self._conn = None
        self._loop.close()

    def check(self) -> None:
        """Refuse to work in a forked child.

        Raises:
            StoreUnavailable: The store was opened by another process.
        """
        self._loop.check()

    def _run(self, words: Callable[[], tuple[Word, ...]], script: str = "") -> Any:
        self._trouble = None
        try:
            return self._loop.run(self._talk(words, script))
        except said.RedisError as error:
            raise explain(error, self.where) from error
        except StoreUnavailable as error:
            if self._trouble is None:
                raise
            raise explain(self._trouble, self.where) from error

    async def _talk(self, words: Callable[[], tuple[Word, ...]], script: str) -> Any:
        """Say it, over a new connection as often as the time allows."""
        if self._conn is not None:
            try:
                async with asyncio.timeout(self._wait / 2):
                    return await self._say(self._conn, words, script)
            except (said.RedisError, OSError) as error:
                if not lost(error):
                    raise
                self._trouble = error
        tries = AsyncRetrying(
            retry=retry_if_exception(lost),
            stop=stop_after_delay(self._wait),
            wait=wait_random_exponential(0.02, max=0.25),
            reraise=True,
        )
        async for attempt in tries:
            with attempt:
                try:
                    return await self._say(self._conn or await self._connect(), words, script)
                except (said.RedisError, OSError) as error:
                    self._trouble = error
                    raise
        raise AssertionError("unreachable")  # pragma: no cover - tenacity returns or raises

    async def _say(self, conn: Any, words: Callable[[], tuple[Word, ...]], script: str) -> Any:
        said_now = words()
        try:
            await conn.send_packed_command(_PACK(said_now))
            try:
                return await conn.read_response()
            except said.NoScriptError:
                await conn.send_command("EVAL", script, *said_now[2:])
                return await conn.read_response()
        except said.ResponseError as error:
            if lost(error):
                await self._drop()
            raise
        except BaseException as error:
            self._unsure = self._unsure or not isinstance(error, said.BusyLoadingError)
            await self._drop()
            raise

    async def _connect(self) -> Any:
        """Connect, and learn what the server is now."""
        conn = self._pool.make_connection()
        try:
            await conn.connect()
            await conn.send_command("INFO")
            told: bytes = await conn.read_response()
            info = dict(line.split(":", 1) for line in told.decode().splitlines() if ":" in line)
            synced = ""
            await conn.send_command("CONFIG", "GET", "appendfsync")
            with suppress(said.ResponseError):
                synced = b"".join((await conn.read_response())[1:2]).decode()
            self.server = read_server(info, synced, self.where.shown)
        except BaseException:
            await conn.disconnect(nowait=True)
            raise
        self._conn = conn
        return conn

    async def _drop(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(said.RedisError, OSError, asyncio.CancelledError):
                await conn.disconnect(nowait=True)


def _sha(script: str) -> str:
    sha = _SHAS.get(script)
    if sha is None:
        sha = _SHAS[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    return sha
