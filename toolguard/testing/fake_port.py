"""A framework's door that only writes down what is given to it, and answers as a test has scripted."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from toolguard.engine.port import Parcel, Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

What = Literal["placed", "asked", "said"]


class Line(Protocol):
    """What a port reports to: a :class:`toolguard.engine.session.Session`, or what stands in for one."""

    def delivered(self, item: str) -> None:
        """The provider has confirmed an item."""
        ...

    def generation_began(self, generation: str) -> None:
        """A model response began."""
        ...

    def generation_ended(self, generation: str, status: str = "completed") -> None:
        """A model response ended."""
        ...

    def playing(self, generation: str) -> None:
        """The caller hears this response now; empty when the line is silent."""
        ...

    def agent_spoke(self, generation: str, text: str, *, unheard: str = "", item: str = "") -> None:
        """The caller heard this."""
        ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """A scripted reply: ``text`` begins ``after`` seconds after it was asked for, and is heard ``seconds`` later.

    Attributes:
        text: What the model says; empty for a reply without audio.
        after: Seconds from the request to the beginning of the response.
        seconds: How long the caller listens to it.
    """

    text: str = "ok"
    after: float = 0.05
    seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that the session did to the port.

    Attributes:
        what: ``placed`` an output or note, ``asked`` for a reply, or ``said`` a filler.
        at: Loop time.
        text: What the model reads, or the filler.
        parcel: The output or note; None for the others.
    """

    what: What
    at: float
    text: str = ""
    parcel: Parcel | None = None


@dataclass(slots=True)
class RecordingPort:
    """Implements :class:`toolguard.engine.port.Port` and keeps everything that it is given.

    Attributes:
        traits: What the framework is said to be able to do.
        confirm_after: Seconds after which each item is confirmed; None never confirms.
        replies: Scripted replies, one for each time that a reply is asked for; None leaves replying to the test.
        log: Everything, in order.
        open_calls: The last report of calls in flight.
    """

    traits: Traits = field(default_factory=Traits)
    confirm_after: float | None = None
    replies: Iterable[Spoken] | Callable[[RecordingPort], Spoken | None] | None = None
    log: list[Happening] = field(default_factory=list[Happening])
    open_calls: int = 0
    _line: Line | None = None
    _script: deque[Spoken] = field(default_factory=deque[Spoken])
    _generations: int = 0

    def __post_init__(self) -> None:
        """Take the script."""
        if self.replies is not None and not callable(self.replies):
            self._script.extend(self.replies)

    def attach(self, line: Line) -> None:
        """Say where confirmations and replies are reported; ``guard.session(..., port=port)`` yields the line."""
        self._line = line

    # -- what the session does ----------------------------------------------------------------------------------

    def place(self, parcel: Parcel) -> None:
        """Keep an output or note, and confirm it later if asked to."""
        self.log.append(Happening("placed", _now(), parcel.text, parcel))
        if self.confirm_after is not None:
            asyncio.get_running_loop().call_later(self.confirm_after, self._confirm, parcel.item)

    def ask_reply(self) -> None:
        """Keep the request, and play the next scripted reply."""
        self.log.append(Happening("asked", _now()))
        reply = self.replies(self) if callable(self.replies) else self._next()
        if reply is not None:
            self._generations += 1
            name = f"reply-{self._generations}"
            asyncio.get_running_loop().call_later(reply.after, self._begin, name, reply)

    def say(self, text: str) -> None:
        """Keep a filler."""
        self.log.append(Happening("said", _now(), text))

    def in_flight(self, calls: int) -> None:
        """Keep the number."""
        self.open_calls = calls

    # -- what tests read ----------------------------------------------------------------------------------------

    @property
    def placed(self) -> list[Parcel]:
        """Outputs and notes in the order in which they were given."""
        return [one.parcel for one in self.log if one.parcel is not None]

    @property
    def outputs(self) -> list[Parcel]:
        """Answers of calls."""
        return [parcel for parcel in self.placed if not parcel.note]

    @property
    def notes(self) -> list[Parcel]:
        """News that came after a call's output."""
        return [parcel for parcel in self.placed if parcel.note]

    @property
    def fillers(self) -> list[str]:
        """Fillers that were spoken."""
        return [one.text for one in self.log if one.what == "said"]

    @property
    def asked(self) -> list[float]:
        """When replies were asked for, in loop time."""
        return [one.at for one in self.log if one.what == "asked"]

    def output(self, call_id: str) -> str:
        """What the model read as the answer of a call.

        Raises:
            LookupError: The call has no answer, or more than one.
        """
        texts = [parcel.text for parcel in self.outputs if parcel.call_id == call_id]
        if len(texts) != 1:
            raise LookupError(f"call {call_id} has {len(texts)} answers: {texts}")
        return texts[0]

    # -- the model that it plays --------------------------------------------------------------------------------

    def _next(self) -> Spoken | None:
        return self._script.popleft() if self._script else None

    def _confirm(self, item: str) -> None:
        if self._line is not None:
            self._line.delivered(item)

    def _begin(self, name: str, reply: Spoken) -> None:
        if self._line is None:
            return
        self._line.generation_began(name)
        if reply.text:
            self._line.playing(name)
        self._line.generation_ended(name)
        asyncio.get_running_loop().call_later(reply.seconds, self._end, name, reply.text)

    def _end(self, name: str, text: str) -> None:
        if self._line is not None and text:
            self._line.agent_spoke(name, text)


def _now() -> float:
    return asyncio.get_running_loop().time()
