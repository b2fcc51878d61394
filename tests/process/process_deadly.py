"""A store that ends its process with SIGKILL at the k-th place where a journal write can be cut off."""

import os
import signal
import threading
from pathlib import Path

from toolguard.stores import disk_link


class Places:
    """Counts the places that a process comes through, and ends it at one of them.

    Args:
        last: The number, or the name, of the place where the process dies; 0 for nowhere.
        diary: A file that takes the name of that place.
    """

    def __init__(self, last: int | str, diary: Path) -> None:
        self._last = last
        self._diary = diary
        self._count = 0
        self._lock = threading.Lock()

    def point(self, where: str) -> None:
        """Die here, if this is the place."""
        with self._lock:
            self._count += 1
            if self._last in (self._count, where):
                self._diary.write_text(where)
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()  # another thread may get the signal first


class Deadly:
    """Wraps a disk store: before, inside and after every transaction there is a place to die at.

    Appends of one batch are committed one by one, so that every boundary between two of them is such a place.
    """

    def __init__(self, store, places: Places) -> None:
        self._store = store
        self._places = places
        self._doing = ""
        honest = disk_link.finish

        def finish(conn) -> None:
            places.point(f"inside {self._doing}")
            honest(conn)

        disk_link.finish = finish

    def __getattr__(self, name):
        return getattr(self._store, name)

    def commit(self, batch):
        answers = []
        for append in batch:
            kinds = ",".join(str(draft.kind) for draft in append.drafts) or "claim"
            answers += self._through(f"commit of {kinds}", lambda append=append: self._store.commit([append]))
        return answers

    def enter(self, session, tenant, *, at, expects=None):
        return self._through("enter", lambda: self._store.enter(session, tenant, at=at, expects=expects))

    def leave(self, session, state):
        self._through("leave", lambda: self._store.leave(session, state))

    def note(self, key, value, *, keep=False):
        self._through("note", lambda: self._store.note(key, value, keep=keep))

    def _through(self, doing, work):
        self._doing = doing
        self._places.point(f"before {doing}")
        answer = work()
        self._places.point(f"after {doing}")
        return answer
