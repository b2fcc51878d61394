"""A Realtime connection is lost, and the application's loop goes on over a new one (O3, O4, O11, T6)."""

from __future__ import annotations

import asyncio

import pytest
from rebuild_kit import app, shown

from toolguard.core import records as r
from toolguard.testing.realtime import Call, Reply


def outputs_of(line, call):
    return [one.text for one in line.outputs(call)]


def sent_items(line):
    return [frame.event["item"] for frame in line.received if frame.type == "conversation.item.create"]


@pytest.mark.virtual_time
@pytest.mark.parametrize("code", [1000, 1001, 1011])
async def test_loop_goes_on_over_a_new_connection_whatever_the_close_code(code):
    async with app() as one:
        await one.line.caller_says("a table for two", seconds=0.5)
        await one.line.close(code, "over")
        line = await one.next_line()
        rebuilt = await one.rebuilt()
        assert rebuilt.cause == f"closed {code}"
        assert ("user", "a table for two") in shown(line)
        assert line.session["instructions"] == "Be kind."
        assert {tool["name"] for tool in line.session["tools"]} == {"book", "lookup"}
        await line.idle()
        line.respond(text="Hello again", audio_ms=200)
        await line.wait_sent("response.done")
        await asyncio.sleep(0.2)
        assert "Hello again" in [getattr(event, "transcript", "") for event in one.events]
        assert one.server.violations == []
        assert not one.reading.done()


@pytest.mark.virtual_time
async def test_call_in_flight_is_carried_as_a_pair_and_its_result_told_once_as_a_note():
    async with app() as one:
        one.line.respond(calls=[Call("c1", "book", {"x": 1})])
        await asyncio.sleep(1.0)
        await one.line.close(1001)
        line = await one.next_line()
        rebuilt = await one.rebuilt()
        assert rebuilt.calls_carried == (1,)
        assert rebuilt.proof[:2] == ("session.created", "session.updated")
        assert [kind for kind, _ in shown(line)][-2:] == ["function_call", "function_call_output"]
        assert "still_running" in outputs_of(line, "c1")[0]
        await asyncio.sleep(5.0)
        notes = [item for item in sent_items(line) if item["type"] == "message" and '"order"' in str(item)]
        assert len(notes) == 1
        assert len(line.response_creates) == 1
        assert outputs_of(line, "c1")[1:] == []
        assert line.conversation_problems() == []
        assert one.world.did("book") == 1


@pytest.mark.virtual_time
async def test_result_of_a_call_that_ended_in_the_gap_is_spoken_once():
    async with app() as one:
        one.line.respond(calls=[Call("c1", "book", {"x": 1})])
        await asyncio.sleep(1.0)
        one.server.refuse_for(3.0)
        one.line.drop()
        line = await one.next_line()
        rebuilt = await one.rebuilt()
        assert rebuilt.cause == "dropped"
        assert rebuilt.gap_ms >= 3000
        assert rebuilt.tries > 1
        await asyncio.sleep(5.0)
        assert outputs_of(line, "c1") == ['{"order":1}']
        assert len(line.response_creates) == 1
        assert [item["type"] for item in sent_items(line)].count("message") == 1, "no note beside the output"


@pytest.mark.virtual_time
async def test_response_that_was_lost_is_owed_and_its_words_stand_as_far_as_they_were_heard():
    async with app() as one:
        made = one.line.start_response()
        made.say("Your table is booked for seven", 3000)
        await asyncio.sleep(1.5)
        one.line.drop()
        line = await one.next_line()
        await one.rebuilt()
        assert ("assistant", "Your table is") in shown(line)
        await asyncio.sleep(3.0)
        assert len(line.response_creates) == 1


@pytest.mark.virtual_time
async def test_nothing_is_said_on_the_new_connection_where_nothing_is_owed():
    async with app() as one:
        await one.line.caller_says("hello", seconds=0.5)
        one.line.respond(text="Good evening", audio_ms=500)
        await asyncio.sleep(2.0)
        one.line.drop()
        line = await one.next_line()
        await one.rebuilt()
        await asyncio.sleep(5.0)
        assert line.response_creates == []
        assert ("assistant", "Good evening") in shown(line)


@pytest.mark.virtual_time
async def test_hold_of_an_onset_ends_though_its_words_never_come():
    async with app() as one:
        one.line.respond(calls=[Call("c1", "book", {"x": 1})])
        await asyncio.sleep(0.2)
        one.line.speech_started()
        await asyncio.sleep(0.1)
        one.line.drop()
        await one.next_line()
        await one.rebuilt()
        await asyncio.sleep(6.0)
        assert one.world.did("book") == 1


