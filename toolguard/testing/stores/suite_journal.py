"""The one writer on a store: a waiter that is cancelled leaves its record, and later ones go on."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from toolguard.engine.journal import Journal
from toolguard.testing.stores.making import PATIENCE, append, is_whole, payloads

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Receipt, Store


class JournalRules:
    """The one writer on a store: a waiter that is cancelled leaves its record, and later ones go on."""

    def test_cancelling_a_waiter_while_its_record_is_committed_leaves_the_record(
        self, handles: Callable[[], Store], chain_key: bytes | None
    ) -> None:
        store = handles()
        checker = handles()

        async def work() -> None:
            journal = Journal(store, "p1")
            await journal.open()
            entered, go_on = threading.Event(), threading.Event()

            def hold(_: Store) -> None:
                entered.set()
                go_on.wait(PATIENCE)

            holding: asyncio.Future[None] | None = None
            if store.threaded:  # the writer is busy, so the append waits; then the waiter is cancelled; then it lands
                holding = asyncio.ensure_future(journal.ask(hold))
                assert await asyncio.to_thread(entered.wait, PATIENCE)
            entry = journal.put(append("conv-1", None, b"a", durable=True), wait=True)
            waiter = asyncio.ensure_future(journal.fate(entry))
            await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)
            go_on.set()
            if holding is not None:
                await holding
            after = await journal.fate(journal.put(append("conv-1", None, b"b"), wait=True))
            assert after.seq == 2
            assert (await journal.fate(entry)).seq == 1
            await journal.close()

        asyncio.run(work())
        checker.open("p2")
        assert payloads(checker, "conv-1") == [b"a", b"b"]
        assert is_whole(checker, "conv-1", chain_key)
        checker.close()

    def test_a_burst_of_cancelled_waiters_loses_no_record(
        self, handles: Callable[[], Store], chain_key: bytes | None
    ) -> None:
        store = handles()
        checker = handles()

        async def work() -> None:
            journal = Journal(store, "p1")
            await journal.open()
            waiters: list[asyncio.Future[Receipt]] = []
            for number in range(60):
                entry = journal.put(append("conv-1", None, str(number).encode(), durable=number % 3 == 0), wait=True)
                waiters.append(asyncio.ensure_future(journal.fate(entry)))
                if number % 7 == 0:
                    await asyncio.sleep(0)
                if number % 2:
                    waiters[-1].cancel()
            ends = await asyncio.gather(*waiters, return_exceptions=True)
            strange = [
                end for end in ends if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError)
            ]
            assert strange == []
            await journal.close()

        asyncio.run(work())
        checker.open("p2")
        assert payloads(checker, "conv-1") == [str(number).encode() for number in range(60)]
        assert is_whole(checker, "conv-1", chain_key)
        checker.close()
