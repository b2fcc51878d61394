"""What a process pays: memory for sessions in which nothing happens, and time to import the package."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from .timing import Case, Figures, Rounds, Scale

ROOT = Path(__file__).parents[2]


class Idle:
    """Sessions that are open and quiet, in a fresh process."""

    name = "idle sessions"
    rounds = 0.2

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """Resident memory before and after they were entered."""
        sessions = self._sessions = scale.pick(10_000, 1_000)
        directories = iter(range(1000))

        async def idle() -> Figures:
            place = scale.scratch / f"idle-{next(directories)}"
            answer = await _output("-m", "tests.bench.idle_worker", str(place), str(sessions))
            return {key: float(value) for key, value in json.loads(answer).items()}

        yield {"idle": idle}

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """KiB for each."""
        yield Row(
            self.name, f"memory of each of {self._sessions:,}", seen.median("idle", "rss") / 1024, 30.0, "KiB",
            n=seen.n("idle"),
            beside=f"resident; {seen.median('idle', 'traced') / 1024:.1f} KiB of Python objects; "
            f"entered in {seen.median('idle', 'enter'):.0f} us each",
        )  # fmt: skip


class Import:
    """A fresh interpreter that imports pydantic, and one that imports toolguard as well."""

    name = "import"
    rounds = 1.5

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """Milliseconds from start to end, with compiled files in place."""
        yield {
            "bare": lambda: _imports("import asyncio, pydantic; pydantic.BaseModel"),
            "ours": lambda: _imports("import asyncio, pydantic; pydantic.BaseModel; import toolguard"),
        }

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Time and CPU over the bare interpreter."""
        mine, bare = seen.median("ours", "wall"), seen.median("bare", "wall")
        yield Row(
            self.name, "import toolguard, over a bare interpreter with pydantic", seen.added("ours", "bare", "wall"),
            150.0, "ms", n=seen.n("ours"), beside=f"{mine:.0f} ms against {bare:.0f} ms",
        )  # fmt: skip


async def _imports(code: str) -> Figures:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await _output("-c", code)
    return {"wall": (loop.time() - began) * 1e3, "n": 1}


async def _output(*arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"python {arguments[0]} ended with {process.returncode}")
    return out
