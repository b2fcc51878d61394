"""The virtual loop: time passes at once, and what is real is waited for."""

import asyncio
import threading
import time

import pytest

from toolguard.testing.virtual import Deadlock, VirtualLoop, run_virtual, virtual_time


@pytest.mark.virtual_time
async def test_hours_pass_at_once():
    begun, loop = time.monotonic(), asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    assert loop.time() == 0
    await asyncio.sleep(3600)
    assert loop.time() == pytest.approx(3600)
    assert time.monotonic() - begun < 1


@pytest.mark.virtual_time
async def test_timers_fire_in_order_at_their_times():
    loop, seen = asyncio.get_running_loop(), []
    for delay in (30, 0.5, 7.25, 7.25):
        loop.call_later(delay, lambda: seen.append(loop.time()))
    await asyncio.sleep(31)
    assert seen == pytest.approx([0.5, 7.25, 7.25, 30])


@pytest.mark.virtual_time
async def test_a_timeout_is_reached_in_virtual_time():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(120):
            await asyncio.sleep(121)
    assert asyncio.get_running_loop().time() == pytest.approx(120)


def test_a_deadlock_names_the_task_and_its_line():
    async def waits_for_ever():
        await asyncio.get_running_loop().create_future()

    async def play():
        task = asyncio.create_task(waits_for_ever(), name="the caller")
        await task

    with pytest.raises(Deadlock, match=r"the caller at .*waits_for_ever.*test_virtual.py:\d+"):
        run_virtual(play(), at_most=0.02)


def test_the_clock_stands_while_something_is_busy():
    async def play():
        loop = asyncio.get_running_loop()
        working, answer = threading.Event(), loop.create_future()
        working.set()

        def work():
            time.sleep(0.05)
            loop.call_soon_threadsafe(answer.set_result, "done")
            working.clear()

        forget = loop.busy_while(working.is_set)
        threading.Thread(target=work).start()
        async with asyncio.timeout(0.01):
            assert await answer == "done"
        assert loop.time() == 0
        forget()
        assert not loop.busy

    run_virtual(play())


def test_an_executor_is_waited_for_without_being_told():
    async def play():
        async with asyncio.timeout(0.01):
            return await asyncio.to_thread(lambda: time.sleep(0.03) or "done")

    assert run_virtual(play()) == "done"


def test_what_stays_busy_for_too_long_does_not_stop_the_clock_for_ever():
    async def play():
        asyncio.get_running_loop().busy_while(lambda: True)
        await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    assert run_virtual(play(), at_most=0.02) == pytest.approx(60)


def test_loopback_sockets_answer_before_the_clock_moves():
    async def play():
        async def echo(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1")
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        async with asyncio.timeout(5):
            writer.write(b"hello\n")
            assert await reader.readline() == b"hello\n"
        assert asyncio.get_running_loop().time() < 5
        writer.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)

    run_virtual(play(), grace=0.02)


@virtual_time
async def test_a_decorated_test_runs_as_a_plain_one_with_its_fixtures(tmp_path):
    assert tmp_path.is_dir()
    await asyncio.sleep(86400)
