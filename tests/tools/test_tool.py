"""A tool looks, binds and is called like the function that it was made from."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import typing
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from toolguard.core.call import Attempt
from toolguard.core.effect import Effect
from toolguard.core.finding import DidNotHappen, Finding
from toolguard.errors import DeclarationError, InvalidArguments, NoSession
from toolguard.tools.ambient import BENCH, DESK
from toolguard.tools.declare import idempotent_write, mutation, read
from toolguard.tools.inject import Injected
from toolguard.tools.invocation import Invocation
from toolguard.tools.tool import Tool


@mutation(identity=("slot_id", "patient_id"), commits="inside")
async def book(slot_id: str, patient_id: str, reason: str = "") -> str:
    """Book a slot."""
    return f"{slot_id}-{patient_id}-{reason}"


@read
def look(day: str, /, *, deep: bool = False) -> list[str]:
    """Look a day up."""
    return [day] * (2 if deep else 1)


class Desk:
    def __init__(self, name: str) -> None:
        self.name = name

    @mutation(identity="slot_id")
    async def hold(self, slot_id: str, minutes: int = 5) -> str:
        """Hold a slot."""
        return f"{self.name}-{slot_id}-{minutes}"

    @read
    def sync(self, x: int) -> str:
        return f"{self.name}-{x}"

    @read
    async def odd(this, x: int) -> str:  # noqa: N805 - a receiver of another name
        return f"{this.name}-{x}"

    @classmethod
    @read
    async def outer_class(cls, x: int) -> str:
        return f"{cls.__name__}-{x}"

    @read
    @classmethod
    async def inner_class(cls, x: int) -> str:
        return f"{cls.__name__}-{x}"

    @staticmethod
    @read
    async def outer_static(x: int) -> str:
        return f"static-{x}"

    @read
    @staticmethod
    def inner_static(x: int) -> str:
        return f"static-{x}"


class Branch(Desk):
    pass


class Recorder:
    """Stands for a session and for a body: remembers who was called with what."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, tuple[Any, ...], Mapping[str, Any]]] = []

    async def take(self, tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        self.calls.append(("take", instance, args, kwargs))
        return await made(tool, instance, args, kwargs)

    async def child(self, tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        self.calls.append(("child", instance, args, kwargs))
        return await made(tool, instance, args, kwargs)


async def made(tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    body = tool.body(tool.arguments(instance, args, kwargs), {})
    return await body() if tool.is_async else body()


@pytest.fixture
def desk() -> Iterator[Recorder]:
    recorder = Recorder()
    token = DESK.set(typing.cast("Any", recorder))
    yield recorder
    DESK.reset(token)


def test_the_face_of_the_function_survives() -> None:
    assert book.__name__ == "book"
    assert book.__qualname__ == "book"
    assert book.__doc__ == "Book a slot."
    assert book.__module__ == __name__
    assert str(inspect.signature(book)) == "(slot_id: 'str', patient_id: 'str', reason: 'str' = '') -> 'str'"
    assert typing.get_type_hints(book)["slot_id"] is str
    assert inspect.iscoroutinefunction(book)
    assert book == inspect.unwrap(book)
    assert isinstance(book, Tool)
    assert inspect.isfunction(typing.cast("object", book))
    assert callable(book)
    assert copy.copy(book) is book
    assert copy.deepcopy([book])[0] is book
    assert book.name == "book"
    assert book.effect is Effect.MUTATION
    assert book.is_async
    assert "mutation" in repr(book) == str(book)
    assert {book: 1}[book] == 1


def test_a_sync_function_is_awaited_from_outside() -> None:
    assert not look.is_async
    assert inspect.iscoroutinefunction(typing.cast("object", look))
    assert look.__doc__ == "Look a day up."
    assert str(inspect.signature(look)) == "(day: 'str', /, *, deep: 'bool' = False) -> 'list[str]'"
    assert asyncio.run(typing.cast("Any", look.unguarded("mon", deep=True))) == ["mon", "mon"]
    assert look.plain("mon") == ["mon"]


def test_outside_a_session_it_says_how_to_call_it() -> None:
    with pytest.raises(NoSession) as caught:
        book("s1", "p1")
    assert "guard.session" in str(caught.value)
    assert "conversation.run(book, ...)" in str(caught.value)
    assert "book.unguarded" in str(caught.value)
    assert asyncio.run(typing.cast("Any", book.unguarded("s1", "p1"))) == "s1-p1-"


async def test_a_call_goes_to_the_session_around_it(desk: Any) -> None:
    assert await book("s1", patient_id="p1") == "s1-p1-"
    assert await look("mon") == ["mon"]
    assert desk.calls[0] == ("take", None, ("s1",), {"patient_id": "p1"})


async def test_w8_a_call_inside_a_body_is_a_child(desk: Any) -> None:
    bench = Recorder()
    token = BENCH.set(typing.cast("Any", bench))
    try:
        assert await book("s1", "p1") == "s1-p1-"
    finally:
        BENCH.reset(token)
    assert [kind for kind, *_ in bench.calls] == ["child"]
    assert not desk.calls


async def test_methods_bind(desk: Any) -> None:
    north, south = Desk("north"), Branch("south")
    assert await north.hold("s1") == "north-s1-5"
    assert await south.hold(slot_id="s1", minutes=2) == "south-s1-2"
    assert await typing.cast("Any", Desk.hold)(north, "s1") == "north-s1-5"
    assert await north.sync(1) == "north-1"
    assert await north.odd(1) == "north-1"
    assert desk.calls[0][1] is north
    assert north.hold.name == "hold"
    assert north.hold.instance is north
    assert typing.cast("Any", north.hold).__self__ is north
    assert str(inspect.signature(north.hold)) == "(slot_id: 'str', minutes: 'int' = 5) -> 'str'"
    assert inspect.iscoroutinefunction(north.hold)
    assert inspect.iscoroutinefunction(north.sync)
    assert north.hold.__doc__ == "Hold a slot."
    assert typing.cast("Any", north.hold.plain).__self__ is north
    assert await north.hold.unguarded("s1") == "north-s1-5"
    assert await north.sync.unguarded(2) == "north-2"


async def test_class_and_static_methods_bind_in_either_order(desk: Any) -> None:
    for owner, name in ((Desk, "Desk"), (Branch, "Branch"), (Branch("x"), "Branch")):
        each: Any = owner
        assert await each.outer_class(1) == f"{name}-1"
        assert await each.inner_class(1) == f"{name}-1"
        assert await each.outer_static(1) == "static-1"
        assert await each.inner_static(1) == "static-1"
        assert await each.inner_class.unguarded(2) == f"{name}-2"
        assert await each.inner_static.unguarded(2) == "static-2"


async def test_a_model_calls_a_bound_method() -> None:
    north = Desk("north")
    arguments = north.hold.validated('{"slot_id": "s1"}')
    assert arguments.instance is north
    assert await north.hold.body(arguments, {})() == "north-s1-5"
    again = north.hold.rebind_arguments(arguments.json)
    assert await north.hold.body(again, {})() == "north-s1-5"
    unbound = Desk.hold.validated('{"slot_id": "s1"}')
    with pytest.raises(DeclarationError, match="not bound to an object"):
        Desk.hold.body(unbound, {})
    with pytest.raises(InvalidArguments, match="call it on an object"):
        Desk.hold.arguments(None, (), {"slot_id": "s1"})


def test_python_and_json_give_the_same_arguments() -> None:
    python = book.arguments(None, ("s1",), {"patient_id": "p1"})
    model = book.validated('{"patient_id": "p1", "slot_id": "s1"}')
    assert python.values == model.values == {"slot_id": "s1", "patient_id": "p1", "reason": ""}
    assert python.json == model.json == b'{"slot_id":"s1","patient_id":"p1","reason":""}'
    assert python.fingerprint == model.fingerprint
    assert python.identity == model.identity
    assert "s1" not in repr(python)


def test_s4_identity_folds_spelling_and_content_does_not() -> None:
    one = book.validated({"slot_id": "S1 ", "patient_id": "p1", "reason": "Tooth"})
    same = book.validated({"slot_id": "s1", "patient_id": "P1", "reason": "Tooth"})
    other = book.validated({"slot_id": "s1", "patient_id": "p1", "reason": "tooth"})
    assert one.identity == same.identity == other.identity
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.identity != book.validated({"slot_id": "s2", "patient_id": "p1"}).identity


def test_s4_an_identity_function_gets_all_arguments() -> None:
    def pair(left: str, right: str, note: str = "") -> frozenset[str]:
        return frozenset({left, right})

    @mutation(identity=pair)
    async def join(left: str, right: str, note: str = "") -> None: ...

    assert join.validated({"left": "a", "right": "b"}).identity == join.validated({"left": "B", "right": "A"}).identity
    assert join.validated({"left": "a", "right": "b"}).identity != join.validated({"left": "a", "right": "c"}).identity


def test_s4_an_identity_function_of_a_method_may_take_the_object() -> None:
    class Till:
        place = "north"

        @mutation(identity=lambda self, cents: (self.place, cents))
        async def charge(self, cents: int) -> None: ...

        @typing.cast("Any", mutation)(identity=lambda cents: cents)  # type: ignore[untyped-decorator]
        async def refund(self, cents: int) -> None: ...

    till = Till()
    assert till.charge.validated({"cents": 5}).identity == '["north",5]'
    assert till.refund.validated({"cents": 5}).identity == "5"


def test_s4_an_identity_function_that_fails_is_told() -> None:
    @mutation(identity=lambda a: 1 / 0)  # noqa: ARG005 - it has to take the parameters
    async def broken(a: str) -> None: ...

    with pytest.raises(InvalidArguments, match="ZeroDivisionError"):
        broken.validated({"a": "x"})


def test_s1_a_read_is_identified_by_all_its_arguments() -> None:
    assert look.arguments(None, ("Mon",), {}).identity == look.arguments(None, ("mon ",), {}).identity
    assert look.arguments(None, ("Mon",), {}).fingerprint != look.arguments(None, ("mon",), {}).fingerprint
    assert look.arguments(None, ("a",), {}).identity != look.arguments(None, ("a",), {"deep": True}).identity


def test_positional_only_and_star_arguments_reach_the_body() -> None:
    @read
    def many(first: int, /, second: int, *rest: int, last: int = 0, **more: int) -> tuple[Any, ...]:
        return first, second, rest, last, more

    bound = many.arguments(None, (1, 2, 3, 4), {"last": 5, "extra": 6})
    assert many.body(bound, {})() == (1, 2, (3, 4), 5, {"extra": 6})
    again = many.rebind_arguments(bound.json)
    assert many.body(again, {})() == (1, 2, (3, 4), 5, {"extra": 6})
    assert bound.fingerprint == again.fingerprint
    assert many.body(many.arguments(None, (1,), {"second": 2}), {})() == (1, 2, (), 0, {})


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        (("a", "b", "c", "d"), {}, "takes 3 positional arguments, 4 were given"),
        (("a",), {"slot_id": "b", "patient_id": "p"}, "slot_id is given by position and by name"),
        (("a",), {}, "patient_id is missing"),
        (("a", "b"), {"when": 1}, "when is not an argument"),
        ((1, "b"), {}, "slot_id: Input should be a valid string"),
    ],
)
def test_wrong_python_arguments_are_named(args: Any, kwargs: Any, expected: Any) -> None:
    with pytest.raises(InvalidArguments, match=expected):
        book.arguments(None, args, kwargs)


def test_bind_prepares_a_call_and_validates_it() -> None:
    invocation = book.bind("s1", patient_id="p1")
    assert isinstance(invocation, Invocation)
    assert invocation.tool is book
    assert invocation.arguments.values["patient_id"] == "p1"
    assert (invocation.args, invocation.kwargs) == (("s1",), {"patient_id": "p1"})
    assert "p1" not in repr(invocation)
    with pytest.raises(InvalidArguments):
        typing.cast("Any", book).bind("s1")
    north = Desk("north")
    assert north.hold.bind("s1").instance is north


def test_injected_parameters_are_hidden_and_put_in() -> None:
    @mutation(identity="x")
    def write(x: str, db: Injected[object], log: Injected[list[str] | None] = None) -> Any:
        return x, db, log

    assert list(write.schema()["parameters"]["properties"]) == ["x"]
    assert list(write.shape.injected) == ["db", "log"]
    arguments = write.validated('{"x": "1"}')
    assert arguments.json == b'{"x":"1"}'
    assert write.body(arguments, {"db": 7, "unknown": 8})() == ("1", 7, None)
    with pytest.raises(DeclarationError, match="puts in db"):
        write.body(arguments, {})
    with pytest.raises(InvalidArguments, match="db is not an argument"):
        write.validated('{"x": "1", "db": 3}')
    by_hand = write.arguments(None, ("1", 9), {"log": ["a"]})
    assert by_hand.injected == {"db": 9, "log": ["a"]}
    assert b"9" not in by_hand.json
    assert write.body(by_hand, {"db": 7})() == ("1", 9, ["a"])


async def test_d1_a_probe_is_asked_with_the_attempt_and_the_arguments() -> None:
    class Till:
        @mutation(identity="card")
        async def charge(self, card: str, cents: int = 5) -> str:
            return card

        @charge.probe
        async def find(attempt: Attempt, self: Till, card: str, cents: int = 5) -> Finding[str]:  # type: ignore[misc]  # noqa: N805 - attempt first
            assert isinstance(self, Till)
            return DidNotHappen(evidence=f"{attempt.key}-{card}-{cents}")

    till = Till()
    attempt = Attempt(key="k", ref="c/1", number=1, progress={}, began_at=datetime.now(UTC))
    asking = till.charge.probing(attempt, till.charge.validated({"card": "tok"}), {})
    assert asking is not None
    assert await asking() == DidNotHappen(evidence="k-tok-5")
    assert book.probing(attempt, book.validated({"slot_id": "s", "patient_id": "p"}), {}) is None
    assert till.charge.prober is not None
    assert book.prober is None


def test_d1_a_probe_has_to_take_the_tools_parameters() -> None:
    @mutation(identity="a")
    async def act(a: str, b: int = 1) -> None: ...

    any_act: Any = act
    with pytest.raises(DeclarationError, match=r"after the attempt; .*\(a, b\)"):

        @any_act.probe  # type: ignore[untyped-decorator]
        async def short(attempt: Attempt, a: str) -> None: ...

    @any_act.probe  # type: ignore[untyped-decorator]
    async def right(attempt: Attempt, a: str, b: int = 1) -> None: ...

    assert act.prober is right
    with pytest.raises(DeclarationError, match="has a probe already"):
        any_act.probe(right)


def test_s2_an_undo_prepares_a_call() -> None:
    @idempotent_write(identity="name")
    async def drop(name: str) -> None: ...

    @mutation(identity="name")
    async def make(name: str) -> str:
        return name

    any_make: Any = make
    with pytest.raises(DeclarationError, match="only prepares a call"):

        @any_make.undo  # type: ignore[untyped-decorator]
        async def awaited(name: str) -> None: ...

    with pytest.raises(DeclarationError, match="one parameter"):

        @any_make.undo  # type: ignore[untyped-decorator]
        def two(name: str, other: str) -> None: ...

    @make.undo
    def unmake(name: str) -> Invocation[None]:
        return drop.bind(name)

    assert make.undoer is unmake
    assert unmake("x").tool is drop
    with pytest.raises(DeclarationError, match="has an undo already"):
        make.undo(unmake)
    with pytest.raises(DeclarationError, match="nothing to undo"):
        look.undo(typing.cast("Any", unmake))


async def test_callables_of_other_kinds(desk: Any) -> None:
    class Caller:
        """Says hello."""

        async def __call__(self, name: str) -> str:
            return f"hello {name}"

    async def greet(greeting: str, name: str) -> str:
        return f"{greeting} {name}"

    tools: list[Tool[..., Any]] = [
        read(name="caller")(Caller()),
        read(functools.partial(greet, "hello")),
        read(name="method")(Caller().__call__),
    ]
    for tool in tools:
        assert tool.is_async
        assert await tool(name="ann") == "hello ann"
        assert "name" in tool.schema()["parameters"]["properties"]
        if tool.name != "greet":
            assert await tool.unguarded("bob") == "hello bob"


async def test_a_decorated_function_keeps_its_signature(desk: Any) -> None:
    def loud(fn: Any) -> Any:
        @functools.wraps(fn)
        async def inner(*args: Any, **kwargs: Any) -> Any:
            return (await fn(*args, **kwargs)).upper()

        return inner

    @read
    @loud
    async def say(word: str, times: int = 1) -> str:
        return word * times

    assert await say("a", times=2) == "AA"
    assert list(say.schema()["parameters"]["properties"]) == ["word", "times"]
