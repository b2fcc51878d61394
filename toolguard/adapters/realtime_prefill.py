"""Puts a conversation that goes on on a new Realtime connection, and keeps it right until the first request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.render.openai_realtime import items

if TYPE_CHECKING:
    from toolguard.adapters.realtime_port import RealtimePort
    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.session import Session
    from toolguard.render.parts import Tools

CONFIGURED_WITHIN = 2.0
"""Seconds that the application has to configure the new connection before its model is asked all the same (H6)."""


class Prefill:
    """The items of one new connection.

    Args:
        session: The session of the agent that took over, or that goes on after its process died.
        port: The way out to its connection.
        tools: The tools of its model.
        speaks: Whether the model is asked to speak in any case, as one that takes a conversation over; else only where
            the caller waits for an answer or for the outcome of a call.
    """

    def __init__(self, session: Session, port: RealtimePort, tools: Tools, *, speaks: bool = True) -> None:
        self._session = session
        self._port = port
        self._tools = tools
        self._speaks = speaks
        self._there: list[str] = []
        self._begins: asyncio.TimerHandle | None = None
        session.on_amended = self._amend

    def place(self) -> None:
        """Put the conversation there, and let the model speak as soon as the application has configured it."""
        packet = self._bring()
        recovery = self._session.recovery
        if recovery is not None:
            self._session.recovery = msgspec.structs.replace(recovery, context_replayed=len(self._there))
        if self._speaks or packet.pending or any(one.what == "not_told" for one in packet.promises):
            self._begins = asyncio.get_running_loop().call_later(CONFIGURED_WITHIN, self.configured)

    def configured(self) -> None:
        """The application has said who the model is."""
        if self._begins is not None:
            self._begins.cancel()
            self._begins = None
            self._session.begin()

    def stop(self) -> None:
        """The application leaves."""
        if self._begins is not None:
            self._begins.cancel()
            self._begins = None

    def _amend(self) -> None:
        """Something came that belongs further up: nobody has read it yet, so it is put there (O12, H2)."""
        self._bring()
        self._session.shows("amended")

    def _bring(self) -> HandoffPacket:
        packet = self._session.packet
        wanted: list[dict[str, Any]] = items(packet, tools=self._tools)
        ids = [str(item["id"]) for item in wanted]
        for gone in set(self._there) - set(ids):
            self._port.delete(gone)
        before = ""
        for item in wanted:
            if item["id"] not in self._there:
                self._port.put(item, after=(before or "root") if self._there else "")
            before = str(item["id"])
        self._there = ids
        return packet
