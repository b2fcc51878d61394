"""The store on Redis or Valkey: several machines share it; one script lands a batch, in one round trip."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from msgspec import msgpack

from toolguard.errors import FeatureMissing, StoreError, StoreForeign, StoreUnavailable
from toolguard.stores.base import LEASE, Append, Mark, Receipt, SessionRow
from toolguard.stores.chain_key import fingerprint
from toolguard.stores.place import frame_of, not_owner, other_tenant, overtaken, storable
from toolguard.stores.redis_address import address
from toolguard.stores.redis_keep import RedisKeeping, renew
from toolguard.stores.redis_lua import CALLS, ENTER, LEAVE, SESSION, SETUP, TAIL
from toolguard.stores.redis_stamp import stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.core.frame import Frame
    from toolguard.stores.redis_batch import Ledger
    from toolguard.stores.redis_link import Link

FORMAT = 1
"""Version of the keys; a store of a newer format is refused."""

_DAMAGED = "Verify the session: toolguard verify."


class RedisStore(RedisKeeping):
    """Journals on a Redis or Valkey server, shared by any number of processes and machines.

    The promise holds with ``appendfsync always``; :meth:`weak` names what weakens it, and sessions that may have lost
    acknowledged records come back ``doubtful``. After a fork each process makes and opens a store of its own.

    Args:
        url: ``redis://``, ``rediss://``, ``valkey://`` or ``valkeys://`` with user, password, host, port and number of
            the database; ``?prefix=`` in it wins over ``prefix``.
        prefix: What the store's keys begin with, ``{prefix}:``; several stores may share a server.
        chain_key: Key of the sessions' hash chains (HMAC-SHA-256); None chains with plain SHA-256. A store keeps the
            key that it was made with.
        wait: Seconds that a request may take, connecting anew and asking again included.

    Raises:
        StoreForeign: The address cannot be read.
        FeatureMissing: The client library is not installed.
    """

    threaded: bool = True

    def __init__(
        self, url: str, *, prefix: str = "toolguard", chain_key: bytes | None = None, wait: float = 2.0
    ) -> None:
        if not (importlib.util.find_spec("redis") and importlib.util.find_spec("hiredis")):
            raise FeatureMissing(
                "the client of Redis and Valkey is not installed",
                feature="redis.asyncio",
                advice="Install it: pip install 'toolguard-voice[redis]'.",
            )
        self._where = address(url, prefix)
        self.name = self._where.shown
        self._key = chain_key
        self._wait = wait
        self._link: Link | None = None
        self._ledger: Ledger | None = None
        self._listeners = []

    def open(self, process: str) -> None:
        """Open on behalf of ``process`` (a unique token); its lease begins.

        Raises:
            StoreForeign: Not a toolguard store, of a newer format, of another chain key, or on a server that evicts.
            StoreUnavailable: The server cannot be reached.
            LeaseLost: A process of that name has been found dead.
        """
        from toolguard.stores.redis_batch import Ledger  # noqa: PLC0415 -- needs the extra
        from toolguard.stores.redis_link import Link  # noqa: PLC0415

        if self._link is not None:
            raise StoreError(f"the store is open already, for {self._link.process}", advice="Close it first.")
        storable(process)
        link = Link(self._where, process, wait=self._wait)
        try:
            self._recognise(link)
            renew(link, LEASE)
        except BaseException:
            link.close()
            raise
        self._link, self._ledger = link, Ledger(link, self._key)

    def commit(self, batch: Sequence[Append]) -> list[Receipt | StoreError]:
        """Store a batch in one step; an append that is fenced, loses a claim or lacks lease is refused alone.

        Raises:
            StoreError: Nothing of the batch landed; ``StoreUnavailable`` may also mean that nobody can tell.
        """
        self._opened()
        return self._ledger.land(batch) if batch and self._ledger is not None else []

    def enter(self, session: str, tenant: str, *, at: int, expects: int | None = None) -> SessionRow:
        """Take a session over: its epoch grows by one. ``at`` is wall time in nanoseconds.

        Raises:
            Fenced: The session belongs to another tenant, or does not stand at the epoch ``expects``.
        """
        link = self._opened()
        storable(session, tenant)
        answer = link.write(ENTER, session, tenant, stamp(at), "" if expects is None else expects)
        if answer[0] == b"overtaken":
            raise overtaken(session, expects or 0, int(answer[1]))
        if answer[0] == b"tenant":
            raise other_tenant(session)
        row = self._row(session, answer[1])
        if self._ledger is not None:
            self._ledger.learn(session, row.epoch, row.seq, row.chain)
        return row

    def leave(self, session: str, state: str) -> None:
        """Record that the session is ``closed`` or ``open`` without an owner; an unknown session is left alone.

        Raises:
            Fenced: Another process owns the session by now.
        """
        link = self._opened()
        storable(session, state)
        answer = link.write(LEAVE, session, state)
        if answer[0] == b"owner":
            raise not_owner(session, answer[1].decode())

    def session(self, session: str) -> SessionRow | None:
        """One session's row."""
        link = self._opened()
        storable(session)
        row = link.look(SESSION, session)
        return self._row(session, row) if row[1] is not None else None

    def sessions(
        self, *, tenant: str | None = None, state: str | None = None, after: str = "", limit: int = 500
    ) -> list[SessionRow]:
        """Rows of sessions in order of their ids, starting behind ``after``."""
        return self._rows(tenant, state, after, limit, dead=False)

    def read(self, session: str, *, after: int = 0, limit: int = 512) -> list[Frame]:
        """Records of one session behind sequence number ``after``, in order.

        Raises:
            StoreDamaged: A record is not what was written.
        """
        return [_frame(session, seq, stored) for seq, stored in self.raw(session, after=after, limit=limit)]

    def raw(self, session: str, *, after: int = 0, limit: int = 512) -> list[tuple[int, bytes]]:
        """The same, as (sequence number of the row, stored bytes), for verification."""
        link = self._opened()
        storable(session)
        if limit <= 0:
            return []
        key = f"{self._where.prefix}:j:{session}"
        rows = link.ask("XRANGE", key, f"{max(after, 0) + 1}-0", "+", "COUNT", limit)
        return [(int(row[0].partition(b"-")[0]), row[1][1]) for row in rows]

    def tail(self, *, after: int, limit: int = 512) -> list[tuple[int, str, Frame]]:
        """Records of all sessions behind store position ``after``, oldest first.

        Raises:
            StoreDamaged: A record is not what was written.
        """
        link = self._opened()
        if limit <= 0:
            return []
        rows = link.look(TAIL, max(after, 0), limit)
        return [
            (int(position), name.decode(), _frame(name.decode(), int(seq), stored))
            for position, name, seq, stored in rows
        ]

    def position(self) -> int:
        """The newest store position."""
        return int(self._opened().ask("GET", f"{self._where.prefix}:pos") or 0)

    def claim(self, key: str) -> tuple[int, bytes] | None:
        """A claim's version and value."""
        link = self._opened()
        storable(key)
        row = link.ask("GET", f"{self._where.prefix}:c:{key}")
        if row is None:
            return None
        version, _, value = row.partition(b" ")
        return int(version), value

    def open_calls(
        self, *, tenant: str | None = None, phase: str | None = None, session: str | None = None, limit: int = 500
    ) -> list[Mark]:
        """Rows of the index of open and in-doubt calls, oldest first."""
        link = self._opened()
        storable(session or "")
        found: list[Mark] = []
        for name, fields in link.look(CALLS, "" if session is None else f"={session}"):
            for call, row in zip(fields[::2], fields[1::2], strict=True):
                mark = Mark(name.decode(), int(call), *msgpack.decode(row))
                if tenant in {None, mark.tenant} and phase in {None, mark.phase}:
                    found.append(mark)
        return sorted(found, key=lambda mark: (mark.at, mark.session, mark.call))[: max(limit, 0)]

    def note(self, key: str, value: bytes | None, *, keep: bool = False) -> None:
        """Set (or with None remove) a small store-wide setting; with ``keep`` one that is there stays as it is."""
        link = self._opened()
        storable(key)
        notes = f"{self._where.prefix}:notes"
        if value is None:
            link.ask("HDEL", notes, key)
        else:
            link.ask("HSETNX" if keep else "HSET", notes, key, value)

    def notes(self, prefix: str = "") -> dict[str, bytes]:
        """Store-wide settings whose key starts with ``prefix``, in order of their keys."""
        fields = self._opened().ask("HGETALL", f"{self._where.prefix}:notes")
        found = {key.decode(): value for key, value in zip(fields[::2], fields[1::2], strict=True)}
        return {key: value for key, value in sorted(found.items()) if key.startswith(prefix)}

    def _opened(self) -> Link:
        if self._link is None:
            raise StoreUnavailable(f"the store on {self.name} is not open", advice="Call open() before using it.")
        return self._link

    def _recognise(self, link: Link) -> None:
        form, chain = link.look(SETUP, FORMAT, fingerprint(self._key))
        if not form.isdigit() or int(form) > FORMAT:
            raise StoreForeign(
                f"{self.name} has the newer format {form.decode(errors='replace')};"
                f" this version of toolguard reads up to format {FORMAT}",
                advice="Use the version of toolguard that wrote it, or a newer one.",
            )
        if chain != fingerprint(self._key).encode():
            raise StoreForeign(
                f"the journals on {self.name} are chained with another key",
                advice="Open them with the chain_key that they were made with, or choose another prefix.",
            )


def _frame(session: str, seq: int, stored: bytes) -> Frame:
    return frame_of(session, seq, stored, advice=_DAMAGED)
