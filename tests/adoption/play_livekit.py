"""Plays LiveKit's hotel receptionist: the caller books a tour and says something else, and the model books it again."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from toolguard.testing.livekit import Call, line, one_clock, until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from toolguard.testing.livekit import Line, Request

_TOUR = {
    "tour": "half_day_city",
    "on_date": "2030-06-12",
    "party_size": 2,
    "guest_name": "Ana Lund",
    "guest_phone": "+15550100",
}


@dataclass
class Stay:
    """What became of the call.

    Attributes:
        bookings: Tours in the hotel's own database.
        looked: How often the guest's history was looked up.
        said: What the caller heard to its end.
    """

    bookings: int
    looked: bool
    said: list[str]

    @property
    def right(self) -> bool:
        """Whether the caller has one tour, and heard of it."""
        return self.bookings == 1 and self.looked and any("your tour is booked" in text for text in self.said)


def _script(request: Request) -> list[Any]:
    """The model of the reports: interrupted before it could tell of the booking, it books again under a new id."""
    calls = {one.call_id: one for one in request.ctx.items if one.type == "function_call"}
    if not request.said:
        return ["Welcome to the hotel, how can I help?"]
    if request.said == "the half day tour please":
        done = "t1" in request.outputs
        return (
            ["Your tour is booked, it is the half day tour."] if done else [Call("book_tour", "t1", json.dumps(_TOUR))]
        )
    if "t2" not in calls:
        return [Call("book_tour", "t2", json.dumps(_TOUR)), Call("lookup_guest_history", "h1", '{"last_name": "Lund"}')]
    return ["Yes, I am here, and your tour is booked."]


@contextmanager
def _imported(folder: Path) -> Generator[Any]:
    """The agent's module, with its neighbours found beside it."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("agent")
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
                del sys.modules[name]


class _Room:
    """A room with nobody in it: the agent is heard and hears by scripted parts."""

    local_participant = SimpleNamespace(register_rpc_method=lambda *_args: None)

    def on(self, _event: str, *_callback: Any) -> Any:
        return lambda function: function


class _Sessions:
    """Stands where the entry point makes its ``AgentSession``: the same, with scripted parts and without a room."""

    def __init__(self) -> None:
        self.line: Line | None = None

    def __getitem__(self, _userdata: Any) -> _Sessions:
        return self

    def __call__(self, *, userdata: Any, max_tool_steps: int, **_services: Any) -> Any:
        made = self.line = line(_script, userdata=userdata, max_tool_steps=max_tool_steps)
        start = made.session.start

        async def start_without_room(*, agent: Any, **_room: Any) -> None:
            await start(agent)

        cast("Any", made.session).start = start_without_room
        return made.session


async def play(folder: Path) -> Stay:
    """Answer one call with the agent in a folder, by its own entry point."""

    async def connect() -> None:
        """There is no server."""

    sessions, job = _Sessions(), SimpleNamespace(connect=connect, room=_Room(), job=SimpleNamespace(id="job-1"))
    with _imported(folder) as agent, one_clock(), patch.object(agent, "AgentSession", sessions), _quiet(agent):
        await agent.hotel_receptionist_agent(job)
        on = sessions.line
        if on is None:
            raise RuntimeError("the entry point made no session")
        database = on.session.userdata.db
        await until(lambda: on.said)
        await on.ears.speaks("the half day tour please")
        await until(lambda: _booked(database))
        await asyncio.sleep(0.2)
        await on.ears.speaks("hello, are you there?")
        await until(lambda: any("Yes, I am here" in text for text in on.said))
        await on.hangs_up()
        await asyncio.sleep(0.5)
        guard = getattr(agent, "GUARD", None)
        if guard is not None:
            await guard.close()
        looked = any(one.call_id == "h1" for event in on.executed for one in event.function_calls)
        return Stay(_booked(database), looked, on.said)


def _quiet(agent: Any) -> Any:
    """Its services would want keys."""
    return patch.object(agent, "inference", SimpleNamespace(VAD=_nothing, STT=_nothing, LLM=_nothing, TTS=_nothing))


def _nothing(*_args: Any, **_options: Any) -> None:
    return None


def _booked(database: Any) -> int:
    rows = database.connection.execute("SELECT count(*) FROM tour_bookings WHERE guest_name = 'Ana Lund'")
    return int(next(iter(rows))[0])
