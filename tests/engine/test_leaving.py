"""However a session is left - cancelled, with a broken hook, with a store that hangs - it is closed, and in time."""

import asyncio
import threading
from contextlib import AsyncExitStack

import pytest
from engine_house import START, FaultyStore, folded, house, journal_of, turns

import toolguard
from toolguard import Guard, Phase
from toolguard.core import records as r
from toolguard.core.interrupt import Ended
from toolguard.engine import journal
from toolguard.engine.limits import Limits
from toolguard.engine.logsink import _decided
from toolguard.engine.port import Traits
from toolguard.stores.memory import MemoryStore

pytestmark = pytest.mark.virtual_time
HEARS = Traits(adapter="test", speech_ends=True)


@toolguard.mutation(identity="who")
async def charge(who: str) -> str:
    await asyncio.sleep(2)
    return "ch_1"


@toolguard.read
async def look(city: str) -> str:
    await asyncio.sleep(3)
    return "sunny"


async def test_g7_being_cancelled_again_and_again_does_not_cut_the_drain_window_short():
    store = MemoryStore()

    async def application():
        async with Guard(store, tools=[charge]) as guard, guard.session("conv-1") as session:
            session.receive("c1", "charge", {"who": "ana"})
            await asyncio.sleep(3600)

    task = asyncio.create_task(application())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    state = folded(store)
    assert state.runs[1].phase is Phase.DONE
    assert state.closed == "shutdown"


async def test_whoever_closes_second_waits_for_the_same_end():
    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await turns()
        first = asyncio.create_task(h.session.close())
        await turns()
        await h.session.close("shutdown")
        assert first.done()
        assert [one.why for one in h.records(r.Closed)] == ["hang_up"]
        assert h.phase() == "done"


def raises(_session, _unheard):
    raise OSError("no mail today")


async def hangs(_session, _unheard):
    await asyncio.sleep(3600)


async def test_a_session_may_be_left_in_another_task_than_it_was_entered_in():
    """Frameworks call what ends a conversation from tasks of their own, and fixtures may as well."""
    store, stack = MemoryStore(), AsyncExitStack()
    async with Guard(store, tools=[charge]) as guard:
        session = await asyncio.create_task(stack.enter_async_context(guard.session("conv-1")))
        await asyncio.create_task(stack.aclose())
        assert not guard.sessions
    assert session.ended is not None
    assert [one.why for one in journal_of(store, "conv-1") if isinstance(one, r.Closed)] == ["hang_up"]


@pytest.mark.parametrize(("hook", "why"), [(raises, "OSError: no mail today"), (hangs, "TimeoutError")])
async def test_a_follow_up_that_fails_or_hangs_is_noticed_and_holds_nobody(hook, why):
    store = MemoryStore()
    loop = asyncio.get_running_loop()
    async with (
        Guard(store, tools=[charge], follow_up=hook, limits=Limits(drain=5)) as guard,
        guard.session("conv-1") as session,
    ):
        await session.run(charge, "ana")
        left = loop.time()
    assert loop.time() - left <= 5
    noticed = [one for one in journal_of(store, "conv-1") if isinstance(one, r.Noticed)]
    assert [one.code for one in noticed] == ["follow_up_failed"]
    assert noticed[0].text.startswith(why)
    assert folded(store).closed == "hang_up"


async def test_a_store_that_hangs_at_the_end_holds_the_closing_for_a_bounded_time(monkeypatch):
    monkeypatch.setattr(journal, "CLOSE_WITHIN", 1.0)
    store = FaultyStore(holds=lambda record: isinstance(record, r.Closed))
    loop = asyncio.get_running_loop()
    async with Guard(store, tools=[charge], limits=Limits(drain=2)) as guard:
        async with guard.session("conv-1"):
            left = loop.time()
        assert 2 <= loop.time() - left < 3
    assert loop.time() - left < 5
    assert guard.journal._thread is None
    store.go.set()
    await asyncio.to_thread(lambda: [one.join(5) for one in threading.enumerate() if one.name == "toolguard-writer"])


# -- G8: the reply that concerns a call which can no longer be stopped --------------------------------------------


async def corrected(h, words="cancellation @conv-1/1"):
    """A charge commits, and a second later the caller takes it back; the adapter asks for a reply."""
    h.session.on_turn = lambda kind, _onset: kind != "noise" and h.session.wants_reply()
    h.call("c1", charge, who="ana")
    await asyncio.sleep(1)
    h.onset()
    h.says(words, onset="o1")
    h.session.caller_stopped("o1")
    await turns()


async def test_g8_a_reply_about_a_committing_call_waits_for_its_end_and_is_one():
    async with house(charge, traits=HEARS) as h:
        await corrected(h)
        assert len(h.port.asked) == 0
        assert not h.port.outputs
        await h.ended()
        await turns()
        assert len(h.port.asked) == 1
        assert "could no longer be stopped" in h.port.output("c1")


async def test_g8_it_waits_no_longer_than_the_patience_of_the_call():
    slow = toolguard.mutation(identity="who", patience=1.5, name="charge")(charge.plain)
    async with house(slow, traits=HEARS) as h:
        await corrected(h)
        assert len(h.port.asked) == 0
        await asyncio.sleep(0.6)
        assert len(h.port.asked) == 1
        assert "still running" in h.port.output("c1")


async def test_g8_words_about_something_else_are_answered_at_once_and_also_while_another_reply_waits():
    async with house(charge, traits=HEARS) as h:
        await corrected(h)
        h.onset("o2")
        h.says("other_topic", onset="o2")
        h.session.caller_stopped("o2")
        await turns()
        assert len(h.port.asked) == 1
        assert "still running" in h.port.output("c1")


async def test_g8_the_waiting_reply_is_not_held_by_other_calls():
    async with house(charge, look, traits=HEARS) as h:
        h.session.on_turn = lambda _kind, _onset: h.session.wants_reply()
        h.call("c1", charge, who="ana")
        h.call("c2", look, city="Pune")
        await asyncio.sleep(1)
        h.onset()
        h.says("cancellation @conv-1/1", onset="o1")
        h.session.caller_stopped("o1")
        await asyncio.sleep(1.1)
        assert len(h.port.asked) == 1
        assert "still running" in h.port.output("c2")


def test_the_log_tells_what_came_in_between_and_never_what_was_said():
    said = r.Interrupted(
        id="i1",
        interrupt=toolguard.BargeIn(stage="settled", at=START, kind="correction", said="my number is 12"),
        policy="by_effect",
        decisions=(r.Decided(run=1, calls=(1,), choice="stop"),),
    )
    assert _decided(said) == "what='barge_in settled correction' policy='by_effect' decided=['1:stop']"
    ended = r.Interrupted(id="i2", interrupt=Ended(at=START, why="hang_up"))
    assert _decided(ended) == "what='ended hang_up' policy='' decided=[]"
