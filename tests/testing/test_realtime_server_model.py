"""What the scripted model and the scripted caller do on the line, as the real openai client hears it."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from openai import AsyncOpenAI

from toolguard.testing.realtime import Call, RealtimeServer, Reply, ScriptError

UNREAD = {"max_queue": None}  # a client that does not read would stop answering its own closing handshake


@asynccontextmanager
async def joined(**options):
    async with RealtimeServer(**options) as server:
        client = AsyncOpenAI(api_key="x", websocket_base_url=server.url)
        async with client.realtime.connect(model="gpt-realtime-2", websocket_connection_options=UNREAD) as connection:
            yield server, await server.caller(), connection


async def until(connection, kind):
    """Everything up to and with the next event of a type."""
    events = []
    async with asyncio.timeout(5):
        while not events or events[-1].type != kind:
            events.append(await connection.recv())
    return events


def always(reply):
    return lambda *_: reply


def types(events):
    return [event.type for event in events if event.type != "session.created"]


async def test_a_call_goes_through_the_events_of_the_protocol_in_order():
    async with joined() as (_, line, connection):
        line.respond(calls=[Call("c1", "book", {"x": 1})])
        events = await until(connection, "response.done")
        assert types(events) == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        item = events[-2].item
        assert (item.call_id, item.name, json.loads(item.arguments), item.status) == (
            "c1",
            "book",
            {"x": 1},
            "completed",
        )
        assert events[-1].response.output[0].id == item.id


async def test_speech_carries_transcript_and_as_much_audio_as_asked_for():
    async with joined() as (_, line, connection):
        line.respond(text="hello", audio_ms=250)
        events = await until(connection, "response.done")
        sound = [event.delta for event in events if event.type == "response.output_audio.delta"]
        said = next(event for event in events if event.type == "response.output_audio_transcript.done")
        assert (len(sound), said.transcript) == (3, "hello")
        assert events[-1].response.output[0].content[0].transcript == "hello"


async def test_a_text_session_gets_text_and_no_audio():
    async with joined() as (_, line, connection):
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await line.wait_for("session.update")
        line.respond(text="hello", audio_ms=250)
        events = await until(connection, "response.done")
        assert "response.output_text.done" in types(events)
        assert not [event for event in events if "audio" in event.type]


async def test_raw_arguments_and_item_status_reach_the_client_as_scripted():
    """An item may say that it is completed although its arguments are broken."""
    async with joined() as (_, line, connection):
        line.respond(calls=[Call("c1", "book", {"x": 1})], raw_arguments='{"x": ', item_status="completed")
        item = (await until(connection, "response.output_item.done"))[-1].item
        assert (item.arguments, item.status) == ('{"x": ', "completed")


async def test_a_response_cut_off_inside_a_call_delivers_truncated_arguments_and_an_incomplete_item():
    async with joined() as (_, line, connection):
        line.cancelled_response_with_truncated_call("c1", "book", '{"flight":"OS-', text="I will")
        events = await until(connection, "response.done")
        arguments = next(event for event in events if event.type == "response.function_call_arguments.done")
        response = events[-1].response
        assert arguments.arguments == '{"flight":"OS-'
        assert [item.status for item in response.output] == ["completed", "incomplete"]
        assert (response.status, response.status_details.reason) == ("cancelled", "turn_detected")


async def test_fine_control_streams_a_call_piece_by_piece():
    async with joined() as (_, line, connection):
        made = line.start_response(response_id="g1")
        made.open_call("c1", "book")
        made.arguments('{"people": 6, ')
        assert line.active is made
        made.arguments('"at": "18"}')
        line.finish_response("incomplete", "max_output_tokens")
        response = (await until(connection, "response.done"))[-1].response
        assert (response.id, response.status, response.output[0].status) == ("g1", "incomplete", "incomplete")


async def test_a_failed_response_names_the_error():
    async with joined() as (_, line, connection):
        line.start_response()
        line.finish_response("failed", error_code="rate_limit_exceeded")
        response = (await until(connection, "response.done"))[-1].response
        assert (response.status, response.status_details.error.code) == ("failed", "rate_limit_exceeded")


async def test_the_script_cannot_make_two_responses_at_once_or_end_one_twice():
    async with joined() as (_, line, _):
        made = line.respond(done=False)
        with pytest.raises(ScriptError, match="is active"):
            line.respond(text="hello")
        made.finish()
        with pytest.raises(ScriptError, match="already ended"):
            made.finish()
        with pytest.raises(ScriptError, match="No response is active"):
            line.finish_response()


async def test_the_callers_speech_cancels_the_active_response():
    async with joined() as (_, line, connection):
        line.respond(text="let me tell you", audio_ms=100, done=False)
        item_id = line.speech_started(audio_start_ms=1200)
        events = await until(connection, "response.done")
        start = next(event for event in events if event.type == "input_audio_buffer.speech_started")
        assert (start.item_id, start.audio_start_ms) == (item_id, 1200)
        assert events[-1].response.status_details.reason == "turn_detected"
        assert types(events).index(start.type) < types(events).index("response.output_item.done")


@pytest.mark.parametrize("by", ["server", "session"])
async def test_the_callers_speech_leaves_the_response_alone_if_so_configured(by):
    async with joined(interrupt_response=by != "server") as (_, line, connection):
        if by == "session":
            detection = {"type": "semantic_vad", "interrupt_response": False}
            await connection.session.update(
                session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
            )
            await line.wait_for("session.update")
        made = line.respond(text="let me tell you", done=False)
        line.speech_started()
        assert made.active


async def test_a_turn_of_the_caller_enters_the_conversation_when_it_stops_and_is_transcribed_later():
    async with joined() as (_, line, connection):
        item_id = line.speech_started("u1")
        assert line.conversation == []
        line.speech_stopped()
        line.transcript_delta("make it")
        line.transcript("make it Tuesday")
        events = await until(connection, "conversation.item.input_audio_transcription.completed")
        assert types(events) == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "conversation.item.input_audio_transcription.delta",
            "conversation.item.input_audio_transcription.completed",
        ]
        assert (item_id, events[-1].item_id, events[-1].transcript) == ("u1", "u1", "make it Tuesday")
        assert line.conversation[0]["content"][0]["transcript"] == "make it Tuesday"


async def test_a_sound_that_is_no_turn_leaves_the_conversation_alone():
    async with joined() as (_, line, connection):
        line.speech_started()
        line.speech_stopped(commit=False)
        await until(connection, "input_audio_buffer.speech_stopped")
        assert (line.conversation, line.caller_speaking) == ([], False)


async def test_a_turn_may_make_the_server_ask_for_a_reply_by_itself():
    async with joined(model=always(Reply(text="noted", seconds=0.01))) as (_, line, connection):
        await line.caller_says("hello", seconds=0.01, transcript_after=0.01, reply=True)
        await until(connection, "response.done")
        assert line.response_creates == []
        assert line.conversation[-1]["content"][0]["transcript"] == "noted"


async def test_the_model_sees_the_conversation_and_may_issue_a_call_again():
    def model(line, request):
        answered = [item for item in line.conversation if item["type"] == "function_call_output"]
        return Reply(calls=[Call("c2", "book", {"x": 1})], seconds=0) if answered else None

    async with joined() as (_, line, connection):
        line.on_response_create(model)
        line.respond(calls=[Call("c1", "book", {"x": 1})])
        await connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": "c1", "output": "booked"}
        )
        await connection.response.create()
        await line.wait_for("response.create")
        await line.idle()
        assert [item.get("call_id") for item in line.conversation] == ["c1", "c1", "c2"]


async def test_the_model_may_be_a_coroutine_and_end_otherwise_than_completed():
    async def model(line, request):
        await asyncio.sleep(0)
        return Reply(text="I am", seconds=0, status="incomplete", reason="content_filter")

    async with joined(model=model) as (_, _, connection):
        await connection.response.create()
        response = (await until(connection, "response.done"))[-1].response
        assert (response.status, response.status_details.reason) == ("incomplete", "content_filter")


async def test_every_request_for_a_reply_is_recorded_with_what_the_caller_was_doing():
    async with joined() as (_, line, connection):
        line.respond(calls=[Call("c1", "book")])
        line.speech_started()
        await connection.response.create(event_id="r1")
        request = (await line.wait_for("response.create")).event
        record = line.response_creates[0]
        assert (record.event, record.accepted, record.caller_speaking) == (request, True, True)
        assert record.problems == ("call c1 has no output",)


async def test_a_bug_in_the_scripted_model_is_raised_when_the_server_stops():
    def model(line, request):
        raise LookupError("forgot the reply")

    async def play():
        async with joined(model=model) as (_, line, connection):
            await connection.response.create()
            await line.closed()

    with pytest.raises(BaseExceptionGroup) as raised:
        await play()
    assert raised.group_contains(LookupError, match="forgot the reply")


async def test_a_bug_in_a_coroutine_model_is_raised_too():
    async def model(line, request):
        raise LookupError("forgot the reply")

    async def play():
        async with joined(model=model) as (_, line, connection):
            await connection.response.create()
            await line.until(lambda: line.script_errors or None, "the bug")

    with pytest.raises(BaseExceptionGroup) as raised:
        await play()
    assert raised.group_contains(LookupError)
