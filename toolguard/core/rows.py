"""How calls, runs and items are packed: as rows of values in the order of their fields, which is a format.

A new field goes to the end of its class, with a default: rows that were packed before it was there stay readable.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.core.conversation import Item
from toolguard.core.effect import Effect
from toolguard.core.law import Phase
from toolguard.core.run_records import UndoOffer
from toolguard.core.slots import Answer, Run, Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PLAIN: dict[str, Any] = {
    "int": int, "str": str, "bool": bool, "float": float, "bytes": bytes, "Effect": Effect, "Phase": Phase,
    "list[int]": list[int], "Form": str, "Form | None": str | None, "Verdict": str, "Announce": str, "Kind": str,
    "r.Evidence": str,
}  # fmt: skip
"""Annotations of fields that are packed as they are, and what they are read as."""


def _decoded(raw: bytes) -> dict[str, Any]:
    return msgspec.json.decode(raw, type=dict[str, Any])


def _undo(raw: bytes) -> UndoOffer | None:
    if not raw:
        return None
    offer = msgspec.json.decode(raw, type=UndoOffer)
    return msgspec.structs.replace(offer, arguments=msgspec.Raw(bytes(offer.arguments)))


_JSON = "dict[str, Any]"
_MEMOS = "dict[tuple[str, int], tuple[str, bytes]]"
_PACKED: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = {
    _JSON: (
        bytes,
        lambda value: msgspec.json.encode(value) if value else b"",
        lambda raw: _decoded(raw) if raw else {},
    ),
    _MEMOS: (dict[tuple[str, int], tuple[str, bytes]], dict, dict),
    "UndoOffer | None": (bytes, lambda value: msgspec.json.encode(value) if value else b"", _undo),
    "Answer | None": (
        tuple[str, str, bool, bool] | None,
        lambda value: value and (value.form, value.text, value.reply, value.interim),
        lambda row: row and Answer(*row),
    ),
}
"""Annotation -> what it is packed as, packing, unpacking."""


class Packing:
    """Packs things of one class.

    Args:
        kind: The class, a dataclass.
    """

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self.names = tuple(field.name for field in fields(kind))
        self._values = attrgetter(*self.names)
        self._odd = [
            (place, *_PACKED[str(field.type)][1:])
            for place, field in enumerate(fields(kind))
            if str(field.type) in _PACKED
        ]
        row = msgspec.defstruct(
            f"{kind.__name__}Row", [_column(field) for field in fields(kind)], array_like=True, module=__name__
        )
        self._decoder = msgspec.msgpack.Decoder(list[row])  # type: ignore[valid-type]

    def pack(self, things: Iterable[Any]) -> bytes:
        """Pack things in their order."""
        rows: list[list[Any]] = []
        for thing in things:
            row = list(self._values(thing))
            for place, pack, _ in self._odd:
                row[place] = pack(row[place])
            rows.append(row)
        return msgspec.msgpack.encode(rows)

    def unpack(self, packed: bytes | memoryview) -> list[Any]:
        """The same things again."""
        things: list[Any] = []
        for row in self._decoder.decode(packed):
            values = list(msgspec.structs.astuple(row))
            for place, _, unpack in self._odd:
                values[place] = unpack(values[place])
            things.append(self.kind(*values))
        return things


def _column(field: Field[Any]) -> tuple[str, Any] | tuple[str, Any, Any]:
    """A field as a column of the row; one with a default may be missing in older rows."""
    type_ = str(field.type)
    packed = _PACKED[type_][0] if type_ in _PACKED else PLAIN[type_]
    default: Any = field.default
    if field.default_factory is not MISSING:
        default = field.default_factory()
    if default is MISSING:
        return field.name, packed
    if type_ in _PACKED:
        default = _PACKED[type_][1](default)
    return field.name, packed, default


SLOTS = Packing(Slot)
RUNS = Packing(Run)
ITEMS = Packing(Item)
