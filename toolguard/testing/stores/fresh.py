"""Content of its own for each test, beside whatever a place holds already; it is gone afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolguard.testing.stores.child import opener

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def fresh(place: str) -> Generator[str]:
    """A place beside ``place`` that nobody has used.

    A directory gets a folder of the test's own in it, a server a prefix or a schema; what is there already is left
    alone. A ``factory:`` is given a word of the test's own.
    """
    word = f"suite_{uuid.uuid4().hex[:12]}"
    scheme = place.partition("://")[0].lower() if "://" in place else ""
    if place in {"memory", "memory:"}:
        yield place
        return
    if place.startswith("factory:"):
        yield f"{place}:{word}"
        return
    if not scheme:
        folder = Path(os.fspath(place).removeprefix("disk:")) / word
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    joint = "&" if "?" in place else "?"
    if scheme.startswith("postgres"):
        try:
            yield f"{place}{joint}schema={word}"
        finally:
            with suppress(Exception):  # best effort: the server may be gone
                asyncio.run(_drop_schema(place, word))
        return
    try:
        yield f"{place}{joint}prefix={word}"
    finally:
        with suppress(Exception):
            asyncio.run(_delete_keys(place, word))


def check(place: str) -> str:
    """Open and close a store beside ``place``; its name for people.

    Raises:
        ToolguardError: It cannot be opened.
    """
    with fresh(place) as beside:
        store = opener(beside)
        store.open("suite")
        store.close()
        return opener(place).name if not place.startswith("factory:") else place


async def _drop_schema(place: str, schema: str) -> None:
    import asyncpg  # noqa: PLC0415 -- an extra

    from toolguard.stores.postgres_address import address  # noqa: PLC0415 -- belongs to the extra

    connection = await asyncpg.connect(address(place, schema).url)
    try:
        await connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
    finally:
        await connection.close()


async def _delete_keys(place: str, prefix: str) -> None:
    from redis.asyncio import Redis  # noqa: PLC0415 -- an extra

    from toolguard.stores.redis_address import address  # noqa: PLC0415 -- belongs to the extra

    client: Any = Redis.from_url(address(place, prefix).url)  # pyright: ignore[reportUnknownMemberType]
    try:
        found: list[bytes] = [key async for key in client.scan_iter(match=f"{{{prefix}}}:*", count=1_000)]
        if found:
            await client.delete(*found)
    finally:
        await client.aclose()
