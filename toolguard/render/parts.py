"""What all vendors' forms have in common: words with a role, and calls whose output stands right behind them (O11)."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from toolguard.core.call import Named
    from toolguard.core.carried import PacketItem
    from toolguard.core.packet import HandoffPacket

_CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,32}")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")
GO_ON = "(Go on with the conversation.)"
"""What is said for the caller where a model must not be the first or the last to have spoken."""


class Words(NamedTuple):
    """Something said: by the caller, the agent, or the system. ``key`` is the same for the same words each time."""

    who: Literal["system", "user", "assistant"]
    text: str
    key: str


class Pair(NamedTuple):
    """A call and its output.

    Attributes:
        call_id: An id that every provider takes: at most 32 letters, digits, ``_`` and ``-``.
        name: The tool.
        arguments: A JSON object.
        output: What the model reads.
        failed: Whether the output tells of a failure.
        ref: The call's ref.
        key: The same for the same call each time.
    """

    call_id: str
    name: str
    arguments: str
    output: str
    failed: bool
    ref: str
    key: str


Part: TypeAlias = Words | Pair
Tools: TypeAlias = "Collection[str | Named] | None"
"""The tools that the next agent has, or their names; None for: whatever was called."""


def parts(packet: HandoffPacket, tools: Tools = None) -> Iterator[Part]:
    """The packet's conversation, the cue and the facts first.

    A call of a tool that the next agent lacks becomes text: its model could not have made it (H2).
    """
    names = {tool if isinstance(tool, str) else tool.name for tool in tools} if tools is not None else None
    seen: dict[str, int] = {}
    used: set[str] = set()
    yield _words(seen, "system", opening(packet))
    for item in packet.items:
        if item.kind == "call" and (names is None or item.tool in names) and _NAME.fullmatch(item.tool):
            yield _pair(packet, item, used)
        elif item.kind == "call":
            yield _words(seen, "system", told(item))
        elif item.kind in {"caller", "agent"}:
            yield _words(seen, "user" if item.kind == "caller" else "assistant", item.text)
        else:
            yield _words(seen, "system", item.text)


def opening(packet: HandoffPacket) -> str:
    """The cue, and the facts behind it."""
    if not packet.facts:
        return packet.cue
    facts = msgspec.json.encode(packet.facts).decode()
    return f"{packet.cue} Facts established so far: {facts}".strip()


def told(item: PacketItem) -> str:
    """A call as text."""
    return f"{item.ref}: an agent called {item.tool} with {bytes(item.arguments).decode()}. It answered: {item.text}"


def dialogue(packet: HandoffPacket, tools: Tools = None) -> tuple[str, list[Part]]:
    """For models that know two speakers alone, the caller first and last: what the system says, and the rest.

    Returns:
        The text for the system's place, and parts of which none is the system's: what it says in between comes from
        the caller's side.
    """
    first, *rest = parts(packet, tools)
    said = [_from_outside(part) for part in rest if isinstance(part, Pair) or part.text.strip()]
    if not said or isinstance(said[0], Pair) or said[0].who == "assistant":
        said.insert(0, Words("user", GO_ON, "begin"))
    last = said[-1]
    if isinstance(last, Words) and last.who == "assistant":
        said.append(Words("user", GO_ON, "end"))
    return cast("Words", first).text, said


def _from_outside(part: Part) -> Part:
    if isinstance(part, Words) and part.who == "system":
        return Words("user", f"[{part.text}]", part.key)
    return part


def short(*what: str) -> str:
    """A deterministic id of at most 32 characters."""
    return f"tg_{hashlib.sha256(chr(31).join(what).encode()).hexdigest()[:29]}"


def distinct(values: Iterable[str], seen: dict[str, int]) -> Iterator[str]:
    """The values, each repetition told apart from those before it."""
    for value in values:
        nth = seen[value] = seen.get(value, 0) + 1
        yield f"{value}\x1f{nth}"


def _words(seen: dict[str, int], who: Literal["system", "user", "assistant"], text: str) -> Words:
    (key,) = distinct([f"{who}\x1f{text}"], seen)
    return Words(who, text, key)


def pair_of(packet: HandoffPacket, item: PacketItem) -> Pair:
    """One call of the packet by itself."""
    return _pair(packet, item, set())


def _pair(packet: HandoffPacket, item: PacketItem, used: set[str]) -> Pair:
    call_id = item.call_id
    if not _CALL_ID.fullmatch(call_id) or call_id in used:
        call_id = short(packet.session, item.ref)
    used.add(call_id)
    failed = item.state in {"failed", "cancelled"}
    return Pair(call_id, item.tool, bytes(item.arguments).decode(), item.text, failed, item.ref, item.ref)
