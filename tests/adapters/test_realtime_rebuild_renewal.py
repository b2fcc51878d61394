"""A Realtime connection is replaced before the provider closes it at 60 minutes, at a quiet moment (O11, H6)."""

from __future__ import annotations

import asyncio

import pytest
from rebuild_kit import app, shown

from toolguard.core import records as r
from toolguard.testing.realtime import Call

pytestmark = pytest.mark.virtual_time
MINUTE = 60.0


async def test_connection_that_ends_at_60_minutes_is_replaced_by_one_that_knows_the_conversation():
    async with app(renew_after=None) as one:
        await one.line.caller_says("good morning", seconds=0.5)
        await one.line.idle()
        await one.next_line(within=61 * MINUTE)
        rebuilt = await one.rebuilt()
        assert rebuilt.cause == "closed 1001"
        assert ("user", "good morning") in shown(one.line)


async def test_quiet_connection_is_renewed_before_its_limit_without_a_gap_or_a_drop():
    async with app() as one:
        first = one.line
        await one.line.caller_says("good morning", seconds=0.5)
        one.line.respond(text="Good morning", audio_ms=400)
        second = await one.next_line(within=56 * MINUTE)
        rebuilt = await one.rebuilt()
        await asyncio.sleep(3.0)
        assert (rebuilt.cause, rebuilt.gap_ms) == ("limit", 0.0)
        assert asyncio.get_running_loop().time() < 56 * MINUTE
        assert not first.open
        assert second.response_creates == []
        assert shown(second)[1:] == [("user", "good morning"), ("assistant", "Good morning")]
        assert one.records(r.Interrupted) == [rec for rec in one.records(r.Interrupted) if "provider" not in str(rec)]


async def test_long_conversation_is_renewed_every_55_minutes():
    async with app() as one:
        await one.line.caller_says("good morning", seconds=0.5)
        await one.line.idle()
        await asyncio.sleep(170 * MINUTE)
        assert [rec.cause for rec in one.records(r.Rebuilt)] == ["limit"] * 3
        assert not one.reading.done()
        last = one.server.lines[-1]
        assert shown(last).count(("user", "good morning")) == 1


async def test_renewal_waits_for_the_end_of_a_call_and_of_the_speech_about_it():
    async with app() as one:
        await asyncio.sleep(55 * MINUTE - 1.0)
        one.line.respond(calls=[Call("c1", "book", {"x": 1})])
        await asyncio.sleep(1.9)
        assert len(one.server.lines) == 1
        line = await one.next_line()
        rebuilt = await one.rebuilt()
        assert rebuilt.calls_carried == ()
        assert [one.text for one in one.server.lines[0].outputs("c1")] == ['{"order":1}']
        await asyncio.sleep(3.0)
        assert line.response_creates == []


async def test_renewal_does_not_wait_beyond_the_limit_and_carries_what_runs():
    async with app(renew_after=10.0, renew_by=10.0) as one:
        await asyncio.sleep(8.5)
        one.line.respond(calls=[Call("c1", "lookup")])
        await asyncio.sleep(0.5)
        one.line.speech_started()
        line = await one.next_line()
        rebuilt = await one.rebuilt()
        assert rebuilt.calls_carried == (1,)
        await asyncio.sleep(6.0)
        told = [frame for frame in line.received if '"free"' in str(frame.event)]
        assert len(told) == 1
        assert one.world.did("lookup") == 1


async def test_in_the_last_minute_calls_in_flight_are_no_reason_to_wait():
    async with app(renew_after=10.0, renew_by=65.0) as one:
        await asyncio.sleep(9.5)
        one.line.respond(calls=[Call("c1", "lookup")])
        await one.next_line(within=5.0)
        rebuilt = await one.rebuilt()
        assert rebuilt.calls_carried == (1,)


async def test_renewal_that_finds_no_connection_leaves_the_old_one_and_tries_again():
    async with app(renew_after=10.0, longest_pause=4.0) as one:
        await asyncio.sleep(9.0)
        one.server.refuse(2)
        await asyncio.sleep(3.0)
        assert one.line.open
        await one.next_line(within=20.0)
        rebuilt = await one.rebuilt()
        assert rebuilt.cause == "limit"


async def test_drop_during_a_renewal_is_rebuilt_as_a_drop():
    async with app(renew_after=10.0, proven_within=5.0) as one:
        await one.line.caller_says("hello", seconds=0.5)
        await one.line.idle()
        one.server.on_connect(lambda line: line.number == 2 and line.suppress_confirmations())
        await asyncio.sleep(10.0)
        one.line.drop()
        rebuilt = await one.rebuilt()
        await asyncio.sleep(13.0)
        assert rebuilt.cause == "dropped"
        assert len(one.records(r.Rebuilt)) == 2, "the new connection has its own renewal"
        assert not one.server.lines[1].open
