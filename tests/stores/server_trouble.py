"""Makes the stores on servers fail: their line loses a question or an answer, or their server has no room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolguard.testing.stores import Trouble


class RedisTrouble(Trouble):
    def __init__(self, proxy: Any) -> None:
        self.proxy = proxy

    @contextmanager
    def full(self, store: Any) -> Iterator[None]:
        store._link.ask("CONFIG", "SET", "maxmemory", "1")
        try:
            yield
        finally:
            store._link.ask("CONFIG", "SET", "maxmemory", "0")

    @contextmanager
    def unanswered(self, store: Any) -> Iterator[None]:
        self.proxy.cut_answers = True
        yield
        assert self.proxy.dropped.acquire(timeout=60), "an answer was lost"

    @contextmanager
    def unsent(self, store: Any) -> Iterator[None]:
        self.proxy.cut()
        yield

    @contextmanager
    def gone(self, store: Any) -> Iterator[None]:
        waits = store._link._wait
        store._link._loop.wait = store._link._wait = 1.0
        self.proxy.trap = b"EVALSHA"
        try:
            yield
        finally:
            self.proxy.down = False
            store._link._loop.wait = store._link._wait = waits


class PostgresTrouble(Trouble):
    def __init__(self, line: Any) -> None:
        self.line = line

    @contextmanager
    def _fault(self, fault: str) -> Iterator[None]:
        cuts, self.line.fault = self.line.cuts, fault
        yield
        assert self.line.cuts == cuts + 1, "the line was cut"

    def unanswered(self, store: Any) -> Any:
        return self._fault("swallow")

    def unsent(self, store: Any) -> Any:
        return self._fault("lose")
