"""Makes a directory's store fail in every way that the suite asks for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from toolguard.stores import disk_link
from toolguard.stores.disk import DiskStore
from toolguard.testing.stores import Trouble


def keyed(path: str) -> Any:
    """A handle with a keyed chain, for other processes."""
    return DiskStore(path, chain_key=b"secret")


def broken(*_: Any, **__: Any) -> None:
    raise sqlite3.OperationalError("disk I/O error")


def landed(conn: sqlite3.Connection) -> None:
    conn.execute("COMMIT")
    raise sqlite3.OperationalError("disk I/O error")


class DiskTrouble(Trouble):
    def __init__(self, home: Path) -> None:
        self.home = home

    @contextmanager
    def full(self, store: Any) -> Iterator[None]:
        conn = store._link._conn
        pages = conn.execute("PRAGMA page_count").fetchone()[0]
        conn.execute(f"PRAGMA max_page_count={pages}")
        yield
        # the failed transaction closed that connection, and its limit went with it

    @contextmanager
    def unanswered(self, store: Any) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(disk_link, "finish", landed)
            yield

    @contextmanager
    def unsent(self, store: Any) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(disk_link, "finish", broken)
            yield

    @contextmanager
    def gone(self, store: Any) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(disk_link, "finish", broken)
            patch.setattr(disk_link, "open_journal", broken)
            yield

    def readonly(self) -> Any:
        return DiskStore(self.home, readonly=True)

    def damage(self, session: str) -> None:
        conn = sqlite3.connect(self.home / "journal.sqlite3", isolation_level=None)
        position, stored = conn.execute(
            "SELECT pos, frame FROM journal WHERE session = (SELECT id FROM sessions WHERE name = ?)"
            " ORDER BY seq DESC LIMIT 1",
            (session,),
        ).fetchone()
        spoilt = bytearray(stored)
        spoilt[-33] ^= 1
        conn.execute("UPDATE journal SET frame = ? WHERE pos = ?", (bytes(spoilt), position))
        conn.close()
