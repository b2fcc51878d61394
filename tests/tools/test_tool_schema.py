"""Arguments are validated, described and written; what is wrong is told without showing a value."""

from __future__ import annotations

import enum
import json
import logging
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field, SecretStr

from toolguard.errors import DeclarationError, InvalidArguments, ResultNotSerialisable
from toolguard.tools.declare import mutation, read
from toolguard.tools.results import results_of

LATER: Any = None


class Colour(enum.Enum):
    RED = "red"


class Address(BaseModel):
    street: str
    title: str = ""
    number: int = 1


@dataclass
class Pair:
    left: int
    right: str = ""


@mutation(identity="card")
async def charge(card: str, cents: int, note: str = "") -> None:
    """Charge a card.

    Waits for the bank.

    Args:
        card: The token of the card.
        cents: What to charge,
            in cents.

    Returns:
        Nothing.
    """


@read
def everything(  # noqa: PLR0917 - one of each type
    day: date,
    at: datetime,
    amount: Decimal,
    colour: Colour,
    key: UUID,
    address: Address,
    pair: Pair,
    tags: set[str],
    wait: timedelta,
    word: Literal["a", "b"] = "a",
    raw: bytes = b"\xff",
    *,
    maybe: int = None,  # type: ignore[assignment]  # noqa: RUF013 - people write it
    ratio: float = float("inf"),
    loose: Any = None,
) -> None: ...


EVERYTHING = {
    "day": "2026-01-02",
    "at": "2026-01-02T03:04:05+02:00",
    "amount": "1.50",
    "colour": "red",
    "key": str(UUID(int=7)),
    "address": {"street": "Main"},
    "pair": {"left": 1},
    "tags": ["b", "a"],
    "wait": "PT5S",
}


def test_the_schema_is_that_of_openai() -> None:
    expected = {
        "type": "object",
        "properties": {
            "card": {"type": "string", "description": "The token of the card."},
            "cents": {"type": "integer", "description": "What to charge, in cents."},
            "note": {"type": "string", "default": ""},
        },
        "required": ["card", "cents"],
        "additionalProperties": False,
    }
    about = "Charge a card.\n\nWaits for the bank."
    assert charge.schema() == {"type": "function", "name": "charge", "description": about, "parameters": expected}
    function = {"name": "charge", "description": about, "parameters": expected}
    assert charge.schema("chat") == {"type": "function", "function": function}
    charge.schema()["parameters"]["properties"].clear()
    assert charge.schema()["parameters"] == expected


def test_titles_go_and_properties_called_title_stay() -> None:
    @read(description="Other words.")
    def send(title: str, to: Address) -> None:
        """Not these."""

    schema = send.schema()
    assert schema["description"] == "Other words."
    assert schema["parameters"]["properties"]["title"] == {"type": "string"}
    assert schema["parameters"]["$defs"]["Address"]["properties"]["title"] == {"default": "", "type": "string"}
    assert '"Title"' not in json.dumps(schema)


def test_descriptions_in_annotations() -> None:
    @read
    def look(
        a: Annotated[str, "plain words"],
        b: Annotated[str, Field(description="of the field", min_length=2)],
        c: Annotated[int, Field(gt=0)] = 3,
    ) -> None:
        """Look.

        Args:
            b: of the docstring
            c: of the docstring
        """

    properties = look.schema()["parameters"]["properties"]
    assert properties["a"]["description"] == "plain words"
    assert properties["b"]["description"] == "of the field"
    assert properties["c"] == {
        "default": 3,
        "description": "of the docstring",
        "exclusiveMinimum": 0,
        "type": "integer",
    }
    with pytest.raises(InvalidArguments, match="c: Input should be greater than 0"):
        look.validated({"a": "", "b": "xx", "c": 0})


def test_values_come_back_from_the_journal_as_they_were() -> None:
    once = everything.validated(EVERYTHING)
    values = once.values
    assert values["colour"] is Colour.RED
    assert values["address"] == Address(street="Main")
    assert values["pair"] == Pair(1)
    assert (values["tags"], values["wait"], values["raw"]) == ({"a", "b"}, timedelta(seconds=5), b"\xff")
    assert values["maybe"] is None
    again = everything.rebind_arguments(once.json)
    assert again.values == values
    assert (again.fingerprint, again.identity) == (once.fingerprint, once.identity)
    python = everything.arguments(None, (), values)
    assert python.values == values
    assert (python.fingerprint, python.json) == (once.fingerprint, once.json)
    assert everything.validated(json.dumps(EVERYTHING).encode()).fingerprint == once.fingerprint


