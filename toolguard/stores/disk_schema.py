"""The SQLite file of a disk store: its tables, how a connection to it is set up, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING
from urllib.parse import quote

from toolguard.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreForeign,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from toolguard.stores.chain_key import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

FILE = "journal.sqlite3"
FORMAT = 2
"""Version of the tables; a store of a newer format is refused."""

APPLICATION = 0x7467_6A31  # "tgj1", in the file's header: this is a toolguard journal

_OURS = frozenset({"lock", "owners", "cache", FILE, f"{FILE}-wal", f"{FILE}-shm", f"{FILE}-journal", "lost+found"})

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, epoch INTEGER NOT NULL,
    owner TEXT NOT NULL, state TEXT NOT NULL, seq INTEGER NOT NULL, chain BLOB NOT NULL,
    opened_at INTEGER NOT NULL, last_at INTEGER NOT NULL);
CREATE INDEX sessions_open ON sessions (name) WHERE state = 'open';
CREATE TABLE journal (
    pos INTEGER PRIMARY KEY, session INTEGER NOT NULL, seq INTEGER NOT NULL, frame BLOB NOT NULL);
CREATE UNIQUE INDEX journal_place ON journal (session, seq);
CREATE TABLE claims (key TEXT PRIMARY KEY, version INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE open_calls (
    session TEXT NOT NULL, call INTEGER NOT NULL, tenant TEXT NOT NULL, tool TEXT NOT NULL, phase TEXT NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (session, call)) WITHOUT ROWID;
CREATE TABLE notes (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE processes (process TEXT PRIMARY KEY, batch INTEGER NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE accepted (session INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE damaged (pos INTEGER, session INTEGER, seq INTEGER, frame BLOB, accepted_at INTEGER NOT NULL)
"""
_SNAPSHOTS = """
CREATE TABLE snapshots (session INTEGER PRIMARY KEY, seq INTEGER NOT NULL, head BLOB NOT NULL);
CREATE TABLE snapshot_parts (
    session INTEGER NOT NULL, number INTEGER NOT NULL, part BLOB NOT NULL, PRIMARY KEY (session, number))
"""
_STEPS = {2: _SNAPSHOTS}
"""What each newer format adds to the one before it."""


def connect(file: Path, *, readonly: bool) -> sqlite3.Connection:
    """Open the file and set the connection up; the directory's lock is held by whoever calls.

    Raises:
        sqlite3.Error: What SQLite says; see :func:`explain`.
    """
    mode = "ro" if readonly else "rw"
    if readonly and not os.access(file.parent, os.W_OK) and not file.with_name(f"{FILE}-wal").exists():
        mode = "ro&immutable=1"  # WAL needs a file beside the journal, which nobody can make here
    conn = sqlite3.connect(
        f"file:{quote(str(file))}?mode={mode}",
        uri=True,
        timeout=0.25,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=128,
    )
    try:
        for pragma in ("mmap_size=0", "trusted_schema=OFF", "cell_size_check=ON", "cache_size=-16384"):
            conn.execute(f"PRAGMA {pragma}").fetchall()
        if not readonly:
            for pragma in ("wal_autocheckpoint=0", "secure_delete=ON", "synchronous=NORMAL"):
                conn.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        conn.close()
        raise
    return conn


def open_journal(directory: Path, chain_key: bytes | None, *, readonly: bool) -> sqlite3.Connection:
    """Open the store's file, making it where there is none; the directory's lock is held by whoever calls.

    Raises:
        StoreForeign: Not a toolguard store, of a newer format, or chained with another key.
        sqlite3.Error, OSError: See :func:`explain`.
    """
    file = directory / FILE
    if not file.exists():
        if readonly:
            raise StoreForeign(f"there is no journal in {directory}", advice="Name the directory of a journal.")
        _make(directory)
    conn = connect(file, readonly=readonly)
    try:
        if not readonly and _blank(conn):
            _create(conn, chain_key)
        form = recognise(conn, directory)
        if not readonly:
            _check_key(conn, directory, chain_key)
            _bring_forward(conn, form)
    except BaseException:
        conn.close()
        raise
    return conn


def check_directory(directory: Path) -> None:
    """Refuse a place that is neither a journal's directory nor can become one.

    Raises:
        StoreForeign: It is a file, or holds other things and no journal.
        OSError: It cannot be looked at.
    """
    if directory.exists() and not directory.is_dir():
        raise StoreForeign(f"{directory} is a file", advice="Name a directory of the journal's own.")
    if not directory.exists() or (directory / FILE).exists():
        return
    strangers = sorted(entry.name for entry in directory.iterdir() if entry.name not in _OURS and entry.name[0] != ".")
    if strangers:
        raise StoreForeign(
            f"{directory} holds other things ({', '.join(strangers[:3])}) and no journal",
            advice="Name a directory of the journal's own.",
        )


