"""A packet as items of a Realtime conversation, judged by the vendor's own types."""

import re

from hypothesis import given
from openai.types.realtime import ConversationItemParam
from packet_kit import agent, call, caller, histories, packet
from pydantic import TypeAdapter

from toolguard.render import openai_realtime

ITEM = TypeAdapter(ConversationItemParam)


def pairs_are_whole(items):
    """Each call's output is the item right behind it, and there is no output besides."""
    for at, item in enumerate(items):
        if item["type"] == "function_call":
            after = items[at + 1]
            assert (after["type"], after["call_id"]) == ("function_call_output", item["call_id"])
        if item["type"] == "function_call_output":
            assert items[at - 1]["type"] == "function_call"


@given(histories())
def test_o11_every_conversation_renders_to_items_that_the_provider_takes(items):
    rendered = openai_realtime.items(packet(*items, facts={"name": "Simon"}))
    for item in rendered:
        ITEM.validate_python(item)
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,32}", item["id"])
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,32}", item.get("call_id", "x"))
    ids = [item["id"] for item in rendered]
    assert len(set(ids)) == len(ids)
    calls = [item["call_id"] for item in rendered if item["type"] == "function_call"]
    assert len(set(calls)) == len(calls)
    pairs_are_whole(rendered)


def test_o4_the_same_conversation_has_the_same_ids_and_a_longer_one_only_adds_some():
    early = openai_realtime.items(packet(caller("yes"), call(1), caller("yes")))
    late = openai_realtime.items(packet(caller("yes"), call(1), agent("It is open."), caller("yes"), caller("yes")))
    ids = [item["id"] for item in late]
    assert [item["id"] for item in early if item["id"] in ids] == [item["id"] for item in early]
    assert len(set(ids)) == len(ids)


def test_o4_an_output_that_says_something_else_is_another_item():
    waits = openai_realtime.items(packet(call(1, output="still running", state="running")))
    done = openai_realtime.items(packet(call(1, output="42")))
    assert [item["id"] for item in waits][:2] == [item["id"] for item in done][:2]
    assert waits[2]["id"] != done[2]["id"]


def test_h2_a_call_of_a_tool_that_the_next_agent_lacks_becomes_text():
    rendered = openai_realtime.items(packet(call(1, "lookup"), call(2, "book", "booked: b-7")), tools=["lookup"])
    assert [item["name"] for item in rendered if item["type"] == "function_call"] == ["lookup"]
    assert "booked: b-7" in rendered[-1]["content"][0]["text"]
    assert rendered[-1]["role"] == "system"


def test_the_cue_and_the_facts_come_first_as_the_systems_words():
    first = openai_realtime.items(packet(caller("hi"), facts={"order": 77}))[0]
    assert first["role"] == "system"
    assert "You are billing." in first["content"][0]["text"]
    assert '{"order":77}' in first["content"][0]["text"]
