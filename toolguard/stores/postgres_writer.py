"""What one process does over its connection: batches land, an unknown outcome is found out, the rest is asked."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from toolguard.errors import StoreBusy, StoreError, StoreUnavailable
from toolguard.stores.base import LEASE, Append, Receipt
from toolguard.stores.place import Head, lease_over, unfit
from toolguard.stores.postgres_batch import Heads, Plan
from toolguard.stores.postgres_errors import CLASH, FAILED, lost
from toolguard.stores.postgres_link import Link
from toolguard.stores.postgres_pack import ARGUMENTS
from toolguard.stores.postgres_text import checked, written
from toolguard.stores.unsure import Unsure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.stores.postgres_address import Address
    from toolguard.stores.postgres_link import Connection

_TRIES = 8  # times that a batch is packed anew because others were at the same sessions
_POLITE = 2  # tries without keeping the sessions' rows locked in between
_KEPT = "30 days"  # how long the row of a process that is gone stays


class Writer:
    """What is open between :meth:`PostgresStore.open` and :meth:`PostgresStore.close`.

    Args:
        place: Where the store is.
        process: On whose behalf; a unique token.
        chain_key: Key of the hash chains, or None.
        wait: Seconds that the server may take for an answer.
    """

    def __init__(self, place: Address, process: str, chain_key: bytes | None, *, wait: float) -> None:
        self.process = process
        self.link = Link(place, chain_key, wait=wait)
        self._schema = place.schema
        self._key = chain_key
        self._heads = Heads()
        self._number = 0
        self._open: tuple[int, Plan] | None = None  # a batch of which nobody knows whether it landed
        self._unsure = Unsure()
        self._opened = False
        self._calls = {
            name: f"SELECT {place.schema}.{name}({', '.join(f'${n}' for n in range(1, count + 1))})"
            for name, count in ARGUMENTS.items()
        }
        self._notify = f"SELECT pg_notify('landed_{place.schema[1:-1]}', '')"

    def open(self) -> None:
        """Connect, and begin the lease.

        Raises:
            StoreError: The store cannot be opened; subclasses say why.
        """
        process = self._key_of(self.process)
        found = self.ask(
            "INSERT INTO {s}.processes VALUES ($1, clock_timestamp() + make_interval(secs => $2), false, 0, '{{}}')"
            " ON CONFLICT (process) DO UPDATE SET until = excluded.until WHERE NOT processes.dead RETURNING batch",
            *(process, LEASE),
        )
        if not found:
            raise lease_over(self.process)
        self._number = found[0][0]
        self._opened = True
        self.ask(f"DELETE FROM {{s}}.processes WHERE until < clock_timestamp() - interval '{_KEPT}'")  # noqa: S608

    def close(self) -> None:
        """End the lease and the connection."""
        end = f"DELETE FROM {self._schema}.processes WHERE process = $1 AND NOT dead"  # noqa: S608 - a checked name
        opened, self._opened = self._opened, False

        async def last(conn: Connection) -> None:
            if opened:
                await conn.execute(end, written(self.process))

        self.link.close(last)

    def ask(self, sql: str, *values: Any, within: float = 0.0) -> list[tuple[Any, ...]]:
        """Run one statement, a second time where the connection was lost meanwhile; ``{s}`` is the schema.

        Raises:
            StoreError: The server does not answer, or refuses.
        """
        statement = sql.format(s=self._schema)

        async def work(conn: Connection, _again: bool) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in await conn.fetch(statement, *values)]

        return self.link.call(work, within=within)

    def enter(self, session: str, tenant: str, at: int, expects: int | None) -> tuple[Any, ...]:
        """Take a session over; verdict (1: another epoch, 2: another tenant), epoch, seq, chain, opened and last at."""
        statement = f"SELECT * FROM {self._schema}.enter_1($1, $2, $3, $4, $5, $6)"  # noqa: S608 - a checked name
        values = (self._key_of(session), written(tenant), written(self.process), at, expects)

        async def work(conn: Connection, again: bool) -> tuple[Any, ...]:
            found = await conn.fetchrow(statement, *values, again)
            assert found is not None  # noqa: S101 - the function has one answer
            return tuple(found)

        answer = self.link.call(work)
        if answer[0] == 0:
            self._heads.put(session, Head(0, answer[1], answer[2], answer[3]))
        return answer

    def forget(self, sessions: Sequence[str]) -> None:
        """Forget the heads of sessions that are gone."""
        self._heads.drop(sessions)

    def tail(self, after: int, limit: int) -> list[tuple[Any, ...]]:
        """Rows behind a position, none of which can still get a predecessor.

        Where no position is missing nothing can come in between. Where one is, its batch may still be under way, and
        only what lies before all such batches is given.
        """
        sql = (
            "SELECT j.pos, t.name, j.seq, j.frame FROM {s}.journal j JOIN {s}.sessions t ON t.id = j.session"
            " WHERE j.pos > $1 AND j.pos <= $3 ORDER BY j.pos LIMIT $2"
        )
        found = self.ask(sql, after, limit, 2**62)
        places = [after, *(row[0] for row in found)]
        if all(later == earlier + 1 for earlier, later in pairwise(places)):
            return found
        horizon = self.ask("SELECT {s}.horizon_1()")[0][0]
        return self.ask(sql, after, limit, horizon)

    def commit(self, batch: Sequence[Append]) -> list[Receipt | StoreError]:
        """Land a batch; what of it landed before, while nobody could tell, is not written again.

        Raises:
            StoreError: Nothing of it landed, or (``StoreUnavailable``) nobody can tell.
        """
        if self._open is not None:
            number, plan = self._open
            [(landed, refusals)] = self.ask(
                "SELECT landed, refusals FROM {s}.settle_1($1, $2)", written(self.process), number
            )
            self._open = None
            for append, answer in zip(plan.batch, plan.landed(refusals) if landed else (), strict=False):
                if isinstance(answer, Receipt):
                    self._unsure.note(append, answer)
        return self._unsure.write(batch, self._land)

    def _land(self, batch: Sequence[Append]) -> list[Receipt | StoreError]:
        plan = Plan(batch, self._heads, self.process, self._key)
        return self.link.run(lambda: self._commit(plan))

    async def _commit(self, plan: Plan) -> list[Receipt | StoreError]:
        lost_once = False
        for attempt in range(_TRIES):
            conn = await self.link.connected()
            self._number += 1
            try:
                async with asyncio.timeout(self.link.wait * 1.5):  # the server's own limit comes first
                    refusals = await (self._polite if attempt < _POLITE else self._insistent)(conn, plan)
            except CLASH:
                continue
            except FAILED as error:
                if not lost(error):
                    raise
                self.link.drop()
                self._open = (self._number, plan)
                refusals = await self._settle(error)
                self._open = None
                if refusals is None and lost_once:
                    raise StoreUnavailable(
                        f"the connection to {self.link.place.shown} was lost twice; nothing of the batch was written",
                        advice="Look at the server; try again.",
                    ) from error
                lost_once = True
            except asyncio.CancelledError:
                self.link.drop()
                self._open = (self._number, plan)
                raise
            if refusals is not None:
                return plan.landed(refusals)
        raise StoreBusy(
            f"other processes were at the same sessions {_TRIES} times in a row, on {self.link.place.shown}",
            advice="Nothing was written. Try again.",
        )

    async def _polite(self, conn: Connection, plan: Plan) -> list[int] | None:
        """Try to land in one round trip; None where the heads were stale, which are known then."""
        function, values = plan.packed(self._number)
        if not function:
            return []
        stale, heard, refusals, *heads = await conn.fetchval(self._calls[function], *values)
        if stale:
            plan.behind(list(zip(*heads, strict=True)), refusals)
            return None
        if heard:
            self.link.tell(conn, self._notify)
            await asyncio.sleep(0)  # so that it is sent
        return list(refusals)

    async def _insistent(self, conn: Connection, plan: Plan) -> list[int] | None:
        """Land with the sessions' rows kept locked between the tries, so that others cannot be first for ever."""
        stale, heard, refusals = True, False, list[int]()
        try:
            transaction = conn.transaction()
            await transaction.start()
            for _ in range(_TRIES):
                self._number += 1
                function, values = plan.packed(self._number)
                stale, heard, refusals, *heads = await conn.fetchval(self._calls[function], *values)
                if not stale:
                    break
                plan.behind(list(zip(*heads, strict=True)), refusals)
            await transaction.commit()
        except BaseException:
            self.link.drop()  # which rolls back
            raise
        if stale:
            return None
        if heard:
            self.link.tell(conn, self._notify)
            await asyncio.sleep(0)  # so that it is sent
        return list(refusals)

    async def _settle(self, error: BaseException) -> list[int] | None:
        """Find out what became of a batch whose answer was lost; None where it did not land and never will.

        Raises:
            StoreUnavailable: Nobody can tell.
        """
        try:
            conn = await self.link.connected()
            async with asyncio.timeout(self.link.wait * 1.5):
                said = await conn.fetchrow(
                    f"SELECT * FROM {self._schema}.settle_1($1, $2)",  # noqa: S608 - a checked name
                    *(written(self.process), self._number),
                )
        except (*FAILED, StoreError) as again:
            if lost(again):
                self.link.drop()
            said_last = str(error) or "no answer"
            raise StoreUnavailable(
                f"the connection to {self.link.place.shown} was lost while a batch landed ({said_last}), and it cannot"
                " be asked: nobody knows whether the batch landed",
                advice="Read the sessions again before anything is decided for them.",
            ) from error
        assert said is not None  # noqa: S101 - the function has one answer
        return list(said["refusals"]) if said["landed"] else None

    def _key_of(self, text: str) -> str:
        try:
            return checked(text)
        except ValueError as error:
            raise unfit(text, error) from error
