"""The worker processes: started, told what to serve, stopped, killed, replaced."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOT = Path(__file__).resolve().parents[2]
START = 60.0
"""Seconds that a worker may take to start."""


class Worker:
    """One worker process, seen from the controller.

    Attributes:
        sessions: What it was told to serve.
        stopped: Whether it is stopped by a signal just now.
    """

    def __init__(self, number: int, heard: Callable[[Worker, dict[str, Any]], None]) -> None:
        self.number = number
        self.sessions: set[str] = set()
        self.stopped = False
        self.ready = asyncio.Event()
        self._heard = heard
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self, home: Path, store: str, url: str) -> None:
        """Start the process; it is ready when :attr:`ready` is set."""
        environment = {**os.environ, "SOAK_HOME": str(home), "PYTHONPATH": str(_ROOT)}
        with (home / f"worker{self.number}.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.soak.worker", store, url,
                cwd=_ROOT, env=environment, limit=2**24,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        process = self._process
        assert process is not None and process.stdout is not None  # noqa: PT018 - both are there once it is started
        while line := await process.stdout.readline():
            said = json.loads(line)
            if "ready" in said:
                self.ready.set()
            self._heard(self, said)

    @property
    def alive(self) -> bool:
        """Whether the process runs (or is stopped by a signal)."""
        return self._process is not None and self._process.returncode is None

    def tell(self, **order: Any) -> None:
        """Give an order; one that is dead hears nothing."""
        if self._process is not None and self._process.stdin is not None and self.alive:
            with suppress(ConnectionError, RuntimeError):
                self._process.stdin.write(json.dumps(order).encode() + b"\n")

    def signal(self, number: int) -> None:
        """Send a signal."""
        if self._process is not None and self.alive:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            self.stopped = number == signal.SIGSTOP

    async def end(self, within: float) -> bool:
        """Have it quit in good order; True if it did, else it is killed."""
        self.signal(signal.SIGCONT)
        self.tell(do="quit")
        return await self.gone(within)

    async def gone(self, within: float) -> bool:
        """Wait until the process has ended; False if it had to be killed for it."""
        process = self._process
        if process is None:
            return True
        well = True
        try:
            async with asyncio.timeout(within):
                await process.wait()
        except TimeoutError:
            well = False
            process.kill()
            await process.wait()
        if self._listening is not None:
            await asyncio.wait({self._listening}, timeout=5.0)
        return well
