"""A packet in every vendor's form, judged by the vendors' own types, formatters and rules."""

import asyncio
import json
import re
import subprocess
import sys

import pytest
from anthropic.types import MessageParam
from google.genai import types as genai
from hypothesis import HealthCheck, given, settings
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseInputItemParam
from packet_kit import agent, call, caller, histories, packet
from pydantic import TypeAdapter

from toolguard.core.compact import compact
from toolguard.render import anthropic, chat_completions, gemini, responses

SLOWLY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,32}")
CHAT = TypeAdapter(ChatCompletionMessageParam)
RESPONSES = TypeAdapter(ResponseInputItemParam)
ANTHROPIC = TypeAdapter(list[MessageParam])


# -- what each provider asks for ------------------------------------------------------------------------------------


def chat_is_valid(messages):
    for at, message in enumerate(messages):
        CHAT.validate_python(message)
        if "tool_calls" in message:
            (one,) = message["tool_calls"]
            assert CALL_ID.fullmatch(one["id"])
            assert isinstance(json.loads(one["function"]["arguments"]), dict)
            assert messages[at + 1]["tool_call_id"] == one["id"]
        elif message["role"] == "tool":
            assert "tool_calls" in messages[at - 1]
        else:
            assert message["content"]
    ids = [one["id"] for message in messages for one in message.get("tool_calls", ())]
    assert len(set(ids)) == len(ids)


def responses_are_valid(items):
    for at, item in enumerate(items):
        RESPONSES.validate_python(item)
        if item["type"] == "function_call":
            assert CALL_ID.fullmatch(item["call_id"])
            assert items[at + 1] == {**items[at + 1], "type": "function_call_output", "call_id": item["call_id"]}
        if item["type"] == "function_call_output":
            assert items[at - 1]["type"] == "function_call"


def anthropic_is_valid(request):
    messages = request["messages"]
    ANTHROPIC.validate_python(messages)
    roles = [message["role"] for message in messages]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
    assert roles[-1] == "user"
    for at, message in enumerate(messages):
        used = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
        results = [block["type"] for block in message["content"]]
        if message["role"] == "user":
            assert results == sorted(results, key=lambda kind: kind != "tool_result"), "results come first"
        if used:
            answered = [block.get("tool_use_id") for block in messages[at + 1]["content"]]
            assert answered[: len(used)] == used
            assert all(CALL_ID.fullmatch(one) for one in used)
        for block in message["content"]:
            assert block["type"] != "text" or block["text"].strip() == block["text"] != ""


def gemini_is_valid(request):
    turns = [genai.Content.model_validate(turn) for turn in request["contents"]]
    genai.Content.model_validate({"parts": [{"text": request["system_instruction"]}]})
    assert turns[0].role == turns[-1].role == "user"
    for at, turn in enumerate(turns):
        assert at == 0 or turn.role != turns[at - 1].role
        called = [part.function_call.name for part in turn.parts if part.function_call]
        if called:
            assert [part.function_response.name for part in turns[at + 1].parts if part.function_response] == called
            assert all(part.thought_signature for part in turn.parts if part.function_call)
        if any(part.function_response for part in turn.parts):
            assert any(part.function_call for part in turns[at - 1].parts)


def livekit_is_valid(context):
    known = {}
    for place, item in enumerate(context.items):
        if item.type == "function_call":
            assert CALL_ID.fullmatch(item.call_id)
            known[item.call_id] = place
        if item.type == "function_call_output":
            assert known[item.call_id] == place - 1
    assert [item.created_at for item in context.items] == sorted(item.created_at for item in context.items)
    assert len({item.id for item in context.items}) == len(context.items)
    messages, _ = context.to_provider_format("openai")
    chat_is_valid(messages)
    given, _ = context.to_provider_format("openai.responses")
    responses_are_valid([{"type": "message", **item} for item in given])
    given, _ = context.to_provider_format("anthropic")
    ANTHROPIC.validate_python(given)
    given, _ = context.to_provider_format("google")
    for turn in given:
        genai.Content.model_validate(turn)


def pipecat_is_valid(context):
    from pipecat.adapters.llm.services.anthropic_adapter import AnthropicLLMAdapter
    from pipecat.adapters.llm.services.gemini_adapter import GeminiLLMAdapter
    from pipecat.adapters.llm.services.open_ai_adapter import OpenAILLMAdapter

    chat_is_valid(_asked(OpenAILLMAdapter(), context, convert_developer_to_user=False))
    ANTHROPIC.validate_python(_asked(AnthropicLLMAdapter(), context, enable_prompt_caching=False))
    for turn in _asked(GeminiLLMAdapter(), context):
        genai.Content.model_validate(turn)


