"""Turns what people write where a store is asked for into a store."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from toolguard.errors import StoreForeign
from toolguard.stores.memory import MemoryStore

if TYPE_CHECKING:
    from toolguard.stores.base import Store
    from toolguard.stores.cache import Cache

_REDIS = frozenset({"redis", "rediss", "valkey", "valkeys"})
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def store_from(place: str | os.PathLike[str]) -> Store:
    """The store that ``place`` names; it is not opened yet.

    Args:
        place: ``memory`` (or ``memory:``); a directory, plain or as ``disk:journal/``; a server:
            ``redis://host:6379/0`` or ``valkey://`` (``rediss://``, ``valkeys://`` for TLS; ``?prefix=``), or
            ``postgresql://user@host/database`` (``?schema=``).

    Raises:
        FeatureMissing: The server's client library is not installed.
        StoreForeign: It names a kind of store that this version does not have.
    """
    text = os.fspath(place)
    if isinstance(place, str):
        if text in {"memory", "memory:"}:
            return MemoryStore()
        url = _URL.match(text)
        if url is not None:
            scheme = url[1].lower()
            if scheme in _REDIS:
                from toolguard.stores.redis import RedisStore  # noqa: PLC0415 -- an extra

                return RedisStore(text)
            if scheme.partition("+")[0] in {"postgres", "postgresql"}:
                from toolguard.stores.postgres import PostgresStore  # noqa: PLC0415 -- only where it is asked for

                return PostgresStore(text)
            raise StoreForeign(
                f"there is no store for addresses that begin with {scheme}://",
                advice="Name a directory on a local disk, a Redis or PostgreSQL server, or memory.",
            )
        text = text.removeprefix("disk:")
    if not text:
        raise StoreForeign("the place of the store is empty", advice="Name a directory on a local disk, or memory.")
    from toolguard.stores.disk import DiskStore  # noqa: PLC0415 -- a memory store needs neither SQLite nor locks

    return DiskStore(text)


def cache_beside(store: Store) -> Cache:
    """The cache of reads that belongs to a store: in its directory, or in memory beside a store without one.

    Raises:
        StoreError: It cannot be opened; reads then go without.
    """
    from toolguard.stores.cache import MemoryCache, ReadCache  # noqa: PLC0415 -- most processes need no cache

    path = getattr(store, "path", None)
    return ReadCache(path / "cache") if path is not None else MemoryCache(time.monotonic)
