"""Packets for tests: made from records, or at random."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import strategies as st

from toolguard.core.effect import Effect
from toolguard.core.packet import HandoffPacket, PacketItem

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def caller(text):
    return PacketItem(kind="caller", text=text)


def agent(text):
    return PacketItem(kind="agent", text=text)


def call(number, tool="lookup", output='{"ok":true}', *, state="done", effect=Effect.READ, call_id="", **arguments):
    return PacketItem(
        kind="call",
        text=output,
        ref=f"conv-1/{number}",
        tool=tool,
        call_id=call_id or f"call_{number}",
        arguments=msgspec.Raw(msgspec.json.encode(arguments)),
        effect=effect,
        state=state,
    )


def packet(*items, **fields):
    made = {"frm": "desk", "to": "billing", "cue": "You are billing.", "made_at": NOW}
    return HandoffPacket(
        id="p1",
        session="conv-1",
        tenant="clinic-7",
        items=items,
        expires_at=NOW + timedelta(minutes=10),
        **made | fields,
    )


_TEXTS = st.text('ab é語\n"{}', min_size=1, max_size=20).filter(str.strip)
_STATES = st.sampled_from(["done", "running", "in_doubt", "failed", "cancelled", ""])


@st.composite
def histories(draw):
    """Any conversation: words of both sides, news, whole calls with strange ids."""
    items = []
    for number in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["caller", "agent", "note", "call", "call"]))
        if kind != "call":
            items.append(PacketItem(kind=kind, text=draw(_TEXTS)))
            continue
        items.append(
            call(
                number + 1,
                draw(st.sampled_from(["lookup", "book", "an odd/name"])),
                draw(_TEXTS | st.just("")),
                state=draw(_STATES),
                effect=draw(st.sampled_from(list(Effect))),
                call_id=draw(st.sampled_from(["", "call_1", "with/slash", "x" * 40])),
                x=draw(st.integers() | _TEXTS),
            )
        )
    return tuple(items)
