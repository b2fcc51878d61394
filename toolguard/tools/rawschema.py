"""A tool's shape from a JSON schema that somebody else wrote (MCP servers, catalogues)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, cast

from pydantic import Field

from toolguard.errors import DeclarationError
from toolguard.tools.shape import EMPTY, Parameter, Shape

_SIMPLE: Mapping[str, Any] = {"string": str, "integer": int, "number": int | float, "boolean": bool, "null": None}
_LIMITS: Mapping[str, str] = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
}
_OF_TYPE: Mapping[str, frozenset[str]] = {
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "string": frozenset({"minLength", "maxLength"}),
    "array": frozenset({"minItems", "maxItems"}),
}


def raw_shape(name: str, schema: Mapping[str, Any], about: str) -> Shape:
    """Make a shape from the JSON schema of an object.

    Types, enums, alternatives, nesting by ``items``, lengths and limits are checked; what this does not know
    (patterns, formats, references) is left to the tool itself. Models see the schema as it was written.

    Raises:
        DeclarationError: It is not the schema of an object.
    """
    properties: Any = schema.get("properties", {})
    if schema.get("type", "object") != "object" or not isinstance(properties, Mapping):
        raise DeclarationError(f"{name}: its schema has to describe an object with properties.")
    parameters = [
        Parameter(key, _type(part), _default(part), _text(part))
        for key, part in cast("Mapping[str, Any]", properties).items()
    ]
    unknown = [one for one in schema.get("required", ()) if one not in properties]
    if unknown:
        raise DeclarationError(f"{name}: its schema requires {', '.join(unknown)}, which is no property.")
    others = schema.get("additionalProperties", False) is not False
    return Shape(parameters=tuple(parameters), others=others, about=about, raw=schema, sparse=True)


def _default(part: Any) -> Any:
    return cast("Mapping[str, Any]", part).get("default", EMPTY) if isinstance(part, Mapping) else EMPTY


def _text(part: Any) -> str:
    return str(cast("Mapping[str, Any]", part).get("description", "")) if isinstance(part, Mapping) else ""


def _type(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return Any
    schema = cast("Mapping[str, Any]", part)
    if "const" in schema:
        return _literal([schema["const"]])
    if "enum" in schema:
        return _literal(schema["enum"])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return _one_of([_type(one) for one in schema[word]])
    kind: Any = schema.get("type", "")
    if isinstance(kind, str):
        return _typed(kind, schema)
    return _one_of([_typed(str(one), schema) for one in kind])


def _typed(kind: str, schema: Mapping[str, Any]) -> Any:
    if kind == "array":
        base: Any = list.__class_getitem__(_type(schema.get("items")))
    elif kind == "object":
        base = dict[str, Any]
    else:
        base = _SIMPLE.get(kind, Any)
    limits = {_LIMITS[word]: schema[word] for word in _OF_TYPE.get(kind, ()) if word in schema}
    return Annotated[base, Field(**limits)] if limits else base


def _literal(values: Any) -> Any:
    plain = [one for one in values if one is None or isinstance(one, str | int | bool)]
    return Literal[tuple(plain)] if plain and len(plain) == len(values) else Any


def _one_of(kinds: list[Any]) -> Any:
    return Union[tuple(kinds)] if kinds else Any  # noqa: UP007 - made at run time, of any number
