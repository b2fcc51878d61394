"""Several processes share a directory: locks, leases, forks and SIGKILL."""

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from contract import append, payloads

from toolguard.core.chain import verify
from toolguard.errors import StoreBusy, StoreError, StoreUnavailable
from toolguard.stores import disk_link
from toolguard.stores.base import Receipt
from toolguard.stores.disk import DiskStore
from toolguard.stores.disk_lock import DirectoryLock, Lease, holds_lease, sweep


def start(script: str, *args: Any) -> Any:
    """A real process that has the store's names at hand and prints what it has done."""
    prelude = """
        import os, sys, time
        from toolguard.testing.stores.making import append
        from toolguard.stores.disk import DiskStore
        say = lambda *words: print(*words, flush=True)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(script), *map(str, args)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_busy_directory_names_the_process_and_the_lock_is_never_broken(store: Any, home: Path) -> None:
    lock = DirectoryLock(home / "lock", "worker-9")
    with lock.held():
        with pytest.raises(StoreBusy, match=rf"process {os.getpid()} \(worker-9\) holds") as caught:
            store.commit([append("conv-1", None, b"a")])
        assert "250 ms" in str(caught.value)
        with pytest.raises(StoreBusy, match="worker-9"):
            DiskStore(home).open("p2")
    lock.close()
    assert store.commit([append("conv-1", None, b"a")]) == [Receipt(1, 0)]


def test_waiting_a_little_is_enough_for_a_short_transaction(store: Any, home: Path) -> None:
    child = start(
        """
        from toolguard.stores.disk_lock import DirectoryLock
        from pathlib import Path
        lock = DirectoryLock(Path(sys.argv[1]) / "lock", "slow")
        lock.acquire()
        say("held")
        time.sleep(0.05)
        lock.release()
        """,
        home,
    )
    assert child.stdout.readline() == "held\n"
    assert store.commit([append("conv-1", None, b"a")]) == [Receipt(1, 0)]
    child.communicate(timeout=30)


def test_two_processes_interleave_in_one_session_without_gap_or_fork(store: Any, home: Path) -> None:
    script = """
        store = DiskStore(sys.argv[1])
        store.open(sys.argv[2])
        say("open")
        for turn in range(60):
            batch = [append("shared", None, f"{sys.argv[2]} {turn}".encode()), append(sys.argv[2], None, b"own")]
            for answer in store.commit(batch):
                assert not isinstance(answer, Exception), answer
            if turn % 10 == 0:
                store.idle()
        store.close()
    """
    children = [start(script, home, name) for name in ("a", "b")]
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    rows = store.raw("shared")
    assert verify(rows).ok
    assert len(rows) == 120
    own = {name: [text for text in payloads(store, "shared") if text.startswith(name)] for name in (b"a", b"b")}
    for name, texts in own.items():
        assert texts == [name + f" {turn}".encode() for turn in range(60)]
    assert store.position() == 240
    assert [position for position, _, _ in store.tail(after=0)] == list(range(1, 241))


@pytest.mark.parametrize("kill_after", [1, 3, 9])
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(home: Path, kill_after: int) -> None:
    child = start(
        """
        store = DiskStore(sys.argv[1])
        store.open("victim")
        for name in ("a", "b"):
            store.enter(name, "t", at=1)
        turn = 0
        while True:
            turn += 1
            answers = store.commit([append("a", 1, b"x", b"y", durable=turn % 2 == 0), append("b", 1, b"z" * 3000)])
            say(turn, answers[0].seq, answers[1].seq)
            store.idle()
        """,
        home,
    )
    acked = [child.stdout.readline() for _ in range(kill_after)][-1].split()
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)
    store: Any = DiskStore(home)
    store.open("heir")
    assert not store.alive("victim")
    assert store.session("a").owner == "victim"
    for name, least in (("a", int(acked[1]) + 1), ("b", int(acked[2]))):
        row, rows = store.session(name), store.raw(name, limit=10_000)
        assert len(rows) == row.seq >= least
        assert verify(rows, anchor=(row.seq, row.chain)).ok
    assert store.session("a").seq == 2 * store.session("b").seq, "a batch lands whole or not at all"
    assert store.enter("a", "t", at=2).epoch == 2
    store.close()
    assert list((home / "owners").iterdir()) == [], "the dead process's lease file was swept away"


def test_a_forked_child_cannot_use_its_parents_store_and_does_it_no_harm(store: Any, home: Path) -> None:
    store.commit([append("conv-1", None, b"a")])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover -- runs in the child
        try:
            store.commit([append("conv-1", None, b"child")])
            said = "committed"
        except StoreUnavailable as error:
            said = str(error)
        try:
            store.idle()
            store.close()
            own = DiskStore(home)
            own.open("child")
            own.commit([append("conv-1", None, b"own")])
            own.close()
        except BaseException as error:  # noqa: BLE001
            said += f" and then {error!r}"
        os.write(writing, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    said = os.read(reading, 100_000).decode()
    os.close(reading)
    assert "forked" in said
    assert "after the fork" in said
    assert "and then" not in said
    assert store.alive("p1")
    assert store.commit([append("conv-1", None, b"b")]) == [Receipt(3, 0)]
    assert payloads(store, "conv-1") == [b"a", b"own", b"b"]


def test_a_forked_child_does_not_keep_its_dead_parents_lease(home: Path) -> None:
    parent = start(
        """
        store = DiskStore(sys.argv[1])
        store.open("parent")
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            time.sleep(60)
            os._exit(0)
        say(child)
        time.sleep(60)
        """,
        home,
    )
    child = int(parent.stdout.readline())
    try:
        store: Any = DiskStore(home)
        store.open("p1")
        assert store.alive("parent")
        parent.kill()
        parent.wait(timeout=30)
        assert not store.alive("parent")
        store.close()
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate(timeout=30)


def test_a_process_name_is_used_once(store: Any, home: Path) -> None:
    with pytest.raises(StoreError, match="holds its lease already"):
        DiskStore(home).open("p1")
    assert store.alive("p1")


def test_asking_whether_somebody_lives_does_not_make_them_live(tmp_path: Path) -> None:
    lease = Lease(tmp_path, "a/../b")
    assert holds_lease(tmp_path, "a/../b")
    lease.forget()
    assert not holds_lease(tmp_path, "a/../b")
    asking = os.open(next(tmp_path.iterdir()), os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)  # somebody else asks at the same moment
    assert not holds_lease(tmp_path, "a/../b")
    os.close(asking)


def test_sweeping_takes_the_dead_and_leaves_the_living(tmp_path: Path) -> None:
    living, dead = Lease(tmp_path, "living"), Lease(tmp_path, "dead")
    dead.forget()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["living.lock"]
    living.close()
    assert list(tmp_path.iterdir()) == []


def test_a_lease_file_swept_away_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[Path] = []

    def flock(fd: int, how: int) -> None:
        if not swept:
            swept.extend(tmp_path.iterdir())
            swept[0].unlink()
        real(fd, how)

    real = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", flock)
    lease = Lease(tmp_path, "p1")
    assert swept
    assert holds_lease(tmp_path, "p1")
    lease.close()


def test_rows_of_gone_processes_do_not_pile_up(home: Path) -> None:
    for turn in range(5):
        store: Any = DiskStore(home)
        store.open(f"p{turn}")
        store.commit([append("conv-1", None, b"a")])
        store.close()
    store.open("last")
    assert store._link._conn.execute("SELECT process, position FROM processes").fetchall() == [("p4", 5)]
    store.close()


def test_a_process_name_used_again_does_not_take_old_batches_for_its_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = DiskStore(home)
    store.open("p1")
    store.commit([append("conv-1", None, b"a")])
    store.close()
    store.open("p1")

    def failed(conn: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(disk_link, "finish", failed)
    with pytest.raises(StoreUnavailable):
        store.commit([append("conv-1", None, b"b")])
    monkeypatch.undo()
    store.close()
