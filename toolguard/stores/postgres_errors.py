"""What the errors of PostgreSQL and of its client mean, in sentences that say what to do."""

from __future__ import annotations

import asyncpg

from toolguard.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreForeign,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)

LOST: tuple[type[BaseException], ...] = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
)
"""The connection is gone or does not come about; another one may do. ``TimeoutError`` is an ``OSError``."""

FAILED = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Everything that the network, the server and the client raise."""

CLASH = (asyncpg.UniqueViolationError, asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""Another process was at the same rows in the same moment: nothing was written, and trying again is right."""

_DAMAGED = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError)
_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
_GONE = (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError)
_ADDRESS = asyncpg.exceptions.ClientConfigurationError
_UNFIT = (asyncpg.DataError, UnicodeError, OverflowError)
_UP = "Look whether the server is up and can be reached; try again when it is."


def lost(error: BaseException) -> bool:
    """Whether the connection is to be given up."""
    closed = isinstance(error, asyncpg.InterfaceError) and not isinstance(error, _ADDRESS)
    return closed or isinstance(error, LOST)


def explain(error: BaseException, where: str, wait: float) -> StoreError:
    """The store's own error for one of the server's or the client's; ``where`` names the server, without password."""
    if isinstance(error, StoreError):
        return error
    said = _said(error)
    if isinstance(error, TimeoutError):
        return StoreUnavailable(f"{where} has not answered within {wait:g} s", advice=_UP)
    if isinstance(error, _REFUSED):
        return StoreUnavailable(
            f"{where} lets nobody in: {said}", advice="Look at the role, the password and the database in the address."
        )
    if isinstance(error, asyncpg.LockNotAvailableError):
        return StoreBusy(
            f"another process has held rows of the store on {where} for too long: {said}",
            advice="Nothing was written. Try again; look into pg_stat_activity where it stays so.",
        )
    if isinstance(error, asyncpg.QueryCanceledError):
        return StoreUnavailable(
            f"{where} did not finish within {wait:g} s: {said}", advice="Nothing was written. Try again."
        )
    return _rest(error, said, where)


def _rest(error: BaseException, said: str, where: str) -> StoreError:
    if isinstance(error, asyncpg.DiskFullError):
        return StoreFull(f"the disk of {where} is full: {said}", advice="Nothing was written. Make room on the server.")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return StoreReadOnly(f"{where} takes no writes: {said}", advice="Name the primary server in the address.")
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return StoreReadOnly(
            f"the role may not use the store on {where}: {said}",
            advice="Use the role that owns the schema, or have its owner grant this one what is missing.",
        )
    return _last(error, said, where)


def _last(error: BaseException, said: str, where: str) -> StoreError:
    if isinstance(error, _GONE):
        return StoreForeign(
            f"the tables of the store on {where} are gone: {said}", advice="Restore the schema from a copy."
        )
    if isinstance(error, _DAMAGED):
        return StoreDamaged(f"the database of {where} is damaged: {said}", advice="Restore it from a copy.")
    if isinstance(error, _UNFIT):
        return StoreError(f"a value cannot be looked up or stored: {said}", advice="Mend the value.")
    if isinstance(error, _ADDRESS):
        return StoreForeign(
            f"the address of {where} cannot be used as it is",
            advice="Look at its options; special characters in user and password are percent-encoded.",
        )
    if lost(error):
        return StoreUnavailable(f"{where} cannot be reached: {said}", advice=_UP)
    return StoreError(f"{where} refused: {said}", advice="Look at the server's log.")


def _said(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None)
    text = str(error).strip() or type(error).__name__
    return f"{text} ({state})" if state else text
