"""The address of a PostgreSQL store: what the client needs of it, and what may be shown to people."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from toolguard.errors import StoreForeign

_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}")
_SECRET = frozenset({"password", "passfile", "sslpassword", "sslkey"})


class Address(NamedTuple):
    """Where a store is.

    Attributes:
        url: For the client; with the password, never to be shown.
        schema: The schema's name, ready for SQL.
        shown: The same place for people, without password.
    """

    url: str
    schema: str
    shown: str


def address(url: str, schema: str) -> Address:
    """Read an address; ``?schema=`` in it wins over ``schema``.

    Raises:
        StoreForeign: It cannot be understood. The message does not repeat it, because a password may stand in it.
    """
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        user, host = _authority(parts.netloc)
    except ValueError:
        parts, query, user, host = urlsplit(""), [], "", ""
    kind = parts.scheme.partition("+")[0]  # postgresql+asyncpg, as others write it
    if kind not in {"postgres", "postgresql"} or parts.fragment or "@" in parts.path:
        raise StoreForeign(
            "the address of the PostgreSQL server cannot be understood",
            advice="Write postgresql://user:password@host:5432/database, with special characters percent-encoded.",
        )
    schema = dict(query).get("schema", schema)
    if not _SCHEMA.fullmatch(schema):
        raise StoreForeign(
            "the name of the store's schema cannot be used",
            advice="Use up to 48 letters, digits and underscores, not beginning with a digit.",
        )
    rest = [(name, value) for name, value in query if name != "schema"]
    open_ = [(name, value) for name, value in rest if name.lower() not in _SECRET]
    if schema != "toolguard":
        open_.append(("schema", schema))
    said = urlencode(open_, quote_via=quote, safe="/")
    shown = f"postgresql://{f'{user}@' if user else ''}{host}{parts.path}{f'?{said}' if said else ''}"
    client = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(rest, quote_via=quote), ""))
    return Address(client, f'"{schema}"', shown)


def _authority(netloc: str) -> tuple[str, str]:
    user, _, hosts = netloc.rpartition("@")
    if "@" in user:
        raise ValueError("two @")
    for host in hosts.split(","):
        port = urlsplit(f"//{host}").port  # raises where it is no number
        if port is None and host.rpartition("]")[2].count(":") > 0:
            raise ValueError("an empty port")
    return user.partition(":")[0], hosts
