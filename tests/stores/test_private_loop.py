"""The loop that lets an async client serve a store's synchronous face."""

import asyncio
import os
from typing import Any

import pytest

from toolguard.errors import StoreError, StoreUnavailable
from toolguard.stores.private_loop import PrivateLoop


async def answer(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def fail(error: Exception) -> None:
    raise error


def test_coroutines_run_one_after_another_on_one_loop() -> None:
    async def where() -> Any:
        return asyncio.get_running_loop()

    loop = PrivateLoop("srv", wait=30)
    first = loop.run(where())
    assert loop.run(where()) is first
    assert loop.run(answer(7)) == 7
    loop.close()
    assert first.is_closed()
    assert loop.run(answer(8)) == 8
    loop.close()
    loop.close()


def test_what_takes_too_long_is_cancelled_and_the_store_counts_as_gone() -> None:
    ended: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    loop = PrivateLoop("srv", wait=30)
    with pytest.raises(StoreUnavailable, match=r"srv has not answered within 0\.01 s"):
        loop.run(hang(), within=0.01)
    assert ended == ["cancelled"]
    loop.close()


def test_a_network_failure_means_that_the_store_is_gone_and_other_errors_stay_what_they_are() -> None:
    loop = PrivateLoop("srv", wait=30)
    with pytest.raises(StoreUnavailable, match="srv cannot be reached: refused"):
        loop.run(fail(ConnectionRefusedError("refused")))
    with pytest.raises(KeyError):
        loop.run(fail(KeyError("x")))
    loop.close()


async def test_it_refuses_to_stop_a_running_event_loop() -> None:
    loop = PrivateLoop("srv", wait=30)
    with pytest.raises(StoreError, match="running event loop"):
        loop.run(answer(1))


def test_a_forked_child_is_refused_and_leaves_the_parents_loop_alone() -> None:
    loop = PrivateLoop("srv", wait=30)
    assert loop.run(answer(1)) == 1
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            loop.run(answer(2))
        except StoreUnavailable as error:
            loop.close()
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    assert b"forked" in os.read(reader, 1000)
    os.close(reader)
    assert loop.run(answer(3)) == 3
    loop.close()
