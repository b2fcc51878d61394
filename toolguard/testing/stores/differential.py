"""One seeded stream of operations through several stores and an oracle: equal answers, equal state after every step.

A difference is reported with the seed and the number of steps that show it; as everything is compared after every step,
that is the shortest beginning of the stream that differs.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from toolguard.errors import StoreError
from toolguard.stores.base import Receipt
from toolguard.testing.stores.making import append, until
from toolguard.testing.stores.oracle import Oracle
from toolguard.testing.stores.stream import HANDS, KEYS, KINDS, SESSIONS, Step, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.stores.base import Store

_LEASE = 600.0
_MOST = 4_000
_DAY = 24 * 3600 * 10**9


class Done(NamedTuple):
    """A run in which nothing differed: its seed, the steps, and how often each kind of operation succeeded."""

    seed: int
    steps: int
    succeeded: dict[str, int]


class Differs(AssertionError):  # noqa: N818 - named for what happened
    """A store does not do what the oracle does.

    Attributes:
        seed: The stream's seed.
        steps: How many steps show it.
    """

    def __init__(self, store: str, seed: int, steps: int, step: Step, where: str, told: object, due: object) -> None:
        super().__init__(
            f"{store} differs in {where} with seed={seed} after steps={steps}, the last one being {step}:\n"
            f"it says {told!r}\nand the oracle {due!r}"
        )
        self.seed = seed
        self.steps = steps


def run(stores: Mapping[str, Callable[[], Store]], *, seed: int, steps: int = 300) -> Done:
    """Drive all stores through one stream.

    Args:
        stores: By a name for people: what makes a closed handle on the same, empty content, chained without a key.
        seed: Of the stream.
        steps: How many at least; the stream goes on until each kind of operation has succeeded once.

    Raises:
        Differs: A store answered or stands otherwise than the oracle.
    """
    oracle = Oracle()
    stream = Stream(seed, oracle)
    players = [_Player(name, make) for name, make in stores.items()]
    dealt = [f"p{hand}" for hand in range(HANDS)]
    succeeded: Counter[str] = Counter()
    number = 0
    try:
        for player in players:
            for hand, process in enumerate(dealt):
                player.open(hand, process)
        oracle.alive.update(dealt)
        while number < steps or set(KINDS) - succeeded.keys():
            number += 1
            if number > _MOST:
                raise RuntimeError(f"seed {seed}: never succeeded: {set(KINDS) - succeeded.keys()}")
            step = stream.step()
            before = dealt[step.hand]
            if step.kind == "reopen":
                dealt[step.hand] = f"p{HANDS + number}"
            due, good = _expected(oracle, step, before, dealt[step.hand])
            state_due = oracle.state()
            for player in players:
                told = player.do(step, dealt[step.hand], before)
                if told != due:
                    raise Differs(player.name, seed, number, step, "its answer", told, due)
                player.compare(seed, number, step, state_due)
            if good:
                succeeded[step.kind] += 1
    finally:
        for player in players:
            player.close()
    return Done(seed, number, dict(succeeded))


def state(store: Store) -> dict[str, object]:
    """All that can be seen of a store's content."""
    rows = store.sessions(limit=10_000)
    snapshots = {name: store.snapshot(name) for name in sorted(SESSIONS)}
    claims = {key: store.claim(key) for key in KEYS}
    return {
        "sessions": [tuple(row) for row in rows],
        "journals": {row.session: store.raw(row.session, limit=100_000) for row in rows},
        "tail": [(session, frame.seq) for _, session, frame in store.tail(after=0, limit=100_000)],
        "claims": {key: claim for key, claim in claims.items() if claim is not None},
        "open_calls": [tuple(mark) for mark in store.open_calls(limit=10_000)],
        "notes": store.notes(),
        "snapshots": {name: tuple(one) for name, one in snapshots.items() if one is not None},
        "stale": [row.session for row in store.stale(limit=10_000)],
    }


def _expected(oracle: Oracle, step: Step, before: str, process: str) -> tuple[object, bool]:
    """What the step answers by the oracle, and whether it counts as a success of its kind."""
    what = step.what
    match step.kind:
        case "commit":
            answers = oracle.commit(what[0])
            return answers, any(isinstance(answer, tuple) for answer in answers)
        case "enter":
            row = oracle.enter(process, *what)
            return row, isinstance(row, tuple)
        case "leave":
            return (left := oracle.leave(process, *what)), left is None and what[0] in oracle.sessions
        case "keep":
            return (kept := oracle.keep(*what)), kept
        case "prune":
            return (gone := oracle.prune(*what)), bool(gone)
        case _:
            return _expected_of_the_rest(oracle, step, before, process), True


def _expected_of_the_rest(oracle: Oracle, step: Step, before: str, process: str) -> object:
    """What steps answer that always succeed."""
    what = step.what
    match step.kind:
        case "note":
            oracle.note(*what)
            return None
        case "reopen":
            oracle.alive = (oracle.alive - {before}) | {process}
            return None
        case "bury":
            return (False, True)
        case "listen":
            return oracle.commit([append("conv-1", None, b"heard")])
        case "pages":
            return _pages_due(oracle, what)
        case _:
            return True


