"""What a PostgreSQL store does besides keeping journals: snapshots, retention, leases, notes, and a wake-up call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.stores.base import LEASE, SessionRow, Snapshot
from toolguard.stores.place import lease_over, unfit
from toolguard.stores.postgres_text import checked, unwritten, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.postgres_address import Address
    from toolguard.stores.postgres_listen import Listener
    from toolguard.stores.postgres_writer import Writer

ROW = "name, tenant, epoch, owner, state, seq, chain, opened_at, last_at"
"""The columns of a :class:`~toolguard.stores.base.SessionRow`."""
_RETENTION = 60.0  # seconds that taking old sessions away may take


def row_of(columns: tuple[Any, ...]) -> SessionRow:
    """The row of a session, from its columns."""
    name, tenant, epoch, owner, state, *rest = columns
    return SessionRow(unwritten(name), unwritten(tenant), epoch, unwritten(owner), unwritten(state), *rest)


class PostgresKeeping:
    """The half of :class:`toolguard.stores.postgres.PostgresStore` that is not about records."""

    place: Address
    _wait: float
    _listeners: list[Listener]

    def _opened(self) -> Writer:
        raise NotImplementedError

    def snapshot(self, session: str) -> Snapshot | None:
        """The newest snapshot of a session; whether it is whole is for its reader to find out."""
        found = self._opened().ask(
            "SELECT n.seq, n.head, ARRAY(SELECT p.part FROM {s}.snapshot_parts p WHERE p.session = n.session"
            " ORDER BY p.number) FROM {s}.snapshots n JOIN {s}.sessions t ON t.id = n.session WHERE t.name = $1",
            written(session),
        )
        return Snapshot(session, found[0][0], found[0][1], tuple(found[0][2])) if found else None

    def keep(self, snapshot: Snapshot, *, known: int) -> bool:
        """Keep a snapshot in place of an older one; False where the store has a newer one or other parts."""
        values = (written(snapshot.session), snapshot.seq, snapshot.head, known, list(snapshot.parts[known:]))
        return bool(self._opened().ask("SELECT {s}.keep_1($1, $2, $3, $4, $5)", *values)[0][0])

    def prune(self, before: int, *, limit: int = 100) -> list[str]:
        """Take away the journals of closed sessions whose last record is older than ``before``; claims stay."""
        writer = self._opened()
        found = writer.ask("SELECT {s}.prune_1($1, $2)", before, max(limit, 0), within=_RETENTION)
        gone = [unwritten(row[0]) for row in found]
        writer.forget(gone)
        return gone

    def renew(self, seconds: float = LEASE) -> float:
        """Let this process's lease last for ``seconds`` from now, by the server's clock.

        Raises:
            LeaseLost: Somebody has found the process dead.
        """
        writer = self._opened()
        found = writer.ask(
            "UPDATE {s}.processes SET until = clock_timestamp() + make_interval(secs => $2) WHERE process = $1"
            " AND NOT dead RETURNING extract(epoch FROM until - clock_timestamp())::float8",
            *(written(writer.process), seconds),
        )
        if not found:
            raise lease_over(writer.process)
        return float(found[0][0])

    def alive(self, process: str) -> bool:
        """Whether the process still holds its lease, by the server's clock."""
        found = self._opened().ask(
            "SELECT 1 FROM {s}.processes WHERE process = $1 AND NOT dead AND until > clock_timestamp()",
            written(process),
        )
        return bool(found)

    def bury(self, process: str) -> bool:
        """Find a process dead for good, if its lease is over. False while it lives."""
        try:
            name = checked(process)
        except ValueError as error:
            raise unfit(process, error) from error
        return bool(self._opened().ask("SELECT {s}.bury_1($1)", name)[0][0])

    def stale(self, *, after: str = "", limit: int = 500) -> list[SessionRow]:
        """Open sessions that no living process owns, in order of their ids, starting behind ``after``."""
        columns = ", ".join(f"t.{column}" for column in ROW.split(", "))
        found = self._opened().ask(
            f"SELECT {columns} FROM {{s}}.sessions t WHERE t.state = 'open' AND t.name > $1"  # noqa: S608
            " AND NOT EXISTS (SELECT 1 FROM {s}.processes p WHERE p.process = t.owner AND NOT p.dead"
            " AND p.until > clock_timestamp()) ORDER BY t.name LIMIT $2",
            *(written(after), max(limit, 0)),
        )
        return [row_of(row) for row in found]

    def now(self) -> int:
        """The server's clock."""
        return int(
            self._opened().ask("SELECT (extract(epoch FROM clock_timestamp())::numeric * 1000000000)::bigint")[0][0]
        )

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` from a thread of its own soon after records of anybody have landed."""
        from toolguard.stores.postgres_listen import Listener  # noqa: PLC0415 -- it imports asyncpg

        self._opened()
        listener = Listener(self.place, wake, wait=self._wait)
        self._listeners = [*(one for one in self._listeners if one.running), listener]
        listener.start()
        return listener.end

    def weak(self) -> list[str]:
        """Settings of the server that weaken the promise."""
        found = self._opened().ask(
            "SELECT current_setting('fsync'), current_setting('full_page_writes'),"
            " current_setting('synchronous_standby_names') = '' AND EXISTS (SELECT 1 FROM pg_stat_replication)"
        )
        fsync, full_page_writes, follows = found[0]
        said: list[str] = []
        if fsync != "on":
            said.append("the server runs with fsync off: a loss of power can take records or the whole database")
        if full_page_writes != "on":
            said.append(
                "the server runs with full_page_writes off: a loss of power can damage the database,"
                " unless its file system writes whole pages"
            )
        if follows:
            said.append(
                "standby servers follow without synchronous_standby_names: after a failover the newest records may be"
                " missing"
            )
        return said

    def note(self, key: str, value: bytes | None, *, keep: bool = False) -> None:
        """Set (or with None remove) a small store-wide setting; with ``keep`` one that is there stays as it is."""
        writer = self._opened()
        try:
            name = checked(key)
        except ValueError as error:
            raise unfit(key, error) from error
        if value is None:
            writer.ask("DELETE FROM {s}.notes WHERE key = $1", name)
            return
        how = "NOTHING" if keep else "UPDATE SET value = excluded.value"
        writer.ask(f"INSERT INTO {{s}}.notes VALUES ($1, $2) ON CONFLICT (key) DO {how}", name, value)  # noqa: S608

    def notes(self, prefix: str = "") -> dict[str, bytes]:
        """Store-wide settings whose key starts with ``prefix``, in order of their keys."""
        found = self._opened().ask(
            "SELECT key, value FROM {s}.notes WHERE key >= $1 AND starts_with(key, $1) ORDER BY key", written(prefix)
        )
        return {unwritten(key): value for key, value in found}

    def _deafen(self) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.end()
        for listener in listeners:
            listener.join()
