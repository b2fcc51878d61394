"""The rules of a store in plain dictionaries, written apart from every store so that they can disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.core.frame import GENESIS, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.stores.base import Append, Snapshot

Row = dict[str, Any]


class Oracle:
    """What every store must answer; refusals are answered as the names of their errors."""

    def __init__(self) -> None:
        self.sessions: dict[str, Row] = {}
        self.records: list[tuple[str, int, bytes]] = []  # of all sessions, in the order in which they landed
        self.claims: dict[str, tuple[int, bytes]] = {}
        self.marks: dict[tuple[str, int], tuple[Any, ...]] = {}
        self.notes: dict[str, bytes] = {}
        self.snapshots: dict[str, tuple[int, bytes, list[bytes]]] = {}
        self.alive: set[str] = set()

    def commit(self, batch: Sequence[Append]) -> list[object]:
        """Each append by itself, one after the other."""
        return [self._append(append) for append in batch]

    def _append(self, append: Append) -> object:
        row = self.sessions.get(append.session)
        epoch = row["epoch"] if row else 0
        if append.epoch is not None and append.epoch != epoch:
            return "Fenced"
        claims = dict(self.claims)
        for key, expects, value in append.swaps:
            if claims.get(key, (0, b""))[0] != expects:
                return "ClaimLost"
            claims[key] = (expects + 1, value)
        self.claims = claims
        if row is None:
            at = append.drafts[-1].at if append.drafts else 0
            row = self._begin(append.session, append.marks[0].tenant if append.marks else "", at)
        first = row["seq"] + 1
        for draft in append.drafts:
            row["seq"] += 1
            stored, row["chain"] = pack(draft, epoch=epoch, seq=row["seq"], previous=row["chain"])
            self.records.append((append.session, row["seq"], stored))
        if append.drafts:
            row["last_at"] = max(row["last_at"], append.drafts[-1].at)
        for mark in append.marks:
            self.marks.pop((mark.session, mark.call), None)
            if mark.phase:
                self.marks[mark.session, mark.call] = tuple(mark)
        return (first, epoch)

    def _begin(self, session: str, tenant: str, at: int) -> Row:
        row = {
            "session": session, "tenant": tenant, "epoch": 0, "owner": "", "state": "open", "seq": 0,
            "chain": GENESIS, "opened_at": at, "last_at": at, "doubtful": False,
        }  # fmt: skip
        self.sessions[session] = row
        return row

    def enter(self, process: str, session: str, tenant: str, at: int, expects: int | None) -> object:
        """The session's row afterwards."""
        row = self.sessions.get(session)
        if expects is not None and expects != (row["epoch"] if row else 0):
            return "Fenced"
        if row is None:
            row = self._begin(session, tenant, at)
        if row["tenant"] not in {"", tenant}:
            return "Fenced"
        row.update(tenant=tenant, epoch=row["epoch"] + 1, owner=process, state="open")
        row["last_at"] = max(row["last_at"], at)
        return tuple(row.values())

    def leave(self, process: str, session: str, state: str) -> object:
        """None, or why not."""
        row = self.sessions.get(session)
        if row is None:
            return None
        if row["owner"] not in {"", process}:
            return "Fenced"
        row.update(owner="", state=state)
        return None

    def keep(self, snapshot: Snapshot, known: int) -> bool:
        """Whether it is kept."""
        if snapshot.session not in self.sessions:
            return False
        seq, _, parts = self.snapshots.get(snapshot.session, (-1, b"", []))
        if len(parts) != known or snapshot.seq <= seq:
            return False
        self.snapshots[snapshot.session] = (snapshot.seq, snapshot.head, parts + list(snapshot.parts[known:]))
        return True

    def prune(self, before: int) -> list[str]:
        """What goes when there is no limit, in order of the ids."""
        busy = {session for session, _ in self.marks}
        gone = sorted(
            name
            for name, row in self.sessions.items()
            if row["state"] == "closed" and row["last_at"] < before and name not in busy
        )
        for name in gone:
            del self.sessions[name]
            self.snapshots.pop(name, None)
        self.records = [record for record in self.records if record[0] not in gone]
        return gone

    def note(self, key: str, value: bytes | None, keep: bool) -> None:
        """Set or remove."""
        if value is None:
            self.notes.pop(key, None)
        elif not (keep and key in self.notes):
            self.notes[key] = value

    def stale(self) -> list[str]:
        """Ids of open sessions without a living owner."""
        return sorted(
            name for name, row in self.sessions.items() if row["state"] == "open" and row["owner"] not in self.alive
        )

    def state(self) -> dict[str, object]:
        """All that can be seen, in the form of :func:`toolguard.testing.stores.differential.state`."""
        rows = sorted(self.sessions.items())
        return {
            "sessions": [tuple(row.values()) for _, row in rows],
            "journals": {
                name: [(seq, raw) for session, seq, raw in self.records if session == name] for name, _ in rows
            },
            "tail": [(session, seq) for session, seq, _ in self.records],
            "claims": dict(self.claims),
            "open_calls": sorted(self.marks.values(), key=lambda mark: (mark[5], mark[0], mark[1])),
            "notes": dict(sorted(self.notes.items())),
            "snapshots": {
                name: (name, seq, head, tuple(parts)) for name, (seq, head, parts) in sorted(self.snapshots.items())
            },
            "stale": self.stale(),
        }
