"""Arguments: one pydantic model per tool validates them, describes them to models and writes them to the journal."""

from __future__ import annotations

import json
import warnings
from copy import deepcopy
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretBytes, SecretStr, ValidationError, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, to_json

from toolguard.errors import DeclarationError, InvalidArguments
from toolguard.tools.complaint import ADVICE, explain
from toolguard.tools.shape import EMPTY, Parameter, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

Style = Literal["realtime", "chat"]
Checked = tuple[dict[str, Any], bytes]
"""Python values by parameter name, and the JSON object that the journal keeps."""


class ToolSchema:
    """The arguments of one tool; the model is made at first use.

    Args:
        name: The tool's name.
        description: What models read about the tool.
        shape: Its parameters.
    """

    def __init__(self, name: str, description: str, shape: Shape) -> None:
        self.name = name
        self.description = description
        self.shape = shape
        self._renamed = {f"p{i}_": one for i, one in enumerate(shape.names) if _needs_alias(one)}
        self._absent = frozenset(one.name for one in shape.parameters if shape.sparse and one.default is EMPTY)
        self._quoted = tuple(json.dumps(one).encode() for one in shape.names)

    @cached_property
    def model(self) -> type[BaseModel]:
        """The pydantic model of the parameters that models fill.

        Raises:
            DeclarationError: A parameter has a type that is no JSON value; the message names it.
        """
        aliases = {alias: field for field, alias in self._renamed.items()}
        fields = {aliases.get(one.name, one.name): self._field(one) for one in self.shape.parameters}
        config = ConfigDict(
            extra="allow" if self.shape.others else "forbid",
            protected_namespaces=(),
            ser_json_bytes="base64",
            val_json_bytes="base64",
            ser_json_inf_nan="strings",
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a parameter may be called like a method of the model
                return create_model(self.name, __config__=config, **cast("dict[str, Any]", fields))
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise DeclarationError(
                f"{self.name}: {self._culprit()} has a type that models cannot fill. Use a type that pydantic knows, "
                f"or mark the parameter with toolguard.Injected[...]. ({str(error).splitlines()[0]})"
            ) from None

    def _field(self, one: Parameter) -> tuple[Any, Any]:
        if _secret(one.annotation):
            raise DeclarationError(
                f"{self.name}: parameter {one.name!r} is a pydantic secret, which is written as asterisks and cannot "
                "be read back after a crash. Take a plain type and let the store seal it, or inject the secret."
            )
        settings: dict[str, Any] = {}
        about = one.about or _annotated_text(one.annotation)
        if about and not _described(one.annotation):
            settings["description"] = about
        if _needs_alias(one.name):
            settings["alias"] = one.name
        if one.default is EMPTY and self.shape.sparse and one.name not in self._required:
            return one.annotation, Field(default=None, **settings)
        return one.annotation, Field(**settings) if one.default is EMPTY else Field(default=one.default, **settings)

    @cached_property
    def _required(self) -> frozenset[str]:
        return frozenset((self.shape.raw or {}).get("required", ()))

    def _culprit(self) -> str:
        for one in self.shape.parameters:
            try:
                create_model("one", value=(one.annotation, ...))
            except (PydanticSchemaGenerationError, PydanticUserError):
                return f"parameter {one.name!r}"
        return "a parameter"

    def check_json(self, raw: str | bytes | Mapping[str, Any]) -> Checked:
        """Validate what a model sent: a complete JSON object, or a mapping that was read from one (O10).

        Raises:
            InvalidArguments: What is wrong with which argument, in words that a model can use.
        """
        text = raw if isinstance(raw, str | bytes) else self._plain(raw)
        if not self.shape.names and not text.strip():
            text = b"{}"
        try:
            made = self._validator.validate_json(text)
        except ValidationError as error:
            raise explain(self.name, self.shape.names, error) from None
        self._refuse_twice(text)
        return self._checked(made)

    def check_python(self, values: dict[str, Any]) -> Checked:
        """Validate values of a call made in Python; raises as :meth:`check_json`."""
        try:
            made = self._validator.validate_python(values)
        except ValidationError as error:
            raise explain(self.name, self.shape.names, error) from None
        return self._checked(made)

    @cached_property
    def _validator(self) -> Any:
        return self.model.__pydantic_validator__

    @cached_property
    def _serializer(self) -> Any:
        return self.model.__pydantic_serializer__

    def _checked(self, made: BaseModel) -> Checked:
        plain: Any = made.__dict__
        values: dict[str, Any] = plain
        absent: set[str] | None = None
        if self._absent:
            aliases = {alias: field for field, alias in self._renamed.items()}
            absent = {aliases.get(one, one) for one in self._absent} - made.model_fields_set
            values = {field: value for field, value in values.items() if field not in absent}
        if self._renamed:
            values = {self._renamed.get(field, field): value for field, value in values.items()}
        if made.__pydantic_extra__:
            values = {**values, **made.__pydantic_extra__}
        try:
            return values, self._serializer.to_json(made, by_alias=True, warnings=False, exclude=absent)
        except (PydanticSerializationError, ValueError) as error:
            raise InvalidArguments(
                f"{self.name}: {self._unwritable(values)} cannot be written as JSON ({type(error).__name__}).",
                advice="Pass plain values, models or dataclasses, or mark the parameter with toolguard.Injected[...].",
            ) from None

    def _unwritable(self, values: Mapping[str, Any]) -> str:
        for name, value in values.items():
            try:
                to_json(value)
            except (PydanticSerializationError, ValueError):
                return f"argument {name!r} ({type(value).__name__})"
        return "an argument"

    def _plain(self, raw: Mapping[str, Any]) -> bytes:
        try:
            return to_json(raw)
        except (PydanticSerializationError, ValueError):
            raise InvalidArguments(
                f"{self.name}: {self._unwritable(raw)} is no JSON value.", advice="Pass what the model sent."
            ) from None

    def _refuse_twice(self, text: str | bytes) -> None:
        """Refuse an object that names an argument twice: nobody can say which of the two is meant."""
        data = text if isinstance(text, bytes) else text.encode()
        if any(data.count(quoted) > 1 for quoted in self._quoted):
            pairs: list[tuple[str, Any]] = json.loads(data, object_pairs_hook=list)
            names = [name for name, _ in pairs]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise InvalidArguments(f"{self.name}: {', '.join(twice)} is given more than once.", advice=ADVICE)

    def describe(self, style: Style = "realtime") -> dict[str, Any]:
        """Describe the tool to a model: OpenAI's Realtime and Responses form, or that of Chat Completions."""
        function = {"name": self.name, "description": self.description, "parameters": deepcopy(self._parameters)}
        if style == "chat":
            return {"type": "function", "function": function}
        return {"type": "function", **function}

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        if self.shape.raw is not None:
            return dict(self.shape.raw)
        try:
            made = self.model.model_json_schema(by_alias=True)
        except PydanticInvalidForJsonSchema as error:
            raise DeclarationError(f"{self.name}: a parameter has no JSON schema ({error}).") from None
        made.pop("description", None)
        made.setdefault("properties", {})
        made["additionalProperties"] = self.shape.others
        return cast("dict[str, Any]", _untitled(made))


def _needs_alias(name: str) -> bool:
    return name.startswith("_") or not name.isidentifier() or hasattr(BaseModel, name)


def _secret(annotation: Any) -> bool:
    if annotation is SecretStr or annotation is SecretBytes:
        return True
    return any(_secret(part) for part in get_args(annotation))


def _described(annotation: Any) -> bool:
    return get_origin(annotation) is Annotated and any(
        isinstance(mark, FieldInfo) and mark.description for mark in annotation.__metadata__
    )


def _annotated_text(annotation: Any) -> str:
    if get_origin(annotation) is not Annotated:
        return ""
    return next((mark for mark in annotation.__metadata__ if isinstance(mark, str)), "")


def _untitled(node: Any, *, named: bool = False) -> Any:
    """Drop the titles that pydantic makes from names; ``named``: the keys are names, not words of JSON schema."""
    if isinstance(node, list):
        return [_untitled(item) for item in node]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(node, dict):
        return node
    kept: dict[str, Any] = {}
    for key, value in node.items():  # pyright: ignore[reportUnknownVariableType]
        if key == "title" and not named:
            continue
        verbatim = not named and key in {"default", "const", "enum", "examples"}
        kept[key] = value if verbatim else _untitled(value, named=not named and key in {"properties", "$defs"})
    return kept