@pytest.mark.virtual_time
async def test_two_drops_in_a_row_leave_one_conversation_and_one_note():
    async with app() as one:
        one.line.respond(calls=[Call("c1", "lookup")])
        await asyncio.sleep(0.5)
        one.line.drop()
        second = await one.next_line()
        await one.rebuilt()
        second.drop()
        third = await one.next_line()
        await one.rebuilt(2)
        await asyncio.sleep(5.0)
        assert len({item["id"] for item in third.conversation}) == len(third.conversation)
        assert shown(third).count(("function_call", "c1")) == 1
        notes = [item for item in sent_items(third) if '"free"' in str(item)]
        assert len(notes) == 1
        assert one.world.did("lookup") == 1


@pytest.mark.virtual_time
async def test_connection_that_breaks_while_it_is_made_ready_is_tried_again():
    async with app() as one:
        one.server.on_connect(lambda line: line.number == 2 and line.close_in(0.0, 1011))
        one.line.drop()
        rebuilt = await one.rebuilt()
        assert rebuilt.tries == 2
        assert one.server.lines[2].session["instructions"] == "Be kind."


@pytest.mark.virtual_time
async def test_connection_that_confirms_nothing_is_not_used():
    async with app(proven_within=2.0) as one:
        await one.line.caller_says("hello", seconds=0.5)
        one.server.on_connect(lambda line: line.number == 2 and line.suppress_confirmations())
        one.line.drop()
        rebuilt = await one.rebuilt()
        assert rebuilt.tries == 2
        assert one.server.lines[1].response_creates == []


@pytest.mark.virtual_time
async def test_hand_off_over_a_drop_is_shown_to_the_next_agent():
    async with app() as one:
        one.line.respond(calls=[Call("c1", "lookup")])
        await asyncio.sleep(0.2)
        handing = asyncio.create_task(one.session.hand_off(to="billing"))
        one.line.drop()
        packet = await handing
        line = await one.next_line()
        await one.rebuilt()
        await asyncio.sleep(5.0)
        assert packet.to == "billing"
        opened = one.records(r.ContextOpened)[-1]
        assert opened.agent == "billing"
        assert len([item for item in sent_items(line) if '"free"' in str(item)]) == 1
        assert line.conversation_problems() == []


@pytest.mark.virtual_time
async def test_own_request_for_a_reply_waits_for_the_line_and_none_is_added_to_it():
    async with app() as one:
        await one.line.caller_says("hello", seconds=0.5)
        one.server.refuse_for(1.0)
        one.line.drop()
        await asyncio.sleep(0.2)
        asking = asyncio.create_task(one.connection.response.create())
        line = await one.next_line()
        await asking
        await asyncio.sleep(3.0)
        assert len(line.response_creates) == 1
        assert line.errors == []


@pytest.mark.virtual_time
async def test_frame_about_the_lost_connection_is_refused_with_the_next_step():
    async with app() as one:
        one.server.refuse_for(1.0)
        one.line.drop()
        await asyncio.sleep(0.2)
        with pytest.raises(ConnectionError, match=r"line_down.*response.cancel was not sent"):
            await one.connection.response.cancel()
        await one.next_line()
        await one.rebuilt()


@pytest.mark.virtual_time
async def test_line_that_never_comes_back_ends_the_loop_with_an_error_and_keeps_the_session():
    async with app(within=5.0, hold_sends=2.0) as one:
        one.line.respond(calls=[Call("c1", "lookup")])
        await asyncio.sleep(0.2)
        one.server.refuse_for(1000.0)
        one.line.drop()
        await asyncio.sleep(0.1)
        with pytest.raises(ConnectionError, match="line_down"):
            await one.connection.input_audio_buffer.append(audio="AAAA")
        await asyncio.wait({one.reading}, timeout=20.0)
        assert "line_lost" in str(one.errors[0])
        assert "the same id" in str(one.errors[0])
        dropped = [rec for rec in one.records(r.Interrupted) if "provider" in str(rec.interrupt)]
        assert len(dropped) == 1
        await asyncio.sleep(4.0)
        assert one.records(r.Returned)
        store, guard = one.guard.journal.store, one.guard
    assert guard is not None
    assert store is not None


