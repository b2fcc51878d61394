"""What another process does to a store: ``python -m toolguard.testing.stores.child PLACE PROCESS JOB WORD...``.

A place is what :func:`toolguard.stores.locate.store_from` takes, or ``factory:package.module:function:word``: the
function is given the word and makes a closed handle on the content of that name, which is empty at first. Each job says
what it has done in lines of JSON, and waits for a line where it says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from toolguard.errors import Fenced, StoreError
from toolguard.stores.base import Receipt, Swap
from toolguard.stores.locate import store_from
from toolguard.testing.stores.making import append

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Store


def opener(place: str) -> Store:
    """A closed handle on the content that ``place`` names."""
    if not place.startswith("factory:"):
        return store_from(place)
    module, _, rest = place.removeprefix("factory:").partition(":")
    function, _, word = rest.partition(":")
    store: Store = getattr(import_module(module), function)(word)
    return store


class Child:
    """A process that works on a store, seen by the one that started it.

    Args:
        place: The content.
        process: Its token.
        job: One of :data:`JOBS`.
        words: What the job is told.
        skew: Seconds that its wall clock is off.
    """

    def __init__(self, place: str, process: str, job: str, *words: object, skew: float = 0.0) -> None:
        self.process = process
        self._process = subprocess.Popen(  # noqa: S603 - this module
            [sys.executable, "-m", __spec__.name, place, process, job, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TOOLGUARD_TEST_SKEW": str(skew)},
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def hear(self) -> Any:
        """The next thing it says; None when it has ended."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        return json.loads(line) if line.endswith("\n") else None

    def go(self) -> None:
        """Let it go on."""
        if self._process.stdin:
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def kill(self) -> list[Any]:
        """SIGKILL; what it had said until then."""
        self._process.kill()
        said, _ = self._process.communicate()
        return [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith("\n")]

    def finish(self) -> list[Any]:
        """Wait for its end, which must be a good one; what it said on the way."""
        said, _ = self._process.communicate(timeout=300)
        if self._process.returncode:
            raise RuntimeError(f"the process {self.process} ended with status {self._process.returncode}")
        return [json.loads(line) for line in said.splitlines()]


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _hold_on() -> None:
    sys.stdin.readline()


def _name(answer: Receipt | StoreError) -> object:
    return list(answer) if isinstance(answer, Receipt) else type(answer).__name__


def _write(store: Store, process: str, session: str, turns: str) -> None:
    """Append to a session that others append to as well, and to one of its own."""
    _say("open")
    _hold_on()
    for turn in range(int(turns)):
        word = f"{process} {turn}".encode()
        _say([_name(answer) for answer in store.commit([append(session, None, word), append(process, None, word)])])
        if turn % 10 == 0:
            store.idle()


def _claim(store: Store, process: str, keys: str) -> None:
    """Take as many claims as it gets; others try the same ones."""
    _say("open")
    _hold_on()
    for number in range(int(keys)):
        swap = Swap(f"claim/{number}", 0, process.encode())
        [answer] = store.commit([append(f"session/{number}", None, process.encode(), swaps=[swap], durable=True)])
        _say(_name(answer))


def _enter(store: Store, process: str, sessions: str) -> None:
    """Take over as many sessions as it gets; others try the same ones."""
    del process
    _say("open")
    _hold_on()
    for number in range(int(sessions)):
        try:
            _say(store.enter(f"session/{number}", "t", at=time.time_ns(), expects=0).epoch)
        except Fenced:
            _say("Fenced")


def _hold(store: Store, process: str, session: str) -> None:
    """Own a session, and go on with it however much time has gone by."""
    epoch = store.enter(session, "t", at=time.time_ns()).epoch
    store.renew(600)
    _say([epoch, store.alive(process), time.time_ns(), store.now()])
    _hold_on()
    batch = [append(session, epoch, b"decision", at=time.time_ns(), lease=2.0), append(session, None, b"evidence")]
    _say([_name(answer) for answer in store.commit(batch)])
    _hold_on()


def _doomed(store: Store, process: str, session: str) -> None:
    """Commit until it is killed."""
    epoch = store.enter(session, "t", at=1).epoch
    turn = 0
    while True:
        turn += 1
        batch = [
            append(session, epoch, b"x", b"y", durable=turn % 2 == 0, swaps=[Swap(session, turn - 1, b"v")]),
            append(f"{session}/{process}", None, b"z" * 3000),
        ]
        _say([_name(answer) for answer in store.commit(batch)])
        store.idle()


JOBS: dict[str, Callable[..., None]] = {
    "write": _write,
    "claim": _claim,
    "enter": _enter,
    "hold": _hold,
    "doomed": _doomed,
}
"""What a child can do."""


def main(place: str, process: str, job: str, *words: str) -> None:
    """Open the content, do the job, close it."""
    skew = float(os.environ.get("TOOLGUARD_TEST_SKEW", "0"))
    if skew:
        real, real_ns = time.time, time.time_ns
        time.time = lambda: real() + skew
        time.time_ns = lambda: real_ns() + int(skew * 1e9)
    store = opener(place)
    store.open(process)
    JOBS[job](store, process, *words)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
