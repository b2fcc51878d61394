"""Two agents of different frameworks, each in a process of its own: the front desk, and billing, which takes over."""

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


# -- the front desk: begins a call, hands over, stays until what has committed has ended ---------------------------


async def _hands_over(app, tool: str, talk) -> None:
    await until(lambda: list(app.HOME.glob(f"at.{tool}.ana*")))
    talk.facts.keep(patient="Ana")
    packet = await talk.hand_off(to="billing")
    written(app.HOME / "packet", packet.to_json().decode())
    await opened(app.HOME / "leave")


async def _livekit_first(app, tool: str) -> None:
    from toolguard.adapters.livekit import function_tools, protect
    from toolguard.testing.livekit import Call, line

    def script(request):
        return ["One moment."] if request.outputs else [Call(tool, "c1", json.dumps({"who": "ana"}))]

    on = line(script)
    guard = app.make_guard(app.store_of(app.HOME))
    async with guard, protect(on.session, guard, id="conv", agent="frontdesk", tenant="clinic", caller="ana") as talk:
        await on.start(function_tools([getattr(app, tool)]))
        await on.ears.speaks(SAID)
        await _hands_over(app, tool, talk)
        await on.hangs_up()


async def _pipecat_first(app, tool: str) -> None:
    from toolguard.adapters.pipecat import function_schemas, protect
    from toolguard.testing.pipecat import Called, pipecat_line

    def script(asked):
        return ["One moment."] if asked.outputs else [Called(tool, "c1", {"who": "ana"})]

    on = pipecat_line(script, tools=function_schemas([getattr(app, tool)]))
    guard = app.make_guard(app.store_of(app.HOME))
    async with (
        guard,
        protect(on.worker, guard, id="conv", agent="frontdesk", tenant="clinic", caller="ana") as talk,
        on.runs(),
    ):
        await on.caller.speaks(SAID)
        await _hands_over(app, tool, talk)


# -- billing: takes over, makes the call again when its result has come, tells what its model saw ------------------


async def _takes_over(app, talk, texts, outputs, heard) -> None:
    await until(texts)
    written(app.HOME / "accepted", json.dumps([talk.agent, dict(talk.facts), texts()[0]]))
    await until(lambda: "again" in outputs())
    await until(heard)
    written(app.HOME / "told", json.dumps(outputs()["again"]))


async def _pipecat_second(app, tool: str) -> None:
    from toolguard.adapters.pipecat import function_schemas, protect
    from toolguard.testing.pipecat import Called, pipecat_line

    def script(asked):
        if f"{tool} for ana" in str(asked.messages) and "again" not in asked.outputs:
            return [Called(tool, "again", {"who": "ana"})]
        return ["I am billing."]

    on = pipecat_line(script, tools=function_schemas([getattr(app, tool)]))
    asked = on.model.requests
    guard = app.make_guard(app.store_of(app.HOME))
    packet = await opened(app.HOME / "packet")
    async with guard, protect(on.worker, guard, packet=packet) as talk, on.runs():
        await _takes_over(
            app,
            talk,
            lambda: [str(one.messages) for one in asked],
            lambda: asked[-1].outputs,
            lambda: on.voice.heard,
        )


async def _livekit_second(app, tool: str) -> None:
    from toolguard.adapters.livekit import function_tools, protect
    from toolguard.testing.livekit import Call, line

    def script(request):
        shown = str([item.model_dump() for item in request.ctx.items])
        if f"{tool} for ana" in shown and "again" not in request.outputs:
            return [Call(tool, "again", json.dumps({"who": "ana"}))]
        return ["I am billing."]

    on = line(script)
    asked = on.model.requests
    guard = app.make_guard(app.store_of(app.HOME))
    packet = await opened(app.HOME / "packet")
    async with guard, protect(on.session, guard, packet=packet) as talk:
        await on.start(function_tools([getattr(app, tool)]))
        await _takes_over(
            app,
            talk,
            lambda: [str([item.model_dump() for item in one.ctx.items]) for one in asked],
            lambda: asked[-1].outputs,
            lambda: on.said,
        )
        await on.hangs_up()


DESKS = {
    ("livekit", "first"): _livekit_first,
    ("livekit", "second"): _livekit_second,
    ("pipecat", "first"): _pipecat_first,
    ("pipecat", "second"): _pipecat_second,
}


def desk(home: str, framework: str, place: str, tool: str) -> None:
    """One of the two agents, with ``tool`` between them."""
    app = _application(home)
    warnings.simplefilter("ignore")
    asyncio.run(DESKS[framework, place](app, tool))