def recognise(conn: sqlite3.Connection, directory: Path) -> int:
    """Check that an open file is a toolguard journal of a format that this version reads.

    Returns:
        Its format.

    Raises:
        StoreForeign: It is not.
    """
    if conn.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise StoreForeign(
            f"{directory / FILE} is an SQLite file of another program",
            advice="Name a directory of the journal's own.",
        )
    row = conn.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    form = int(row[0]) if row else 0
    if form > FORMAT:
        raise StoreForeign(
            f"{directory} has the newer format {form}; this version of toolguard reads up to format {FORMAT}",
            advice="Use the version of toolguard that wrote it, or a newer one.",
        )
    return form


def explain(error: sqlite3.Error | OSError, directory: Path) -> StoreError:
    """Say what an error of SQLite or of the file system means for the store."""
    said = str(error)
    if isinstance(error, OSError):
        name = {28: "FULL", 122: "FULL", 30: "READONLY", 13: "READONLY", 1: "READONLY"}.get(error.errno or 0, "IO")
    else:
        code: object = getattr(error, "sqlite_errorname", "")
        name = str(code).removeprefix("SQLITE_").partition("_")[0]
    if name == "FULL":
        return StoreFull(
            f"the disk of {directory} is full: {said}",
            advice="Make room; nothing of this batch was written.",
        )
    if name in {"READONLY", "PERM", "AUTH"}:
        return StoreReadOnly(
            f"{directory} cannot be written: {said}",
            advice="Give this user write access, or open it with readonly=True.",
        )
    if name in {"BUSY", "LOCKED"}:
        return StoreBusy(
            f"another program holds {directory / FILE}: {said}",
            advice="Close tools that have the file open for writing, and try again.",
        )
    if name == "CORRUPT":
        return StoreDamaged(
            f"{directory / FILE} is damaged: {said}",
            advice="Keep the files as they are, and restore the directory from a copy.",
        )
    if name == "NOTADB":
        return StoreForeign(
            f"{directory / FILE} is not an SQLite file",
            advice="Name a directory of the journal's own.",
        )
    return StoreUnavailable(f"the store at {directory} does not answer: {said}", advice="Look at the disk it lies on.")


def _make(directory: Path) -> None:
    directory.chmod(0o700)
    os.close(os.open(directory / FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    _sync(directory)


def _blank(conn: sqlite3.Connection) -> bool:
    return not conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]


def _create(conn: sqlite3.Connection, chain_key: bytes | None) -> None:
    conn.execute("PRAGMA journal_mode=WAL").fetchall()
    conn.execute("PRAGMA synchronous=FULL")
    conn.execute("BEGIN IMMEDIATE")
    for table in ";".join([_TABLES, *_STEPS.values()]).split(";"):
        conn.execute(table)
    conn.execute(f"PRAGMA application_id={APPLICATION}")
    conn.executemany(
        "INSERT INTO meta (key, value) VALUES (?, ?)", [("format", str(FORMAT)), ("chain", fingerprint(chain_key))]
    )
    conn.execute("COMMIT")


def _bring_forward(conn: sqlite3.Connection, form: int) -> None:
    """Add what newer formats have; older versions of toolguard refuse the journal from then on."""
    if form >= FORMAT:
        return
    conn.execute("PRAGMA synchronous=FULL")
    conn.execute("BEGIN IMMEDIATE")
    for step in range(form + 1, FORMAT + 1):
        for table in _STEPS[step].split(";"):
            conn.execute(table)
    conn.execute("UPDATE meta SET value = ? WHERE key = 'format'", (str(FORMAT),))
    conn.execute("COMMIT")
    conn.execute("PRAGMA synchronous=NORMAL")


def _check_key(conn: sqlite3.Connection, directory: Path, chain_key: bytes | None) -> None:
    row = conn.execute("SELECT value FROM meta WHERE key = 'chain'").fetchone()
    if row is None or row[0] != fingerprint(chain_key):
        raise StoreForeign(
            f"the journal in {directory} is chained with another key",
            advice="Open it with the chain_key that it was made with.",
        )


def _sync(directory: Path) -> None:
    for place in (directory, directory.parent):
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
