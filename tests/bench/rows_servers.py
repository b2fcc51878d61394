"""The stores on servers: one record against a bare command of the same client, and a storm against one by one."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.stores.base import Append
from toolguard.stores.locate import store_from

from .floor import RECORD
from .subjects import spoken
from .table import Row
from .timing import quantile, spread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
    from concurrent.futures import Executor

    from toolguard.stores.base import Store

    from .timing import Case, Figures, Rounds, Scale

STORM = 500
"""Sessions that write one record in the same moment."""
_CONNECTIONS = 16
_ids = count(1)


class _Servers:
    """What both servers have in common: the three measurements of a store, and how they are shown."""

    name = ""
    rounds = 1.0
    bare = ""
    storm_target = 0.0

    def _own(self, store: Store, writer: Executor, n: int) -> dict[str, Case]:
        names = [f"conv-{next(_ids)}" for _ in range(STORM)]
        loop = asyncio.get_running_loop()
        return {
            "one": lambda: loop.run_in_executor(writer, _alone, store, names[0], n),
            "storm": lambda: loop.run_in_executor(writer, _storm, store, names),
        }

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Ratios of one record and of the storm."""
        mine, its = seen.median("one", "p50"), seen.median("bare one", "p50")
        yield Row(
            self.name, f"one power-durable record over a bare {self.bare}, p50", seen.ratio("one", "bare one", "p50"),
            1.3, n=seen.n("one"), beside=f"{mine:.0f} us against {its:.0f} us",
        )  # fmt: skip
        mine, its = seen.median("storm", "ms"), seen.median("bare storm", "ms")
        yield Row(
            self.name, f"storm of {STORM}, coalesced, over {STORM} bare commands at once",
            seen.ratio("storm", "bare storm", "ms"), self.storm_target, n=seen.n("storm"),
            beside=f"{mine:.1f} ms against {its:.1f} ms",
        )  # fmt: skip


def _append(session: str) -> Append:
    return Append(session, None, (r.encode(spoken(), time.time_ns()),), durable=True)


def _alone(store: Store, session: str, n: int) -> Figures:
    taken: list[int] = []
    for _ in range(n):
        began = time.perf_counter_ns()
        store.commit([_append(session)])
        taken.append(time.perf_counter_ns() - began)
    return spread(taken)


def _storm(store: Store, names: list[str]) -> Figures:
    """As the journal's writer commits them: at most 256 appends at once."""
    appends = [_append(name) for name in names]
    began = time.perf_counter_ns()
    for start in range(0, len(appends), 256):
        store.commit(appends[start : start + 256])
    return {"ms": (time.perf_counter_ns() - began) / 1e6, "n": len(names)}


async def _bare(command: Callable[[int], Any], n: int) -> Figures:
    taken: list[int] = []
    for i in range(n):
        began = time.perf_counter_ns()
        await command(i)
        taken.append(time.perf_counter_ns() - began)
    taken.sort()
    return {"p50": quantile(taken, 0.5) / 1e3, "n": n}


async def _bare_storm(command: Callable[[int], Any]) -> Figures:
    began = time.perf_counter_ns()
    await asyncio.gather(*(command(i) for i in range(STORM)))
    return {"ms": (time.perf_counter_ns() - began) / 1e6, "n": STORM}


@asynccontextmanager
async def _opened(url: str) -> AsyncGenerator[tuple[Store, Executor]]:
    """The store, and the one thread that uses it, as the journal's writer does."""
    store, loop = store_from(url), asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as writer:
        await loop.run_in_executor(writer, store.open, f"bench-{next(_ids)}")
        try:
            yield store, writer
        finally:
            await loop.run_in_executor(writer, store.close)


class RedisRows(_Servers):
    """A real Valkey server with ``appendfsync always``."""

    name = "Redis store"
    bare = "XADD"
    storm_target = 0.6

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """The store, and the same client's XADD of as many bytes."""
        from redis.asyncio import BlockingConnectionPool, Redis

        from toolguard.testing.stores.valkey import valkey

        n = scale.pick(200, 50)
        async with AsyncExitStack() as stack:
            server = stack.enter_context(valkey(scale.scratch, appendfsync="always"))
            store, writer = await stack.enter_async_context(_opened(server.url))
            url = server.url.replace("valkey://", "redis://")
            pool: Any = BlockingConnectionPool.from_url(url, max_connections=_CONNECTIONS, timeout=30)
            client = Redis(connection_pool=pool)
            stack.push_async_callback(client.aclose)

            def xadd(i: int) -> Any:
                return client.xadd(f"bare-{i}", {"r": RECORD})

            yield {
                **self._own(store, writer, n),
                "bare one": lambda: _bare(lambda _: xadd(0), n),
                "bare storm": lambda: _bare_storm(xadd),
            }


class PostgresRows(_Servers):
    """A real PostgreSQL server with its own settings."""

    name = "PostgreSQL store"
    bare = "INSERT"
    storm_target = 0.15

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """The store, and the same client's INSERT of as many bytes."""
        import asyncpg

        from toolguard.testing.stores.postgres import postgres

        n = scale.pick(200, 50)
        async with AsyncExitStack() as stack:
            server = stack.enter_context(postgres(scale.scratch))
            store, writer = await stack.enter_async_context(_opened(server.url))
            pool = await stack.enter_async_context(
                asyncpg.create_pool(server.url, min_size=_CONNECTIONS, max_size=_CONNECTIONS)
            )
            await pool.execute("CREATE TABLE bare (id bigserial PRIMARY KEY, session int, record bytea)")

            def insert(i: int) -> Any:
                return pool.execute("INSERT INTO bare (session, record) VALUES ($1, $2)", i, RECORD)

            yield {
                **self._own(store, writer, n),
                "bare one": lambda: _bare(lambda _: insert(0), n),
                "bare storm": lambda: _bare_storm(insert),
            }
