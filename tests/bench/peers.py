"""Peers: other libraries that keep an effect from being repeated, each measured in a process of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from types import TracebackType

    from .timing import Figures, Scale

WORKER = Path(__file__).with_name("peer_worker.py")


class Peer(NamedTuple):
    """One peer: what people call it, how many times faster we mean to be, and what makes the two comparable."""

    title: str
    alone: float | None
    together: float | None
    note: str
    slow: bool = False


_TEN_THIRTEENTHS = 1 / 1.3
NAMES: dict[str, Peer] = {
    "dbos_postgres": Peer("DBOS on PostgreSQL", 10.0, None, "a workflow with one step", slow=True),
    "dbos_sqlite": Peer("DBOS on SQLite", 20.0, None, "a workflow with one step", slow=True),
    "langgraph": Peer("LangGraph + AsyncSqliteSaver", 8.0, None, "an entrypoint with one task", slow=True),
    "agent_once": Peer("agent-once", _TEN_THIRTEENTHS, 1.0, "its SQLite store syncs every commit"),
    "exactly_once": Peer("exactly-once", _TEN_THIRTEENTHS, 1.0, "its SQLite store with synchronous=FULL, as ours"),
    "sakrit": Peer("sakrit", _TEN_THIRTEENTHS, 1.0, "its SQLite ledger syncs every commit"),
}
"""Within 1.3x of the last three alone, and ahead of them from 50 sessions on."""


class Peers:
    """All peers that are installed, started and idle.

    Attributes:
        ready: Names of those that answer.
        absent: The others, and why.
    """

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self.absent: dict[str, str] = {}

    @property
    def ready(self) -> list[str]:
        """Names of the peers that answer."""
        return list(self._running)

    async def __aenter__(self) -> Self:
        """Start them."""
        for name in NAMES:
            if name == "dbos_postgres" and not self._scale.postgres:
                self.absent[name] = "no server: pass --postgres URL"
                continue
            place = self._scale.scratch / f"peer-{name}"
            place.mkdir()
            process = await asyncio.create_subprocess_exec(
                self._scale.peers, str(WORKER), name, str(place), self._scale.postgres,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                cwd=place,
            )  # fmt: skip
            answer = await _line(process)
            if answer.get("ready"):
                self._running[name] = process
            else:
                self.absent[name] = str(answer.get("error", "it did not start"))
                await _end(process)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them."""
        for process in self._running.values():
            await _end(process)

    async def measure(self, name: str, sessions: int, calls: int) -> Figures:
        """Let a peer make ``calls`` calls in each of ``sessions`` sessions at once."""
        process = self._running[name]
        if process.stdin is None:
            raise RuntimeError(f"{name} has no input")
        process.stdin.write(json.dumps({"sessions": sessions, "calls": calls}).encode() + b"\n")
        await process.stdin.drain()
        answer = await _line(process)
        if "error" in answer:
            raise RuntimeError(f"{name}: {answer['error']}")
        return {key: float(str(value)) for key, value in answer.items()}


async def _line(process: asyncio.subprocess.Process) -> dict[str, object]:
    if process.stdout is None:
        return {}
    while True:
        line = await process.stdout.readline()
        if not line:
            return {"error": "its process ended"}
        if line.startswith(b"{"):
            answer: dict[str, object] = json.loads(line)
            return answer


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), 10)
    except TimeoutError:
        process.kill()
        await process.wait()
