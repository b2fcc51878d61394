"""Where a Redis or Valkey server is: an address as people write it, with the password kept out of every message."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from toolguard.errors import StoreForeign

SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
"""Schemes that are understood, and the client library's own name of each."""
_ADVICE = "Write it as redis://user:password@host:6379/0, with rediss:// or valkeys:// for TLS."


class Address(NamedTuple):
    """A server and the part of it that a store uses.

    Attributes:
        url: For the client library, password and all.
        shown: For people and messages: no user, no password, no options.
        prefix: What the names of all keys begin with, in braces: they share one slot of a cluster.
        secrets: Texts that no message may contain.
    """

    url: str
    shown: str
    prefix: str
    secrets: tuple[str, ...]

    def hide(self, text: object) -> str:
        """A text with every secret blotted out."""
        said = str(text)
        for secret in self.secrets:
            said = said.replace(secret, "***")
        return said


def address(url: str, prefix: str) -> Address:
    """Read an address; ``?prefix=`` in it wins over ``prefix``.

    Raises:
        StoreForeign: It is not the address of such a server; the message does not repeat it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port or 6379
    except ValueError as error:
        raise StoreForeign("the address of the Redis or Valkey server cannot be read", advice=_ADVICE) from error
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        raise StoreForeign(f"{scheme or 'nothing'}:// is not the address of a Redis or Valkey server", advice=_ADVICE)
    options = parse_qsl(parts.query, keep_blank_values=True)
    prefix = next((value for name, value in options if name == "prefix"), prefix)
    if not prefix or set(prefix) & set("{}") or not prefix.isprintable():
        raise StoreForeign("the prefix of the keys is empty or has braces in it", advice="Use a plain word, or none.")
    if scheme != "unix" and parts.path.strip("/") and not parts.path.strip("/").isdigit():
        raise StoreForeign("the path of the server's address is not the number of a database", advice=_ADVICE)
    rest = urlencode([(name, value) for name, value in options if name != "prefix"])
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if scheme == "unix":
        where = ""
    path = parts.path if parts.path != "/" else ""
    secrets = {secret for secret in (parts.password, unquote(parts.password or "")) if secret}
    secrets |= {value for name, value in options if name == "password" and value}
    return Address(
        urlunsplit((SCHEMES[scheme], parts.netloc, parts.path, rest, "")),
        f"{scheme}://{where}{path}",
        f"{{{prefix}}}",
        tuple(sorted(secrets, key=len, reverse=True)),
    )
