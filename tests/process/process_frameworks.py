"""Two agents of different frameworks, each in a process of its own: a front desk on LiveKit, billing on Pipecat."""

import asyncio
import json
import time
import warnings
from pathlib import Path

from process_children import BOUND, _application

SAID = "send it and reserve a seat"


async def opened(path: Path) -> str:
    """Wait until somebody has written a file, whole."""
    end = time.monotonic() + BOUND
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(path)
        await asyncio.sleep(0.01)
    return path.read_text()


def written(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.with_suffix(".part").write_text(text)
    path.with_suffix(".part").rename(path)


async def until(condition) -> None:
    end = time.monotonic() + BOUND
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(condition)
        await asyncio.sleep(0.01)


# -- the front desk -----------------------------------------------------------------------------------------------


def livekit_desk(home: str, tool: str) -> None:
    """Begin a call of ``tool``, hand the conversation to billing, and stay until what has committed has ended."""
    app = _application(home)
    warnings.simplefilter("ignore")
    asyncio.run(_livekit_desk(app, tool))


async def _livekit_desk(app, tool: str) -> None:
    from toolguard.adapters.livekit import function_tools, protect
    from toolguard.testing.livekit import Call, line

    def script(request):
        return ["One moment."] if request.outputs else [Call(tool, "c1", json.dumps({"who": "ana"}))]

    on = line(script)
    guard = app.make_guard(app.store_of(app.HOME))
    async with guard, protect(on.session, guard, id="conv", agent="frontdesk", tenant="clinic", caller="ana") as talk:
        await on.start(function_tools([getattr(app, tool)]))
        talk.facts.keep(patient="Ana")
        await on.ears.speaks(SAID)
        await until(lambda: list(app.HOME.glob(f"at.{tool}.ana*")))
        packet = await talk.hand_off(to="billing")
        written(app.HOME / "packet", packet.to_json().decode())
        await opened(app.HOME / "leave")
        await on.hangs_up()


# -- billing ------------------------------------------------------------------------------------------------------


def pipecat_desk(home: str, tool: str) -> None:
    """Take the conversation over, make the same call again when its result has come, and tell what the model saw."""
    app = _application(home)
    warnings.simplefilter("ignore")
    asyncio.run(_pipecat_desk(app, tool))


async def _pipecat_desk(app, tool: str) -> None:
    from loguru import logger

    from toolguard.adapters.pipecat import function_schemas, protect
    from toolguard.testing.pipecat import Called, pipecat_line

    logger.disable("pipecat")
    made = f"{tool} for ana"

    def script(asked):
        if made in str(asked.messages) and "again" not in asked.outputs:
            return [Called(tool, "again", {"who": "ana"})]
        return ["I am billing."]

    on = pipecat_line(script, tools=function_schemas([getattr(app, tool)]))
    guard = app.make_guard(app.store_of(app.HOME))
    packet = await opened(app.HOME / "packet")
    async with guard, protect(on.worker, guard, packet=packet) as talk, on.runs():
        await until(lambda: on.model.requests)
        written(app.HOME / "accepted", json.dumps([talk.agent, dict(talk.facts), on.model.requests[0].messages]))
        await until(lambda: any("again" in one.outputs for one in on.model.requests))
        await until(lambda: on.voice.heard)
        written(app.HOME / "told", json.dumps([list(one.messages) for one in on.model.requests]))
