"""The store on PostgreSQL, for processes on several machines; it needs the package ``asyncpg``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from toolguard.errors import FeatureMissing, StoreError, StoreUnavailable
from toolguard.stores.base import Append, Mark, Receipt, SessionRow
from toolguard.stores.place import frame_of, not_owner, other_tenant, overtaken
from toolguard.stores.postgres_address import address
from toolguard.stores.postgres_keep import ROW, PostgresKeeping, row_of
from toolguard.stores.postgres_text import unwritten, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.core.frame import Frame
    from toolguard.stores.postgres_writer import Writer

_DAMAGED = "Verify the session; the record has to come back from a copy."


class PostgresStore(PostgresKeeping):
    """Journals in a schema of a PostgreSQL database (13 or newer, UTF-8), shared by any number of processes.

    The schema sets itself up. Every batch is power-durable: the server's ``synchronous_commit`` is asked for whatever
    the role's or the database's default says, since records that a server may lose when its process dies would leave
    its living clients without the journal that they go by. A connection through a pooler has to be a session's own.

    Args:
        url: ``postgresql://user:password@host:5432/database``, with the options that ``asyncpg`` knows
            (``sslmode=verify-full``), several hosts, and ``schema=`` besides.
        schema: The schema's name, where the address names none.
        chain_key: Key of the sessions' hash chains (HMAC-SHA-256); None chains with plain SHA-256. A journal keeps
            the key that it was made with.
        wait: Seconds that the server may take for an answer, and a lost connection to come back.

    Raises:
        FeatureMissing: ``asyncpg`` is not installed.
        StoreForeign: The address cannot be understood.
    """

    threaded: bool = True

    def __init__(
        self, url: str, *, schema: str = "toolguard", chain_key: bytes | None = None, wait: float = 2.0
    ) -> None:
        try:
            importlib.import_module("asyncpg")  # only this store needs it
        except ImportError as error:
            raise FeatureMissing(
                "the store on PostgreSQL needs the package asyncpg",
                feature="asyncpg",
                advice='pip install "toolguard-voice[postgres]".',
            ) from error
        self.place = address(url, schema)
        self.name = self.place.shown
        self._key = chain_key
        self._wait = wait
        self._writer: Writer | None = None
        self._listeners = []

    def open(self, process: str) -> None:
        """Open on behalf of ``process`` (a unique token); its lease begins. The schema is made where it is missing.

        Raises:
            StoreForeign: Not a toolguard store, of a newer format, of another chain key, or on an unfit server.
            StoreReadOnly: The server takes no writes, or the role may not make the schema.
            StoreUnavailable: The server does not answer.
            LeaseLost: The process was found dead.
        """
        from toolguard.stores.postgres_writer import Writer  # noqa: PLC0415 -- it imports asyncpg

        if self._writer is not None:
            raise StoreError(f"the store is open already, for {self._writer.process}", advice="Close it first.")
        writer = Writer(self.place, process, self._key, wait=self._wait)
        try:
            writer.open()
        except BaseException:
            writer.close()
            raise
        self._writer = writer

    def close(self) -> None:
        """Release everything; the process's lease ends."""
        writer, self._writer = self._writer, None
        self._deafen()
        if writer is not None:
            writer.close()

    def idle(self) -> None:
        """Nothing waits to be done when no batch is waiting."""

    def commit(self, batch: Sequence[Append]) -> list[Receipt | StoreError]:
        """Store a batch in one transaction and, nearly always, one round trip.

        An append that is fenced, loses a claim or has too little of its lease left is refused alone, in its place.

        Raises:
            StoreError: Nothing of the batch landed; ``StoreUnavailable`` may also mean that nobody can tell.
        """
        writer = self._opened()
        return writer.commit(batch) if batch else []

    def enter(self, session: str, tenant: str, *, at: int, expects: int | None = None) -> SessionRow:
        """Take a session over: its epoch grows by one. ``at`` is wall time in nanoseconds.

        Raises:
            Fenced: The session belongs to another tenant, or does not stand at the epoch ``expects``.
        """
        writer = self._opened()
        verdict, epoch, seq, chain, opened_at, last_at = writer.enter(session, tenant, at, expects)
        if verdict == 1 and expects is not None:
            raise overtaken(session, expects, epoch)
        if verdict:
            raise other_tenant(session)
        return SessionRow(session, tenant, epoch, writer.process, "open", seq, chain, opened_at, last_at)

    def leave(self, session: str, state: str) -> None:
        """Record that the session is ``closed`` or ``open`` without an owner; an unknown session is left alone.

        Raises:
            Fenced: Another process owns the session by now.
        """
        writer = self._opened()
        found = writer.ask("SELECT {s}.leave_1($1, $2, $3)", written(session), written(writer.process), written(state))
        if found[0][0] is not None:
            raise not_owner(session, unwritten(found[0][0]))

    def session(self, session: str) -> SessionRow | None:
        """One session's row."""
        found = self._opened().ask(f"SELECT {ROW} FROM {{s}}.sessions WHERE name = $1", written(session))  # noqa: S608
        return row_of(found[0]) if found else None

    def sessions(
        self, *, tenant: str | None = None, state: str | None = None, after: str = "", limit: int = 500
    ) -> list[SessionRow]:
        """Rows of sessions in order of their ids, starting behind ``after``."""
        given = {"tenant": tenant, "state": state}
        where, values = _where(given, first=3)
        if state == "open":
            where += " AND state = 'open'"  # spelt out, so that the partial index serves it
        found = self._opened().ask(
            f"SELECT {ROW} FROM {{s}}.sessions WHERE name > $1{where} ORDER BY name LIMIT $2",  # noqa: S608
            *(written(after), max(limit, 0), *values),
        )
        return [row_of(row) for row in found]

    def read(self, session: str, *, after: int = 0, limit: int = 512) -> list[Frame]:
        """Records of one session behind sequence number ``after``, in order.

        Raises:
            StoreDamaged: A record is not what was written.
        """
        return [_frame(session, seq, stored) for seq, stored in self.raw(session, after=after, limit=limit)]

    def raw(self, session: str, *, after: int = 0, limit: int = 512) -> list[tuple[int, bytes]]:
        """The same, as (sequence number of the row, stored bytes), for verification."""
        found = self._opened().ask(
            "SELECT seq, frame FROM {s}.journal WHERE session = (SELECT id FROM {s}.sessions WHERE name = $1)"
            " AND seq > $2 ORDER BY seq LIMIT $3",
            *(written(session), after, max(limit, 0)),
        )
        return [(seq, frame) for seq, frame in found]

    def tail(self, *, after: int, limit: int = 512) -> list[tuple[int, str, Frame]]:
        """Records of all sessions behind store position ``after``, oldest first; no position comes after a greater one.

        Raises:
            StoreDamaged: A record is not what was written.
        """
        found = self._opened().tail(max(after, 0), max(limit, 0))
        return [(pos, unwritten(name), _frame(unwritten(name), seq, frame)) for pos, name, seq, frame in found]

    def position(self) -> int:
        """The newest store position up to which nothing is still under way."""
        return int(self._opened().ask("SELECT {s}.horizon_1()")[0][0])

    def claim(self, key: str) -> tuple[int, bytes] | None:
        """A claim's version and value."""
        found = self._opened().ask("SELECT version, value FROM {s}.claims WHERE key = $1", written(key))
        return (found[0][0], found[0][1]) if found else None

    def open_calls(
        self, *, tenant: str | None = None, phase: str | None = None, session: str | None = None, limit: int = 500
    ) -> list[Mark]:
        """Rows of the index of open and in-doubt calls, oldest first."""
        where, values = _where({"tenant": tenant, "phase": phase, "session": session}, first=2)
        found = self._opened().ask(
            f"SELECT session, call, tenant, tool, phase, at FROM {{s}}.open_calls WHERE true{where}"  # noqa: S608
            " ORDER BY at, session, call LIMIT $1",
            *(max(limit, 0), *values),
        )
        return [
            Mark(unwritten(name), call, unwritten(whose), unwritten(tool), unwritten(stands), at)
            for name, call, whose, tool, stands, at in found
        ]

    def _opened(self) -> Writer:
        if self._writer is None:
            raise StoreUnavailable(f"the store on {self.name} is not open", advice="Call open() before using it.")
        return self._writer


def _where(given: dict[str, str | None], *, first: int) -> tuple[str, list[Any]]:
    """Conditions for the columns that are given, and their values, which are numbered from ``first`` on."""
    wanted = {column: written(value) for column, value in given.items() if value is not None}
    where = "".join(f" AND {column} = ${number}" for number, column in enumerate(wanted, first))
    return where, list(wanted.values())


def _frame(session: str, seq: int, stored: bytes) -> Frame:
    return frame_of(session, seq, stored, advice=_DAMAGED)
