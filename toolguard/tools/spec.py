"""The options of a tool: what the decorators accept, checked once, kept frozen."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from toolguard.core.effect import Effect
from toolguard.errors import DeclarationError

if TYPE_CHECKING:
    from toolguard.core.call import Named
    from toolguard.core.decision import Announce
    from toolguard.core.policy import Policy

Identity = str | tuple[str, ...] | Callable[..., Hashable]
Scope = Literal["session", "caller", "tenant"]
Repeat = Literal["allow", "confirm", "refuse"]
Commits = Literal["at_start", "inside"]
Durability = Literal["power", "process"]
Mode = Literal["observe", "enforce"]
Approver = Literal["caller", "person", "either"]
Seconds = float | timedelta

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHOICES: Mapping[str, tuple[str | None, ...]] = {
    "scope": ("session", "caller", "tenant"),
    "repeat": ("allow", "confirm", "refuse"),
    "commits": ("at_start", "inside"),
    "announce": ("silent", "when_idle", "at_once"),
    "durability": (None, "power", "process"),
    "mode": (None, "observe", "enforce"),
}
_DURATIONS = (
    "repeat_window", "fresh_for", "time_limit", "hard_limit", "patience", "filler_after", "settles_within",
)  # fmt: skip
_HARD_LIMIT = 120.0
_ATTEMPTS = {Effect.READ: 3, Effect.IDEMPOTENT_WRITE: 3, Effect.MUTATION: 1}


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a body is tried, and how long to wait in between.

    A mutation is tried again only after ``Refused`` or an error of ``did_not_happen``.

    Attributes:
        attempts: Tries in all, at least 1.
        first_wait: Seconds before the second try; later waits double.
        max_wait: The longest wait, in seconds.
    """

    attempts: int = 3
    first_wait: float = 0.2
    max_wait: float = 2.0

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant."""
        if self.attempts < 1:
            raise DeclarationError(f"Retry(attempts={self.attempts}): at least 1; 1 means that nothing is tried again.")
        if not 0 <= self.first_wait <= self.max_wait:
            raise DeclarationError(
                f"Retry(first_wait={self.first_wait}, max_wait={self.max_wait}): 0 <= first_wait <= max_wait, in s."
            )


@dataclass(frozen=True, slots=True)
class Approval:
    """A write that waits at its gate until somebody has said yes.

    Attributes:
        ask: The question, with the arguments' names in braces: ``"Charge {cents} cents?"``.
        within: Seconds to wait for the answer, counted anew when the caller hears the question; without an answer the
            run is stopped before its effect. It stands in place of ``Limits.gate_max`` (G3).
        by: Whose yes counts: the ``caller``'s (the model is told to ask), a ``person``'s (``session.approve``; the
            caller is not asked), or that of ``either``, whoever is first. Where the line cannot bring the caller's
            words or keys, a session with a tool that asks the caller is refused (``approval_impossible``).
    """

    ask: str
    within: float = 20.0
    by: Approver = "either"

    def __post_init__(self) -> None:
        """Refuse an empty question and a wait that cannot be meant."""
        if not self.ask.strip():
            raise DeclarationError("Approval(ask=...) is empty: say what the person is asked to approve.")
        if not self.within > 0:
            raise DeclarationError(f"Approval(within={self.within}): a number of seconds above zero.")
        if self.by not in {"caller", "person", "either"}:
            raise DeclarationError(f"Approval(by={self.by!r}): choose caller, person or either.")


class ReadOptions(TypedDict, total=False):
    """Options that every tool takes; meanings and units stand at :class:`Spec`."""

    name: str
    description: str
    scope: Scope
    fresh_for: Seconds
    time_limit: Seconds
    hard_limit: Seconds
    patience: Seconds
    filler: str | None
    filler_after: Seconds
    announce: Announce
    max_calls: int
    retry: Retry | int
    policy: Policy | None
    requires: str | Named | Iterable[str | Named]
    mode: Mode | None


class WriteOptions(TypedDict, total=False):
    """Options of writes, but for ``identity``, which every write must give; meanings stand at :class:`Spec`."""

    name: str
    description: str
    scope: Scope
    repeat: Repeat
    repeat_window: Seconds
    commits: Commits
    terminal: bool
    time_limit: Seconds
    hard_limit: Seconds
    patience: Seconds
    filler: str | None
    filler_after: Seconds
    announce: Announce
    max_calls: int
    retry: Retry | int
    did_not_happen: type[BaseException] | tuple[type[BaseException], ...]
    settles_within: Seconds
    needs: Approval | None
    policy: Policy | None
    requires: str | Named | Iterable[str | Named]
    durability: Durability | None
    mode: Mode | None


_ALLOWED = {True: frozenset(WriteOptions.__annotations__), False: frozenset(ReadOptions.__annotations__)}
_WHY_NOT = {
    "fresh_for": "it keeps the answer of a read; a write is answered from its own record (repeat, repeat_window)",
    "commits": "a read has no point of no return; declare @idempotent_write or @mutation if it changes something",
    "identity": "a read is identified by all its arguments",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a tool declares about itself; all times are seconds.

    Attributes:
        name: The name that models call; letters, digits, ``_`` and ``-``, at most 64.
        effect: What the tool does to the world.
        description: What models read; empty means the docstring.
        identity: Names of the arguments that make two calls the same, or a function of them (S4); None for a read.
        scope: How far the same intent is recognised: ``session``, ``caller`` or ``tenant`` (S8).
        repeat: What the same intent gets when it is done and heard: ``allow``, ``confirm``, ``refuse`` (S.heard).
        repeat_window: How long ``repeat`` holds after the intent was heard.
        fresh_for: How long a read's result may answer the same read again (S1).
        commits: ``at_start``: the effect may happen from the first line on; ``inside``: in ``committing()`` (W1).
        terminal: The tool ends the conversation: hang-up, transfer (G1).
        time_limit: Ends the waiting for the body, not the body (G7).
        hard_limit: Ends a body that does not return: a write is then in doubt, a read has failed (G7).
        patience: How long the provider waits before it gets a placeholder.
        filler: Words for the caller's ear while the tool runs; None for none.
        filler_after: Silence before the filler is spoken.
        announce: Whether and when the result is spoken: ``silent``, ``when_idle``, ``at_once``.
        max_calls: Answers for one identity in one session before the breaker trips (S7).
        retry: How often the body is tried.
        did_not_happen: Errors of the body which mean that nothing happened (L1).
        settles_within: How long the outside system may take until a probe can trust what it does not see (D1).
        needs: An approval by a person, waited for at the gate.
        policy: This tool's own policy, asked before the guard's.
        requires: Tools that must have ended with a result in the same batch before this one runs (O9).
        durability: ``power`` or ``process``; None: what the effect asks for (W1, W3).
        mode: ``observe`` or ``enforce``; None: the guard's.
        version: Digest of the body's code and signature; a run is resumed only under the same one (H4).
    """

    name: str
    effect: Effect
    description: str = ""
    identity: tuple[str, ...] | Callable[..., Hashable] | None = None
    scope: Scope = "session"
    repeat: Repeat = "allow"
    repeat_window: float = 600.0
    fresh_for: float = 0.0
    commits: Commits = "at_start"
    terminal: bool = False
    time_limit: float = 30.0
    hard_limit: float = _HARD_LIMIT
    patience: float = 4.0
    filler: str | None = None
    filler_after: float = 1.5
    announce: Announce = "at_once"
    max_calls: int = 8
    retry: Retry = Retry(attempts=1)
    did_not_happen: tuple[type[BaseException], ...] = ()
    settles_within: float = 0.0
    needs: Approval | None = None
    policy: Policy | None = None
    requires: tuple[str, ...] = ()
    durability: Durability | None = None
    mode: Mode | None = None
    version: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; every message names the tool and the mend."""
        if not _NAME.fullmatch(self.name):
            raise DeclarationError(
                f'{self.name!r} is no tool name: letters, digits, _ and -, at most 64. Pass name="...".'
            )
        for option, choices in _CHOICES.items():
            if getattr(self, option) not in choices:
                known = ", ".join(repr(choice) for choice in choices)
                raise self._wrong(option, f"one of {known}")
        for option in _DURATIONS:
            if not getattr(self, option) >= 0:
                raise self._wrong(option, "a number of seconds, not below zero")
        if not self.time_limit > 0:
            raise self._wrong("time_limit", "above zero")
        if self.hard_limit < self.time_limit:
            raise self._wrong("hard_limit", f"at least time_limit ({self.time_limit:g})")
        if self.max_calls < 1:
            raise self._wrong("max_calls", "at least 1")
        if self.filler is not None and not self.filler.strip():
            raise self._wrong("filler", "words for the caller, or None")

    def _wrong(self, option: str, expected: str) -> DeclarationError:
        return DeclarationError(f"{self.name}: {option}={getattr(self, option)!r}; it has to be {expected}.")


def make_spec(effect: Effect, name: str, identity: Identity | None, version: str, options: Mapping[str, Any]) -> Spec:
    """Make a tool's spec from the options of its decorator.

    Raises:
        DeclarationError: An option is unknown, belongs to another effect, or has a value that cannot be meant.
    """
    given = dict(options)
    name = str(given.pop("name", name))
    _refuse_foreign(effect, name, given)
    for option in _DURATIONS:
        if option in given:
            given[option] = _seconds(name, option, given[option])
    if "hard_limit" not in given:
        given["hard_limit"] = max(_HARD_LIMIT, given.get("time_limit", 0.0))
    if effect is Effect.MUTATION:
        given.setdefault("repeat", "confirm")
    given["retry"] = _retry(name, given.get("retry", _ATTEMPTS[effect]))
    given["did_not_happen"] = _error_types(name, given.get("did_not_happen", ()))
    given["requires"] = _names(name, given.get("requires", ()))
    names = (identity,) if isinstance(identity, str) else identity
    return Spec(name=name, effect=effect, identity=names, version=version, **given)


def _refuse_foreign(effect: Effect, name: str, given: Mapping[str, Any]) -> None:
    known = {field.name for field in fields(Spec)}
    for option in given:
        if option in _ALLOWED[effect.writes]:
            continue
        if option in known:
            why = _WHY_NOT.get(option, f"{option} is for {'reads' if effect.writes else 'writes'}")
            raise DeclarationError(f"{name}: {option}={given[option]!r} on a {effect.value}: {why}.")
        options = ", ".join(sorted(_ALLOWED[effect.writes]))
        raise DeclarationError(f"{name}: there is no option {option!r}; a {effect.value} takes {options}.")


def _seconds(name: str, option: str, value: Any) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DeclarationError(f"{name}: {option}={value!r}; it has to be seconds (a number) or a timedelta.")
    return float(value)


def _retry(name: str, value: Any) -> Retry:
    if isinstance(value, Retry):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise DeclarationError(f"{name}: retry={value!r}; it has to be Retry(...) or a number of attempts.")
    return Retry(attempts=value)


def _error_types(name: str, value: Any) -> tuple[type[BaseException], ...]:
    kinds: tuple[Any, ...] = (value,) if isinstance(value, type) else tuple(value)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise DeclarationError(f"{name}: did_not_happen takes exception types, not {kind!r}.")
    return kinds


def _names(name: str, value: Any) -> tuple[str, ...]:
    items: Iterable[Any] = (value,) if isinstance(value, str) or hasattr(value, "effect") else value
    names = tuple(item if isinstance(item, str) else item.name for item in items)
    if name in names:
        raise DeclarationError(f"{name}: requires names the tool itself; name the tools that have to be done before.")
    return names
