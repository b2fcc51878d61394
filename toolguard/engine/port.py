"""What delivery needs of a framework: the small door that every adapter fills."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from toolguard.core.records import Evidence, Form


@dataclass(frozen=True, slots=True)
class Traits:
    """What a framework can and cannot do.

    Attributes:
        adapter: Its name in the trail.
        evidence: How it knows that a reply reached the caller (S6).
        confirms: Whether it confirms each item; else an item counts as delivered with the next request (O4).
        speech_ends: Whether it tells when the caller stops speaking (G3).
        transcribes: Whether the caller's words arrive at all (G3).
        starts_replies: Whether the platform starts a reply by itself after a caller's turn (O5).
        words_first: Whether that reply waits for the words, as in a pipeline; then the adapter says with
            ``Session.answering`` when it is about to begin, and open calls have until then.
        notes: Whether news can be added after a call's output is gone (O3).
        keys: Whether it reports the keys that the caller presses (``Session.key_pressed``).
    """

    adapter: str = "direct"
    evidence: Evidence = "none"
    confirms: bool = False
    speech_ends: bool = False
    transcribes: bool = True
    starts_replies: bool = False
    words_first: bool = False
    notes: bool = True
    keys: bool = False

    @property
    def can_ask(self) -> bool:
        """Whether the caller can be asked and can answer: by words or keys, and the outcome can be told."""
        return (self.transcribes or self.keys) and self.notes


@dataclass(frozen=True, slots=True)
class Parcel:
    """An output or a note on its way to the model.

    Attributes:
        item: Deterministic id: the same answer sent again has the same one (O4).
        text: What the model reads.
        calls: Order numbers of the calls it answers.
        call_id: The provider's call id; empty for a note.
        after: The provider's item id of the call, where known: the output belongs right behind it (O1).
        note: News after the output is gone, a message and not an output (O3).
        form: What kind of answer it is.
        reply: Whether speech about it is wanted (O5).
    """

    item: str
    text: str
    calls: tuple[int, ...]
    call_id: str = ""
    after: str = ""
    note: bool = False
    form: Form = "result"
    reply: bool = True


class Port(Protocol):
    """One framework's way out. Every method returns at once and never raises."""

    @property
    def traits(self) -> Traits:
        """What the framework can do."""
        ...

    def place(self, parcel: Parcel) -> None:
        """Give an output or note to the framework; confirmation comes back through ``Session.delivered``."""
        ...

    def ask_reply(self) -> None:
        """Ask the model to speak; it has everything it needs."""
        ...

    def say(self, text: str) -> None:
        """Speak a filler without touching the conversation."""
        ...

    def in_flight(self, calls: int) -> None:
        """How many calls of this session are open now; an adapter may manage turns while there are any."""
        ...


def item_id(session: str, context: int, call: int, what: str) -> str:
    """A deterministic item id of 32 characters: an ambiguous send can be repeated without a second item (O4)."""
    digest = hashlib.sha256(f"{session}\x1f{context}\x1f{call}\x1f{what}".encode()).hexdigest()
    return f"tg_{digest[:29]}"
