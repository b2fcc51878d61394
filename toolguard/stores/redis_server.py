"""What a Redis or Valkey server says of itself, and which of its settings break or weaken the promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from toolguard.errors import StoreForeign

if TYPE_CHECKING:
    from collections.abc import Mapping


class Server(NamedTuple):
    """A server as it was when the connection to it was made.

    Attributes:
        run: Its identity since its start.
        promoted: Whether it was a replica that took over: what its master had not sent it is missing.
        logged: Whether it keeps an append-only file.
        synced: Its ``appendfsync``; empty where it may not be asked.
    """

    run: str
    promoted: bool
    logged: bool
    synced: str

    @property
    def forgetful(self) -> bool:
        """Whether a start of this server may have cost records that had been acknowledged."""
        return self.promoted or not self.logged or self.synced != "always"


def read_server(info: Mapping[str, Any], synced: str, shown: str) -> Server:
    """Read the answer of ``INFO``.

    Raises:
        StoreForeign: The server throws data away when its memory is full.
    """
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction" and int(info.get("maxmemory", 0)) > 0:
        raise StoreForeign(
            f"{shown} throws keys away when its memory is full (maxmemory-policy {policy}), journals and claims too",
            advice="Set it to refuse writes instead: CONFIG SET maxmemory-policy noeviction, and in its configuration.",
        )
    return Server(
        str(info.get("run_id", "")),
        int(info.get("second_repl_offset", -1)) >= 0,
        bool(int(info.get("aof_enabled", 0))),
        synced,
    )


def weaknesses(server: Server, shown: str) -> list[str]:
    """A sentence for each setting that weakens the promise, with what may be lost."""
    if not server.logged:
        return [
            f"{shown} keeps no append-only file (appendonly no): when it stops, everything since its last dump is lost"
        ]
    if not server.synced:
        hidden = f"{shown} does not tell its appendfsync (CONFIG is forbidden): unless it is always,"
        return [f"{hidden} a crash of the server may lose the last seconds of acknowledged records"]
    if server.synced == "always":
        return []
    lost = "the last second or two" if server.synced == "everysec" else "whatever the system had not written yet"
    early = f"{shown} acknowledges before the disk has it (appendfsync {server.synced}):"
    return [
        f"{early} a crash of its machine may lose {lost} of acknowledged records; open mutations then count as in doubt"
    ]