def _asked(adapter, context, **options):
    return asyncio.run(adapter.get_llm_invocation_params(context, **options))["messages"]


def everything_is_valid(made, tools=None):
    chat_is_valid(chat_completions.messages(made, tools=tools))
    responses_are_valid(responses.items(made, tools=tools))
    anthropic_is_valid(anthropic.request(made, tools=tools))
    gemini_is_valid(gemini.request(made, tools=tools))


# -- the rules ------------------------------------------------------------------------------------------------------


@SLOWLY
@given(histories())
def test_i02_every_conversation_is_valid_for_every_provider(items):
    everything_is_valid(packet(*items))
    everything_is_valid(packet(*items), tools=["lookup"])


@pytest.mark.filterwarnings("ignore:'audioop' is deprecated:DeprecationWarning")
@SLOWLY
@given(histories())
def test_i02_every_conversation_is_valid_for_frameworks_and_what_they_make_of_it(items):
    from toolguard.render import livekit, pipecat

    made = packet(*items)
    livekit_is_valid(livekit.context(made))
    pipecat_is_valid(pipecat.context(made))


@SLOWLY
@given(histories())
def test_o11_a_compacted_conversation_is_valid_at_every_cut(items):
    for keep in range(len(items) + 1):
        everything_is_valid(packet(*compact(items, keep_last=keep)))


HISTORY = (
    caller("Is there a table?"),
    agent("One moment."),
    call(1, "lookup", '{"free": 2}', city="Pune"),
    call(2, "book", "book is still running.", state="running", x=1),
    agent("There is."),
)


def test_chat_completions_read_as_the_conversation_went():
    made = chat_completions.messages(packet(*HISTORY))
    assert [message["role"] for message in made] == [
        "system", "user", "assistant", "assistant", "tool", "assistant", "tool", "assistant",
    ]  # fmt: skip
    assert made[3]["tool_calls"][0]["function"] == {"name": "lookup", "arguments": '{"city":"Pune"}'}
    assert made[4]["content"] == '{"free": 2}'


def test_anthropic_takes_the_system_apart_and_the_caller_has_the_last_word():
    made = anthropic.request(packet(*HISTORY, facts={"order": 77}))
    assert '{"order":77}' in made["system"]
    assert made["messages"][1]["content"][-1]["input"] == {"city": "Pune"}
    assert made["messages"][-1] == {
        "role": "user",
        "content": [{"type": "text", "text": "(Go on with the conversation.)"}],
    }


def test_a_failed_call_is_an_error_for_those_who_can_say_so():
    made = packet(caller("Book it."), call(1, "book", "book failed", state="failed"))
    result = anthropic.request(made)["messages"][-1]["content"][0]
    assert (result["type"], result["is_error"]) == ("tool_result", True)
    assert gemini.request(made)["contents"][-1]["parts"][0]["function_response"]["response"] == {"error": "book failed"}


def test_h2_news_and_calls_of_missing_tools_are_text_in_their_place():
    made = packet(caller("hi"), call(1, "book", "booked b-7"), agent("Booked."), caller("Thanks."))
    said = chat_completions.messages(made, tools=["lookup"])
    assert ["book" in one["content"] for one in said] == [False, False, True, False, False]
    turns = anthropic.request(made, tools=["lookup"])["messages"]
    assert "booked b-7" in turns[0]["content"][-1]["text"]


@pytest.mark.parametrize("name", ["openai_realtime", "chat_completions", "responses", "anthropic", "gemini"])
def test_plain_forms_import_no_vendor(name):
    script = f"import sys, toolguard.render.{name}; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"openai", "anthropic", "google.genai", "livekit", "pipecat"} & set(loaded)


@pytest.mark.parametrize(("name", "package"), [("livekit", "livekit.agents"), ("pipecat", "pipecat.processors")])
def test_a_missing_framework_is_told_with_what_to_install(monkeypatch, name, package):
    import importlib

    from toolguard.errors import FeatureMissing

    for loaded in [one for one in sys.modules if one.startswith(package)]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    rendering = importlib.import_module(f"toolguard.render.{name}")
    with pytest.raises(FeatureMissing, match="pip install"):
        rendering.context(packet())
