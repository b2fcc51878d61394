"""What adapters report about the model's replies: that one comes, is refused, is cut off, or will not come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.core.outbox import unanswered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from toolguard.core.state import State
    from toolguard.engine.wiring import Wiring


class Replies:
    """The part of :class:`toolguard.engine.reports.Reports` that is about the agent's next words."""

    _w: Wiring

    @property
    def state(self) -> State:
        """All that is known of the session."""
        raise NotImplementedError

    def _over_there(self, what: str) -> bool:
        raise NotImplementedError

    def noticed(self, code: str, text: str, **data: Any) -> None:
        """Something abnormal that belongs into the trail."""
        raise NotImplementedError

    @property
    def responding(self) -> str:
        """The model's response in progress, empty for none."""
        return self._w.delivery.floor.active

    def reply_coming(self) -> None:
        """The application has asked for a reply itself."""
        if self._over_there("reply_coming"):
            return
        self._w.delivery.floor.asked = True

    def reply_refused(self, why: str) -> None:
        """The provider refused a reply; it is asked for again when the line is free (O5)."""
        if self._over_there("reply_refused"):
            return
        self.noticed("reply_refused", why)
        self._w.delivery.reply_refused()

    def answering(self) -> None:
        """The platform is about to ask its model: every open call of the context is answered first (O2)."""
        if self._over_there("answering"):
            return
        self._w.delivery.close_open_calls()

    def line_taken(self, calls: Iterable[int]) -> bool:
        """Whether the caller, or a response other than the one that made these calls, has the line (O5)."""
        floor, slots = self._w.delivery.floor, self.state.slots
        own = {"", *(slots[call].generation for call in calls if call in slots)}
        return self.caller_has_floor or floor.active not in own or floor.playing not in own

    @property
    def caller_has_floor(self) -> bool:
        """The caller speaks, or the platform is about to answer what they said: outputs ask for no reply now (O5)."""
        floor = self._w.delivery.floor
        return bool(floor.speaking or floor.expecting)

    @property
    def taken_back(self) -> tuple[int, ...]:
        """Calls without an answer that the turn which settles now takes back: its reply waits for them (G8)."""
        about = self._w.delivery.about
        return tuple(slot.number for slot in unanswered(self.state) if slot.run in about)

    def wants_reply(self) -> None:
        """The caller's turn, or the application, wants the model to speak (O2 first)."""
        if self._over_there("wants_reply"):
            return
        self._w.delivery.want_reply()

    def cut_off(self, generation: str) -> None:
        """A reply was cut off before it was heard out: what it told is told again, unless a turn is answered (O5)."""
        if self._over_there("cut_off"):
            return
        self._w.delivery.cut_off(generation)

    def not_told(self, call_ids: Iterable[str]) -> None:
        """The framework will not speak about these outputs: a reply is asked for when the line is idle (O5)."""
        if self._over_there("not_told"):
            return
        state = self.state
        numbers = (state.by_call_id.get((state.context, call_id), 0) for call_id in call_ids)
        self._w.delivery.not_told([number for number in numbers if number])

    def no_reply_coming(self) -> None:
        """The platform starts no reply to what the caller said after all."""
        if self._over_there("no_reply_coming"):
            return
        self._w.delivery.floor.expected()
