"""A seeded stream of operations on a store: each is made with an eye on how things stand, so that it often succeeds."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from toolguard.stores.base import Append, Mark, Snapshot, Swap
from toolguard.testing.stores.making import draft

if TYPE_CHECKING:
    from toolguard.testing.stores.oracle import Oracle

SESSIONS = ("conv-1", "conv-2", "conv-\u00e9", "Conv-3", "\U0001f600")
TENANTS = ("clinic", "garage")
KEYS = ("book/1", "book/2", "charge/1")
NOTES = ("paused/book", "paused/charge", "secret")
HANDS = 3
"""How many processes have the content open at a time."""

KINDS = (
    "commit", "commit", "commit", "commit", "commit", "enter", "enter", "leave", "leave", "keep", "keep", "prune",
    "prune", "note", "reopen", "bury", "renew", "listen", "idle", "pages", "now",
)  # fmt: skip


class Step(NamedTuple):
    """One operation: what is done, through which of the open handles, with what."""

    kind: str
    hand: int
    what: tuple[Any, ...] = ()


class Stream:
    """Gives one step after the other; the same seed gives the same steps."""

    def __init__(self, seed: int, oracle: Oracle) -> None:
        self._random = Random(seed)  # noqa: S311 - what has to come back is made by chance, not kept secret
        self._oracle = oracle
        self._at = 1_000

    def step(self) -> Step:
        """The next operation."""
        kind = self._random.choice(KINDS)
        hand = self._random.randrange(HANDS)
        maker = getattr(self, f"_{kind}", None)
        return Step(kind, hand, maker() if maker is not None else ())

    def _clock(self) -> int:
        self._at += self._random.choice((-300, 0, 1, 50, 400))
        return max(self._at, 1)

    def _bytes(self) -> bytes:
        return self._random.randbytes(self._random.choice((0, 1, 20, 300, 5_000)))

    def _session(self) -> str:
        return self._random.choice(SESSIONS)

    def _epoch(self, session: str) -> int:
        row = self._oracle.sessions.get(session)
        return row["epoch"] if row else 0

    def _commit(self) -> tuple[Any, ...]:
        return (tuple(self._append() for _ in range(self._random.choice((0, 1, 1, 2, 3, 6)))),)

    def _append(self) -> Append:
        random, session = self._random, self._session()
        epoch = self._epoch(session) + random.choice((0, 0, 0, 0, -1, 1))
        drafts = tuple(
            draft(self._bytes(), at=self._clock(), kind=random.randrange(1, 9))
            for _ in range(random.choice((0, 1, 1, 2, 4)))
        )
        return Append(
            session,
            random.choice((None, max(epoch, 0))),
            drafts,
            durable=random.choice((True, False, False, False)),
            swaps=tuple(self._swap() for _ in range(random.choice((0, 0, 0, 1, 2)))),
            marks=tuple(self._mark(session) for _ in range(random.choice((0, 0, 1, 2)))),
            lease=random.choice((0.0, 0.0, 2.0)),
        )

    def _swap(self) -> Swap:
        key = self._random.choice(KEYS)
        stands = self._oracle.claims.get(key, (0, b""))[0]
        return Swap(key, max(stands + self._random.choice((0, 0, 0, 0, 1, -1)), 0), self._bytes())

    def _mark(self, session: str) -> Mark:
        phase = self._random.choice(("", "", "", "", "planned", "committing", "in_doubt"))
        call = self._random.randrange(1, 3)
        return Mark(session, call, self._random.choice(TENANTS), "book", phase, self._clock())

    def _enter(self) -> tuple[Any, ...]:
        session = self._session()
        row = self._oracle.sessions.get(session)
        tenant = (
            row["tenant"]
            if row and row["tenant"] and self._random.choice((True, True, True, False))
            else self._random.choice(TENANTS)
        )
        expects = self._random.choice((None, self._epoch(session), self._epoch(session), self._epoch(session) + 1))
        return (session, tenant, self._clock(), expects)

    def _leave(self) -> tuple[Any, ...]:
        return (self._session(), self._random.choice(("closed", "closed", "open")))

    def _keep(self) -> tuple[Any, ...]:
        session = self._session()
        seq, _, parts = self._oracle.snapshots.get(session, (0, b"", []))
        known = max(len(parts) + self._random.choice((0, 0, 0, 1, -1)), 0)
        fresh = tuple(self._bytes() for _ in range(known + self._random.randrange(3)))
        return (Snapshot(session, max(seq + self._random.choice((-1, 0, 1, 5)), 1), self._bytes(), fresh), known)

    def _prune(self) -> tuple[Any, ...]:
        return (self._at + self._random.choice((-200, 0, 200)),)

    def _note(self) -> tuple[Any, ...]:
        value = self._random.choice((None, self._bytes(), self._bytes()))
        return (self._random.choice(NOTES), value, self._random.choice((True, False, False)))

    def _pages(self) -> tuple[Any, ...]:
        random = self._random
        return (
            self._session(),
            random.randrange(12),
            random.randrange(5),
            random.choice((None, *TENANTS)),
            random.choice((None, "open", "closed")),
            random.choice((None, "planned", "in_doubt")),
        )
