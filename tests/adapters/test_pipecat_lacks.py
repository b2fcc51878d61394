"""What Pipecat has no hook for, as the scenarios' table says it: each of these fails on the day that it has."""

import dataclasses
import inspect

import pytest

pytest.importorskip("pipecat", reason="needs the extra: pip install 'toolguard-voice[pipecat]'")

from pipecat.frames import frames
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator
from pipecat.services.llm_service import LLMService
from pipecat.services.openai.base_llm import BaseOpenAILLMService
from pipecat_kit import until

from toolguard.adapters import pipecat_features
from toolguard.errors import FeatureMissing
from toolguard.testing.pipecat import pipecat_line
from toolguard.testing.scenarios.hooks import HOOKS
from toolguard.testing.scenarios.pipecat_naive import OverPipecat


def named(owner, word):
    return {name for name in dir(owner) if word in name.lower() and not name.startswith("_")}


def test_every_lack_is_named_with_its_place_in_the_framework():
    assert OverPipecat.hooks | OverPipecat.lacks.keys() == set(HOOKS)
    assert all(where.startswith("pipecat/") for where in OverPipecat.lacks.values())


def test_cancel_frame_no_frame_tells_that_the_provider_cancels_a_call():
    assert {name for name in dir(frames) if "Call" in name and "Cancel" in name} == {
        "FunctionCallCancelFrame", "ExternalFunctionCallCancelFrame",
    }  # fmt: skip
    assert "FunctionCallCancelFrame" in inspect.getsource(LLMService._broadcast_function_call_cancelled)


def test_http_calls_the_model_alone_makes_calls():
    assert named(LLMService, "function_calls") == {"run_function_calls", "cancel_function_calls"}


def test_half_calls_and_text_arguments_a_call_is_whole_and_parsed():
    fields = {one.name: one.type for one in dataclasses.fields(frames.FunctionCallFromLLM)}
    assert fields.keys() == {"function_name", "tool_call_id", "arguments", "context"}
    assert "Mapping" in str(fields["arguments"])
    source = inspect.getsource(BaseOpenAILLMService)
    assert "except json.JSONDecodeError" in source
    assert "Failed to parse function call arguments" in source


def test_second_line_a_model_says_nothing_of_its_connection():
    assert not named(LLMService, "connect")


def test_refused_replies_no_frame_tells_of_one():
    assert not {name for name in dir(frames) if "refus" in name.lower() or "reject" in name.lower()}


def test_frame_order_the_frames_of_a_call_are_sent_by_one_function():
    source = inspect.getsource(LLMService._run_function_call)
    assert source.index("FunctionCallInProgressFrame") < source.index("FunctionCallResultFrame")


@pytest.mark.virtual_time
async def test_queued_speech_the_model_is_not_asked_while_the_agent_is_heard():
    assert hasattr(LLMAssistantAggregator, "process_frame")

    async def find(params):
        """Look."""
        await params.result_callback({"n": 1})

    from toolguard.testing.pipecat import Called

    on = pipecat_line(
        lambda asked: ["All right."] if asked.outputs else ["one two three four five six seven", Called("find", "a")],
        tools=[find],
    )
    async with on.runs():
        await on.caller.speaks("look")
        await until(lambda: len(on.model.requests) == 2)
        assert on.voice.heard[-1] == "seven"


@pytest.mark.virtual_time
async def test_replaced_responses_the_first_answer_stays_when_the_caller_goes_on():
    on = pipecat_line(lambda asked: ["That is an answer to a half of it."] if "and" not in asked.said else ["Yes."])
    async with on.runs():
        await on.caller.speaks("I would like")
        await until(lambda: "answer" in on.voice.heard)
        await on.caller.speaks("and one more thing")
        await until(lambda: "Yes." in on.voice.heard)
        assert next(one["content"] for one in on.model.requests[-1].messages) == "I would like"
        assert [one["role"] for one in on.model.requests[-1].messages] == ["user", "assistant", "user"]


def test_a_version_that_lacks_a_feature_is_told_which(monkeypatch):
    monkeypatch.setattr(pipecat_features, "_SEEN", [])
    monkeypatch.delattr(frames, "LLMMessagesAppendFrame")
    with pytest.raises(FeatureMissing) as raised:
        pipecat_features.require()
    assert raised.value.feature == "pipecat.frames.frames.LLMMessagesAppendFrame"
    assert raised.value.version
    assert "toolguard-voice[pipecat]" in str(raised.value)


def test_a_version_whose_frames_cannot_be_kept_from_interruptions_is_told_so(monkeypatch):
    monkeypatch.setattr(pipecat_features, "_SEEN", [])
    monkeypatch.setitem(pipecat_features._FIELDS, "Frame", ("interruptible", "not_there"))
    with pytest.raises(FeatureMissing) as raised:
        pipecat_features.require()
    assert raised.value.feature == "pipecat.frames.frames.Frame.not_there"
