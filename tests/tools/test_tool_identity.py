"""Canonical forms: spellings of one thing are equal, different things are not (S4, S6)."""

from __future__ import annotations

import enum
import json
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, SecretStr

from toolguard.core.identity import canonical, digest, fingerprint, idempotency_key, intent_key

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


class Colour(enum.Enum):
    RED = "Red"


class Size(enum.IntEnum):
    BIG = 3


@dataclass
class Point:
    x: int
    y: float


class Pair(NamedTuple):
    a: int
    b: int


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    size: int = 1


class Struct(msgspec.Struct):
    x: int
    y: float


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (" Ann  Lee\n", "ann lee"),
        ("STRASSE", "straße"),
        ("é", "e\u0301"),
        ("Å", "\u212b"),
        (1, 1.0),
        (1, Decimal("1.00")),
        (0.1, Decimal("0.10")),
        (0, -0.0),
        (1e21, 10**21),
        (10**30, Decimal("1e30")),
        (100, Decimal("1E+2")),
        (datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))),
        ({3, 1, 2}, {2, 3, 1}),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        (Colour.RED, "red"),
        (Size.BIG, 3),
        ((1, 2), [1, 2]),
        (Point(1, 2.0), {"x": 1, "y": 2}),
        (Struct(1, 2.0), {"x": 1, "y": 2}),
        (Model(name="A"), {"name": "a", "size": 1}),
        (Model.model_validate({"name": "A", "other": 2}), {"name": "a", "size": 1, "other": 2}),
        (Pair(1, 2), [1, 2]),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (time(3, 4), "03:04:00"),
        (timedelta(seconds=1.5), 1.5),
        (uuid.UUID(int=5), str(uuid.UUID(int=5)).upper()),
        (ip_address("10.0.0.1"), "10.0.0.1"),
        (PurePosixPath("a/b"), "a/b"),
        (b"\xff", "ff"),
        ({1: 2}, {"1": 2}),
        (SecretStr("Key"), "key"),
    ],
)
def test_s6_the_same_thing(left: Any, right: Any) -> None:
    assert canonical(left) == canonical(right)
    assert fingerprint(left) == fingerprint(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0, False),
        (0, None),
        ("", None),
        ("1", 1),
        ("true", True),
        ("null", None),
        (1, 2),
        (0.1, 0.2),
        (2**53, 2**53 + 1),
        (10**400, 10**400 + 1),
        ([], {}),
        ([1, 2], [2, 1]),
        (["a", "b"], ["a,b"]),
        (datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),
        (float("inf"), float("-inf")),
        ({"a": 1}, {"A": 1}),
        ("ab", "a b"),
    ],
)
def test_s6_different_things(left: Any, right: Any) -> None:
    assert canonical(left) != canonical(right)


@given(PLAIN)
def test_s6_canonical_text_is_ascii_json(value: Any) -> None:
    text = canonical(value)
    assert text.isascii()
    json.loads(text)
    assert canonical(value) == text


@given(st.text())
def test_s6_strings_fold_once_and_for_all(text: Any) -> None:
    folded = json.loads(canonical(text))
    assert json.loads(canonical(folded)) == folded
    assert canonical(f"  {text}\t") == canonical(text)
    for form in ("NFC", "NFD"):
        assert canonical(unicodedata.normalize(form, text)) == canonical(text)


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_s6_ascii_case_never_counts(text: Any) -> None:
    assert canonical(text.upper()) == canonical(text.lower())


@given(st.integers())
def test_s6_integers_are_one_number_in_every_type(number: Any) -> None:
    assert canonical(number) == canonical(Decimal(number))
    if abs(number) < 2**53:
        assert canonical(number) == canonical(float(number))


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 5))
def test_s6_trailing_zeros_do_not_count(number: Any, zeros: Any) -> None:
    sign, digits, exponent = number.as_tuple()
    wider = Decimal((sign, (*digits, *([0] * zeros)), exponent - zeros))
    assert canonical(wider) == canonical(number)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_s6_floats_are_equal_when_their_text_is(left: Any, right: Any) -> None:
    assert (canonical(left) == canonical(right)) == (left == right)


@given(st.datetimes(timezones=st.timezones()))
def test_s6_aware_times_are_told_in_utc(moment: Any) -> None:
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        return
    assert canonical(moment) == canonical(utc)


@given(PLAIN, PLAIN)
def test_s6_exact_text_tells_apart_what_folded_text_does(left: Any, right: Any) -> None:
    if canonical(left) != canonical(right):
        assert canonical(left, exact=True) != canonical(right, exact=True)


def test_exact_keeps_content_apart() -> None:
    assert canonical("Ann", exact=True) != canonical("ann", exact=True)
    assert canonical("a  b", exact=True) != canonical("a b", exact=True)
    assert canonical("é", exact=True) == canonical("e\u0301", exact=True)


@pytest.mark.parametrize("text", ["ΐ", "\u0345\u0301", "ᾳ\u0345", "\u13a0", "\uab70", "İ", "ß", "ﬃ", "\ud800"])
def test_s6_odd_letters_fold_once_and_for_all(text: Any) -> None:
    folded = json.loads(canonical(text))
    assert json.loads(canonical(folded)) == folded


def test_unknown_types_name_the_type_and_not_the_value() -> None:
    class Odd:
        def __repr__(self) -> str:
            return "secret"

    with pytest.raises(TypeError, match="Odd") as caught:
        canonical([Odd()])
    assert "secret" not in str(caught.value)
    assert canonical([Odd()], fallback=lambda _: "plain") == '["plain"]'
    with pytest.raises(TypeError):
        canonical(Odd(), fallback=lambda value: [value])


def test_the_ends_of_the_calendar() -> None:
    assert canonical(datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))))
    assert canonical(datetime.min.replace(tzinfo=timezone(timedelta(hours=5))))
    assert canonical(float("nan")) == canonical(Decimal("nan"))


def test_s6_intents_are_keyed_hashes() -> None:
    parts = ("clinic", "session", "conv-1", "book", '["p1","s1"]')
    key = intent_key(b"secret", *parts)
    assert len(key) == 32
    assert int(key, 16)
    assert key == intent_key(b"secret", *parts)
    assert key != intent_key(b"other", *parts)
    assert key != intent_key(b"secret", *parts, version="2")
    for position in range(len(parts)):
        changed = [part + "x" if at == position else part for at, part in enumerate(parts)]
        assert key != intent_key(b"secret", *changed)
    with pytest.raises(ValueError, match="secret"):
        intent_key(b"", *parts)


def test_s6_parts_of_an_intent_cannot_run_into_each_other() -> None:
    assert intent_key(b"s", "a", "b", "c", "d", "e") != intent_key(b"s", 'a","b', "", "c", "d", "e")
    assert intent_key(b"s", "ab", "c", "", "", "") != intent_key(b"s", "a", "bc", "", "", "")


def test_d1_one_key_for_every_attempt_of_an_occurrence() -> None:
    intent = intent_key(b"s", "t", "session", "c", "book", "x")
    assert idempotency_key(intent, 1) == idempotency_key(intent, 1)
    assert idempotency_key(intent, 1) != idempotency_key(intent, 2)
    assert len(idempotency_key(intent, 1)) == 32
    assert digest("a") == digest("a") != digest("b")
