"""One peer in a process of its own, with nothing of toolguard in it: reads what to do, answers with durations."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    Call = Callable[[str], Awaitable[Any]]

OUT = os.fdopen(os.dup(1), "w")  # the peers' own prints must not end up between the answers
os.dup2(2, 1)
_fresh = count(1)


@asynccontextmanager
async def dbos(url: str) -> AsyncGenerator[Call]:
    """DBOS: a workflow with one step, under a workflow id of its own."""
    sdk: Any = import_module("dbos")
    engine = sdk.DBOS
    engine(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "CRITICAL"})

    async def effect(key: str) -> str:
        return f"ch_{key}"

    step: Any = engine.step()(effect)

    async def charge(key: str) -> Any:
        return await step(key)

    guarded: Any = engine.workflow()(charge)

    async def call(key: str) -> Any:
        with sdk.SetWorkflowID(key):
            return await guarded(key)

    engine.launch()
    try:
        yield call
    finally:
        engine.destroy()


@asynccontextmanager
async def langgraph(path: str) -> AsyncGenerator[Call]:
    """LangGraph: an entrypoint with one task, checkpointed under a thread id of its own."""
    checkpoints: Any = import_module("langgraph.checkpoint.sqlite.aio")
    sdk: Any = import_module("langgraph.func")
    async with checkpoints.AsyncSqliteSaver.from_conn_string(path) as saver:

        async def effect(key: str) -> str:
            return f"ch_{key}"

        step: Any = sdk.task(effect)

        async def charge(key: str) -> Any:
            return await step(key)

        guarded: Any = sdk.entrypoint(checkpointer=saver)(charge)

        yield lambda key: guarded.ainvoke(key, {"configurable": {"thread_id": key}}, durability="sync")


@asynccontextmanager
async def agent_once(path: str) -> AsyncGenerator[Call]:
    """agent-once: a tool in a scope of its own."""
    sdk: Any = import_module("once")
    once = sdk.Once(path=path)

    async def charge(who: str) -> str:
        return f"ch_{who}"

    guarded: Any = once.tool(charge)

    yield guarded


@asynccontextmanager
async def exactly_once(path: str) -> AsyncGenerator[Call]:
    """exactly-once: a decorated effect; its store is set to sync every commit, as the others do."""
    sdk: Any = import_module("exactly_once")
    store = sdk.Store.sqlite(path)
    store._conn.execute("PRAGMA synchronous=FULL")

    async def charge(who: str) -> str:
        return f"ch_{who}"

    guarded: Any = sdk.once(store, key=lambda who: f"charge:{who}")(charge)

    yield guarded


@asynccontextmanager
async def sakrit(path: str) -> AsyncGenerator[Call]:
    """sakrit: a declared effect, each call at a step of its own."""
    sdk: Any = import_module("sakrit")
    engine = sdk.Sakrit(sdk.SqliteLedger(path), secret=b"bench")
    declared = sdk.EffectDecl("payment.charge", {"who": sdk.ArgClass.IDENTITY})

    async def effect(who: str) -> Any:
        return f"ch_{who}"

    yield lambda who: engine.guard_async(declared, effect, kwargs={"who": who}, key=who)


def _open(name: str, postgres: str) -> Any:
    if name == "dbos_postgres":
        return dbos(postgres)
    if name == "dbos_sqlite":
        return dbos(f"sqlite:///{Path.cwd()}/dbos.sqlite")
    return {"langgraph": langgraph, "agent_once": agent_once, "exactly_once": exactly_once, "sakrit": sakrit}[name](
        f"{name}.sqlite"
    )


async def _measure(call: Call, sessions: int, calls: int) -> dict[str, float]:
    taken: list[int] = []
    clock = time.perf_counter_ns

    async def one() -> None:
        for _ in range(calls):
            began = clock()
            await call(f"caller {next(_fresh)}")
            taken.append(clock() - began)

    began = clock()
    await asyncio.gather(*(one() for _ in range(sessions)))
    seconds = (clock() - began) / 1e9
    taken.sort()
    return {
        "p50": taken[len(taken) // 2] / 1e3,
        "p99": taken[int(len(taken) * 0.99)] / 1e3,
        "rate": len(taken) / seconds,
        "n": len(taken),
    }


def _tell(answer: dict[str, Any]) -> None:
    OUT.write(json.dumps(answer) + "\n")
    OUT.flush()


async def _serve(name: str, postgres: str) -> None:
    loop = asyncio.get_running_loop()
    async with _open(name, postgres) as call:
        for _ in range(3):
            await call(f"caller {next(_fresh)}")
        _tell({"ready": True})
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            try:
                _tell(await _measure(call, **json.loads(line)))
            except Exception as error:  # noqa: BLE001 - told to whoever measures
                _tell({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    try:
        asyncio.run(_serve(sys.argv[1], sys.argv[3]))
    except ModuleNotFoundError:
        _tell({"error": "peer not installed"})
    except Exception as error:  # noqa: BLE001 - told to whoever measures
        _tell({"error": f"{type(error).__name__}: {error}"[:200]})
