"""The arguments of one call: validated, written once, with the two texts that say which calls are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from toolguard.core.identity import canonical, digest
from toolguard.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.tools.spec import Spec


class Arguments:
    """What one call was given.

    Attributes:
        values: Python values by parameter name, defaults filled.
        json: The same as a JSON object, as the journal keeps it.
        fingerprint: 32 hex characters over all arguments: identity arguments as identity sees them, content exactly.
        identity: Canonical text of the identity arguments; of all arguments for a read (S4).
        instance: What a method is bound to, else None.
        injected: What the caller put in by hand for injected parameters.
    """

    __slots__ = ("fingerprint", "identity", "injected", "instance", "json", "values")

    def __init__(
        self,
        values: dict[str, Any],
        json: bytes,
        identity: str,
        fingerprint: str,
        *,
        instance: Any = None,
        injected: dict[str, Any] | None = None,
    ) -> None:
        self.values = values
        self.json = json
        self.identity = identity
        self.fingerprint = fingerprint
        self.instance = instance
        self.injected: dict[str, Any] = {} if injected is None else injected

    def __repr__(self) -> str:
        return f"<Arguments {', '.join(self.values)} fingerprint={self.fingerprint}>"


def names_of(spec: Spec) -> tuple[str, ...]:
    """The names of the identity arguments; none for a read and for an identity function."""
    return () if spec.identity is None or callable(spec.identity) else spec.identity


class Identifier:
    """Says what makes two calls of one tool the same.

    Args:
        spec: The tool's options.
        names: The parameters that every call has, in order; None where calls may differ in them.
        call: Calls the identity function with a tool's values, the way the tool's own body is called.
    """

    def __init__(
        self,
        spec: Spec,
        names: tuple[str, ...] | None,
        call: Callable[[Callable[..., Any], Mapping[str, Any]], Any],
    ) -> None:
        identity = spec.identity
        self._name = spec.name
        self._call = call
        self._function = identity if callable(identity) else None
        self._identity = tuple(sorted(names_of(spec))) if isinstance(identity, tuple) else None
        self._all = names
        held = frozenset(self._identity or ())
        self._held = held
        self._content = None if names is None else tuple(name for name in names if name not in held)

    def identify(self, values: Mapping[str, Any], rest: Mapping[str, Any]) -> tuple[str, str]:
        """Give the identity and the fingerprint of a call.

        Args:
            values: What models fill.
            rest: Receiver and injected values, for an identity function that takes them.

        Raises:
            InvalidArguments: A value has no canonical form, or the identity function failed.
        """
        try:
            identity = canonical(self._subject(values, rest), fallback=to_jsonable_python)
            if self._content is None:
                content: Any = {name: value for name, value in values.items() if name not in self._held}
            else:
                content = [values[name] for name in self._content]
            if not content:
                return identity, digest(identity)
            text = canonical(content, exact=True, fallback=to_jsonable_python)
        except (TypeError, PydanticSerializationError, RecursionError) as error:
            raise InvalidArguments(
                f"{self._name}: the arguments cannot be compared ({type(error).__name__}: a value has no plain form).",
                advice="Use types that pydantic can write as JSON, or an identity function that returns plain values.",
            ) from error
        return identity, digest(text if self._identity is None and self._function is None else identity + text)

    def _subject(self, values: Mapping[str, Any], rest: Mapping[str, Any]) -> Any:
        if self._identity is not None:
            return [values.get(name) for name in self._identity]
        if self._function is None:
            return values if self._all is None else [values[name] for name in self._all]
        try:
            return self._call(self._function, {**rest, **values})
        except Exception as error:
            raise InvalidArguments(
                f"{self._name}: its identity function raised {type(error).__name__}; nothing ran.",
                advice="An identity function has to accept every argument that validates.",
            ) from error
