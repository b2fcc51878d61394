"""A packet keeps what must not be forgotten, byte for byte, however small it has to be."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolguard.core.carried import CarriedCall, PacketItem, Promise
from toolguard.core.compact import PacketTooLarge, compact, gist
from toolguard.core.effect import Effect
from toolguard.core.packet import VERSION, HandoffPacket, NewerVersion
from toolguard.core.redact import _NAMES, by_name, redacted, redacted_text

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SLOWLY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=80)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.text('ab\né"\\語', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "id", "pin"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
WORDS = st.text('ab é語\n"{}', min_size=1, max_size=30)


def raw(value):
    return msgspec.Raw(json.dumps(value).encode())


@st.composite
def calls(draw, number):
    return CarriedCall(
        ref=f"conv-1/{number}",
        tool=draw(st.sampled_from(["lookup", "book"])),
        effect=draw(st.sampled_from(list(Effect))),
        state=draw(st.sampled_from(["done", "running", "in_doubt", "failed", "cancelled"])),
        arguments=raw({"x": draw(JSON)}),
        result=raw(draw(JSON)),
        told=draw(st.booleans()),
    )


@st.composite
def packets(draw):
    carried, items = [], []
    for number in range(1, draw(st.integers(0, 10)) + 1):
        if draw(st.booleans()):
            items.append(PacketItem(kind=draw(st.sampled_from(["caller", "agent", "note"])), text=draw(WORDS)))
            continue
        one = draw(calls(number))
        carried.append(one)
        shown = bytes(one.result).decode() if one.state == "done" else draw(WORDS)
        item = PacketItem(
            kind="call", text=shown, ref=one.ref, tool=one.tool, arguments=one.arguments, effect=one.effect, state=one.state
        )  # fmt: skip
        items.append(item)
    return HandoffPacket(
        id="p1", session="conv-1", tenant="t", frm="a", to="b", made_at=NOW, expires_at=NOW + timedelta(minutes=10),
        items=tuple(items), calls=tuple(carried), facts=draw(st.dictionaries(WORDS, JSON, max_size=2)),
        promises=(Promise(ref="conv-1/1", tool="book", what="running"),), cue="Begin.",
    )  # fmt: skip


# -- bytes and signatures -------------------------------------------------------------------------------------------


@SLOWLY
@given(packets())
def test_i21_a_packet_goes_through_json_byte_for_byte(packet):
    wire = packet.signed(b"key").to_json()
    again = HandoffPacket.from_json(wire)
    assert again.to_json() == wire
    assert again.signed_with(b"key")
    assert json.loads(wire)["session"] == "conv-1"


@SLOWLY
@given(packets(), st.data())
def test_a_signature_fits_no_other_contents_and_no_other_key(packet, data):
    signed = packet.signed(b"key")
    assert not signed.signed_with(b"other")
    field, value = data.draw(
        st.sampled_from([("to", "c"), ("session", "conv-2"), ("facts", {"z": 1}), ("expires_at", NOW), ("cue", "")])
    )
    assert not msgspec.structs.replace(signed, **{field: value}).signed_with(b"key")


def test_a_packet_of_a_newer_version_or_none_at_all_says_so():
    wire = json.dumps({"id": "p", "version": VERSION + 1, "whatever": 1})
    with pytest.raises(NewerVersion, match=f"version {VERSION + 1}"):
        HandoffPacket.from_json(wire)
    for junk in (b"", b"[]", b"{}", b"null", b"\xff\xfe", b'{"id":1}'):
        with pytest.raises(ValueError, match="no packet"):
            HandoffPacket.from_json(junk)


# -- compaction -----------------------------------------------------------------------------------------------------


@SLOWLY
@given(packets())
def test_o11_compaction_forgets_no_write_and_no_open_call_at_any_cut(packet):
    items = packet.items
    for keep in range(len(items) + 2):
        short = compact(items, keep_last=keep)
        last = min(keep, len(items))
        assert short[len(short) - last :] == items[len(items) - last :]
        text = "\n".join(item.text for item in short if item.kind == "summary")
        there = {item.ref for item in short if item.kind == "call"}
        for item in items:
            if item.open:
                assert item.ref in there
            elif item.state == "done" and item.effect.writes:
                assert item.ref in there or f"{item.ref}: {item.tool}" in text
        assert compact(short, keep_last=len(short)) == short


def test_compaction_of_a_compacted_history_keeps_the_first_summary():
    done = PacketItem(kind="call", text='{"id":"b-7"}', ref="c/1", tool="book", effect=Effect.MUTATION, state="done")
    words = tuple(PacketItem(kind="caller", text=f"words {n}") for n in range(5))
    once = compact((done, *words), keep_last=2)
    twice = compact((*once, *words), keep_last=1)
    assert [item.kind for item in once] == ["summary", "caller", "caller"]
    assert "b-7" in twice[0].text
    assert twice[1:] == words[-1:]


@SLOWLY
@given(packets(), st.integers(0, 100))
def test_a_packet_within_a_limit_keeps_facts_and_writes_or_says_that_it_cannot(packet, percent):
    whole = len(packet.to_json()) + 160
    limit = whole * percent // 100
    try:
        small = packet.within(limit)
    except PacketTooLarge:
        assert limit < whole
        return
    assert len(small.signed(b"key").to_json()) <= limit
    assert (small.facts, small.promises, small.cue, small.id) == (packet.facts, packet.promises, packet.cue, packet.id)
    kept = {call.ref: call for call in small.calls}
    for call in packet.calls:
        if call.state == "in_doubt" or (call.state == "done" and call.effect.writes):
            assert kept[call.ref].state == call.state
    if limit >= whole:
        assert small.items == packet.items


def test_a_packet_of_many_long_items_becomes_small_and_names_its_booking():
    long = {"id": "b-7", "room": 12, "text": "x" * 5000, "lines": [{"n": n, "note": "y" * 500} for n in range(40)]}
    done = CarriedCall(ref="c/1", tool="book", effect=Effect.MUTATION, state="done", result=raw(long))
    item = PacketItem(kind="call", text=json.dumps(long), ref="c/1", tool="book", effect=Effect.MUTATION, state="done")
    words = tuple(PacketItem(kind="caller", text="long words " * 50) for _ in range(500))
    packet = HandoffPacket(
        id="p", session="c", tenant="t", frm="a", to="b", made_at=NOW, expires_at=NOW, items=(item, *words), calls=(done,)
    )  # fmt: skip
    small = packet.within(6000)
    assert json.loads(bytes(small.calls[0].result))["id"] == "b-7"
    assert "b-7" in small.items[0].text
    assert len(small.items) > 1


@given(JSON)
def test_what_is_short_is_its_own_gist(value):
    if len(json.dumps(value)) <= 300:
        assert bytes(gist(json.dumps(value).encode())) == json.dumps(value).encode()


# -- secrets --------------------------------------------------------------------------------------------------------


def test_secret_fields_are_hidden_by_name_at_any_depth_however_they_are_written():
    value = {"card_number": "4242", "a": [{"cardNumber": "1", "PIN": 2, "pinned": True}], "password": None}
    assert json.loads(bytes(redacted(json.dumps(value).encode(), by_name))) == {
        "card_number": "[redacted]",
        "a": [{"cardNumber": "[redacted]", "PIN": "[redacted]", "pinned": True}],
        "password": "[redacted]",
    }


@pytest.mark.parametrize("name", sorted(_NAMES))
def test_every_secret_name_is_found_however_json_spells_it(name):
    for spelt in (name, name.upper(), "".join(f"\\u{ord(letter):04x}" for letter in name)):
        wire = f'{{"{spelt}":1}}'.encode()
        assert json.loads(bytes(redacted(wire, by_name))) == {json.loads(f'"{spelt}"'): "[redacted]"}


@given(JSON)
def test_what_has_no_secrets_stays_the_same_bytes(value):
    spaced = json.dumps({"b": value}, indent=1).replace('"pin"', '"pen"').encode()
    assert bytes(redacted(spaced, by_name)) == spaced
    assert bytes(redacted(spaced, None)) == spaced


def test_text_that_is_no_json_is_left_alone():
    for text in ("the pin is on the map", "", "{not json", '"pin"'):
        assert redacted_text(text, by_name) == text
    assert redacted_text('{"pin":1}', by_name) == '{"pin":"[redacted]"}'


# -- for a person ---------------------------------------------------------------------------------------------------


def test_a_person_reads_first_what_is_open_then_facts_calls_and_the_last_words():
    packet = HandoffPacket(
        id="p", session="conv-42", tenant="t", frm="desk", to="Ana", made_at=NOW, expires_at=NOW,
        items=(
            PacketItem(kind="caller", text="move order 77\x1b[2J please"),
            PacketItem(kind="call", ref="conv-42/1", tool="charge", state="in_doubt", text="..."),
        ),
        calls=(
            CarriedCall(ref="conv-42/1", tool="charge", effect=Effect.MUTATION, state="in_doubt", arguments=raw({"cents": 5})),
            CarriedCall(ref="conv-42/2", tool="book", effect=Effect.MUTATION, state="done", result=raw("b-7")),
            CarriedCall(ref="conv-42/3", tool="send", effect=Effect.MUTATION, state="failed", why="no address"),
        ),
        facts={"name": "Simon", "order": 77}, pending=("move order 77",),
        promises=(Promise(ref="conv-42/1", tool="charge", what="in_doubt"),),
    )  # fmt: skip
    assert packet.as_text().splitlines() == [
        "conv-42: from desk to Ana, 2026-01-01 12:00:00 UTC",
        "Not answered yet: move order 77",
        "The caller waits for charge (conv-42/1): it is not known whether it happened",
        "Facts",
        "  name: Simon",
        "  order: 77",
        "Calls",
        '  conv-42/1 charge {"cents": 5}: IN DOUBT: nobody knows yet whether it happened; do not repeat it',
        '  conv-42/2 book {}: done, "b-7"',
        "  conv-42/3 send {}: failed, nothing happened (no address)",
        "Last words",
        "  Caller: move order 77 [2J please",
        "  Agent calls charge (conv-42/1): in_doubt",
    ]