def _pages_due(oracle: Oracle, what: tuple[Any, ...]) -> list[object]:
    session, after, limit, tenant, state_wanted, phase = what
    whole = oracle.state()
    rows: Any = whole["sessions"]
    marks: Any = whole["open_calls"]
    records: Any = whole["journals"]
    return [
        [row for row in rows if row[0] > session and tenant in {None, row[1]} and state_wanted in {None, row[4]}][
            :limit
        ],
        [place for place in records.get(session, []) if place[0] > after][:limit],
        [mark for mark in marks if tenant in {None, mark[2]} and phase in {None, mark[4]}][:limit],
        [mark for mark in marks if mark[0] == session],
        [name for name in oracle.stale() if name > session][:limit],
        next((row for row in rows if row[0] == session), None),
    ]


class _Player:
    """One store with its open handles."""

    def __init__(self, name: str, make: Callable[[], Store]) -> None:
        self.name = name
        self._make = make
        self._hands: dict[int, Store] = {}
        self._position = 0

    def open(self, hand: int, process: str) -> None:
        store = self._make()
        store.open(process)
        store.renew(_LEASE)
        self._hands[hand] = store

    def close(self) -> None:
        for store in self._hands.values():
            store.close()

    def do(self, step: Step, process: str, before: str) -> object:
        """The store's answer, in the oracle's form."""
        store, what = self._hands[step.hand], step.what
        try:
            match step.kind:
                case "commit":
                    return [_plain(answer) for answer in store.commit(what[0])]
                case "enter":
                    return tuple(store.enter(what[0], what[1], at=what[2], expects=what[3]))
                case "keep":
                    return store.keep(what[0], known=what[1])
                case "prune":
                    return sorted(store.prune(*what, limit=1_000))
                case "note":
                    return store.note(what[0], what[1], keep=what[2])  # type: ignore[func-returns-value]
                case "reopen":
                    store.close()
                    return self.open(step.hand, process)  # type: ignore[func-returns-value]
                case _:
                    return self._other(store, step, before)
        except StoreError as error:
            return type(error).__name__

    def _other(self, store: Store, step: Step, process: str) -> object:
        what = step.what
        match step.kind:
            case "leave":
                return store.leave(*what)  # type: ignore[func-returns-value]
            case "bury":
                return store.bury(process), store.bury(f"never seen {process}")
            case "listen":
                return self._listen(store)
            case "pages":
                return _pages(store, what)
            case "renew":
                left = store.renew(_LEASE)
                return store.alive(process) and (left == math.inf or 0 < left <= _LEASE + 1)
            case "now":
                return 0 < store.now() < 10**6 * _DAY
            case _:
                store.idle()
                return True

    def _listen(self, store: Store) -> object:
        """Somebody listens, another process commits: the answer, once the listener has been woken."""
        heard = threading.Event()
        end = store.listen(heard.set)
        try:
            neighbour = next(other for other in self._hands.values() if other is not store)
            answers = [_plain(one) for one in neighbour.commit([append("conv-1", None, b"heard")])]
            return answers if until(heard.is_set, within=20) else "nobody was woken"
        finally:
            end()

    def compare(self, seed: int, number: int, step: Step, due: dict[str, object]) -> None:
        """Look at the content through the next process's eyes."""
        store = self._hands[(step.hand + number) % HANDS]
        told = state(store)
        for where, value in due.items():
            if told[where] != value:
                raise Differs(self.name, seed, number, step, where, told[where], value)
        position, tail = store.position(), [place for place, _, _ in store.tail(after=0, limit=100_000)]
        if tail != sorted(set(tail)) or (tail and tail[-1] > position) or position < self._position:
            raise Differs(self.name, seed, number, step, "positions", (position, tail), self._position)
        landed = [place for place in tail if place > self._position]
        grown = [place for place, _, _ in store.tail(after=self._position, limit=100_000)]
        if landed != grown:
            raise Differs(self.name, seed, number, step, "what is behind a position", grown, landed)
        self._position = position


def _pages(store: Store, what: tuple[Any, ...]) -> list[object]:
    session, after, limit, tenant, state_wanted, phase = what
    row = store.session(session)
    return [
        [tuple(one) for one in store.sessions(after=session, tenant=tenant, state=state_wanted, limit=limit)],
        store.raw(session, after=after, limit=limit),
        [tuple(mark) for mark in store.open_calls(tenant=tenant, phase=phase, limit=limit)],
        [tuple(mark) for mark in store.open_calls(session=session)],
        [one.session for one in store.stale(after=session, limit=limit)],
        tuple(row) if row is not None else None,
    ]


def _plain(answer: Receipt | StoreError) -> object:
    return tuple(answer) if isinstance(answer, Receipt) else type(answer).__name__
