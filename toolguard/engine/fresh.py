"""Reads that are still fresh, across sessions and processes (S1); what is a cache may be evicted at any time."""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from toolguard.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.stores.cache import Cache

T = TypeVar("T")
_TOKEN_KEPT = 7 * 24 * 3600.0
_TOKEN_SIZE = 16


class FreshReads:
    """A cache of read results; a write of a scope makes all that was read before it stale.

    Every scope (one caller, one tenant) has a token that each committed write replaces. A result is kept with the
    token that stood when its read began, and counts only while that token stands.

    Args:
        make: Opens the cache, on this object's own thread.
    """

    def __init__(self, make: Callable[[], Cache]) -> None:
        self._make = make
        self._cache: Cache | None = None
        self._distrusted: set[str] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="toolguard-cache")

    async def look(self, scope: str, key: str) -> tuple[bytes, bytes | None]:
        """The scope's token now, and a result that is fresh under it, if there is one."""
        if scope in self._distrusted:
            return b"", None
        return await self._on_thread(lambda cache: _look(cache, scope, key), (b"", None))

    async def keep(self, key: str, token: bytes, result: bytes, fresh_for: float) -> None:
        """Keep a result under the token that stood when its read began."""
        if token:
            await self._on_thread(lambda cache: cache.put(f"read/{key}", token + result, fresh_for), None)

    async def stale(self, scopes: Sequence[str]) -> None:
        """A write of these scopes is about to commit: nothing read before it is fresh any more.

        A scope for which that cannot be written down is not served from the cache again by this process.
        """

        def renew(cache: Cache) -> bool:
            for scope in scopes:
                cache.put(f"writes/{scope}", secrets.token_bytes(_TOKEN_SIZE), _TOKEN_KEPT)
            return True

        if not await self._on_thread(renew, otherwise=False):
            self._distrusted.update(scopes)

    async def _on_thread(self, work: Callable[[Cache], T], otherwise: T) -> T:
        """Do something with the cache; one that fails is a miss, never an error of a call."""

        def run() -> T:
            try:
                if self._cache is None:
                    self._cache = self._make()
                return work(self._cache)
            except StoreError:
                return otherwise

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def close(self) -> None:
        """Close the cache and its thread."""

        def shut() -> None:
            if self._cache is not None:
                self._cache.close()

        self._thread.submit(shut)
        self._thread.shutdown(wait=True)


def _look(cache: Cache, scope: str, key: str) -> tuple[bytes, bytes | None]:
    token = cache.get(f"writes/{scope}")
    if token is None:
        token = secrets.token_bytes(_TOKEN_SIZE)
        cache.put(f"writes/{scope}", token, _TOKEN_KEPT)
        return token, None
    kept = cache.get(f"read/{key}")
    if kept is None or kept[:_TOKEN_SIZE] != token:
        return token, None
    return token, kept[_TOKEN_SIZE:]
