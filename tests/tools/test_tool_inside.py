"""What a running body reaches, and what it is told outside of one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest

from toolguard.core.call import ToolCall
from toolguard.core.effect import Effect
from toolguard.core.law import Phase
from toolguard.errors import NoSession, Refused
from toolguard.tools.ambient import BENCH
from toolguard.tools.inside import checkpoint, committing, current_call, step

CALL = ToolCall(ref="c/1", tool="book", effect=Effect.MUTATION, phase=Phase.STARTED, arguments={}, progress={})


class Bench:
    def __init__(self) -> None:
        self.did: list[Any] = []

    def view(self) -> ToolCall:
        return CALL

    async def step(self, name: str, fn: Any, args: Any, kwargs: Any) -> Any:
        self.did.append(("step", name))
        return await fn(*args, **kwargs)

    async def checkpoint(self, progress: Any) -> None:
        self.did.append(("checkpoint", progress))

    def checkpoint_blocking(self, progress: Any) -> None:
        self.did.append(("checkpoint in a thread", progress))

    async def begin_commit(self) -> str:
        self.did.append("began")
        return "key"

    def begin_commit_blocking(self) -> str:
        self.did.append("began in a thread")
        return "key"

    def end_commit(self, error: BaseException | None) -> None:
        self.did.append(("ended", error))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    token = BENCH.set(cast("Any", made))
    yield made
    BENCH.reset(token)


async def hold(slot_id: str, *, minutes: int = 5) -> str:
    return f"{slot_id}-{minutes}"


async def test_l5_an_async_body(bench: Any) -> None:
    assert await step("hold", hold, "s1", minutes=3) == "s1-3"
    await checkpoint(hold_id="h", left=2)
    async with committing() as key:
        assert key == "key"
    assert current_call() is CALL
    assert bench.did == [("step", "hold"), ("checkpoint", {"hold_id": "h", "left": 2}), "began", ("ended", None)]


async def test_a_sync_body_in_a_thread(bench: Any) -> None:
    def body() -> str:
        done = checkpoint(hold_id="h")
        with committing() as key:
            assert current_call() is CALL
        asyncio.run(awaited(done))
        return key

    async def awaited(done: Any) -> None:
        assert await done is None

    assert await asyncio.to_thread(body) == "key"
    assert bench.did == [("checkpoint in a thread", {"hold_id": "h"}), "began in a thread", ("ended", None)]


async def test_w6_errors_pass_through_the_block(bench: Any) -> None:
    error = Refused("no")
    with pytest.raises(Refused) as caught:
        async with committing():
            raise error
    assert caught.value is error

    def body() -> None:
        with committing():
            raise error

    with pytest.raises(Refused):
        await asyncio.to_thread(body)
    assert bench.did == ["began", ("ended", error), "began in a thread", ("ended", error)]


async def test_a_blocking_commit_on_the_loop_is_refused_before_anything_happens(bench: Any) -> None:
    with pytest.raises(Refused, match="async with"), committing():
        pass
    assert bench.did == []


async def test_outside_a_body_each_says_how() -> None:
    for use in (committing, current_call, lambda: checkpoint(x=1)):
        with pytest.raises(NoSession, match=r"outside the body of a guarded tool.*@toolguard.mutation"):
            use()
    with pytest.raises(NoSession, match=r"step\('hold'\)"):
        await step("hold", hold, "s1")
