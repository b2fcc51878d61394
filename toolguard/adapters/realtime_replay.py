"""Shows a conversation to a new Realtime connection: settings, the items that it lacks, and proof that it has them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from toolguard.render.openai_realtime import items
from toolguard.render.parts import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from toolguard.adapters.realtime_rebuild import Link
    from toolguard.core.packet import HandoffPacket
    from toolguard.core.state import State

_ADDED = frozenset({"conversation.item.added", "conversation.item.done", "conversation.item.created"})
_THERE = "item_create_duplicate_item_id"
CUE = "The line to you broke for a moment. This is the conversation so far: go on with it, and do not greet again."


class Unproven(Exception):  # noqa: N818 - named for what was found
    """The new connection has not answered as one that can be used."""


class Entry(NamedTuple):
    """An item to show: what to send, under which other id it may be there already, and whose output it is."""

    item: dict[str, Any]
    native: str = ""
    output: int = 0


def entries_of(
    packet: HandoffPacket, state: State, words: Mapping[tuple[str, str], list[str]], settings: Mapping[str, Any]
) -> list[Entry]:
    """The conversation as items.

    Args:
        packet: The conversation.
        state: The session.
        words: Ids that messages had on earlier connections, by role and text.
        settings: The settings of the provider's session; calls of tools that it lacks are shown as text.
    """
    tools = settings.get("tools")
    names = [str(tool.get("name")) for tool in tools] if tools else None
    numbers = {
        short(packet.session, one.ref, "call"): int(one.ref.rpartition("/")[2]) for one in packet.items if one.ref
    }
    used: dict[tuple[str, str], int] = {}
    found: list[Entry] = []
    number = 0
    for item in items(packet, tools=names):
        if item["type"] == "function_call":
            number = numbers[item["id"]]
            found.append(Entry(item, state.slots[number].item))
        elif item["type"] == "function_call_output":
            found.append(Entry(item, state.slots[number].sent, number))
        else:
            key = (item["role"], item["content"][0]["text"])
            nth = used[key] = used.get(key, -1) + 1
            ids = words.get(key, [])
            found.append(Entry(item, ids[nth] if nth < len(ids) else ""))
    return found


class Replay:
    """A new connection being made ready. Nothing else reads it meanwhile.

    Args:
        link: The connection.

    Attributes:
        session: The last ``session.created`` or ``session.updated`` event.
        here: Ids of the items that it has.
        sent: How many items were sent to it.
        kept: How many it knew by itself.
        refused: What it would not take, in its own words.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.session: Any = None
        self.here: set[str] = set()
        self.sent = 0
        self.kept = 0
        self.refused: list[str] = []
        self._heard: set[str] = set()
        self._asked: dict[str, str] = {}
        self._count = 0
        self._answered: dict[str, str] = {}
        self._looked = False

    async def begin(self, settings: Mapping[str, Any]) -> None:
        """Wait for the session, and configure it.

        Raises:
            Unproven: It refuses the settings.
        """
        await self._until("session.created")
        if settings:
            await self._send({"type": "session.update", "session": {"type": "realtime", **settings}}, "settings")
            await self._until("session.updated")

    async def bring(self, entries: list[Entry]) -> None:
        """Send what it lacks, each item to its place, and wait until all of it is confirmed."""
        if not self._looked:
            self._looked = True
            await self._look(entries)
        there = [n for n, entry in enumerate(entries) if self._has(entry)]
        last, before = max(there, default=-1), "root"
        for number, (item, native, _) in enumerate(entries):
            if number in there:
                before = item["id"] if item["id"] in self.here else native
                self._note(item, before)
                continue
            if item["type"] == "function_call_output" and item["call_id"] in self._answered:
                before = self._answered[item["call_id"]]
                continue
            frame = {"type": "conversation.item.create", "item": item}
            await self._send(frame if number > last else {**frame, "previous_item_id": before}, item["id"])
            self._note(item, item["id"])
            self.sent += 1
            before = item["id"]
        while self._asked:
            await self._next()

    def shows(self, entry: Entry) -> bool:
        """Whether the output is the one that it shows, and no older one."""
        return entry.item["id"] in self.here

    def shown_as(self, entry: Entry) -> str:
        """The id of the item that stands for this one."""
        if entry.item["id"] in self.here:
            return str(entry.item["id"])
        if entry.native in self.here:
            return entry.native
        return self._answered.get(str(entry.item["call_id"]), "") if entry.output else ""

    def complete(self, entries: list[Entry]) -> bool:
        """Whether it shows all of this, be it with older outputs."""
        return all(self.shown_as(entry) for entry in entries)

    @property
    def proof(self) -> tuple[str, ...]:
        """What it has answered."""
        events = [name for name in ("session.created", "session.updated") if name in self._heard]
        return (*events, f"{self.sent} items confirmed", *([f"{self.kept} items retrieved"] if self.kept else []))

    def _note(self, item: Mapping[str, Any], item_id: str) -> None:
        if item["type"] == "function_call_output":
            self._answered[item["call_id"]] = item_id

    def _has(self, entry: Entry) -> bool:
        return entry.item["id"] in self.here or (bool(entry.native) and entry.native in self.here)

    async def _look(self, entries: list[Entry]) -> None:
        """Ask for what it may have kept by itself: the newest and the oldest item first, then all of them."""
        known = list(dict.fromkeys(entry.native for entry in entries if entry.native))
        await self._retrieve(known[-1:] + known[:1])
        if self.here:
            await self._retrieve(known)
        self.kept = sum(self._has(entry) for entry in entries)

    async def _retrieve(self, ids: Iterable[str]) -> None:
        for one in dict.fromkeys(ids):
            if one not in self.here:
                await self._send({"type": "conversation.item.retrieve", "item_id": one}, one)
        while self._asked:
            await self._next()

    async def _send(self, frame: dict[str, Any], about: str) -> None:
        self._count += 1
        event_id = f"tg_b{self._count}"
        self._asked[event_id] = about
        await self.link.send({**frame, "event_id": event_id})

    async def _until(self, kind: str) -> None:
        while kind not in self._heard:
            await self._next()

    async def _next(self) -> None:
        try:
            event = await self.link.recv()
        except json.JSONDecodeError:
            return
        kind = getattr(event, "type", "")
        self._heard.add(kind)
        if kind in {"session.created", "session.updated"}:
            self.session = event
            self._over("settings")
        elif kind in _ADDED or kind == "conversation.item.retrieved":
            if event.item.id:
                self.here.add(event.item.id)
                self._over(event.item.id)
        elif kind == "error":
            self._error(event.error)

    def _over(self, about: str) -> None:
        self._asked = {event: one for event, one in self._asked.items() if one != about}

    def _error(self, error: Any) -> None:
        about = self._asked.get(error.event_id or "", "")
        if not about:
            about = next((one for one in self._asked.values() if one in (error.message or "")), "")
        if about == "settings":
            raise Unproven(f"the session's settings were refused: {error.message}")
        if not about:
            return
        self._over(about)
        code = error.code or ""
        if code == _THERE:
            self.here.add(about)
        elif not code.startswith("item_retrieve"):
            self.refused.append(f"{code}: {error.message}")


async def proven(replay: Replay, settings: Mapping[str, Any] | None, entries: list[Entry], seconds: float) -> None:
    """Make a connection ready within a bound; without settings it has begun already.

    Raises:
        Unproven: It is not.
    """
    try:
        async with asyncio.timeout(seconds):
            if settings is not None:
                await replay.begin(settings)
            await replay.bring(entries)
    except TimeoutError:
        heard = f"{len(replay.here)} items were confirmed"
        raise Unproven(f"it did not answer within {seconds:g} s; {heard}") from None
