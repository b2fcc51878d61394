"""The page for those who come from a framework's own flags names what there is, on both sides."""

import dataclasses
import inspect
import re

from examples_kit import EXAMPLES
from livekit.agents import RunContext, ToolError, ToolResult, function_tool
from livekit.agents.llm import ToolFlag
from pipecat.frames.frames import FunctionCallResultProperties
from pipecat.services.llm_service import LLMService
from pipecat.turns.user_mute import FunctionCallUserMuteStrategy

import toolguard
from toolguard import policies
from toolguard.tools.spec import Spec

PAGE = (EXAMPLES / "MIGRATING.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and "---" not in line and not line.startswith("| you wrote")
]
LIVEKIT = PAGE[PAGE.index("## LiveKit") : PAGE.index("## What stays")]


def parameters(function):
    return set(inspect.signature(function).parameters)


def test_what_is_written_instead_exists():
    instead = " ".join(row[1] for row in ROWS)
    options = {field.name for field in dataclasses.fields(Spec)}
    used = set(re.findall(r"\b([a-z_]+)=", instead)) - {"policy"}
    assert used
    assert used <= options | {"filler"}
    for name in re.findall(r"policy=(\w+)\(", instead):
        assert hasattr(policies, name)
    assert hasattr(toolguard.Decision, "go_on")
    for name in re.findall(r"toolguard\.(\w+)", instead):
        assert hasattr(toolguard, name)


def test_pipecats_flags_are_pipecats():
    for name in ("cancel_on_interruption", "timeout_secs", "cancellable_by_llm"):
        assert name in parameters(LLMService.register_function)
        assert f"`{name}=" in PAGE
    assert "run_in_parallel" in parameters(LLMService.__init__)
    assert {"run_llm", "is_final"} <= {one.name for one in dataclasses.fields(FunctionCallResultProperties)}
    assert FunctionCallUserMuteStrategy.__name__ in PAGE


def test_livekits_flags_are_livekits():
    assert {"flags", "on_duplicate", "duplicate_scope"} <= parameters(function_tool)
    assert ToolFlag.CANCELLABLE
    for name in ("disallow_interruptions", "update", "with_filler"):
        assert hasattr(RunContext, name)
        assert f"ctx.{name}(" in LIVEKIT
    assert "reply_required" in parameters(ToolResult)
    assert ToolError.__name__ in LIVEKIT


def test_every_row_says_what_was_written_and_what_is():
    assert len(ROWS) >= 20
    assert [row for row in ROWS if len(row) != 3 or not row[0] or not row[1]] == []
