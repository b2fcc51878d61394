"""The disk store keeps every rule of the contract, over SIGKILL, forks, several processes, and failing disks."""

import os
import sqlite3
import stat
import textwrap
from pathlib import Path
from typing import Any

import pytest
from contract import StoreContract, append, payloads
from disk_trouble import DiskTrouble, keyed

from toolguard.core.chain import verify
from toolguard.core.frame import CHAIN_SIZE
from toolguard.errors import (
    StoreForeign,
    StoreReadOnly,
)
from toolguard.stores import disk_link, disk_schema
from toolguard.stores.base import Receipt
from toolguard.stores.disk import DiskStore
from toolguard.stores.mounts import network_filesystem


def conn_of(store: Any) -> Any:
    return store._link._conn


class TestDiskStore(StoreContract):
    @pytest.fixture
    def handles(self, home: Path) -> Any:
        return lambda: DiskStore(home)

    @pytest.fixture
    def place(self, home: Path) -> Any:
        return str(home)

    @pytest.fixture
    def trouble(self, home: Path) -> Any:
        return DiskTrouble(home)

    def test_it_belongs_in_the_writer_thread(self, store: Any, home: Path) -> None:
        assert store.threaded is True
        assert store.name == f"disk:{home}"


class TestKeyedDiskStore(StoreContract):
    """The same with a keyed chain."""

    @pytest.fixture
    def handles(self, home: Path) -> Any:
        return lambda: keyed(str(home))

    @pytest.fixture
    def place(self, home: Path) -> Any:
        return f"factory:disk_trouble:keyed:{home}"

    @pytest.fixture
    def chain_key(self) -> Any:
        return b"secret"

    def test_the_chain_does_not_verify_without_the_key(self, store: Any) -> None:
        store.commit([append("conv-1", None, b"a", b"b")])
        assert verify(store.raw("conv-1"), key=b"secret").ok
        assert not verify(store.raw("conv-1")).ok


class TestFiles:
    def test_only_this_user_can_read_the_directory_and_its_files(self, store: Any, home: Path) -> None:
        store.commit([append("conv-1", None, b"a", durable=True)])
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        files = [path for path in home.rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"journal.sqlite3", "journal.sqlite3-wal", "lock", "p1.lock"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert stat.S_IMODE((home / "owners").stat().st_mode) == 0o700

    def test_a_directory_with_other_things_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "holiday.jpg").write_bytes(b"x")
        with pytest.raises(StoreForeign, match=r"holiday\.jpg"):
            DiskStore(tmp_path).open("p")
        assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]

    def test_a_directory_that_holds_nothing_but_what_a_mount_brings_is_taken(self, tmp_path: Path) -> None:
        (tmp_path / "lost+found").mkdir()
        (tmp_path / ".keep").touch()
        tmp_path.chmod(0o755)
        store: Any = DiskStore(tmp_path)
        store.open("p")
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
        store.close()

    def test_a_file_in_the_directorys_place_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(StoreForeign, match="is a file"):
            DiskStore(tmp_path / "file").open("p")

    def test_another_programs_database_is_left_alone(self, tmp_path: Path) -> None:
        conn = sqlite3.connect(tmp_path / "journal.sqlite3")
        conn.execute("CREATE TABLE mine (x)")
        conn.close()
        before = (tmp_path / "journal.sqlite3").read_bytes()
        with pytest.raises(StoreForeign, match="another program"):
            DiskStore(tmp_path).open("p")
        assert [path.name for path in tmp_path.iterdir()] == ["journal.sqlite3"]
        assert (tmp_path / "journal.sqlite3").read_bytes() == before

    def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "journal.sqlite3").write_bytes(b"diary " * 1000)
        with pytest.raises(StoreForeign, match="not an SQLite file"):
            DiskStore(tmp_path).open("p")

    def test_a_store_whose_making_was_cut_off_is_made_anew(self, home: Path) -> None:
        home.mkdir()
        (home / "journal.sqlite3").touch()
        store: Any = DiskStore(home)
        store.open("p")
        assert store.commit([append("conv-1", None, b"a")]) == [Receipt(1, 0)]
        store.close()

    def test_a_newer_format_is_refused_and_says_so(self, store: Any, home: Path) -> None:
        conn_of(store).execute("UPDATE meta SET value = '9' WHERE key = 'format'")
        for readonly in (False, True):
            with pytest.raises(StoreForeign, match="newer format 9"):
                DiskStore(home, readonly=readonly).open("p2")

    def test_a_journal_keeps_the_key_it_was_chained_with(self, store: Any, home: Path) -> None:
        with pytest.raises(StoreForeign, match="another key"):
            DiskStore(home, chain_key=b"other").open("p2")

    def test_network_file_systems_are_refused(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("toolguard.stores.disk.network_filesystem", lambda _: "nfs4")
        with pytest.raises(StoreForeign, match="nfs4") as caught:
            DiskStore(home).open("p")
        assert "local disk" in caught.value.advice
        assert not home.exists()

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/data/agent", "nfs4"),
            ("/data", "nfs4"),
            ("/database", None),
            ("/data/local/agent", None),
            ("/my share/x", "cifs"),
            ("/over", "fuse.sshfs"),
            ("/home", None),
        ],
    )
    def test_the_innermost_mount_decides(self, path: Any, kind: Any) -> None:
        table = textwrap.dedent("""\
            /dev/vda / ext4 rw 0 0
            srv:/x /data nfs4 rw 0 0
            /dev/vdb /data/local xfs rw 0 0
            //srv/x /my\\040share cifs rw 0 0
            /dev/vdc /over ext4 rw 0 0
            me@srv: /over fuse.sshfs rw 0 0
            nonsense
        """)
        assert network_filesystem(Path(path), table) == kind


