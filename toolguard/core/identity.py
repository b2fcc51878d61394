"""What makes two calls the same: canonical forms, fingerprints, and the keys made from them (S4, S6)."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from json.encoder import encode_basestring_ascii as _quote
from pathlib import PurePath
from typing import Any, NamedTuple
from unicodedata import normalize
from uuid import UUID

Fallback = Callable[[Any], Any]
"""Turns a value of a type that this module does not know into plain JSON values."""

KEY_LENGTH = 32
_PLAIN_DIGITS = 21
_PLAIN_LIMIT = 10**_PLAIN_DIGITS


def canonical(value: Any, *, exact: bool = False, fallback: Fallback | None = None) -> str:
    """Write a value so that two spellings of the same thing become the same ASCII JSON text.

    Strings are NFC, trimmed, their white space collapsed, casefolded; ``1``, ``1.0`` and ``Decimal("1.00")`` are
    one number and a bool is none; aware datetimes are told in UTC; sets are sorted; mappings, models and
    dataclasses are sorted by key; enums stand for their value.

    Args:
        value: What to write.
        exact: Keep strings as they are but for NFC: for content, where ``"Ann"`` and ``"ann"`` differ.
        fallback: Asked for a plain form of values of unknown types.

    Raises:
        TypeError: A value has no canonical form; its type is named, the value is not shown.
    """
    return _text(value, _Hand(exact, fallback))


def fingerprint(value: Any, *, exact: bool = False, fallback: Fallback | None = None) -> str:
    """Hash the canonical form: 32 hex characters (SHA-256, truncated); arguments as in :func:`canonical`."""
    return digest(_text(value, _Hand(exact, fallback)))


def digest(text: str) -> str:
    """Hash a canonical text: 32 hex characters."""
    return hashlib.sha256(text.encode("ascii", "backslashreplace")).hexdigest()[:KEY_LENGTH]


def intent_key(
    secret: bytes, tenant: str, scope: str, scope_value: str, tool: str, identity: str, *, version: str = ""
) -> str:
    """Name an intent by a keyed hash, so that a stored key tells nothing about the arguments (S6).

    Args:
        secret: The store's own secret; there is no default.
        tenant: Everything lies inside one tenant (S8).
        scope: ``session``, ``caller`` or ``tenant``.
        scope_value: Which session or caller; empty for a tenant.
        tool: The tool's name.
        identity: Canonical text of the identity arguments.
        version: A version of the tool's *meaning*, where a developer declares one. The digest of its code does not
            belong here: a deployment would forget what was done.

    Raises:
        ValueError: The secret is empty.
    """
    if not secret:
        raise ValueError("intent_key needs a secret; an empty one would make stored keys guessable")
    parts = (tenant, scope, scope_value, tool, version, identity)
    text = "[" + ",".join(map(_quote, parts)) + "]"
    key = secret if len(secret) <= hashlib.blake2b.MAX_KEY_SIZE else hashlib.sha256(secret).digest()
    return hashlib.blake2b(text.encode("ascii"), key=key, digest_size=KEY_LENGTH // 2).hexdigest()


@lru_cache(maxsize=4096)
def idempotency_key(intent: str, occurrence: int) -> str:
    """Make the key sent downstream: 32 hex characters, the same for every attempt of one occurrence (D1).

    Args:
        intent: What :func:`intent_key` returned.
        occurrence: Which time of the intent it is. An occurrence that inherits a key passes the number of the one
            that it inherits from.
    """
    return digest(f"{intent}/{occurrence}")


class _Hand(NamedTuple):
    """How to write: exact strings or folded ones, and whom to ask about unknown types."""

    exact: bool
    fallback: Fallback | None


_Writer = Callable[[Any, _Hand], str]


def _text(value: Any, hand: _Hand) -> str:
    kind: type = value.__class__
    return (_writers.get(kind) or _find(kind))(value, hand)


def _string(value: str, hand: _Hand) -> str:
    if hand.exact:
        return _quote(value if value.isascii() else normalize("NFC", value))
    return _quote(_folded(value))


def _folded(value: str) -> str:
    text = " ".join(value.split())
    if text.isascii():
        return text.lower()
    seen = ""
    while text != seen:  # one round but for a few Greek and Cherokee letters
        seen = text
        text = normalize("NFC", normalize("NFD", text).casefold())
    return " ".join(text.split())


def _none(_value: None, _hand: _Hand) -> str:
    return "null"


def _bool(value: bool, _hand: _Hand) -> str:
    return "true" if value else "false"


def _int(value: int, hand: _Hand) -> str:
    if -_PLAIN_LIMIT < value < _PLAIN_LIMIT:
        return int.__repr__(value)
    return _decimal(Decimal(value), hand)


def _float(value: float, hand: _Hand) -> str:
    return _decimal(Decimal(float.__repr__(value)), hand)


def _decimal(value: Decimal, _hand: _Hand) -> str:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return '"nan"' if value.is_nan() else ('"-inf"' if sign else '"inf"')
    return _number(sign, "".join(map(str, digits)), exponent)


def _number(sign: int, digits: str, exponent: int) -> str:
    kept = digits.lstrip("0").rstrip("0")
    if not kept:
        return "0"
    exponent += len(digits) - len(digits.rstrip("0"))
    minus = "-" if sign else ""
    if exponent >= 0 and len(kept) + exponent <= _PLAIN_DIGITS:
        return f"{minus}{kept}{'0' * exponent}"
    return f"{minus}{kept}e{exponent}"


def _datetime(value: datetime, _hand: _Hand) -> str:
    if value.utcoffset() is None:
        return _quote(value.replace(tzinfo=None).isoformat().lower())
    try:
        moment = value.astimezone(UTC)
    except OverflowError:  # the first or last day of the calendar
        return _quote(value.isoformat().lower())
    return _quote(moment.replace(tzinfo=None).isoformat().lower() + "z")


def _moment(value: date | time, _hand: _Hand) -> str:
    return _quote(value.isoformat().lower())


def _duration(value: timedelta, _hand: _Hand) -> str:
    micros = value // timedelta(microseconds=1)
    return _number(micros < 0, str(abs(micros)), -6)


def _enum(value: Enum, hand: _Hand) -> str:
    return _text(value.value, hand)


def _bytes(value: bytes | bytearray, _hand: _Hand) -> str:
    return f'"{value.hex()}"'


def _as_str(value: Any, _hand: _Hand) -> str:
    return _quote(str(value))


def _list(value: Sequence[Any], hand: _Hand) -> str:
    return "[" + ",".join([_text(item, hand) for item in value]) + "]"


def _set(value: AbstractSet[Any], hand: _Hand) -> str:
    return "[" + ",".join(sorted(_text(item, hand) for item in value)) + "]"


def _mapping(value: Mapping[Any, Any], hand: _Hand) -> str:
    pairs = sorted([(_key(key, hand), _text(item, hand)) for key, item in value.items()])
    return "{" + ",".join([f"{key}:{item}" for key, item in pairs]) + "}"


def _key(key: Any, hand: _Hand) -> str:
    if isinstance(key, str):
        return _quote(key if key.isascii() else normalize("NFC", key))
    text = _text(key, hand)
    return text if text.startswith('"') else _quote(text)


def _fields(value: Any, hand: _Hand) -> str:
    names = _field_names(value.__class__)
    held = {name: getattr(value, name) for name in names if hasattr(value, name)}
    extra: Mapping[str, Any] | None = getattr(value, "__pydantic_extra__", None)
    return _mapping({**held, **extra} if extra else held, hand)


def _secret(value: Any, hand: _Hand) -> str:
    return _text(value.get_secret_value(), hand)


def _unknown(value: Any, hand: _Hand) -> str:
    if hand.fallback is None:
        kind: Any = value.__class__
        raise TypeError(f"a value of type {kind.__module__}.{kind.__qualname__} has no canonical form")
    return _text(hand.fallback(value), _Hand(hand.exact, None))


def _field_names(kind: Any) -> list[str]:
    if hasattr(kind, "__dataclass_fields__"):
        return [one.name for one in dataclasses.fields(kind)]
    if hasattr(kind, "__attrs_attrs__"):
        return [str(one.name) for one in kind.__attrs_attrs__]
    return list(getattr(kind, "__pydantic_fields__", None) or getattr(kind, "__struct_fields__", None) or ())


_KNOWN: tuple[tuple[tuple[type, ...], _Writer], ...] = (
    ((Enum,), _enum),
    ((str,), _string),
    ((bool,), _bool),
    ((int,), _int),
    ((float,), _float),
    ((type(None),), _none),
    ((datetime,), _datetime),
    ((date, time), _moment),
    ((Decimal,), _decimal),
    ((timedelta,), _duration),
    ((bytes, bytearray), _bytes),
    ((UUID, PurePath), _as_str),
    ((IPv4Address, IPv4Network, IPv4Interface, IPv6Address, IPv6Network, IPv6Interface), _as_str),
    ((Mapping,), _mapping),
    ((AbstractSet,), _set),
    ((Sequence,), _list),
)
_MARKS = ("__pydantic_fields__", "__dataclass_fields__", "__struct_fields__", "__attrs_attrs__")


_MOST_KINDS = 4096
_writers: dict[type, _Writer] = {}


def _find(kind: type) -> _Writer:
    found = next((writer for bases, writer in _KNOWN if issubclass(kind, bases)), None)
    if found is None:
        structured = any(hasattr(kind, mark) for mark in _MARKS)
        found = _secret if hasattr(kind, "get_secret_value") else _fields if structured else _unknown
    if len(_writers) < _MOST_KINDS:  # types made at run time must not pile up
        _writers[kind] = found
    return found