@pytest.mark.virtual_time
async def test_poisoned_connection_is_left_on_command_and_its_frames_are_refused():
    async with app() as one:
        await one.line.caller_says("hello", seconds=0.5)
        one.line.respond(text="Good evening", audio_ms=500)
        await asyncio.sleep(2.0)
        first = one.line
        await one.session.rebuild(cause="poisoned")
        line = await one.next_line()
        assert one.records(r.Rebuilt)[-1].cause == "poisoned"
        await asyncio.sleep(5.0)
        assert not first.open
        assert ("assistant", "Good evening") in shown(line)
        assert line.response_creates == []


@pytest.mark.virtual_time
async def test_frames_of_a_replaced_connection_are_refused_and_counted():
    async with app() as one:
        first = one.line
        first.suppress("nothing")
        one.server.on_connect(lambda line: line.number == 2 and first.respond(calls=[Call("c1", "book", {"x": 1})]))
        await one.session.rebuild(cause="poisoned")
        await asyncio.sleep(6.0)
        assert one.world.did("book") == 0
        assert one.notices("frames_refused")[0].data["frames"] > 0


@pytest.mark.virtual_time
async def test_context_that_the_provider_lost_is_noticed_by_its_second_greeting():
    async with app() as one:
        await one.line.caller_says("hello", seconds=0.5)
        one.line.forget(announce=True)
        line = await one.next_line()
        rebuilt = await one.rebuilt()
        assert rebuilt.cause == "context_lost"
        assert ("user", "hello") in shown(line)


@pytest.mark.virtual_time
async def test_context_that_was_lost_without_a_word_is_noticed_when_a_call_is_unknown():
    async with app() as one:
        await one.line.caller_says("hello", seconds=0.5)
        one.line.respond(calls=[Call("c1", "lookup")])
        await asyncio.sleep(0.5)
        one.line.forget()
        line = await one.next_line()
        rebuilt = await one.rebuilt()
        assert rebuilt.cause == "context_lost"
        await asyncio.sleep(3.0)
        assert outputs_of(line, "c1") == ['{"free":3}']
        assert line.conversation_problems() == []


@pytest.mark.virtual_time
@pytest.mark.parametrize("kept", ["all", "words", "calls", "none"])
async def test_only_what_the_new_connection_lacks_is_sent_to_it(kept):
    keep = {
        "all": lambda _: True,
        "words": lambda item: item["type"] == "message",
        "calls": lambda item: item["type"] == "function_call",
        "none": lambda _: False,
    }[kept]
    async with app() as one:
        await one.line.caller_says("a table, please", seconds=0.5)
        one.line.respond(calls=[Call("c1", "lookup")])
        await asyncio.sleep(0.5)
        one.server.resume(keep)
        one.line.drop()
        line = await one.next_line()
        await one.rebuilt()
        await asyncio.sleep(4.0)
        assert shown(line).count(("user", "a table, please")) == 1
        assert shown(line).count(("function_call", "c1")) == 1
        assert line.conversation_problems() == []
        asked = [error["code"] for error in line.errors]
        assert set(asked) <= {"item_retrieve_invalid_item_id"}
        order = [kind for kind, words in shown(line) if words in {"a table, please", "c1"}]
        assert order == ["user", "function_call", "function_call_output"]


@pytest.mark.virtual_time
async def test_observed_session_is_left_alone():
    async with app(mode="observe") as one:
        one.line.drop()
        await asyncio.wait({one.reading}, timeout=20.0)
        await asyncio.sleep(5.0)
        assert len(one.server.lines) == 1
        assert one.errors
        assert one.records(r.Rebuilt) == []


@pytest.mark.virtual_time
async def test_connection_that_the_application_closes_is_not_replaced():
    async with app() as one:
        await one.connection.close()
        await asyncio.wait({one.reading}, timeout=20.0)
        assert one.errors == []
        await asyncio.sleep(3.0)
        assert len(one.server.lines) == 1


@pytest.mark.virtual_time
async def test_new_turn_is_answered_on_the_new_connection():
    async with app() as one:
        one.line.drop()
        line = await one.next_line()
        await one.rebuilt()
        line.on_response_create(lambda _line, _request: Reply(calls=[Call("c1", "book", {"x": 1})]))
        line.request_reply({})
        await asyncio.sleep(8.0)
        assert outputs_of(line, "c1") == ['{"order":1}']
        assert one.world.did("book") == 1
