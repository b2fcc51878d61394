"""Finds the store and the application that a command is about."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from toolguard.audit.trail import Trail
from toolguard.cli.app import BadUse
from toolguard.engine.guard import Guard
from toolguard.engine.journal import Journal
from toolguard.errors import StoreForeign
from toolguard.stores.disk import DiskStore
from toolguard.stores.locate import store_from

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from toolguard.stores.base import Store


def key_from(path: str) -> bytes | None:
    """The chain key that a file holds; None where no file is named.

    Raises:
        BadUse: The file cannot be read, or is empty.
    """
    if not path:
        return None
    try:
        key = Path(path).read_bytes()
    except OSError as error:
        raise BadUse(f"{path} cannot be read: {error.strerror or error}", advice="Name the key's file.") from error
    if not key:
        raise BadUse(f"{path} is empty", advice="Name the key's file.")
    return key


def reading(place: str) -> Store:
    """A store to look at: nothing is made, locked or written.

    Raises:
        StoreForeign: There is no journal.
    """
    store = store_from(place)
    return DiskStore(store.path, readonly=True) if isinstance(store, DiskStore) else store


def writing(place: str, key: bytes | None = None) -> Store:
    """A store to write to, which has to be there already.

    Raises:
        StoreForeign: There is no journal.
    """
    store = store_from(place)
    if not isinstance(store, DiskStore):
        return store
    if not (store.path / "journal.sqlite3").exists():
        raise StoreForeign(f"there is no journal in {store.path}", advice="Name it with --store or TOOLGUARD_STORE.")
    return DiskStore(store.path, chain_key=key)


@asynccontextmanager
async def asking(store: Store) -> AsyncGenerator[Journal]:
    """Open a store for questions (``journal.ask``), and close it."""
    journal = Journal(store, f"cli-{os.getpid()}")
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def trail_of(place: str) -> AsyncGenerator[Trail]:
    """The trail of a store, opened for reading alone."""
    async with asking(reading(place)) as journal:
        yield Trail(journal.ask)


def guard_of(app: str, place: str) -> Guard:
    """The application's guard; without an application one that knows no tools.

    Args:
        app: ``module:guard``, the guard itself or a function that makes it; or empty.
        place: The store, where no application is named.

    Raises:
        BadUse: The application cannot be loaded, or has no such guard.
    """
    if not app:
        return Guard(writing(place))
    name, _, attribute = app.partition(":")
    if not name or not attribute:
        raise BadUse(f"--app {app} names no guard", advice="Write it as module:guard, for example app.main:guard.")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 -- the path as the import system wants it
    try:
        found = importlib.import_module(name)
        for part in attribute.split("."):
            found = getattr(found, part)
        guard = found if isinstance(found, Guard) else found() if callable(found) else found
    except Exception as error:
        raise BadUse(
            f"--app {app} cannot be loaded: {type(error).__name__}: {error}", advice="Write it as module:guard."
        ) from error
    if not isinstance(guard, Guard):
        raise BadUse(f"--app {app} is no toolguard.Guard", advice="Name the guard, or a function that makes it.")
    return guard
