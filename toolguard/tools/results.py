"""Results as JSON and back, through their declared type, so that a resumed run sees the same types (W7)."""

from __future__ import annotations

import weakref
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from toolguard.errors import ResultNotSerialisable
from toolguard.tools.shape import name_of, result_type

if TYPE_CHECKING:
    from collections.abc import Callable

_CONFIG = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings")


class Results:
    """Writes and reads the results of one function.

    Args:
        annotation: The declared type; Any where none is.
        name: Whose results they are, for errors.
    """

    def __init__(self, annotation: Any, name: str) -> None:
        self.annotation = annotation
        self.name = name

    @cached_property
    def _adapter(self) -> TypeAdapter[Any] | None:
        for config in (_CONFIG, None):  # models and dataclasses bring their own configuration
            try:
                return TypeAdapter(self.annotation, config=config)
            except PydanticUserError as error:
                if error.code != "type-adapter-config-unused":
                    return None
            except Exception:  # noqa: BLE001 - a type that pydantic does not know: written as what it is
                return None
        return None

    def dump(self, value: Any) -> bytes:
        """Write a result as JSON.

        Raises:
            ResultNotSerialisable: It cannot be written, neither as its declared type nor as what it is.
        """
        adapter = self._adapter
        if adapter is not None:
            try:
                return adapter.dump_json(value, warnings=False)
            except PydanticSerializationError:
                pass
        try:
            return to_json(value, bytes_mode="base64", inf_nan_mode="strings")
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            kind: Any = value.__class__
            raise ResultNotSerialisable(
                f"{self.name} returned {kind.__module__}.{kind.__qualname__}, which cannot be written as JSON "
                f"({type(error).__name__}).",
                advice="Return pydantic models, dataclasses or plain values. What the tool did stands.",
            ) from error

    def load(self, raw: bytes) -> Any:
        """Read a result that :meth:`dump` wrote; plain JSON values where the declared type does not fit it."""
        if self._adapter is not None:
            try:
                return self._adapter.validate_json(raw)
            except ValidationError:
                pass
        return from_json(raw)


_KNOWN: weakref.WeakKeyDictionary[Any, Results] = weakref.WeakKeyDictionary()


def results_of(function: Callable[..., Any]) -> Results:
    """Give the results of any function, for example that of a step; kept as long as the function lives."""
    plain = getattr(function, "__func__", function)  # bound methods are made anew at every access
    try:
        found = _KNOWN.get(plain)
    except TypeError:  # neither hashable nor weakly referable
        return Results(result_type(function), name_of(function))
    if found is None:
        found = Results(result_type(function), name_of(function))
        try:
            _KNOWN[plain] = found
        except TypeError:
            return found
    return found
