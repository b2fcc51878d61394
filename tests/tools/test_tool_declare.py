"""What is refused at declaration, each time with the mend in the message."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from toolguard.core.effect import Effect
from toolguard.errors import DeclarationError, InvalidArguments
from toolguard.tools.build import version_of
from toolguard.tools.declare import from_mcp_annotations, idempotent_write, mutation, read, wrap
from toolguard.tools.inject import Injected
from toolguard.tools.spec import Approval, Retry, Spec

ANY_MUTATION: Any = mutation
ANY_WRITE: Any = idempotent_write
ANY_READ: Any = read


async def book(slot_id: str, patient_id: str, day: str, reason: str = "") -> None: ...


async def nothing() -> None: ...


def test_s4_a_bare_write_proposes_an_identity() -> None:
    expected = r'Write @mutation\(identity=\("slot_id", "patient_id"\)\)'
    for declare in (ANY_MUTATION, ANY_MUTATION(), ANY_MUTATION(commits="inside"), ANY_MUTATION(identity=None)):
        with pytest.raises(DeclarationError, match=expected):
            declare(book)
    with pytest.raises(DeclarationError, match=r"@idempotent_write\(identity="):
        ANY_WRITE(book)

    async def only_words(topic: str, message: str, lang: str = "en") -> None: ...

    with pytest.raises(DeclarationError, match=r'@mutation\(identity="topic"\)'):
        ANY_MUTATION(only_words)


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ("slot", r"'slot', which is no parameter \(it has slot_id, patient_id, day, reason\)"),
        (("slot_id", "slot_id"), "twice"),
        ((), "for tools without parameters"),
        (3, "it is a name, a tuple of names or a function"),
        (lambda slot_id: slot_id, r"takes \(slot_id\); it has to take .*\(slot_id, patient_id, day, reason\)"),
        (lambda slot_id, patient_id, reason, day: day, "has to take"),  # noqa: ARG005 - in another order
    ],
)
def test_s4_an_identity_that_cannot_be_right(identity: Any, expected: Any) -> None:
    with pytest.raises(DeclarationError, match=expected):
        mutation(identity=identity)(book)


def test_s4_identity_is_annotated_and_not_injected() -> None:
    async def loose(a, b: str) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(DeclarationError, match="write its type: `a: str`"):
        mutation(identity="a")(loose)
    assert mutation(identity="b")(loose).schema()["parameters"]["properties"]["a"] == {}

    async def put_in(db: Injected[str], name: str) -> None: ...

    with pytest.raises(DeclarationError, match="is injected"):
        mutation(identity="db")(put_in)

    async def identify(a: str) -> str:
        return a

    async def act(a: str) -> None: ...

    with pytest.raises(DeclarationError, match="plain and pure"):
        ANY_MUTATION(identity=identify)(act)


def test_s4_a_tool_without_parameters_has_an_empty_identity() -> None:
    hang_up = mutation(identity=(), terminal=True)(nothing)
    assert hang_up.validated("").identity == hang_up.validated("{}").identity == "[]"
    with pytest.raises(DeclarationError, match=r"identity=\(\)"):
        ANY_MUTATION(nothing)


def test_generators_are_refused() -> None:
    def one() -> Iterator[int]:
        yield 1

    async def other() -> AsyncIterator[int]:
        yield 1

    class Callable:
        def __call__(self) -> Iterator[int]:
            yield 1

    for function in (one, other, Callable()):
        with pytest.raises(DeclarationError, match="return a list"):
            read(name="x")(function)


def test_writes_name_their_parameters() -> None:
    async def star(a: str, *rest: str) -> None: ...

    async def double(a: str, **more: str) -> None: ...

    for function in (star, double):
        with pytest.raises(DeclarationError, match="Name its parameters"):
            mutation(identity="a")(function)
        assert ANY_READ(function).effect is Effect.READ


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"time_limit": 0}, "time_limit=0.0; it has to be above zero"),
        ({"time_limit": -1}, "time_limit"),
        ({"time_limit": float("nan")}, "time_limit"),
        ({"time_limit": "30"}, "seconds"),
        ({"time_limit": True}, "seconds"),
        ({"time_limit": 50, "hard_limit": 20}, r"hard_limit=20.0; it has to be at least time_limit \(50\)"),
        ({"patience": timedelta(seconds=-1)}, "patience"),
        ({"filler_after": -0.1}, "filler_after"),
        ({"filler": "  "}, "words for the caller"),
        ({"repeat_window": -1}, "repeat_window"),
        ({"settles_within": -1}, "settles_within"),
        ({"max_calls": 0}, "at least 1"),
        ({"retry": 0}, "at least 1"),
        ({"retry": "often"}, "Retry"),
        ({"retry": True}, "Retry"),
        ({"scope": "planet"}, "'session', 'caller', 'tenant'"),
        ({"repeat": "maybe"}, "'allow', 'confirm', 'refuse'"),
        ({"commits": "late"}, "'at_start', 'inside'"),
        ({"announce": "loudly"}, "'silent', 'when_idle', 'at_once'"),
        ({"durability": "paper"}, "'power', 'process'"),
        ({"mode": "off"}, "'observe', 'enforce'"),
        ({"did_not_happen": (ValueError, "x")}, "exception types"),
        ({"requires": "book"}, "the tool itself"),
        ({"fresh_for": 30}, "keeps the answer of a read"),
        ({"timelimit": 30}, "no option 'timelimit'; a mutation takes .*time_limit"),
        ({"name": "book it"}, "no tool name"),
        ({"name": ""}, "no tool name"),
        ({"version": "1"}, "version"),
    ],
)
def test_options_that_cannot_be_meant(options: Any, expected: Any) -> None:
    with pytest.raises(DeclarationError, match=expected):
        ANY_MUTATION(identity="slot_id", **options)(book)


@pytest.mark.parametrize(
    "option",
    [
        {"commits": "inside"},
        {"terminal": True},
        {"needs": Approval("Sure?")},
        {"repeat": "refuse"},
        {"settles_within": 3},
        {"identity": "slot_id"},
        {"durability": "power"},
    ],
)
def test_options_of_writes_on_a_read(option: Any) -> None:
    with pytest.raises(DeclarationError, match=f"{next(iter(option))}=.* on a read"):
        ANY_READ(**option)(book)


def test_what_cannot_be_a_tool() -> None:
    with pytest.raises(DeclarationError, match="guarded tool already"):
        read(read(book))
    with pytest.raises(DeclarationError, match="is a class"):
        read(Spec)
    with pytest.raises(DeclarationError, match=r"options are named: @read\(fresh_for=30\)"):
        ANY_READ("book")
    with pytest.raises(DeclarationError, match="no tool name"):
        read(lambda x: x)
    with pytest.raises(DeclarationError, match="tells no signature"):
        ANY_READ(max)


def test_values_of_options_that_cannot_be_meant() -> None:
    for wrong in ({"attempts": 0}, {"first_wait": -1}, {"first_wait": 3, "max_wait": 1}):
        with pytest.raises(DeclarationError, match="Retry"):
            Retry(**wrong)
    with pytest.raises(DeclarationError, match="empty"):
        Approval(" ")
    with pytest.raises(DeclarationError, match="above zero"):
        Approval("Sure?", within=0)


def test_defaults_follow_the_effect() -> None:
    mutated, written, looked = (
        mutation(identity="slot_id")(book),
        idempotent_write(identity="slot_id")(book),
        read(book),
    )
    assert [tool.spec.repeat for tool in (mutated, written)] == ["confirm", "allow"]
    assert [tool.spec.retry.attempts for tool in (mutated, written, looked)] == [1, 3, 3]
    spec = mutated.spec
    assert (spec.time_limit, spec.hard_limit, spec.patience, spec.filler_after) == (30, 120, 4, 1.5)
    assert (spec.repeat_window, spec.max_calls, spec.scope, spec.commits) == (600, 8, "session", "at_start")
    assert (spec.announce, spec.durability, spec.mode, spec.settles_within) == ("at_once", None, None, 0)
    assert spec.identity == ("slot_id",)
    assert looked.spec.identity is None


def test_options_are_kept() -> None:
    def policy(call: Any, interrupt: Any) -> None: ...

    first = read(book)
    tool = mutation(
        identity=("slot_id",),
        name="other",
        time_limit=timedelta(minutes=5),
        repeat_window=timedelta(minutes=1),
        retry=Retry(attempts=2),
        requires=[first, "second"],
        did_not_happen=ConnectionRefusedError,
        policy=policy,
        needs=Approval("Sure?"),
    )(book)
    spec = tool.spec
    assert (tool.name, spec.time_limit, spec.hard_limit, spec.repeat_window) == ("other", 300, 300, 60)
    assert (spec.requires, spec.did_not_happen) == (("book", "second"), (ConnectionRefusedError,))
    assert (spec.retry.attempts, spec.policy, spec.needs) == (2, policy, Approval("Sure?"))
    assert mutation(identity="slot_id", name="third", requires=first)(book).spec.requires == ("book",)


def test_h4_the_version_is_that_of_the_code() -> None:
    def one(a: int = 1) -> int:
        """Says one thing."""
        return a + 1

    first = version_of(one)

    def one(a: int = 1) -> int:  # type: ignore[no-redef]
        """Says another thing."""

        # with a comment
        return a + 1

    assert version_of(one) == first

    def one(a: int = 1) -> int:  # type: ignore[no-redef]
        return a + 2

    changed = version_of(one)

    def one(a: int = 2) -> int:  # type: ignore[no-redef]
        return a + 2

    assert len({first, changed, version_of(one)}) == 3
    assert len(first) == 12


def test_h4_the_version_is_the_same_in_every_process() -> None:
    program = (
        "from toolguard.tools.declare import read\n"
        "@read\n"
        "def f(a: str, b: frozenset[str] = frozenset({'x', 'y', 'z'})) -> bool:\n"
        "    return a in {'p', 'q', 'r', 's'} and (lambda: [i for i in a])\n"
        "print(f.spec.version)"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "1", "7")
    }
    assert len(seen) == 1


def test_wrap_guards_a_function_of_somebody_else() -> None:
    tool = wrap(book, effect=Effect.MUTATION, identity="slot_id", commits="inside")
    assert tool.spec.commits == "inside"
    assert wrap(book, effect="read").effect is Effect.READ
    any_wrap: Any = wrap
    with pytest.raises(DeclarationError, match="'read', 'idempotent_write', 'mutation'"):
        any_wrap(book, effect="write", identity="slot_id")
    with pytest.raises(DeclarationError, match="needs identity"):
        any_wrap(book, effect="mutation")
    with pytest.raises(DeclarationError, match="all its arguments"):
        any_wrap(book, effect="read", identity="slot_id")
    with pytest.raises(DeclarationError, match="belongs to a JSON schema"):
        any_wrap(book, print, effect="read")


SCHEMA = {
    "type": "object",
    "properties": {
        "user-id": {"type": "string", "minLength": 2, "description": "Who."},
        "count": {"type": "integer", "minimum": 1, "default": 1},
        "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "both": {"type": ["number", "string"]},
        "fixed": {"const": 3},
        "deep": {"type": "object"},
        "free": True,
    },
    "required": ["user-id"],
}


def raw_tool(handler: Any, **described: Any) -> Any:
    description = {"name": "act", "description": "Acts.", "inputSchema": SCHEMA, **described}
    return wrap(description, handler, effect="mutation", identity="user-id")


async def test_wrap_guards_a_json_schema() -> None:
    async def handler(arguments: dict[str, Any]) -> dict[str, Any]:
        return arguments

    tool = raw_tool(handler)
    assert tool.schema()["parameters"] == SCHEMA
    assert tool.schema()["description"] == "Acts."
    arguments = tool.validated('{"user-id": "u1", "kind": "a", "tags": ["x"], "both": 1.5}')
    expected = {"user-id": "u1", "count": 1, "kind": "a", "tags": ["x"], "both": 1.5}
    assert arguments.values == expected
    assert await tool.body(arguments, {})() == expected
    assert tool.rebind_arguments(arguments.json).values == expected
    assert tool.rebind_arguments(arguments.json).fingerprint == arguments.fingerprint
    assert arguments.identity == '["u1"]'
    assert tool.validated('{"user-id": "u1", "either": null}').values == {"user-id": "u1", "count": 1, "either": None}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("{}", "user-id is missing"),
        ('{"user-id": "u"}', "user-id: String should have at least 2 characters"),
        ('{"user-id": "u1", "count": 0}', "count: Input should be greater than or equal to 1"),
        ('{"user-id": "u1", "kind": "c"}', "kind: Input should be 'a' or 'b'"),
        ('{"user-id": "u1", "tags": ["a", "b", "c"]}', "tags: List should have at most 2"),
        ('{"user-id": "u1", "fixed": 4}', "fixed"),
        ('{"user-id": "u1", "deep": 4}', "deep"),
        ('{"user-id": "u1", "other": 4}', "other is not an argument"),
    ],
)
def test_a_json_schema_is_kept(raw: Any, expected: Any) -> None:
    with pytest.raises(InvalidArguments, match=expected):
        raw_tool(print).validated(raw)


def test_forms_of_a_description() -> None:
    any_wrap: Any = wrap
    plain = {"parameters": {"properties": {"a": {"type": "string"}}, "additionalProperties": True}}
    chat = {"type": "function", "function": {"name": "chat", **plain}}
    tool = any_wrap(chat, dict, effect="read")
    assert tool.validated('{"a": "x", "b": 1}').values == {"a": "x", "b": 1}
    assert tool.schema("chat")["function"]["name"] == "chat"
    assert any_wrap(plain, dict, effect="read", name="named").name == "named"
    with pytest.raises(DeclarationError, match="has no name"):
        any_wrap(plain, dict, effect="read")
    with pytest.raises(DeclarationError, match="needs a handler"):
        any_wrap(chat, effect="read")
    with pytest.raises(DeclarationError, match="an object with properties"):
        any_wrap({"name": "x", "parameters": {"type": "string"}}, dict, effect="read")
    with pytest.raises(DeclarationError, match="which is no property"):
        any_wrap({"name": "x", "parameters": {"required": ["a"]}}, dict, effect="read")


@pytest.mark.parametrize(
    ("hints", "effect"),
    [
        (None, Effect.MUTATION),
        ({}, Effect.MUTATION),
        ({"readOnlyHint": True, "destructiveHint": True}, Effect.READ),
        ({"readOnlyHint": False, "idempotentHint": True}, Effect.IDEMPOTENT_WRITE),
        ({"destructiveHint": False}, Effect.MUTATION),
        ({"idempotentHint": None}, Effect.MUTATION),
        (type("ToolAnnotations", (), {"readOnlyHint": True})(), Effect.READ),
    ],
)
def test_mcp_hints_map_as_they_are(hints: Any, effect: Any) -> None:
    assert from_mcp_annotations(hints) is effect
