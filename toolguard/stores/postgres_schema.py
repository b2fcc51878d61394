"""Sets the schema of a PostgreSQL store up, checks that it is ours, and brings it forward to the present format."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import asyncpg

from toolguard.errors import StoreForeign, StoreReadOnly
from toolguard.stores.chain_key import fingerprint
from toolguard.stores.postgres_functions import FUNCTIONS
from toolguard.stores.postgres_land import LAND
from toolguard.stores.postgres_land_one import LAND_ONE
from toolguard.stores.postgres_tables import FORMAT, STEPS, TABLES

if TYPE_CHECKING:
    from toolguard.stores.postgres_address import Address

    Connection = asyncpg.Connection[asyncpg.Record]

_OLDEST = 130_000
_LOOK = """
SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS readonly,
    EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1) AS there,
    (SELECT array_agg(c.relname::text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1) AS tables,
    set_config('statement_timeout', $2, false), set_config('lock_timeout', $4, false),
    set_config('idle_in_transaction_session_timeout', $3, false), set_config('jit', 'off', false),
    set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),
    set_config('enable_mergejoin', 'off', false), set_config('application_name', 'toolguard', false),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit')
        WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)
"""
"""Tables grow from nothing while plans made for small ones are still in use, so indexes are asked for always."""


async def settle_in(conn: Connection, place: Address, chain_key: bytes | None, *, wait: float, fresh: bool) -> None:
    """Make a new connection ready for use.

    Args:
        conn: The connection.
        place: Where the store is.
        chain_key: Key of the hash chains, or None.
        wait: Seconds that the server may spend on one statement.
        fresh: Whether the schema may be made where it is missing.

    Raises:
        StoreForeign: Not a toolguard store, of a newer format, of another chain key, or on a server that is too old.
        StoreReadOnly: The server takes no writes, or the role may not make the schema.
        asyncpg.PostgresError: See :func:`toolguard.stores.postgres_errors.explain`.
    """
    name = place.schema.strip('"')
    limits = (str(max(int(wait * share), 1)) for share in (1_000, 5_000, 750))  # milliseconds; a lock's comes first
    found = await conn.fetchrow(_LOOK, name, *limits)
    assert found is not None  # noqa: S101 - a select without FROM has one row
    _check_server(found, place)
    tables: list[str] = found["tables"] or []
    if "meta" not in tables:
        if not fresh:
            raise StoreForeign(f"the schema {name} of {place.shown} is gone", advice="Restore it from a copy.")
        if tables:
            raise StoreForeign(
                f"the schema {name} of {place.shown} holds something else than a toolguard store",
                advice="Give the store a schema of its own: ?schema=toolguard.",
            )
        await _create(conn, place, chain_key, make=not found["there"])
    await _check(conn, place, chain_key)
    await conn.execute(f"SELECT {place.schema}.arrive_1()")


def _check_server(found: asyncpg.Record, place: Address) -> None:
    if found["version"] < _OLDEST:
        raise StoreForeign(
            f"{place.shown} runs PostgreSQL {found['version'] // 10_000}", advice="Use PostgreSQL 13 or newer."
        )
    if found["encoding"] != "UTF8":
        raise StoreForeign(
            f"the database of {place.shown} has the encoding {found['encoding']}",
            advice="Use a database with the encoding UTF8.",
        )
    if found["readonly"]:
        raise StoreReadOnly(
            f"{place.shown} takes no writes (a hot standby, or transactions are read-only there)",
            advice="Name the primary server in the address.",
        )


async def _create(conn: Connection, place: Address, chain_key: bytes | None, *, make: bool) -> None:
    schema, name = place.schema, place.schema.strip('"')
    try:
        async with conn.transaction():
            await _alone(conn, name)
            if await conn.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{schema}.meta"):
                return  # another process was first
            if make:
                await conn.execute(f"CREATE SCHEMA {schema}")
            for part in (TABLES, LAND, LAND_ONE, FUNCTIONS):
                await conn.execute(part.format(s=schema, n=name))
            await conn.executemany(
                f"INSERT INTO {schema}.meta (key, value) VALUES ($1, $2)",  # noqa: S608 - a checked name
                [("format", str(FORMAT)), ("chain", fingerprint(chain_key))],
            )
    except asyncpg.InsufficientPrivilegeError as error:
        role = await conn.fetchval("SELECT current_user")
        sql = (
            f'CREATE SCHEMA {schema} AUTHORIZATION "{role}";'
            if make
            else f'GRANT USAGE, CREATE ON SCHEMA {schema} TO "{role}";'
        )
        raise StoreReadOnly(
            f"the role {role} may not set the store up on {place.shown}: {error}",
            advice=f"Have somebody who may run: {sql}",
        ) from error


async def _check(conn: Connection, place: Address, chain_key: bytes | None) -> None:
    try:
        rows = await conn.fetch(f"SELECT key, value FROM {place.schema}.meta")  # noqa: S608 - a checked name
    except asyncpg.UndefinedColumnError:
        rows = []
    known: dict[Any, Any] = {row["key"]: row["value"] for row in rows}
    form = str(known.get("format", ""))
    if not form.isdecimal():
        raise StoreForeign(
            f"the schema {place.schema} of {place.shown} holds something else than a toolguard store",
            advice="Give the store a schema of its own: ?schema=toolguard.",
        )
    if int(form) > FORMAT:
        raise StoreForeign(
            f"the store on {place.shown} has format {form}; this version knows formats up to {FORMAT}",
            advice="Use a newer version of toolguard.",
        )
    if not hmac.compare_digest(str(known.get("chain")), fingerprint(chain_key)):
        raise StoreForeign(
            f"the store on {place.shown} is chained with another key",
            advice="Open it with the chain_key that it was made with.",
        )
    if int(form) < FORMAT:
        await _bring_forward(conn, place)


async def _bring_forward(conn: Connection, place: Address) -> None:
    """Add what newer formats have; older versions of toolguard refuse the store from then on."""
    schema, name = place.schema, place.schema.strip('"')
    async with conn.transaction():
        await _alone(conn, name)
        form = int(await conn.fetchval(f"SELECT value FROM {schema}.meta WHERE key = 'format'"))  # noqa: S608
        for step in range(form + 1, FORMAT + 1):
            await conn.execute(STEPS[step].format(s=schema, n=name))
        await conn.execute(f"UPDATE {schema}.meta SET value = $1 WHERE key = 'format'", str(max(form, FORMAT)))  # noqa: S608


async def _alone(conn: Connection, name: str) -> None:
    """Wait until no other process sets this schema up; bounded by the caller's time."""
    await conn.execute("SELECT set_config('lock_timeout', '0', true), set_config('statement_timeout', '0', true)")
    key = int.from_bytes(hashlib.sha256(f"toolguard schema {name}".encode()).digest()[:8], "big", signed=True)
    await conn.execute("SELECT pg_advisory_xact_lock($1)", key)
