"""Who has the floor: the caller, the model's response, the agent's audio, or nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


BEGINS = 10.0
"""Seconds within which a reply that was asked for begins, where the platform tells of it."""


class Floor:
    """The state of the line, as far as the adapter reports it.

    Attributes:
        speaking: Onsets of the caller that have not ended.
        active: The model's response in progress, empty when there is none.
        asked: A reply was asked for and has not begun; after :data:`BEGINS` seconds it will not any more (H6).
        playing: The generation whose audio the caller hears at the moment.
        expecting: The platform is about to start a reply by itself.
        coming: Calls that have come and are looked up in the store first: they are answered before a reply (O2).
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self.speaking: set[str] = set()
        self.active = ""
        self._asked = False
        self.playing = ""
        self.expecting = False
        self.coming: set[int] = set()
        self.away = False
        self._expiry: asyncio.TimerHandle | None = None
        self._begins: asyncio.TimerHandle | None = None

    @property
    def asked(self) -> bool:
        """Whether a reply was asked for and may still begin."""
        return self._asked

    @asked.setter
    def asked(self, value: bool) -> None:
        self._asked = value
        if self._begins is not None:
            self._begins.cancel()
            self._begins = None
        if value:
            self._begins = asyncio.get_running_loop().call_later(BEGINS, self._never_began)

    def _never_began(self) -> None:
        self.asked = False
        self._changed()

    @property
    def free(self) -> bool:
        """Whether a reply may be asked for: nobody speaks and no response is active or about to be (O5)."""
        return not (self.speaking or self.active or self.asked or self.expecting or self.away or self.coming)

    @property
    def idle(self) -> bool:
        """Whether the line is silent as well."""
        return self.free and not self.playing

    def lost(self) -> None:
        """The connection is gone, and with it whatever response was on it."""
        self.active, self.playing, self.asked = "", "", False
        self.expected()

    def expect(self, seconds: float) -> None:
        """The platform will start a reply by itself; if it does not within ``seconds`` we may ask."""
        self.expecting = True
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(seconds, self.expected)

    def expected(self) -> None:
        """The expected reply has begun, or will not come."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self.expecting:
            self.expecting = False
            self._changed()
