"""Faults of the network and of time on the scripted Realtime server, as the real openai client meets them."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import websockets
from openai import AsyncOpenAI

from toolguard.testing.realtime import Call, RealtimeServer, Reply, ScriptError
from toolguard.testing.virtual import run_virtual


def connect(server, **options):
    client = AsyncOpenAI(api_key="x", websocket_base_url=server.url)
    unread = {"max_queue": None}  # a client that does not read would stop answering its own closing handshake
    return client.realtime.connect(model="gpt-realtime-2", websocket_connection_options=unread, **options)


@asynccontextmanager
async def joined(**options):
    async with RealtimeServer(**options) as server, connect(server) as connection:
        yield server, await server.caller(), connection


async def heard(connection, kind, within=5):
    async with asyncio.timeout(within):
        while True:
            event = await connection.recv()
            if event.type == kind:
                return event


def user(text, **more):
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **more}


async def test_a_suppressed_confirmation_leaves_the_item_in_place_and_a_resend_is_a_duplicate():
    async with joined() as (_, line, connection):
        line.suppress_confirmations(times=1)
        for _ in range(2):
            await connection.conversation.item.create(item=user("hi", id="u1"))
        assert (await heard(connection, "error")).error.code == "item_create_duplicate_item_id"
        assert [frame.type for frame in line.withheld] == ["conversation.item.added", "conversation.item.done"]
        await connection.conversation.item.create(item=user("hi", id="u2"))
        assert (await heard(connection, "conversation.item.added")).item.id == "u2"


async def test_confirmations_of_the_models_own_items_are_not_suppressed():
    async with joined() as (_, line, connection):
        line.suppress_confirmations()
        line.respond(text="hello")
        await heard(connection, "conversation.item.added")
        assert line.withheld == []


async def test_a_delayed_event_is_overtaken_by_later_ones():
    async with joined() as (_, line, _):
        line.delay("response.output_item.done", 0.02, times=1)
        line.respond(calls=[Call("c1", "book")])
        late = await line.wait_sent("response.output_item.done")
        assert late is line.sent[-1]
        assert line.sent[-2].type == "response.done"


def test_delayed_confirmations_come_late_on_the_loops_clock():
    async def play():
        async with joined() as (_, line, connection):
            line.delay_confirmations(7, times=1)
            await connection.conversation.item.create(item=user("hi", id="u1"))
            created = await line.wait_for("conversation.item.create")
            added = await line.wait_sent("conversation.item.added", within=10)
            assert added.at - created.at == pytest.approx(7)

    run_virtual(play())


async def test_an_ignored_frame_has_no_effect_and_may_be_sent_again():
    async with joined() as (_, line, connection):
        line.ignore("conversation.item.create", times=1)
        for _ in range(2):
            await connection.conversation.item.create(item=user("hi", id="u1"))
        await heard(connection, "conversation.item.added")
        assert (len(line.received), len(line.lost), line.errors) == (2, 1, [])


async def test_a_dropped_line_ends_the_client_without_a_close_frame():
    async with joined() as (server, line, connection):
        line.drop()
        with pytest.raises(websockets.ConnectionClosedError) as raised:
            await heard(connection, "never")
        assert raised.value.rcvd is None
        with pytest.raises(ScriptError, match="closed"):
            line.respond(text="hello")
        assert server.lines == [line]


async def test_frames_that_reach_a_dropped_line_have_no_effect():
    def model(line, request):
        line.drop()

    async with joined(model=model) as (_, line, connection):
        create = json.dumps({"type": "conversation.item.create", "item": user("too late")})
        frames = [json.dumps({"type": "response.create"}), create, create]
        await asyncio.gather(*(connection.send_raw(frame) for frame in frames))
        await line.closed()
        with pytest.raises(websockets.ConnectionClosed):
            await heard(connection, "never")
        assert (len(line.response_creates), line.conversation, line.script_errors) == (1, [], [])


async def test_a_model_that_drops_the_line_replies_to_nobody():
    def model(line, request):
        line.drop()
        return Reply(text="nobody hears this", seconds=0)

    async with joined(model=model) as (_, line, connection):
        await connection.response.create()
        await line.closed()
        for _ in range(10):
            await asyncio.sleep(0)
        assert (line.script_errors, line.sent[-1].type) == ([], "response.created")


def test_a_session_ends_with_1001_at_its_limit_and_what_was_sent_arrives_before():
    async def play():
        async with joined(session_seconds=3600) as (_, line, connection):
            loop = asyncio.get_running_loop()
            begun = loop.time()
            line.send_raw(json.dumps({"type": "ping", "timestamp": 1}))
            assert (await heard(connection, "ping")).timestamp == 1
            with pytest.raises(websockets.ConnectionClosedOK) as raised:
                await connection.recv()
            assert loop.time() - begun == pytest.approx(3600, abs=1)
            assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (
                1001,
                "Your session hit the maximum duration of 60 minutes.",
            )
            await line.closed()

    run_virtual(play())


async def test_a_frame_cut_short_reaches_the_client_as_it_is():
    async with joined() as (_, line, connection):
        await heard(connection, "session.created")
        line.send_raw('{"type": "response.do')
        with pytest.raises(json.JSONDecodeError):
            await connection.recv()


async def test_a_reconnecting_client_gets_a_new_and_empty_session():
    """Items, calls and configuration belong to one connection; the late output is refused on the next."""
    async with (
        RealtimeServer() as server,
        connect(server, on_reconnecting=lambda _: None, initial_delay=0.01) as connection,
    ):
        first = await server.caller()
        await connection.session.update(session={"type": "realtime", "instructions": "be brief"})
        await first.wait_for("session.update")
        first.respond(calls=[Call("c1", "book")])
        await first.close(1001)
        codes = []

        async def read():
            async for event in connection:
                if event.type == "error":
                    codes.append(event.error.code)
                    return

        reading = asyncio.create_task(read())
        second = await server.caller()
        assert (second.number, second.conversation, second.session["instructions"]) == (2, [], "")
        late = {"type": "function_call_output", "call_id": "c1", "output": "booked"}
        await connection.conversation.item.create(item=late)
        async with asyncio.timeout(5):
            await reading
        assert codes == ["invalid_tool_call_id"]


async def test_refused_connections_fail_with_the_status_given():
    async with RealtimeServer() as server:
        server.refuse(times=1, status=503)
        with pytest.raises(websockets.InvalidStatus) as raised:
            async with connect(server):
                pass
        assert raised.value.response.status_code == 503
        async with connect(server):
            assert (await server.caller()).number == 1


async def test_a_line_can_be_prepared_before_its_first_event():
    async with RealtimeServer() as server:
        server.on_connect(lambda line: line.suppress("session.created"))
        async with connect(server):
            line = await server.caller()
            assert (line.sent, [frame.type for frame in line.withheld]) == ([], ["session.created"])


async def test_waiting_in_vain_says_what_the_client_did_send():
    async with joined() as (_, line, connection):
        await connection.input_audio_buffer.clear()
        with pytest.raises(
            TimeoutError, match=r"response\.create number 1 on line 1: the client sent input_audio_buffer"
        ):
            await line.wait_for("response.create", within=0.05)


async def test_waiting_ends_when_the_line_does():
    async with joined() as (_, line, connection):
        waiting = asyncio.create_task(line.wait_for("response.create", within=60))
        await connection.close()
        with pytest.raises(TimeoutError, match="the line closed"):
            await waiting


async def test_nobody_calling_is_a_timeout():
    async with RealtimeServer() as server:
        with pytest.raises(TimeoutError, match="No client connected"):
            await server.caller(within=0.01)


def test_a_long_reply_takes_its_time_on_a_virtual_loop_only():
    async def play():
        async with joined(model=lambda *_: Reply(text="once upon a time", seconds=30)) as (_, line, connection):
            reading = asyncio.create_task(heard(connection, "response.done", within=1000))
            await connection.response.create()
            await line.wait_for("response.create")
            await asyncio.sleep(10)
            line.speech_started()
            loop = asyncio.get_running_loop()
            assert (line.active, loop.time()) == (None, pytest.approx(10, abs=0.5))
            said = (await reading).response.output[0].content[0].transcript
            assert "once upon a time".startswith(said)
            assert 4 <= len(said) <= 6

    run_virtual(play())


def test_the_clients_sdk_has_no_closing_of_its_own_that_needs_a_real_clock():
    """Ten connections one after the other, each left open by the model, end at once in virtual time."""

    async def play():
        async with RealtimeServer() as server:
            for _ in range(10):
                async with connect(server) as connection:
                    (await server.caller()).respond(text="hello", done=False)
                    await heard(connection, "response.created")
            assert [line.number for line in server.lines] == list(range(1, 11))
            assert asyncio.get_running_loop().time() < 60

    run_virtual(play())


def test_the_servers_own_clock_can_be_given():
    async def play():
        ticks = iter(range(1000))
        async with joined(clock=lambda: float(next(ticks))) as (_, line, _):
            line.respond(text="hello")
            assert [frame.at for frame in line.sent] == sorted(frame.at for frame in line.sent)
            assert line.sent[-1].at > line.sent[0].at >= 1

    asyncio.run(play())


def test_unscripted_the_model_says_ok_for_a_while_and_is_active_meanwhile():
    async def play():
        async with joined() as (_, line, connection):
            await connection.response.create()
            created = await line.wait_sent("response.created")
            assert line.active is not None
            response = (await heard(connection, "response.done")).response
            assert response.output[0].content[0].transcript == "ok"
            assert [frame.type for frame in line.sent].count("response.output_audio.delta") == 3
            assert line.sent[-1].at - created.at == pytest.approx(0.3)

    run_virtual(play())


def test_an_interrupted_reply_says_nothing_more():
    async def play():
        async with joined(model=lambda *_: Reply(text="a long story", seconds=3)) as (_, line, connection):
            await connection.response.create()
            await line.wait_sent("response.output_audio.delta")
            line.speech_started()
            said = len(line.sent)
            await asyncio.sleep(10)
            assert len(line.sent) == said
            assert line.sent[-1].type == "response.done"

    run_virtual(play())


async def test_what_was_flushed_before_a_drop_arrives():
    async with joined() as (_, line, connection):
        line.respond(calls=[Call("c1", "book")])
        await line.flush()
        line.drop()
        assert (await heard(connection, "response.done")).response.output[0].call_id == "c1"
        with pytest.raises(websockets.ConnectionClosedError):
            await connection.recv()
