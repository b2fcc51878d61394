"""What the disk is waited for, and what happens when it fails: nothing is written, or nobody is told otherwise."""

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from contract import append, payloads

from toolguard.core.chain import verify
from toolguard.errors import (
    StoreBusy,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from toolguard.stores import disk_link
from toolguard.stores.base import Receipt


def conn_of(store: Any) -> Any:
    return store._link._conn


class TestDurability:
    def test_the_disk_is_waited_for_only_where_a_record_asks(self, store: Any) -> Any:
        def level() -> Any:
            return conn_of(store).execute("PRAGMA synchronous").fetchone()[0]

        store.commit([append("a", None, b"1"), append("b", None, b"2")])
        assert level() == 1
        store.commit([append("a", None, b"1"), append("b", None, b"2", durable=True)])
        assert level() == 2
        store.commit([append("a", None, b"1")])
        assert level() == 1

    def test_a_full_disk_writes_nothing_and_ends_when_there_is_room(self, store: Any) -> None:
        store.commit([append("conv-1", None, b"a")])
        pages = conn_of(store).execute("PRAGMA page_count").fetchone()[0]
        conn_of(store).execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreFull) as caught:
            store.commit([append("conv-1", None, b"small"), append("conv-1", None, b"x" * 100_000)])
        assert "Make room" in caught.value.advice
        assert payloads(store, "conv-1") == [b"a"]
        assert store.commit([append("conv-1", None, b"b")]) == [Receipt(2, 0)]

    def test_a_commit_that_landed_although_it_failed_is_answered_as_landed(
        self, store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def landed(conn: sqlite3.Connection) -> None:
            conn.execute("COMMIT")
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(disk_link, "finish", landed)
        assert store.commit([append("conv-1", None, b"a", b"b"), append("x", 9, b"no")])[0] == Receipt(1, 0)
        monkeypatch.undo()
        assert payloads(store, "conv-1") == [b"a", b"b"]
        assert store.commit([append("conv-1", None, b"c")]) == [Receipt(3, 0)]

    def test_a_commit_that_failed_is_an_error_and_leaves_nothing(
        self, store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.commit([append("conv-1", None, b"a")])

        def failed(conn: sqlite3.Connection) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(disk_link, "finish", failed)
        with pytest.raises(StoreUnavailable, match="disk I/O error"):
            store.commit([append("conv-1", None, b"b")])
        monkeypatch.undo()
        assert payloads(store, "conv-1") == [b"a"]
        assert store.commit([append("conv-1", None, b"c")]) == [Receipt(2, 0)]
        assert verify(store.raw("conv-1")).ok

    def test_an_outcome_that_nobody_can_look_up_is_said_to_be_unknown(
        self, store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failed(conn: sqlite3.Connection) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        def gone(*_: Any, **__: Any) -> None:
            raise sqlite3.OperationalError("unable to open database file")

        monkeypatch.setattr(disk_link, "finish", failed)
        monkeypatch.setattr(disk_link, "open_journal", gone)
        with pytest.raises(StoreUnavailable, match="nobody knows"):
            store.commit([append("conv-1", None, b"a")])
        with pytest.raises(StoreError):
            store.read("conv-1")
        monkeypatch.undo()
        assert store.commit([append("conv-1", None, b"a")]) == [Receipt(1, 0)]

    def test_another_programs_transaction_makes_the_store_busy(self, store: Any, home: Path) -> None:
        program = sqlite3.connect(home / "journal.sqlite3", isolation_level=None)
        program.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="another program"):
            store.commit([append("conv-1", None, b"a")])
        program.execute("ROLLBACK")
        program.close()
        assert store.commit([append("conv-1", None, b"a")]) == [Receipt(1, 0)]

    def test_a_removed_note_is_nowhere_in_the_files(self, store: Any, home: Path) -> None:
        secret = os.urandom(32)
        store.note("seal/ana", secret)
        store.note("seal/ana", None)
        for path in home.iterdir():
            if path.is_file():
                assert secret not in path.read_bytes()
