"""The write-ahead log: measured whoever wrote it, given room ahead of need, moved when it has grown."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from contract import append, payloads

from toolguard.stores import disk_link
from toolguard.stores.disk import DiskStore
from toolguard.stores.disk_lock import DirectoryLock
from toolguard.stores.disk_log import IDLE, STEP


def conn_of(store: Any) -> Any:
    return store._link._conn


class TestLog:
    def test_the_log_is_measured_whoever_wrote_it(self, store: Any, home: Path) -> None:
        store.commit([append("conv-1", None, b"x" * 500) for _ in range(50)])
        _, frames, _ = conn_of(store).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        other: Any = DiskStore(home)
        other.open("p2")
        assert store._link._used() == other._link._used() == frames * (4096 + 24)
        other.commit([append("conv-1", None, b"y")])  # the log begins anew, old frames stand behind the new ones
        assert 0 < store._link._used() < 10 * 4120
        other.close()

    def test_idling_makes_room_and_loses_nothing(self, store: Any, home: Path) -> None:
        wal = home / "journal.sqlite3-wal"
        for turn in range(8):
            store.commit([append("conv-1", None, bytes([turn]))])
            store.idle()
        assert wal.stat().st_size >= IDLE + STEP
        store.commit([append("conv-1", None, b"\x08", durable=True)])
        assert payloads(store, "conv-1") == [bytes([turn]) for turn in range(9)]
        reader = DiskStore(home, readonly=True)
        reader.open("looker")
        assert len(reader.read("conv-1")) == 9
        reader.close()

    def test_idling_moves_a_grown_log(self, store: Any) -> None:
        store.commit([append("conv-1", None, os.urandom(IDLE + 100_000))])
        assert store._link._used() >= IDLE
        store.idle()
        store.commit([append("conv-1", None, b"a")])
        assert store._link._used() < IDLE
        assert len(store.read("conv-1")) == 2

    def test_idling_gives_way_to_another_process(self, store: Any, home: Path) -> None:
        store.commit([append("conv-1", None, b"a")])
        lock = DirectoryLock(home / "lock", "worker-9")
        with lock.held():
            begun = time.monotonic()
            store.idle()
            assert time.monotonic() - begun < 0.2
        lock.close()

    def test_a_busy_log_is_moved_without_idling(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(disk_link, "_LOOK", 1)
        monkeypatch.setattr(disk_link, "BUSY", 100_000)
        store._link._limit = 100_000
        for _ in range(9):
            store.commit([append("conv-1", None, os.urandom(60_000))])
        assert store._link._used() < 300_000
        assert len(store.read("conv-1")) == 9

    def test_a_reader_that_holds_the_log_does_not_make_every_commit_try_again(
        self, store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk_link, "_LOOK", 1)
        monkeypatch.setattr(disk_link, "BUSY", 100_000)
        tried: list[str] = []
        monkeypatch.setattr(disk_link, "checkpoint", lambda _, mode: tried.append(mode))
        store._link._limit = 100_000
        for _ in range(8):
            store.commit([append("conv-1", None, os.urandom(40_000))])
        assert 1 <= len(tried) <= 4