@given(st.text(), st.integers(), st.text())
def test_any_text_goes_through_the_journal(card: Any, cents: Any, note: Any) -> None:
    try:
        once = charge.validated(json.dumps({"card": card, "cents": cents, "note": note}))
    except InvalidArguments:  # lone surrogates, integers beyond what JSON parsers take
        return
    again = charge.rebind_arguments(once.json)
    assert again.values == once.values
    assert (again.fingerprint, again.identity) == (once.fingerprint, once.identity)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"card": "tok", "cents": 5', "not complete, valid JSON"),
        ('{"card": "tok", "cents": 5}x', "not complete, valid JSON"),
        ("{'card': 'tok'}", "not complete, valid JSON"),
        ("", "not complete, valid JSON"),
        ("null", "one JSON object"),
        ("[1]", "one JSON object"),
        ('"x"', "one JSON object"),
        ("{}", "card is missing; cents is missing"),
        ('{"card": "tok", "cents": "many"}', "cents: Input should be a valid integer"),
        ('{"card": "tok", "cents": 5, "tip": 1}', r"tip is not an argument \(its arguments are card, cents, note\)"),
        ('{"card": "a", "cents": 5, "card": "b"}', "card is given more than once"),
        (b'{"card": "a", "cents": 5, "note": "\xff"}', "JSON"),
    ],
)
def test_o10_wrong_json_is_told_and_never_repaired(raw: Any, expected: Any) -> None:
    with pytest.raises(InvalidArguments, match=expected) as caught:
        charge.validated(raw)
    assert "Nothing ran" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_arguments_are_read_as_leniently_as_pydantic_does() -> None:
    assert charge.validated('{"card": "tok", "cents": "5"}').values["cents"] == 5
    quoting = charge.validated('{"card": "cents", "cents": 5, "note": "the \\"card\\" is \\"card\\""}')
    assert quoting.values["note"] == 'the "card" is "card"'


def test_values_are_never_repeated(caplog: Any) -> None:
    def no(value: str) -> str:
        raise ValueError(f"{value} is not allowed")

    class Dog(BaseModel):
        kind: Literal["dog"]

    class Cat(BaseModel):
        kind: Literal["cat"]

    @read
    def look(
        secret: Annotated[str, AfterValidator(no)], pet: Annotated[Dog | Cat, Field(discriminator="kind")]
    ) -> None: ...

    caplog.set_level(logging.DEBUG)
    with pytest.raises(InvalidArguments) as caught:
        look.validated({"secret": "hunter2", "pet": {"kind": "hunter3"}})
    assert "hunter" not in str(caught.value) + caplog.text
    assert "(the value) is not allowed" in str(caught.value)
    with pytest.raises(InvalidArguments) as caught:
        everything.validated(dict.fromkeys(EVERYTHING, "hunter2"))
    assert "hunter" not in str(caught.value)
    assert "and 1 more" in str(caught.value)


def test_nested_places_are_named() -> None:
    @read
    def send(addresses: list[Address]) -> None: ...

    with pytest.raises(InvalidArguments, match=r"addresses\[1\]\.street is missing"):
        send.validated({"addresses": [{"street": "a"}, {}]})


def test_parameters_called_like_methods_of_a_model() -> None:
    @mutation(identity=("schema", "copy"))
    async def odd(
        schema: str, copy: int, _hidden: str = "h", json: str = "j", model_config: int = 1, validate: int = 2
    ) -> Any:
        return schema, copy, _hidden, json, model_config, validate

    assert list(odd.schema()["parameters"]["properties"]) == [
        "schema",
        "copy",
        "_hidden",
        "json",
        "model_config",
        "validate",
    ]
    arguments = odd.validated('{"schema": "s", "copy": 3, "_hidden": "x"}')
    assert arguments.values["_hidden"] == "x"
    assert odd.rebind_arguments(arguments.json).values == arguments.values
    with pytest.raises(InvalidArguments, match="copy: Input should be a valid integer"):
        odd.validated('{"schema": "s", "copy": "x"}')


def test_defaults_are_filled_and_not_shared() -> None:
    @read
    def look(names: list[str] = ["a"]) -> None: ...  # noqa: B006 - that is what is tested

    first = look.validated("{}").values["names"]
    first.append("b")
    assert look.validated("{}").values["names"] == ["a"]


def test_secrets_are_refused_because_they_cannot_be_read_back() -> None:
    @read
    def look(token: SecretStr | None) -> None: ...

    with pytest.raises(DeclarationError, match="asterisks"):
        look.schema()


def test_types_that_models_cannot_fill() -> None:
    class Database:
        pass

    @read
    def look(day: str, db: Database) -> None: ...

    with pytest.raises(DeclarationError, match=r"parameter 'db' has a type .* toolguard.Injected"):
        look.schema()


def test_values_that_cannot_be_written() -> None:
    @read
    def look(thing) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(InvalidArguments, match=r"argument 'thing' \(object\)"):
        look.arguments(None, (object(),), {})
    with pytest.raises(InvalidArguments, match="thing"):
        look.validated({"thing": object()})
    assert look.arguments(None, ({"day": date(2026, 1, 1)},), {}).json == b'{"thing":{"day":"2026-01-01"}}'


