"""What the errors of the Redis client library mean for a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis import exceptions as said

from toolguard.errors import StoreError, StoreForeign, StoreFull, StoreReadOnly, StoreUnavailable

if TYPE_CHECKING:
    from toolguard.stores.redis_address import Address

_FULL = ("OOM", "MISCONF")
_DENIED = (said.AuthenticationError, said.AuthorizationError, said.NoPermissionError)


def lost(error: BaseException) -> bool:
    """Whether a new connection, to this server or to the one that has taken over, may mend it."""
    if isinstance(error, _DENIED):
        return False
    return isinstance(error, (said.ConnectionError, said.TimeoutError, said.ReadOnlyError, OSError))


def explain(error: said.RedisError | OSError, where: Address) -> StoreError:
    """Say what an error means; no secret of the address gets into the message."""
    text, shown = where.hide(error), where.shown
    if isinstance(error, _DENIED) or text.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
        return StoreUnavailable(
            f"{shown} does not admit this user: {text}",
            advice="Name user and password in the address, and let the user use all commands on the store's keys.",
        )
    if isinstance(error, said.ReadOnlyError):
        return StoreReadOnly(
            f"{shown} is a replica and takes no writes: {text}", advice="Name the address of the primary."
        )
    if isinstance(error, (said.OutOfMemoryError, said.MovedError)) or text.startswith(_FULL):
        if isinstance(error, said.MovedError):
            return StoreForeign(
                f"{shown} is a node of a cluster that does not keep the store's slot ({text})",
                advice="Name the node that keeps it; all keys of the store lie in one slot.",
            )
        return StoreFull(
            f"{shown} has no room: {text}",
            advice="Give the server memory or disk; nothing was written now.",
        )
    if text.startswith("WRONGTYPE"):
        return StoreForeign(
            f"{shown} holds keys of another program under the store's prefix: {text}",
            advice="Choose another prefix: ?prefix=name in the address.",
        )
    if lost(error):
        return StoreUnavailable(
            f"{shown} cannot be reached: {text}",
            advice="Look whether the server is up and can be reached; try again when it is.",
        )
    if isinstance(error, said.ResponseError):
        return StoreUnavailable(
            f"{shown} refused a request of the store: {text}",
            advice="Look at the server's log; version 6.2 of Redis, or any Valkey, is needed at least.",
        )
    return StoreUnavailable(f"{shown} does not answer as it should: {text}", advice="Look at the server's log.")
