"""The rules of the scripted Realtime server, asked for by the real openai client."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import pytest
from openai import AsyncOpenAI

from toolguard.testing.realtime import Call, RealtimeServer, ScriptError

UNREAD = {"max_queue": None}  # a client that does not read would stop answering its own closing handshake


@asynccontextmanager
async def joined(**options):
    async with RealtimeServer(**options) as server:
        client = AsyncOpenAI(api_key="x", websocket_base_url=server.url)
        async with client.realtime.connect(model="gpt-realtime-2", websocket_connection_options=UNREAD) as connection:
            yield server, await server.caller(), connection


async def heard(connection, kind, where=bool):
    async with asyncio.timeout(5):
        while True:
            event = await connection.recv()
            if event.type == kind and where(event):
                return event


def output(call_id, text="done", **more):
    return {"type": "function_call_output", "call_id": call_id, "output": text, **more}


def user(text, **more):
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **more}


async def refused(connection, code, event_id=None):
    error = (await heard(connection, "error")).error
    assert (error.code, error.event_id) == (code, event_id)
    return error


async def test_session_created_is_the_first_event_and_carries_the_model():
    async with joined() as (_, line, connection):
        first = await connection.recv()
        assert (first.type, first.session.model) == ("session.created", "gpt-realtime-2")
        assert line.query == {"model": "gpt-realtime-2"}


async def test_session_update_is_merged_into_the_session_and_confirmed():
    async with joined() as (_, line, connection):
        tool = {"type": "function", "name": "book", "parameters": {"type": "object"}}
        audio = {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}
        await connection.session.update(session={"type": "realtime", "tools": [tool], "audio": audio})
        updated = await heard(connection, "session.updated")
        assert updated.session.tools[0].name == "book"
        assert updated.session.audio.output.voice == "marin"
        assert line.session["audio"]["input"]["turn_detection"]["create_response"] is True


async def test_an_output_is_confirmed_by_added_and_done_and_stands_after_the_named_item():
    async with joined() as (_, line, connection):
        call = line.respond(calls=[Call("c1", "book", {"x": 1})]).output[0]
        line.respond(text="anything else?")
        await connection.conversation.item.create(item=output("c1", id="out_1"), previous_item_id=call["id"])
        added = await heard(connection, "conversation.item.added", lambda e: e.item.id == "out_1")
        assert (added.previous_item_id, added.item.output) == (call["id"], "done")
        assert (await heard(connection, "conversation.item.done")).item.id == "out_1"
        assert [item["type"] for item in line.conversation] == ["function_call", "function_call_output", "message"]
        assert [taken.text for taken in line.outputs("c1")] == ["done"]
        assert line.conversation_problems() == []


async def test_root_puts_an_item_at_the_front():
    async with joined() as (_, line, connection):
        await connection.conversation.item.create(item=user("second", id="b"))
        await connection.conversation.item.create(item=user("first", id="a"), previous_item_id="root")
        await line.wait_for("conversation.item.create", count=2)
        assert [item["id"] for item in line.conversation] == ["a", "b"]


async def test_an_output_for_an_unknown_call_is_refused_and_the_event_id_echoed():
    async with joined() as (_, line, connection):
        await connection.conversation.item.create(item=output("nobody"), event_id="mine")
        error = await refused(connection, "invalid_tool_call_id", "mine")
        assert error.message == "Tool call ID 'nobody' not found in conversation."
        assert (line.conversation, line.outputs("nobody")) == ([], [])


@pytest.mark.parametrize(("way", "kept", "errors"), [("reject", 1, 1), ("ignore", 1, 0), ("accept", 2, 0)])
async def test_a_second_output_for_a_call_is_treated_as_configured_and_always_told_to_the_judge(way, kept, errors):
    async with joined(second_output=way) as (_, line, connection):
        line.respond(calls=[Call("c1", "book")])
        for _ in range(2):
            await connection.conversation.item.create(item=output("c1"))
        await line.wait_for("conversation.item.create", count=2)
        assert (len(line.outputs("c1")), len(line.errors)) == (kept, errors)
        assert "a second output for call c1 was tried" in line.conversation_problems()


async def test_a_reused_item_id_is_refused_before_anything_else():
    """A resent output with the same item id reads as "already there", not as a second output."""
    async with joined() as (_, line, connection):
        line.respond(calls=[Call("c1", "book")])
        for number in (1, 2):
            await connection.conversation.item.create(item=output("c1", id="tg_1"), event_id=f"e{number}")
        await refused(connection, "item_create_duplicate_item_id", "e2")
        assert line.conversation_problems() == []


async def test_an_unknown_previous_item_is_refused_and_nothing_is_added():
    async with joined() as (_, line, connection):
        await connection.conversation.item.create(item=user("hi"), previous_item_id="gone")
        await refused(connection, "item_create_invalid_previous_item_id")
        assert line.conversation == []


@pytest.mark.parametrize(
    ("bad", "code"), [({"id": "x" * 33}, "string_above_max_length"), ({"id": "a/b"}, "invalid_value")]
)
async def test_item_ids_have_at_most_32_plain_characters(bad, code):
    async with joined() as (_, line, connection):
        await connection.conversation.item.create(item=user("hi", **bad))
        assert (await refused(connection, code)).param == "item.id"
        await connection.conversation.item.create(item=user("hi", id="x" * 32))
        await heard(connection, "conversation.item.done")
        assert len(line.conversation) == 1


async def test_call_ids_have_at_most_32_plain_characters():
    async with joined() as (_, _, connection):
        replayed = {"type": "function_call", "call_id": "c" * 33, "name": "book", "arguments": "{}"}
        await connection.conversation.item.create(item=replayed)
        assert (await refused(connection, "string_above_max_length")).param == "item.call_id"


async def test_a_call_created_by_the_client_can_be_answered_on_a_new_connection():
    async with joined() as (_, line, connection):
        replayed = {"type": "function_call", "call_id": "c1", "name": "book", "arguments": "{}"}
        await connection.conversation.item.create(item=replayed)
        await connection.conversation.item.create(item=output("c1"))
        await line.wait_for("conversation.item.create", count=2)
        assert (line.errors, line.conversation_problems()) == ([], [])


async def test_an_assistant_message_with_audio_cannot_be_created():
    async with joined() as (_, _, connection):
        content = [{"type": "output_audio", "transcript": "hi"}]
        await connection.conversation.item.create(item={"type": "message", "role": "assistant", "content": content})
        assert (await refused(connection, "invalid_value")).param == "item.content"


async def test_retrieve_and_delete_know_only_items_that_stand():
    async with joined() as (_, line, connection):
        await connection.conversation.item.create(item=user("hi", id="u1"))
        await connection.conversation.item.retrieve(item_id="u1")
        assert (await heard(connection, "conversation.item.retrieved")).item.content[0].text == "hi"
        await connection.conversation.item.delete(item_id="u1")
        assert (await heard(connection, "conversation.item.deleted")).item_id == "u1"
        assert line.conversation == []
        await connection.conversation.item.retrieve(item_id="u1")
        await refused(connection, "item_retrieve_invalid_item_id")
        await connection.conversation.item.delete(item_id="u1", event_id="d2")
        await refused(connection, "item_delete_invalid_item_id", "d2")


async def test_truncate_cuts_the_spoken_item_and_drops_its_transcript():
    async with joined() as (_, line, connection):
        item = line.respond(text="your table is booked", audio_ms=2000).output[0]
        await connection.conversation.item.truncate(item_id=item["id"], content_index=0, audio_end_ms=900)
        assert (await heard(connection, "conversation.item.truncated")).audio_end_ms == 900
        assert line.held.audio_ms[item["id"]] == 900
        assert "transcript" not in line.conversation[0]["content"][0]


async def test_truncate_past_the_audio_or_of_what_was_not_spoken_is_refused():
    async with joined() as (_, line, connection):
        item = line.respond(text="short", audio_ms=500).output[0]
        await connection.conversation.item.create(item=user("hi", id="u1"))
        await connection.conversation.item.truncate(item_id=item["id"], content_index=0, audio_end_ms=501)
        error = await refused(connection, "invalid_value")
        assert error.message == "Audio content of 500ms is already shorter than 501ms"
        await connection.conversation.item.truncate(item_id="u1", content_index=0, audio_end_ms=1)
        assert "Only model output audio" in (await refused(connection, "invalid_value")).message
        await connection.conversation.item.truncate(item_id="none", content_index=0, audio_end_ms=1)
        await refused(connection, "item_truncate_invalid_item_id")


async def test_a_second_response_is_refused_while_one_is_active():
    async with joined() as (_, line, connection):
        active = line.start_response()
        await connection.response.create(event_id="again")
        error = await refused(connection, "conversation_already_has_active_response", "again")
        assert active.id in error.message
        line.finish_response()
        await connection.response.create()
        await heard(connection, "response.done", lambda e: e.response.id != active.id)
        assert [request.accepted for request in line.response_creates] == [False, True]


async def test_a_response_outside_the_conversation_may_run_beside_the_active_one():
    async with joined() as (_, line, connection):
        active = line.start_response()
        await connection.response.create(response={"conversation": "none", "metadata": {"for": "judge"}, "input": []})
        done = await heard(connection, "response.done")
        assert (done.response.metadata, done.response.conversation_id) == ({"for": "judge"}, None)
        assert (line.active, line.conversation) == (active, [])
        assert line.response_creates[0].out_of_band


async def test_a_reply_may_refer_to_items_in_its_input():
    async with joined() as (server, line, connection):
        await connection.conversation.item.create(item=user("hi", id="u1"))
        fields = {"conversation": "none", "input": [{"type": "item_reference", "id": "u1"}]}
        await connection.response.create(response=fields)
        await heard(connection, "response.done")
        assert (server.violations, line.response_creates[0].accepted) == ([], True)


async def test_cancel_ends_the_active_response_and_needs_one():
    async with joined() as (_, line, connection):
        await connection.response.cancel(event_id="none")
        await refused(connection, "response_cancel_not_active", "none")
        line.respond(text="let me tell you", done=False)
        await connection.response.cancel()
        response = (await heard(connection, "response.done")).response
        assert (response.status, response.status_details.reason) == ("cancelled", "client_cancelled")
        assert response.output[0].status == "incomplete"
        assert line.active is None


async def test_committed_audio_becomes_a_turn_and_an_empty_buffer_cannot_be_committed():
    async with joined() as (_, line, connection):
        await connection.input_audio_buffer.commit()
        await refused(connection, "input_audio_buffer_commit_empty")
        await connection.input_audio_buffer.append(audio=base64.b64encode(bytes(4800)).decode())
        await connection.input_audio_buffer.commit()
        committed = await heard(connection, "input_audio_buffer.committed")
        assert line.conversation[-1]["id"] == committed.item_id
        await connection.input_audio_buffer.clear()
        await heard(connection, "input_audio_buffer.cleared")


@pytest.mark.parametrize(
    ("frame", "code", "param"),
    [
        (
            {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c1"}},
            "missing_required_parameter",
            "item.output",
        ),
        (
            {"type": "conversation.item.create", "item": {"type": "function_call_result", "call_id": "c1"}},
            "invalid_value",
            "item.type",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "message", "role": "assistant", "content": [{"type": "input_text", "text": "hi"}]},
            },
            "invalid_value",
            "item.content.0.type",
        ),
        (
            {"type": "conversation.item.truncate", "item_id": "a", "content_index": 0, "audio_end_ms": "9"},
            "invalid_value",
            "audio_end_ms",
        ),
        ({"type": "response.tell"}, "invalid_value", "type"),
        ({"type": "session.created"}, "invalid_value", "type"),
    ],
)
async def test_a_frame_that_the_types_do_not_allow_is_a_violation_and_answered_with_an_error(frame, code, param):
    async with joined() as (server, line, connection):
        await connection.send_raw(json.dumps(frame | {"event_id": "mine"}))
        assert (await refused(connection, code, "mine")).param == param
        assert [violation.line for violation in server.violations] == [1]
        assert line.received == []


async def test_a_frame_that_is_not_json_is_a_violation_and_the_line_goes_on():
    async with joined() as (server, _, connection):
        await connection.send_raw('{"type": "response.cr')
        await refused(connection, "invalid_json")
        await connection.response.create()
        await heard(connection, "response.done")
        assert len(server.violations) == 1


async def test_the_script_cannot_send_what_the_types_do_not_allow():
    async with joined() as (_, line, _):
        with pytest.raises(ScriptError, match="'name'"):
            line.send(
                {"type": "response.function_call_arguments.done", "response_id": "r", "item_id": "i"}
                | {"output_index": 0, "call_id": "c", "arguments": "{}"}
            )
        with pytest.raises(ScriptError, match="no event type"):
            line.send({"type": "conversation.item.create", "item": user("hi")})


async def test_event_ids_of_the_client_are_left_out_if_so_configured():
    async with joined(echo_event_ids=False) as (_, _, connection):
        await connection.response.cancel(event_id="mine")
        error = await refused(connection, "response_cancel_not_active", None)
        assert error.message == "Cancellation failed: no active response found"


async def test_the_judge_sees_what_is_wrong_with_calls_and_outputs():
    async with joined() as (_, line, connection):
        first, second = line.respond(calls=[Call("c1", "book"), Call("c2", "look")]).output
        line.respond(text="one moment")
        await connection.conversation.item.create(item=output("c1"))
        await line.wait_for("conversation.item.create")
        assert line.conversation_problems() == ["call c2 has no output", "output of c1 stands 1 items after its call"]
        await connection.conversation.item.delete(item_id=first["id"])
        await connection.conversation.item.create(item=output("c2"), previous_item_id="root")
        await line.wait_for("conversation.item.create", count=2)
        assert line.conversation_problems() == ["output of c2 stands before its call", "output of c1 has no call"]
        assert second in line.conversation