def test_types_local_to_a_function_are_found() -> None:
    class Local(BaseModel):
        x: int

    Closed: TypeAlias = Local

    @read
    def look(one: Local, many: list[Closed]) -> Local:
        return one

    class Inner:
        class Own(BaseModel):
            y: int

        @read
        def method(self, own: Own, one: Local) -> None: ...

    values = look.validated({"one": {"x": 1}, "many": [{"x": 2}]}).values
    assert values == {"one": Local(x=1), "many": [Local(x=2)]}
    assert look.load_result(look.dump_result(Local(x=3))) == Local(x=3)
    assert Inner().method.validated({"own": {"y": 1}, "one": {"x": 1}}).values["own"] == Inner.Own(y=1)


def test_types_may_be_defined_after_the_tool() -> None:
    @read
    def look(thing: Later) -> None: ...

    assert look.validated({"thing": {"x": 1}}).values["thing"].x == 1


class Later(BaseModel):
    x: int


def test_types_out_of_reach_are_named() -> None:
    @read
    def look(thing: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - that is what is tested

    with pytest.raises(DeclarationError, match=r"annotation 'Nowhere' of parameter 'thing' .* TYPE_CHECKING"):
        look.schema()


def framework(module: str, name: str) -> Any:
    return type(name, (), {"__module__": module})


@pytest.mark.parametrize(
    ("module", "name", "hidden"),
    [
        ("livekit.agents.voice.events", "RunContext", True),
        ("agents.run_context", "RunContextWrapper", True),
        ("agents.tool_context", "ToolContext", True),
        ("pipecat.services.llm_service", "FunctionCallParams", True),
    ],
)
def test_context_types_of_frameworks_are_hidden(module: Any, name: Any, hidden: Any) -> None:
    kind = framework(module, name)
    below = type("Mine", (kind,), {"__module__": "mine"})
    for annotation in (kind, below, kind | None):

        def look(ctx: Any, day: str) -> str:
            return f"{ctx} {day}"

        look.__annotations__["ctx"] = annotation
        tool = read(look)
        assert list(tool.schema()["parameters"]["properties"]) == ["day"]
        assert tool.body(tool.validated({"day": "mon"}), {"ctx": 5})() == "5 mon"


@pytest.mark.parametrize(
    "written",
    [
        "RunContext",
        "RunContext[int]",
        "livekit.RunContext",
        "FunctionCallParams",
        "Optional[ToolContext]",
        "RunContext | None",
    ],
)
def test_context_types_imported_for_type_checkers_alone_are_hidden(written: Any) -> None:
    def look(ctx: Any, day: str) -> None: ...

    look.__annotations__["ctx"] = written
    assert list(read(look).schema()["parameters"]["properties"]) == ["day"]


def test_results_go_through_their_declared_type() -> None:
    @read
    def typed() -> list[Address]:
        return []

    @read
    def untyped(): ...  # type: ignore[no-untyped-def]

    @read
    def binary() -> dict[str, bytes]:
        return {}

    @read
    def nothing() -> None: ...

    @read
    def alien() -> logging.Logger:
        return logging.getLogger()

    assert typed.load_result(typed.dump_result([Address(street="x")])) == [Address(street="x")]
    assert untyped.load_result(untyped.dump_result({"a": Address(street="x")})) == {
        "a": {"street": "x", "title": "", "number": 1}
    }
    assert binary.load_result(binary.dump_result({"a": b"\xff"})) == {"a": b"\xff"}
    assert nothing.dump_result(None) == b"null"
    assert nothing.load_result(b"null") is None
    loaded: Any = alien.load_result(alien.dump_result({"a": 1}))
    assert loaded == {"a": 1}


def test_a_result_of_another_type_is_kept_as_what_it_is() -> None:
    @read
    def typed() -> Address:
        return Address(street="")

    raw = typed.dump_result({"other": 3})
    assert typed.load_result(raw) == {"other": 3}  # type: ignore[comparison-overlap]


def test_a_result_that_cannot_be_written_says_so() -> None:
    @read
    def typed() -> Any: ...

    with pytest.raises(ResultNotSerialisable, match=r"builtins\.object") as caught:
        typed.dump_result(object())
    assert "What the tool did stands" in str(caught.value)
    assert caught.value.code == "result_not_serialisable"
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ResultNotSerialisable):
        typed.dump_result(loop)


def test_w7_results_of_steps() -> None:
    class Emr:
        async def hold(self, slot_id: str) -> Address:
            return Address(street=slot_id)

    emr = Emr()
    results = results_of(emr.hold)
    assert results is results_of(Emr().hold)
    assert results.load(results.dump(Address(street="x"))) == Address(street="x")
    assert results_of(lambda: 1).load(b"1") == 1
    assert results_of(len).load(b"[1]") == [1]
