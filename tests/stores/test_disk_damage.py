"""A damaged journal opens for reading alone until a person accepts the damage, and shows it for ever after."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract import append, payloads

from toolguard.core.chain import verify
from toolguard.errors import StoreDamaged, StoreError
from toolguard.stores.base import Receipt
from toolguard.stores.disk import DiskStore


@pytest.fixture
def home(tmp_path: Path) -> Any:
    home = tmp_path / "journal"
    store: Any = DiskStore(home)
    store.open("p1")
    for name in ("a", "b"):
        store.enter(name, "t", at=1)
    for turn in range(4):
        store.commit([append("a", 1, f"a{turn}".encode()), append("b", 1, f"b{turn}".encode())])
    store.leave("b", "closed")
    store.close()
    return home


def tamper(home: Path, sql: str, *values: Any) -> None:
    conn = sqlite3.connect(home / "journal.sqlite3", isolation_level=None)
    conn.execute(sql, values)
    conn.close()


def spoil(home: Path, position: int, at: int = -40) -> None:
    conn = sqlite3.connect(home / "journal.sqlite3", isolation_level=None)
    [stored] = conn.execute("SELECT frame FROM journal WHERE pos = ?", (position,)).fetchone()
    spoilt = bytearray(stored)
    spoilt[at] ^= 1
    conn.execute("UPDATE journal SET frame = ? WHERE pos = ?", (bytes(spoilt), position))
    conn.close()


def refused(home: Path) -> Any:
    with pytest.raises(StoreDamaged) as caught:
        DiskStore(home).open("p2")
    assert "--accept" in caught.value.advice
    return str(caught.value)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a payload at the end": (lambda home: spoil(home, 7, at=37), "record 4 of a: the record's payload fails"),
    "a header": (lambda home: spoil(home, 5, at=27), "record 3 of a: it does not follow"),
    "the last link": (lambda home: spoil(home, 8, at=-1), "record 4 of b"),
    "a cut record": (
        lambda home: tamper(home, "UPDATE journal SET frame = substr(frame, 1, 30) WHERE pos = 7"),
        "record 4 of a: 30 bytes are too short",
    ),
    "the last record lost": (
        lambda home: tamper(home, "DELETE FROM journal WHERE pos = 8"),
        "newest records are missing (positions 8 to 8)",
    ),
    "two last records lost": (lambda home: tamper(home, "DELETE FROM journal WHERE pos > 6"), "positions 7 to 8"),
    "a record lost before the end": (lambda home: tamper(home, "DELETE FROM journal WHERE pos = 5"), "record 4 of a"),
    "a session's last record lost": (
        lambda home: tamper(home, "DELETE FROM journal WHERE pos = 7"),
        "a has 4 records and the newest one there is 3",
    ),
    "a head gone back": (
        lambda home: tamper(home, "UPDATE sessions SET seq = 3 WHERE name = 'a'"),
        "a has 3 records and record 4 is there",
    ),
    "a head's chain": (
        lambda home: tamper(home, "UPDATE sessions SET chain = zeroblob(32) WHERE name = 'b'"),
        "the last record of b (4) is not the one",
    ),
    "records renumbered": (
        lambda home: tamper(home, "UPDATE journal SET seq = 9 WHERE pos = 7"),
        "it says that it is record 4",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
class TestDamage:
    def test_it_is_refused_for_writing_and_opened_for_reading(self, home: Path, damage: str) -> None:
        harm, sentence = DAMAGES[damage]
        harm(home)
        assert sentence in refused(home)
        assert sentence in refused(home), "looking mends nothing"
        reader = DiskStore(home, readonly=True)
        reader.open("looker")
        assert payloads(reader, "a", limit=2) == [b"a0", b"a1"]
        reader.close()

    def test_once_a_person_accepted_it_the_journal_goes_on_and_still_shows_it(self, home: Path, damage: str) -> None:
        DAMAGES[damage][0](home)
        store: Any = DiskStore(home)
        sentences = store.accept_damage("ana")
        assert sentences
        assert store.accept_damage("bob") == [], "nothing is left to accept"
        store.open("p3")
        [note] = store.notes("damage/").values()
        told = json.loads(note)
        assert (told["by"], told["found"]) == ("ana", sentences)
        assert store.position() == 8, "a position is never given twice"
        for name in ("a", "b"):
            seq = store.session(name).seq + 1
            assert store.commit([append(name, 1, b"after")]) == [Receipt(seq, 1)]
            assert payloads(store, name)[-1] == b"after"
        assert store.position() == 10
        store.close()
        store.open("p4")
        store.close()


def test_a_record_that_was_never_damaged_is_not_accepted_away(home: Path) -> None:
    store: Any = DiskStore(home)
    assert store.accept_damage("ana") == []
    store.open("p2")
    assert store.notes("damage/") == {}
    assert all(verify(store.raw(name)).ok for name in ("a", "b"))
    store.close()


def test_an_accepted_gap_is_still_named_by_verification(home: Path) -> None:
    spoil(home, 5)
    store: Any = DiskStore(home)
    store.accept_damage("ana")
    store.open("p2")
    verdict = verify(store.raw("a"))
    assert (verdict.damage, verdict.seq) == ("removed", 3)
    kept = store._link.query("SELECT pos, seq FROM damaged")
    assert kept == [(5, 3)]
    store.close()


def test_damage_further_back_is_met_on_reading_and_named(home: Path) -> None:
    store: Any = DiskStore(home)
    store.open("p2")
    store.commit([append("c", None, b"x") for _ in range(300)])
    store.close()
    spoil(home, 3, at=37)
    store.open("p2")
    with pytest.raises(StoreDamaged, match="record 2 cannot be read") as caught:
        store.read("a")
    assert caught.value.ref == "a"
    with pytest.raises(StoreDamaged):
        store.tail(after=0)
    assert payloads(store, "b") == [b"b0", b"b1", b"b2", b"b3"]
    store.close()


@pytest.mark.parametrize("kept", [0.9, 0.5])
def test_a_file_cut_short_is_damaged_and_only_a_copy_helps(home: Path, kept: float) -> None:
    file = home / "journal.sqlite3"
    os.truncate(file, int(file.stat().st_size * kept))
    with pytest.raises(StoreDamaged, match="malformed") as caught:
        DiskStore(home).open("p2")
    assert "copy" in caught.value.advice
    with pytest.raises(StoreDamaged):
        DiskStore(home).accept_damage("ana")


def test_damage_is_accepted_in_a_closed_store_alone(home: Path) -> None:
    store: Any = DiskStore(home)
    store.open("p2")
    with pytest.raises(StoreError, match="is open"):
        store.accept_damage("ana")
    store.close()
