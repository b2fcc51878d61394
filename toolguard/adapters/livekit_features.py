"""What the adapter needs of LiveKit Agents: looked for by feature, not by version, and named where it is missing."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from toolguard.errors import FeatureMissing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["agents", "require"]

_ADVICE = "pip install 'toolguard-voice[livekit]'"

try:
    from livekit import agents
except ImportError as error:
    raise FeatureMissing("LiveKit Agents is not installed", feature="livekit.agents", advice=_ADVICE) from error

_EVENTS = (
    "UserStateChangedEvent",
    "UserInputTranscribedEvent",
    "AgentStateChangedEvent",
    "ConversationItemAddedEvent",
    "FunctionToolsExecutedEvent",
    "SpeechCreatedEvent",
    "ToolExecutionUpdatedEvent",
    "llm.AgentHandoff",
    "llm.Toolset",
    "llm.FunctionTool",
    "llm.RawFunctionTool",
    "StopResponse",
)
_METHODS = {
    "AgentSession": (
        "on",
        "off",
        "say",
        "generate_reply",
        "wait_for_idle",
        "update_agent",
        "current_agent",
        "current_speech",
        "agent_state",
        "history",
        "tools",
        "room_io",
    ),
    "RunContext": ("speech_handle", "function_call", "session"),
    "voice.SpeechHandle": (
        "id",
        "num_steps",
        "interrupted",
        "allow_interruptions",
        "scheduled",
        "done",
        "add_done_callback",
        "wait_if_not_interrupted",
    ),
    "Agent": ("update_chat_ctx", "chat_ctx", "llm_node", "on_user_turn_completed", "tools"),
    "llm.ChatContext": ("copy", "insert"),
}
_PARAMETERS = {
    "function_tool": ("raw_schema",),
    "ToolResult": ("reply_required",),
    "Agent.update_chat_ctx": ("exclude_invalid_function_calls",),
    "AgentSession.say": ("add_to_chat_ctx",),
}


def require() -> None:
    """Check that the installed LiveKit has all that is needed.

    Raises:
        FeatureMissing: It names the first thing that is not there and the installed version.
    """
    for event in _EVENTS:
        _find(event)
    for owner, methods in _METHODS.items():
        found = _find(owner)
        for method in methods:
            if not hasattr(found, method):
                raise _missing(f"{owner}.{method}")
    for function, parameters in _PARAMETERS.items():
        taken = _parameters(_find(function))
        for parameter in parameters:
            if parameter not in taken:
                raise _missing(f"{function}({parameter}=)")


def _find(path: str) -> Any:
    found: Any = agents
    for name in path.split("."):
        found = getattr(found, name, None)
        if found is None:
            raise _missing(path)
    return found


def _parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)


def _missing(feature: str) -> FeatureMissing:
    version = str(getattr(agents, "__version__", "unknown"))
    return FeatureMissing(
        f"livekit-agents {version} has no {feature}",
        feature=f"livekit.agents.{feature}",
        version=version,
        advice=f"Upgrade it: {_ADVICE}.",
    )
