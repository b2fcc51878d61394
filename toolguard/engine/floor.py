"""Who has the floor: the caller, the model's response, the agent's audio, or nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Floor:
    """The state of the line, as far as the adapter reports it.

    Attributes:
        speaking: Onsets of the caller that have not ended.
        active: The model's response in progress, empty when there is none.
        asked: A reply was asked for and has not begun.
        playing: The generation whose audio the caller hears at the moment.
        expecting: The platform is about to start a reply by itself.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self.speaking: set[str] = set()
        self.active = ""
        self.asked = False
        self.playing = ""
        self.expecting = False
        self.away = False
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def free(self) -> bool:
        """Whether a reply may be asked for: nobody speaks and no response is active or about to be (O5)."""
        return not (self.speaking or self.active or self.asked or self.expecting or self.away)

    @property
    def idle(self) -> bool:
        """Whether the line is silent as well."""
        return self.free and not self.playing

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