class TestReadonly:
    def test_it_sees_what_others_write_and_writes_nothing(self, store: Any, home: Path) -> None:
        reader = DiskStore(home, readonly=True)
        reader.open("looker")
        store.commit([append("conv-1", None, b"a")])
        assert payloads(reader, "conv-1") == [b"a"]
        assert reader.alive("p1")
        assert not reader.alive("looker")
        for write in (
            lambda: reader.commit([append("conv-1", None, b"b")]),
            lambda: reader.enter("conv-1", "t", at=1),
            lambda: reader.leave("conv-1", "closed"),
            lambda: reader.note("k", b"v"),
        ):
            with pytest.raises(StoreReadOnly, match="reading only"):
                write()
        reader.idle()
        reader.close()
        assert payloads(store, "conv-1") == [b"a"]

    def test_a_missing_journal_is_not_made(self, home: Path) -> None:
        with pytest.raises(StoreForeign, match="no journal"):
            DiskStore(home, readonly=True).open("p")
        assert not home.exists()

    def test_a_closed_journal_on_a_read_only_medium_can_be_read(
        self, store: Any, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.commit([append("conv-1", None, b"a")])
        store.close()
        monkeypatch.setattr(os, "access", lambda *_: False)
        reader = DiskStore(home, readonly=True)
        reader.open("looker")
        assert payloads(reader, "conv-1") == [b"a"]
        assert not (home / "journal.sqlite3-wal").exists()
        reader.close()

    def test_a_directory_that_cannot_be_written_is_said_to_be_so(
        self, store: Any, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As root nothing is forbidden, so the connection alone is made read-only here."""
        store._link._drop()
        monkeypatch.setattr(
            disk_link, "open_journal", lambda *_, **__: disk_schema.connect(home / "journal.sqlite3", readonly=True)
        )
        with pytest.raises(StoreReadOnly) as caught:
            store.commit([append("conv-1", None, b"a")])
        assert "write access" in caught.value.advice
        monkeypatch.undo()
        assert store.commit([append("conv-1", None, b"a")]) == [Receipt(1, 0)]


def test_the_chain_is_the_frames_own(store: Any) -> None:
    """What the session's row says is what stands at the end of its last record."""
    store.commit([append("conv-1", None, b"a", b"b")])
    assert store.session("conv-1").chain == store.raw("conv-1")[-1][1][-CHAIN_SIZE:]
