"""What the application sends while its Realtime connection is replaced: it waits, for a while, or is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from toolguard.adapters.realtime_rebuild import merged
from toolguard.errors import LineDown

if TYPE_CHECKING:
    from toolguard.adapters.realtime_rebuild import Rebuild

AGAIN = "Connect again and call protect with the same id: the conversation goes on where it stands."
_WAIT = "Send it again when the connection stands; what the old connection held is gone with it."
_OF_ONE_CONNECTION = frozenset(
    {
        "response.cancel",
        "conversation.item.truncate",
        "conversation.item.delete",
        "conversation.item.retrieve",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
    }
)
"""Frames about what only the lost connection knew: there is nothing left that they could be about."""


class Sending:
    """The application's frames on their way to whichever connection stands.

    Args:
        session: The session's id.
        rebuild: How a connection is replaced.

    Attributes:
        settings: The settings of the provider's session, as the application wants them.
        asks: How many requests for a reply wait for the line.
        failed: There is no line any more.
    """

    def __init__(self, session: str, rebuild: Rebuild) -> None:
        self.settings: dict[str, Any] = dict(rebuild.session or {})
        self.asks = 0
        self.failed = False
        self._session = session
        self._holds = rebuild.hold_sends
        self._up = asyncio.Event()
        self._up.set()

    @property
    def up(self) -> bool:
        """Whether a connection stands."""
        return self._up.is_set()

    def wait(self) -> None:
        """The connection is gone."""
        self._up.clear()

    def go_on(self, *, failed: bool = False) -> None:
        """A connection stands, or there will be none."""
        self.failed = failed
        self._up.set()

    def configured(self, frame: Mapping[str, Any]) -> None:
        """Remember the settings that the application sends."""
        if frame.get("type") == "session.update":
            self.settings = merged(self.settings, plain(frame.get("session") or {}))

    async def stands(self, frame: Mapping[str, Any]) -> None:
        """Wait until a connection stands that this frame can be sent on.

        Raises:
            LineDown: It cannot be sent.
        """
        kind = str(frame.get("type"))
        if not self.up:
            if kind in _OF_ONE_CONNECTION:
                raise self._refused(f"{kind} was not sent: the connection that it is about is gone", _WAIT)
            asks = int(kind == "response.create" and plain(frame.get("response") or {}).get("conversation") != "none")
            self.asks += asks
            try:
                async with asyncio.timeout(self._holds):
                    await self._up.wait()
            except TimeoutError:
                raise self._refused(f"{kind} was not sent: there is no connection yet", _WAIT) from None
            finally:
                self.asks -= asks
        if self.failed:
            raise self._refused(f"{kind} was not sent: there is no connection any more", AGAIN)

    def _refused(self, what: str, advice: str) -> LineDown:
        return LineDown(what, ref=self._session, advice=advice)


def plain(value: Any) -> dict[str, Any]:
    """A frame, or a part of one, as a mapping."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return cast("dict[str, Any]", value.model_dump(exclude_unset=True))
