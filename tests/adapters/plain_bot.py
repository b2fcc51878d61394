"""A bot that knows nothing of toolguard, and its caller: run as a script, it prints what was booked and answered."""

import asyncio
import json

import plain_bot_tools
from loguru import logger
from pipecat.frames.frames import EndFrame
from pipecat.workers.runner import WorkerRunner

from toolguard.testing.pipecat import Called, pipecat_line


def impatient(asked):
    """Books what it was told, and again where it reads that the call was cancelled."""
    if asked.outputs.get("c1", "CANCELLED") == "CANCELLED" and len(asked.outputs) < 2:
        return [Called("book", f"c{len(asked.outputs) + 1}", {"slot": "Mon 10:00"})]
    return ["Very well."]


async def main():
    logger.disable("pipecat")
    on = pipecat_line(impatient, tools=[plain_bot_tools.book], endpointing=0.05)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(on.worker)
    running = asyncio.create_task(runner.run())
    await on.running.wait()
    await on.caller.speaks("Monday at ten please", seconds=0.1)
    while not plain_bot_tools.BOOKED:
        await asyncio.sleep(0.02)
    await on.caller.speaks("and what is the address?", seconds=0.2)
    await asyncio.sleep(1.5)
    await on.worker.queue_frame(EndFrame())
    await running
    texts = [one["content"] for one in on.context.get_messages() if one["role"] in {"tool", "developer"}]
    print(json.dumps({"booked": plain_bot_tools.BOOKED, "texts": texts}))


if __name__ == "__main__":
    asyncio.run(main())
