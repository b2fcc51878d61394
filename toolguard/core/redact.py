"""Takes secret fields out of JSON that leaves for another agent: by name, and by what the application says."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, TypeAlias, cast

import msgspec

Redact: TypeAlias = Callable[[str, Any], Any]
"""``(field name, value) -> value``: what of a field may be handed on; the value itself for all of it."""
HIDDEN = "[redacted]"
_NAMES = frozenset(
    {
        "password", "passcode", "passphrase", "pin", "cvv", "cvc", "cardnumber", "pan", "ssn", "secret", "apikey",
        "accesstoken", "refreshtoken", "authorization",
    }
)  # fmt: skip


_HINTS = (b"pass", b"pin", b"pan", b"cvv", b"cvc", b"card", b"ssn", b"secret", b"key", b"token", b"auth", b"\\u")
"""One of them is in every one of these names, the last in JSON that spells a name by its code points."""


def by_name(name: str, value: Any) -> Any:
    """Hide fields that are secrets by their names, however they are written (``card_number``, ``cardNumber``)."""
    return HIDDEN if name.replace("_", "").replace("-", "").lower() in _NAMES else value


def hiding(names: Container[str], redact: Redact | None) -> Redact:
    """The same, and these names hidden besides."""

    def hide(name: str, value: Any) -> Any:
        return HIDDEN if name in names else redact(name, value) if redact is not None else value

    return hide


def redacted(raw: bytes, redact: Redact | None) -> msgspec.Raw:
    """JSON with its secret fields hidden, at any depth; the very same bytes where there are none."""
    if redact is None or b'"' not in raw or (redact is by_name and not _hinted(raw)):
        return msgspec.Raw(raw)
    value = msgspec.json.decode(raw)
    clean = clear(value, redact)
    return msgspec.Raw(raw) if clean == value else msgspec.Raw(msgspec.json.encode(clean))


def _hinted(raw: bytes) -> bool:
    low = raw.lower()
    for hint in _HINTS:  # noqa: SIM110 - a plain loop takes half the time, and there are thousands
        if hint in low:
            return True
    return False


def redacted_text(text: str, redact: Redact | None) -> str:
    """The same for text that may be JSON."""
    if redact is None or text[:1] not in {"{", "["}:
        return text
    try:
        return bytes(redacted(text.encode(), redact)).decode()
    except msgspec.DecodeError:
        return text


def clear(value: Any, redact: Redact) -> Any:
    """A value of JSON types with its secret fields hidden."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: clear(redact(name, one), redact) for name, one in fields.items()}
    if isinstance(value, list):
        listed: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [clear(one, redact) for one in listed]
    return value
