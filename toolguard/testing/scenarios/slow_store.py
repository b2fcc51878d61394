"""A store whose every call is noted with its thread, and which a timeline can make slow or dead."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from toolguard.errors import StoreUnavailable
from toolguard.testing.scenarios.threads import Threads, on_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Store


class StoreCall(NamedTuple):
    """One call of the store: its method, and the thread that made it."""

    method: str
    thread: int


class SlowStore:
    """Stands before a store; made on the loop, called by the journal's writer.

    Args:
        store: The store.

    Attributes:
        calls: Every call so far.
        seconds: Virtual seconds that every call takes.
    """

    threaded = True

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._alive = asyncio.Event()
        self._alive.set()
        self.calls: list[StoreCall] = []
        self.seconds = 0.0
        self._threads = Threads()
        self._under_way = 0

    def as_store(self) -> Store:
        """The same for those who want a store."""
        return cast("Store", self)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return partial(self._call, name, found) if callable(found) else found

    def _call(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls.append(StoreCall(name, threading.get_ident()))
        self._under_way += 1
        try:
            with self._threads.working():
                if on_loop() and not self._alive.is_set():
                    raise StoreUnavailable("the store is dead")
                if name != "idle":
                    self._threads.wait(self._loop, self.seconds, self._alive)
                return method(*args, **kwargs)
        finally:
            self._under_way -= 1

    def busy(self, waiting: int) -> bool:
        """Whether it is at work, or about to be, rather than waiting for the loop's clock."""
        return self._threads.at_work > 0 if self._under_way else waiting > 0

    def die(self) -> None:
        """From here on no call returns."""
        self._alive.clear()

    def live(self) -> None:
        """Calls that hang are answered, and all others at once."""
        self.seconds = 0.0
        self._alive.set()
