"""What a store on Redis or Valkey does besides keeping journals: snapshots, retention, leases, waking and settings."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from toolguard.errors import StoreError
from toolguard.stores.base import LEASE, SessionRow, Snapshot
from toolguard.stores.place import lease_over, storable
from toolguard.stores.redis_lua import BURY, KEEP, PRUNE, RENEW, SESSIONS, SNAPSHOT
from toolguard.stores.redis_server import weaknesses
from toolguard.stores.redis_stamp import stamp, unstamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from toolguard.stores.redis_address import Address
    from toolguard.stores.redis_batch import Ledger
    from toolguard.stores.redis_link import Link
    from toolguard.stores.redis_listen import Listener


class RedisKeeping:
    """The half of :class:`toolguard.stores.redis.RedisStore` that is not about records."""

    _where: Address
    _link: Link | None
    _ledger: Ledger | None
    _listeners: list[Listener]

    def _opened(self) -> Link:
        raise NotImplementedError

    def close(self) -> None:
        """Release everything; the process's lease ends."""
        link, self._link, self._ledger = self._link, None, None
        for listener in self._listeners:
            listener.end()
        self._listeners.clear()
        if link is not None:
            with suppress(StoreError):  # a server that is gone lets the lease run out
                link.ask("DEL", f"{self._where.prefix}:l:{link.process}")
            link.close()

    def idle(self) -> None:
        """The server does its own housekeeping."""

    def snapshot(self, session: str) -> Snapshot | None:
        """The newest snapshot of a session; whether it is whole is for its reader to find out."""
        link = self._opened()
        storable(session)
        row = link.look(SNAPSHOT, session)
        return Snapshot(session, int(row[0]), row[1], tuple(row[2])) if row else None

    def keep(self, snapshot: Snapshot, *, known: int) -> bool:
        """Keep a snapshot in place of an older one; False where the store has a newer one or other parts."""
        link = self._opened()
        storable(snapshot.session)
        new = snapshot.parts[known:]
        return bool(link.write(KEEP, snapshot.session, snapshot.seq, known, snapshot.head, *new)[0] == b"ok")

    def prune(self, before: int, *, limit: int = 100) -> list[str]:
        """Take away closed sessions whose last record is older than ``before`` (wall nanoseconds); claims stay."""
        link = self._opened()
        gone: list[str] = []
        for row in self._all("closed"):
            if len(gone) >= limit:
                break
            if row.last_at < before and link.write(PRUNE, row.session, stamp(before))[0] == b"ok":
                gone.append(row.session)
                if self._ledger is not None:
                    self._ledger.drop(row.session)
        return gone

    def renew(self, seconds: float = LEASE) -> float:
        """Let this process's lease last for ``seconds`` from now, by the server's clock (T4).

        Raises:
            LeaseLost: Somebody has found the process dead.
        """
        return renew(self._opened(), seconds)

    def alive(self, process: str) -> bool:
        """Whether the process still holds its lease, judged by the server."""
        link = self._opened()
        storable(process)
        return bool(link.ask("EXISTS", f"{self._where.prefix}:l:{process}"))

    def bury(self, process: str) -> bool:
        """Find a process dead for good, if its lease is over: it can renew it no more. False while it lives."""
        link = self._opened()
        storable(process)
        return bool(link.look(BURY, process))

    def stale(self, *, after: str = "", limit: int = 500) -> list[SessionRow]:
        """Open sessions that no living process owns, in order of their ids, starting behind ``after``."""
        return self._rows(None, "open", after, limit, dead=True)

    def now(self) -> int:
        """The server's clock (T5)."""
        seconds, micros = self._opened().ask("TIME")
        return int(seconds) * 1_000_000_000 + int(micros) * 1000

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` from a thread of its own soon after records of anybody have landed or may have."""
        from toolguard.stores.redis_listen import Listener  # noqa: PLC0415 -- needs the extra

        self._opened().check()
        listener = Listener(self._where, wake)
        self._listeners.append(listener)
        listener.start()
        return listener.stop

    def weak(self) -> list[str]:
        """What of the server's settings may lose acknowledged records."""
        return weaknesses(self._opened().server, self._where.shown)

    def _all(self, state: str) -> Iterator[SessionRow]:
        after = ""
        while rows := self._rows(None, state, after, 500, dead=False):
            yield from rows
            after = rows[-1].session

    def _rows(self, tenant: str | None, state: str | None, after: str, limit: int, *, dead: bool) -> list[SessionRow]:
        link = self._opened()
        storable(after, tenant or "", state or "")
        wanted = "" if tenant is None else f"={tenant}"
        found: list[SessionRow] = []
        while len(found) < limit:
            last, rows = link.look(SESSIONS, after, wanted, state or "", limit - len(found), int(dead))
            found += [self._row(name.decode(), row) for name, row in rows]
            if not last:
                break
            after = last.decode()
        return found

    def _row(self, session: str, row: list[Any]) -> SessionRow:
        tenant, epoch, owner, state, seq, chain, opened, last, run, doubt = row
        server = self._opened().server
        return SessionRow(
            session,
            tenant.decode(),
            int(epoch),
            owner.decode(),
            state.decode(),
            int(seq),
            chain,
            unstamp(opened),
            unstamp(last),
            bool(doubt or (run and run.decode() != server.run and server.forgetful)),
        )


def renew(link: Link, seconds: float) -> float:
    """Let the lease of the link's process last for ``seconds`` from now, by the server's clock.

    Raises:
        LeaseLost: Somebody has found the process dead.
    """
    if not link.look(RENEW, link.process, max(1, int(seconds * 1000))):
        raise lease_over(link.process)
    return seconds
