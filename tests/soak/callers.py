"""One caller and one scripted model a session: they want things done, one after the other, and talk meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolguard.testing.realtime import Call, Reply
from toolguard.testing.realtime.frames import ScriptError

from .world import MUTATIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from toolguard.testing.realtime import Line, ReplyRequest

_TOOLS = (*MUTATIONS, "charge", "book", "set_note", "look_up", "look_up")
_GIVEN_UP = 8
"""Calls for one wish after which the model talks of something else."""
_TALK = ("And what about the other thing?", "How is it going?", "Are you still there?", "My son is waiting outside.")
_LAST = frozenset(
    {"result", "replayed", "already_done", "done", "in_doubt", "error", "refused", "cancelled", "differs"}
)


@dataclass
class Want:
    """One thing that the caller wants done once."""

    id: str
    tool: str
    calls: int = 0
    outcome: str = ""
    cancelled: bool = False


@dataclass
class Counts:
    """What was done to the sessions."""

    calls: int = 0
    again: int = 0
    barge_ins: int = 0
    forms: dict[str, int] = field(default_factory=dict[str, int])


class Caller:
    """A caller with an agent whose model forgets nothing that stands in the conversation, and only that.

    Args:
        session: The session's id.
        seed: Of this session's own dice.
        counts: Where to count.
    """

    def __init__(self, session: str, seed: str, counts: Counts) -> None:
        self.session = session
        self.counts = counts
        self.dice = random.Random(seed)
        self.wants: list[Want] = []
        self.lines: list[Line] = []
        self.enough = False
        self.done = asyncio.Event()
        self._number = 0
        self._talking: asyncio.Task[None] | None = None

    # -- the model ----------------------------------------------------------------------------------------------

    def answer(self, line: Line, _request: ReplyRequest) -> Reply | Awaitable[Reply | None] | None:
        """What the model does when it is asked: go on with what it sees no outcome of, or talk."""
        self._read(line)
        want = next((one for one in self.wants if not one.outcome), None)
        if want is None:
            if self.enough:
                self.done.set()
                return Reply("Goodbye.", seconds=0.2)
            want = Want(f"{self.session}-w{len(self.wants) + 1}", self.dice.choice(_TOOLS))
            self.wants.append(want)
        state = _standing(line, want)
        if state == "open" or (state == "waiting" and self.dice.random() < 0.7):
            return Reply("One moment, please.", seconds=0.3)
        if want.calls >= _GIVEN_UP:
            want.outcome = "given up"
            return Reply("Let us talk about something else.", seconds=0.3)
        return Reply(self.dice.choice(("Let me see.", None)), calls=self._calls(want), seconds=0.2)

    def _calls(self, want: Want) -> list[Call]:
        calls = [self._call(want)]
        if self.dice.random() < 0.15:  # the same wish twice in one response
            calls.append(self._call(want))
        return calls

    def _call(self, want: Want) -> Call:
        self._number += 1
        self.counts.calls += 1
        self.counts.again += want.calls > 0
        want.calls += 1
        return Call(f"c{self._number}_{self.session}"[:32], want.tool, {"want": want.id})

    def _read(self, line: Line) -> None:
        for want in self.wants:
            if not want.outcome:
                want.outcome = _outcome(line, want)
                if want.outcome:
                    self.counts.forms[want.outcome] = self.counts.forms.get(want.outcome, 0) + 1

    # -- the caller ---------------------------------------------------------------------------------------------

    def connected(self, line: Line) -> None:
        """The conversation goes on over this line."""
        self.lines.append(line)
        line.on_response_create(self.answer)
        if self._talking is not None:
            self._talking.cancel()
        self._talking = asyncio.create_task(self._talk(line))

    async def _talk(self, line: Line) -> None:
        with suppress(ScriptError, TimeoutError):
            await line.wait_for("session.update", within=30.0)
            await asyncio.sleep(self.dice.uniform(0.1, 2.0))
            while line.open and not self.done.is_set():
                await self._turn(line)
                await asyncio.sleep(self.dice.uniform(1.0, 4.0))

    async def _turn(self, line: Line) -> None:
        roll = self.dice.random()
        self.counts.barge_ins += 1
        item = line.speech_started()
        await asyncio.sleep(self.dice.uniform(0.2, 0.9))
        replies = bool(line.setting("audio", "input", "turn_detection").get("create_response", True))
        line.speech_stopped(reply=replies, commit=True)
        if roll < 0.1:
            return  # noise: no words come
        await asyncio.sleep(self.dice.uniform(0.05, 0.3))
        words = self.dice.choice(_TALK)
        if roll < 0.2:
            words = "mm-hm"
        elif roll < 0.26:
            words = "no, cancel that"
            for want in self.wants:
                want.cancelled = want.cancelled or not want.outcome
        line.transcript(words, item)

    def stop(self) -> None:
        """The play is over."""
        if self._talking is not None:
            self._talking.cancel()


def _texts(line: Line) -> list[tuple[str, str]]:
    """Every output and message of the conversation that is not the caller's, as (call id, text)."""
    found: list[tuple[str, str]] = []
    for item in line.conversation:
        if item["type"] == "function_call_output":
            found.append((str(item["call_id"]), str(item["output"])))
        elif item["type"] == "message" and item.get("role") != "user":
            parts: list[dict[str, Any]] = item.get("content") or []
            found.extend(("", str(part.get("text") or "")) for part in parts)
    return found


def _mine(line: Line, want: Want) -> set[str]:
    return {
        str(item["call_id"])
        for item in line.conversation
        if item["type"] == "function_call" and want.id in str(item.get("arguments")).split('"')
    }


def _outcome(line: Line, want: Want) -> str:
    """What the conversation says about a wish; empty while it says nothing final."""
    mine = _mine(line, want)
    seen = ""
    for call, text in _texts(line):
        if call in mine or (not call and f'"{want.id}"' in text):
            form = _form(text, want)
            if form in _LAST:
                seen = form
    return seen


def _form(text: str, want: Want) -> str:
    try:
        said: Any = json.loads(text)
    except json.JSONDecodeError:
        return "result" if f'"did":"{want.id}"' in text.replace(" ", "") else ""
    if isinstance(said, dict) and said.get("did") == want.id:
        return "result"
    return str(said.get("toolguard", "")) if isinstance(said, dict) else ""


def _standing(line: Line, want: Want) -> str:
    """``open``: a call without an output; ``waiting``: one with a placeholder; empty: no call in this conversation."""
    mine = _mine(line, want)
    answered = {call for call, _ in _texts(line)}
    if mine - answered:
        return "open"
    return "waiting" if mine else ""
