"""Protecting a conversation for a block of code, or until the framework says that its session is over."""

import asyncio

import pytest

import toolguard
from toolguard import Guard
from toolguard.adapters.protecting import Protecting
from toolguard.errors import SessionClosed, StoreError

pytestmark = pytest.mark.virtual_time


@toolguard.read
async def ask(what: str) -> str:
    """Ask."""
    await asyncio.sleep(0.1)
    return f"{what}!"


class Framework:
    """A framework's session that ends when it is told to."""

    def __init__(self):
        self.tell = None
        self.waited = []

    def until(self, tell):
        self.tell = tell
        return self.waited.append


async def test_in_a_block_the_conversation_ends_with_it():
    async with Guard("memory", tools=[ask]) as guard:
        framework = Framework()
        async with Protecting(guard.session("conv-1"), framework.until) as conversation:
            assert await ask("here") == "here!"
        assert conversation.ended is not None
        assert framework.tell is None


async def test_awaited_it_lasts_until_the_framework_is_over():
    async with Guard("memory", tools=[ask]) as guard:
        framework = Framework()
        conversation = await Protecting(guard.session("conv-1"), framework.until)
        assert await asyncio.create_task(ask("later")) == "later!"
        assert conversation.ended is None
        framework.tell()
        (task,) = framework.waited
        await task
        assert conversation.ended is not None


async def test_what_cannot_be_entered_is_told_to_whoever_waits():
    async with Guard("memory", tools=[ask]) as guard, guard.session("conv-1", tenant="one"):
        framework = Framework()
        with pytest.raises(StoreError):
            await Protecting(guard.session("conv-1", tenant="two"), framework.until)
        await framework.waited[0]


async def test_it_is_entered_once():
    async with Guard("memory", tools=[ask]) as guard:
        framework = Framework()
        protecting = Protecting(guard.session("conv-1"), framework.until)
        await protecting
        with pytest.raises(SessionClosed, match="entered before"):
            await protecting
        framework.tell()
        await framework.waited[0]


async def test_cancelling_the_wait_enters_nothing_for_good():
    async with Guard("memory", tools=[ask]) as guard:
        framework = Framework()

        async def begin():
            await Protecting(guard.session("conv-1"), framework.until)

        beginning = asyncio.create_task(begin())
        await asyncio.sleep(0)
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        await asyncio.gather(*framework.waited, return_exceptions=True)
        async with guard.session("conv-1") as conversation:
            assert conversation.ended is None
