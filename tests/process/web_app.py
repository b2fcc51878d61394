"""A web application of which any number of processes serve one conversation; ``uvicorn web_app:web`` runs it."""

import asyncio
import os
import signal
import sys
import time
from contextlib import asynccontextmanager

import app
from loguru import logger
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from toolguard.core import records as r
from toolguard.engine.port import Traits
from toolguard.errors import ToolguardError

CONVERSATION = "conv"
PATIENT = 100.0
logger.remove()
logger.add(sys.stderr, level="ERROR")
guard = app.make_guard(os.environ["WEB_STORE"])


class Door:
    """One request's door: its answer, and the news that come with it."""

    traits = Traits(adapter="web")

    def __init__(self):
        self.notes = []
        self.output = asyncio.get_running_loop().create_future()

    def place(self, parcel):
        if parcel.note:
            self.notes.append(parcel.text)
        elif not self.output.done():
            self.output.set_result(parcel)

    def ask_reply(self):
        """A web request is its own reply."""

    def say(self, text):
        """Nobody hears a filler."""

    def in_flight(self, calls):
        """Nobody asks."""


def stopping(kind, when):
    """Stop this process right before, or after, its first record of a kind lands, as a machine that falls asleep."""
    store = guard.journal.store
    honest, done = store.commit, []

    def commit(batch):
        here = not done and any(draft.kind == r.CODES[kind] for append in batch for draft in append.drafts)
        answers = honest(batch) if here and when == "after" else []
        if here:
            done.append(True)
            (app.HOME / f"stopped.{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(1)  # the other threads, this one among them, go on for a moment
        return answers or honest(batch)

    store.commit = commit


async def call(request):
    """A tool call, as a platform posts it."""
    asked = await request.json()
    door = Door()
    try:
        async with guard.visit(CONVERSATION, tenant="clinic", caller="ana", port=door) as conversation:
            conversation.receive(asked["call_id"], asked["tool"], asked["arguments"])
            parcel = await asyncio.wait_for(door.output, PATIENT)
    except ToolguardError as error:
        return JSONResponse({"error": error.code, "text": str(error)}, status_code=409)
    return JSONResponse({"output": parcel.text, "form": parcel.form, "item": parcel.item, "notes": door.notes})


async def end(_request):
    await guard.end(CONVERSATION, tenant="clinic")
    return JSONResponse({})


async def ready(_request):
    await guard.open()
    return JSONResponse({"pid": os.getpid(), "process": guard.process})


@asynccontextmanager
async def living(_web):
    if "WEB_STOPS" in os.environ:
        stopping(r.CommitBegan, os.environ["WEB_STOPS"])
    async with guard:
        yield


web = Starlette(
    routes=[
        Route("/call", call, methods=["POST"]),
        Route("/end", end, methods=["POST"]),
        Route("/ready", ready),
    ],
    lifespan=living,
)
