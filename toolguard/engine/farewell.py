"""A tool that ends the conversation waits until the farewell was played and a moment of silence followed (G1)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolguard.engine.delivery import Delivery
    from toolguard.engine.gate import Gate
    from toolguard.engine.limits import Limits

_REASON = "farewell"


class Farewell:
    """Holds terminal runs at the gate while the agent still speaks; never longer than the gate's own limit."""

    def __init__(self, gate: Gate, delivery: Delivery, limits: Limits) -> None:
        self._gate = gate
        self._delivery = delivery
        self._limits = limits
        self._silence: asyncio.TimerHandle | None = None
        self._bound: asyncio.TimerHandle | None = None

    def expect(self, run: int) -> None:
        """A terminal run was planned: it waits only if there is something to wait for."""
        floor = self._delivery.floor
        if self._delivery.port is None or not (floor.playing or floor.active):
            return
        self._gate.hold(run, _REASON)
        if self._bound is None:
            self._bound = asyncio.get_running_loop().call_later(self._limits.gate_max, self._release)

    def began(self) -> None:
        """The agent's audio is playing."""
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def ended(self) -> None:
        """The agent's audio, or its response, has ended."""
        floor = self._delivery.floor
        if floor.playing or floor.active:
            return
        self.began()
        self._silence = asyncio.get_running_loop().call_later(self._limits.farewell, self._release)

    def _release(self) -> None:
        self.stop()
        self._gate.release(_REASON)

    def stop(self) -> None:
        """The session ends."""
        for timer in (self._silence, self._bound):
            if timer is not None:
                timer.cancel()
        self._silence = self._bound = None
