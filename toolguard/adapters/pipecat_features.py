"""What the adapter needs of Pipecat: looked for by feature, not by version, and named where it is missing."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

from toolguard.errors import FeatureMissing

_ADVICE = "pip install 'toolguard-voice[pipecat]'"


def _version() -> str:
    try:
        return importlib.metadata.version("pipecat-ai")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _missing(feature: str) -> FeatureMissing:
    version = _version()
    what = f"pipecat-ai {version} has no {feature}" if version else "Pipecat is not installed"
    return FeatureMissing(what, feature=feature, version=version, advice=f"{_ADVICE} (and upgrade it).")


try:
    from pipecat.frames import frames
    from pipecat.pipeline.worker import PipelineWorker
    from pipecat.processors.aggregators.llm_context import LLMContext
    from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator, LLMUserAggregator
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
    from pipecat.services.llm_service import FunctionCallParams, LLMService
    from pipecat.utils.time import time_now_iso8601
except ImportError as error:
    raise _missing(getattr(error, "name", None) or str(error)) from error

try:  # what Pipecat tells its model, since 1.14, of a turn in which it heard no words
    from pipecat.turns.empty_user_turn import DEFAULT_EMPTY_USER_TURN_INTERRUPTED_PROMPT as NOT_RECOGNIZED
except ImportError:
    NOT_RECOGNIZED = ""  # pyright: ignore[reportConstantRedefinition]

if TYPE_CHECKING:
    from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
else:
    for _home in ("pipecat.adapters.llm.schemas", "pipecat.adapters.schemas"):  # the second one until 1.13
        try:
            FunctionSchema = importlib.import_module(f"{_home}.function_schema").FunctionSchema
            break
        except ImportError:
            continue
    else:
        raise _missing("pipecat.adapters.llm.schemas.function_schema.FunctionSchema")

__all__ = [
    "NOT_RECOGNIZED",
    "FrameDirection",
    "FrameProcessor",
    "FunctionCallParams",
    "FunctionSchema",
    "LLMAssistantAggregator",
    "LLMContext",
    "LLMService",
    "LLMUserAggregator",
    "PipelineWorker",
    "frames",
    "require",
    "time_now_iso8601",
]

_FRAMES = (
    "BotStartedSpeakingFrame", "BotStoppedSpeakingFrame", "CancelFrame", "EndFrame", "FunctionCallInProgressFrame",
    "FunctionCallsStartedFrame", "InputDTMFFrame", "InterimTranscriptionFrame", "InterruptionFrame", "LLMContextFrame",
    "LLMFullResponseEndFrame", "LLMFullResponseStartFrame", "LLMMessagesAppendFrame", "TTSSpeakFrame",
    "TranscriptionFrame", "UserStartedSpeakingFrame", "UserStoppedSpeakingFrame", "VADUserStartedSpeakingFrame",
    "VADUserStoppedSpeakingFrame",
)  # fmt: skip
_FIELDS = {
    "FunctionCallResultProperties": ("run_llm", "on_context_updated", "is_final"),
    "LLMMessagesAppendFrame": ("messages", "run_llm"),
    "LLMContextFrame": ("context",),
    "Frame": ("interruptible",),
}
_MEMBERS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (PipelineWorker, ("pipeline", "queue_frame", "app_resources")),
    (FrameProcessor, ("processors", "add_event_handler", "remove_event_handler")),
    (LLMContext, ("get_messages", "add_message", "set_messages", "transform_messages")),
    (LLMAssistantAggregator, ("context",)),
)
_PARAMS = ("tool_call_id", "arguments", "llm", "pipeline_worker", "context", "result_callback")
_SEEN: list[bool] = []


def require() -> None:
    """Check that the installed Pipecat has all that is needed.

    Raises:
        FeatureMissing: It names the first thing that is not there and the installed version.
    """
    if _SEEN:
        return
    for name in _FRAMES:
        _look(frames, "pipecat.frames.frames", (name,))
    for name, wanted in _FIELDS.items():
        _fields(f"pipecat.frames.frames.{name}", getattr(frames, name, None), wanted)
    for owner, members in _MEMBERS:
        _look(owner, f"{owner.__module__}.{owner.__name__}", members)
    _fields("pipecat.services.llm_service.FunctionCallParams", FunctionCallParams, _PARAMS)
    _SEEN.append(True)


def _look(owner: object, where: str, members: tuple[str, ...]) -> None:
    for member in members:
        if not hasattr(owner, member):
            raise _missing(f"{where}.{member}")


def _fields(where: str, kind: Any, wanted: tuple[str, ...]) -> None:
    there = {field.name for field in dataclasses.fields(kind)} if kind is not None else set[str]()
    for one in wanted:
        if one not in there:
            raise _missing(f"{where}.{one}")
